//! The OpenAPI document of every route, made of the code: the table of routes says what there is
//! and who may use it, [`operations`] what goes in and out, the types of `studio-api` how that
//! looks, and the table of errors what a failure is.
//!
//! Reading order: [`operation`] (what is told of a route), [`operations`] (all of them),
//! [`examples`], [`document`] (everything joined), [`page`] (the same for people).

mod document;
mod examples;
mod operation;
mod operations;
mod page;
mod shared;
mod streams;

use std::sync::LazyLock;

use axum::{
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;

pub use document::openapi;

/// The document as it is sent: the same for everybody as long as the program runs.
static JSON: LazyLock<Bytes> = LazyLock::new(|| openapi().to_string().into());
/// The page that shows it.
static PAGE: LazyLock<Bytes> = LazyLock::new(|| page::of(&openapi()).into());
/// How the page looks. A file of its own, so that the page needs no style of its own allowed.
const STYLE: &str = include_str!("style.css");

/// What the page may load: its style.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'";

/// `GET /api/openapi.json`.
pub(crate) async fn json() -> Response {
    ([(CONTENT_TYPE, "application/json")], JSON.clone()).into_response()
}

/// `GET /api/docs`.
pub(crate) async fn docs() -> Response {
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, PAGE.clone()).into_response()
}

/// `GET /api/docs/style.css`.
pub(crate) async fn style() -> Response {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, STYLE).into_response()
}
