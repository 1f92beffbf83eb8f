//! What the log is told of requests: each failure once, here at the edge, with every cause.
//! Paths without their query, because tokens may stand there.

use std::{any::Any, error::Error, future::Future, iter, panic::AssertUnwindSafe, time::Instant};

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use futures::FutureExt as _;
use studio_api::ErrorCode;

use crate::{Problem, problem::Cause};

/// Logs failures with their causes, and every request at debug level.
pub(crate) async fn log<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let began = Instant::now();
    let response = next(request).await;
    let status = response.status();
    if let Some(Cause(cause)) = response.extensions().get::<Cause>() {
        let why = causes(cause.as_ref());
        let status = status.as_u16();
        if 500 <= status {
            tracing::warn!(http.path = path, http.status = status, error = why, "{path}: {why}");
        } else {
            tracing::debug!(http.path = path, http.status = status, error = why, "{path}: {why}");
        }
    }
    let ms = began.elapsed().as_millis();
    let status = status.as_u16();
    tracing::debug!(http.path = path, http.status = status, "{method} {path}: {status}, {ms} ms");
    response
}

/// A handler that panics is a bug of ours: the client gets an answer and the server goes on.
pub(crate) async fn catch_panics<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let path = request.uri().path().to_owned();
    match AssertUnwindSafe(next(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let why = words(panic.as_ref());
            tracing::error!(http.path = path, error = why, "{path}: a handler panicked: {why}");
            Problem::of(ErrorCode::Internal).into_response()
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

/// `outer: inner: innermost`. Each error prints itself only, so nothing is said twice.
pub(crate) fn causes(error: &dyn Error) -> String {
    let chain = iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
