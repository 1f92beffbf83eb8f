//! What is not about a session: health, configuration, the page, and everything unknown.

use axum::{
    Json,
    extract::{Request, State},
    http::{Method, StatusCode, header::CONTENT_SECURITY_POLICY, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use studio_api::{
    ErrorCode,
    answers::{ConfigAnswer, HealthAnswer, HealthChecks},
};
use studio_auth::Scope;
use studio_flows::Mode;

use crate::{
    HttpState, Problem,
    guard::is_api,
    permit::{openers, shown},
};

/// The page until the browser app is there.
const PAGE: &str = include_str!("page.html");

/// `GET /api/health`: whether the studio can work, asked for real.
pub(crate) async fn health(State(state): State<HttpState>) -> (StatusCode, Json<HealthAnswer>) {
    let health = state.studio().health().await;
    let healthy =
        health.streams.is_ok() && health.sandbox.is_ok() && health.recovered && !health.taken_over;
    let word = |good: bool| if good { "ok" } else { "error" }.to_owned();
    let checks = HealthChecks {
        streams: word(health.streams.is_ok()),
        streams_error: health.streams.err(),
        sandbox: health.runtime.to_owned(),
        sandbox_state: word(health.sandbox.is_ok()),
        sandbox_error: health.sandbox.err(),
        isolation: state.settings().isolation.clone(),
        recovery: if health.recovered { "ok" } else { "pending" }.to_owned(),
        lease: if health.taken_over { "taken_over" } else { "ok" }.to_owned(),
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(HealthAnswer { healthy, checks, version }))
}

/// `GET /api/config`.
pub(crate) async fn config(State(state): State<HttpState>) -> Json<ConfigAnswer> {
    let settings = state.studio().settings();
    Json(match settings.mode {
        Mode::Dev => ConfigAnswer { dev_mode: true, max_session_cost_usd: None },
        Mode::Production => {
            ConfigAnswer { dev_mode: false, max_session_cost_usd: settings.max_session_cost_usd }
        }
    })
}

/// What no route takes: JSON below `/api` (`D30-37`), the page elsewhere. Below a session the
/// token is asked for first, so nobody learns there what exists.
pub(crate) async fn unknown(State(state): State<HttpState>, request: Request) -> Response {
    refuse(&state, request, ErrorCode::NotFound)
}

/// A route with a method that it does not take.
pub(crate) async fn wrong_method(State(state): State<HttpState>, request: Request) -> Response {
    refuse(&state, request, ErrorCode::MethodNotAllowed)
}

fn refuse(state: &HttpState, request: Request, code: ErrorCode) -> Response {
    let (parts, _body) = request.into_parts();
    let path = parts.uri.path();
    if !is_api(path) {
        return match parts.method {
            Method::GET | Method::HEAD => page(),
            _ => Problem::of(code).into_response(),
        };
    }
    let below = path.strip_prefix("/api/sessions/").and_then(|rest| rest.split('/').next());
    let permitted = match below {
        None => true,
        // A route of its own; what a session's route would take is asked of a session `local`.
        Some("local") if code == ErrorCode::MethodNotAllowed && !of_sessions(&parts.method) => true,
        Some(id) => id
            .parse()
            .is_ok_and(|id| shown(&parts, state, &openers(Scope::Session(id), id)).is_some()),
    };
    if permitted {
        Problem::of(code).into_response()
    } else {
        Problem::unauthenticated("session").into_response()
    }
}

fn of_sessions(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PATCH | Method::DELETE)
}

fn page() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ];
    (headers, PAGE).into_response()
}
