//! Permission as a value: a handler that takes one of these cannot run without the check, and
//! one that does not cannot get at the id. Checked before anything is looked up, so an unknown
//! id without a token is 401 and never 404.

use std::collections::HashMap;

use axum::{
    extract::{FromRequestParts, Path},
    http::{header::AUTHORIZATION, request::Parts},
};
use studio_api::ErrorCode;
use studio_auth::Scope;
use studio_flows::Mode;
use studio_ids::SessionId;

use crate::{Creation, HttpState, Problem, address::ClientAddress};

/// Proof that a person controls this session: its own token, or the operator's. An agent's
/// credentials (hook, relay) are never enough (`D30-8`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnedSession(pub(crate) SessionId);

/// As [`OwnedSession`], and the session exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownSession(pub(crate) SessionId);

/// As [`OwnedSession`]; the token may stand in the query, because a browser's `EventSource`
/// cannot send headers. For event streams only (`D30-13`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchedSession(pub(crate) SessionId);

/// Proof that the caller is an agent's hook (or its relay) of this session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HookedSession(pub(crate) SessionId);

/// Proof that the caller runs this studio: the operator's token, or, in development mode, a
/// connection from this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator;

/// Proof that the caller may create sessions here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MayCreate;

impl FromRequestParts<HttpState> for OwnedSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        owned(parts, state, bearer(parts)).await.map(Self)
    }
}

impl FromRequestParts<HttpState> for KnownSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let OwnedSession(id) = OwnedSession::from_request_parts(parts, state).await?;
        state.studio().session(id)?;
        Ok(Self(id))
    }
}

impl FromRequestParts<HttpState> for WatchedSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let token = bearer(parts).or_else(|| query(parts, "token"));
        owned(parts, state, token).await.map(Self)
    }
}

impl FromRequestParts<HttpState> for HookedSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let refused = || Problem::unauthenticated("hook");
        let id = session_id(parts, state).await.ok_or_else(refused)?;
        let token = bearer(parts).ok_or_else(refused)?;
        let now = state.now();
        let opens = [Scope::Hook(id), Scope::Relay(id)]
            .into_iter()
            .any(|scope| state.keys().opens(scope, &token, now));
        if opens { Ok(Self(id)) } else { Err(refused()) }
    }
}

impl FromRequestParts<HttpState> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let token = bearer(parts);
        if token.is_some_and(|token| state.keys().opens(Scope::Operator, &token, state.now())) {
            return Ok(Self);
        }
        let at_home = ClientAddress::of(parts, &state.settings().trusted_proxies).0.is_loopback();
        match state.studio().settings().mode {
            Mode::Dev if at_home => Ok(Self),
            Mode::Dev | Mode::Production => Err(Problem::unauthenticated("operator")),
        }
    }
}

impl FromRequestParts<HttpState> for MayCreate {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        match state.settings().creation {
            Creation::Open => Ok(Self),
            Creation::Operator => {
                Operator::from_request_parts(parts, state).await.map(|Operator| Self)
            }
        }
    }
}

async fn owned(
    parts: &mut Parts,
    state: &HttpState,
    token: Option<String>,
) -> Result<SessionId, Problem> {
    let refused = || Problem::unauthenticated("session");
    let id = session_id(parts, state).await.ok_or_else(refused)?;
    let token = token.ok_or_else(refused)?;
    if controls(state, id, &token) { Ok(id) } else { Err(refused()) }
}

/// Whether `token` is a person's for session `id`.
pub(crate) fn controls(state: &HttpState, id: SessionId, token: &str) -> bool {
    let now = state.now();
    state.keys().opens(Scope::Session(id), token, now)
        || state.keys().opens(Scope::Operator, token, now)
}

async fn session_id(parts: &mut Parts, state: &HttpState) -> Option<SessionId> {
    let all = Path::<HashMap<String, String>>::from_request_parts(parts, state).await.ok()?;
    all.get("id")?.parse().ok()
}

/// `Authorization: Bearer <token>`, the scheme spelled so, one blank.
pub(crate) fn bearer(parts: &Parts) -> Option<String> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::to_owned)
}

/// The first value of a query parameter.
pub(crate) fn query(parts: &Parts, name: &str) -> Option<String> {
    let query = parts.uri.query()?.as_bytes();
    let found = form_urlencoded::parse(query).find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned())
}

/// The first value of a query parameter that is a number.
pub(crate) fn number(parts: &Parts, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = query(parts, name) else { return Ok(None) };
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        // Larger ones are no places in a file and no counts.
        Ok(number) if is_number && number <= u64::from(u32::MAX) << 20 => Ok(Some(number)),
        Ok(_) | Err(_) => Err(Problem::told(ErrorCode::BadRequest, format!("{name} is not valid"))),
    }
}
