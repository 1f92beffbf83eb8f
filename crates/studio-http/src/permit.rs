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

use crate::{Creation, HttpState, Problem, address::ClientAddress, locks::Pass, login, tickets};

/// Proof that a person controls this session: its own token, or the operator's. An agent's
/// credentials (hook, relay) are never enough (`D30-8`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnedSession(pub(crate) SessionId);

/// As [`OwnedSession`], and the session exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownSession(pub(crate) SessionId);

/// As [`KnownSession`], with what opened it.
#[derive(Clone, Debug)]
pub(crate) struct HeldSession(pub(crate) SessionId, pub(crate) Pass);

/// Proof that the caller may look at this session: a token for reading it, or what is enough for
/// [`OwnedSession`]. For routes that change nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadSession(pub(crate) SessionId);

/// As [`ReadSession`], and the session exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownRead(pub(crate) SessionId);

/// As [`KnownRead`], with what opened it.
#[derive(Clone, Debug)]
pub(crate) struct HeldRead(pub(crate) SessionId, pub(crate) Pass);

/// As [`ReadSession`], with what opened it; because a browser's `EventSource` cannot send headers,
/// the token may stand in the query, or a ticket. For event streams only (`D30-13`).
#[derive(Clone, Debug)]
pub(crate) struct WatchedSession(pub(crate) SessionId, pub(crate) Pass);

/// Proof that the caller is an agent's hook (or its relay) of this session, with what shows it.
#[derive(Clone, Debug)]
pub(crate) struct HookedSession(pub(crate) SessionId, pub(crate) Pass);

/// Proof that the caller runs this studio, with what shows it: the operator's token or a browser's
/// login, or (`None`), in development mode, a connection from this machine.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Option<Pass>);

/// Proof that the caller may have a token for this session's repository: git's own capability, or
/// a person's control of the session. In the header only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GitSession(pub(crate) SessionId);

/// Proof that sessions may be made out of repositories here: in development mode alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MayResume;

/// As [`Caller`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator;

/// Proof that the caller may create sessions here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MayCreate;

impl FromRequestParts<HttpState> for OwnedSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        opened(parts, state, Scope::Session).await.map(|(id, _)| Self(id))
    }
}

impl FromRequestParts<HttpState> for HeldSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let (id, pass) = opened(parts, state, Scope::Session).await?;
        state.studio().session(id)?;
        Ok(Self(id, pass))
    }
}

impl FromRequestParts<HttpState> for KnownSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let HeldSession(id, _) = HeldSession::from_request_parts(parts, state).await?;
        Ok(Self(id))
    }
}

impl FromRequestParts<HttpState> for ReadSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        opened(parts, state, Scope::Read).await.map(|(id, _)| Self(id))
    }
}

impl FromRequestParts<HttpState> for KnownRead {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let HeldRead(id, _) = HeldRead::from_request_parts(parts, state).await?;
        Ok(Self(id))
    }
}

impl FromRequestParts<HttpState> for HeldRead {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let (id, pass) = opened(parts, state, Scope::Read).await?;
        state.studio().session(id)?;
        Ok(Self(id, pass))
    }
}

impl FromRequestParts<HttpState> for WatchedSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let refused = || Problem::unauthenticated("session");
        let id = session_id(parts, state).await.ok_or_else(refused)?;
        let scopes = openers(Scope::Read(id), id);
        let in_query = || state.locks().pass(&scopes, &query(parts, "token")?);
        let pass = shown(parts, state, &scopes)
            .or_else(in_query)
            .or_else(|| tickets::taken(parts, state, id));
        pass.map(|pass| Self(id, pass)).ok_or_else(refused)
    }
}

impl FromRequestParts<HttpState> for HookedSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let refused = || Problem::unauthenticated("hook");
        let id = session_id(parts, state).await.ok_or_else(refused)?;
        let token = bearer(parts).ok_or_else(refused)?;
        let pass = state.locks().pass(&[Scope::Hook(id), Scope::Relay(id)], &token);
        pass.map(|pass| Self(id, pass)).ok_or_else(refused)
    }
}

impl FromRequestParts<HttpState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        if let Some(pass) = shown(parts, state, &[Scope::Operator]) {
            return Ok(Self(Some(pass)));
        }
        let at_home = ClientAddress::of(parts, &state.settings().trusted_proxies).0.is_loopback();
        match state.studio().settings().mode {
            Mode::Dev if at_home => Ok(Self(None)),
            Mode::Dev | Mode::Production => Err(Problem::unauthenticated("operator")),
        }
    }
}

impl FromRequestParts<HttpState> for GitSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let refused = || Problem::told(ErrorCode::Unauthenticated, "Unauthorized");
        let id = session_id(parts, state).await.ok_or_else(refused)?;
        let token = bearer(parts).ok_or_else(refused)?;
        let scopes = [Scope::Git(id), Scope::Session(id), Scope::Operator];
        state.locks().pass(&scopes, &token).map(|_pass| Self(id)).ok_or_else(refused)
    }
}

impl FromRequestParts<HttpState> for MayResume {
    type Rejection = Problem;

    async fn from_request_parts(_parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        match state.studio().settings().mode {
            Mode::Dev => Ok(Self),
            Mode::Production => Err(Problem::of(ErrorCode::ResumeNotAvailable)),
        }
    }
}

impl FromRequestParts<HttpState> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        Caller::from_request_parts(parts, state).await.map(|_| Self)
    }
}

impl FromRequestParts<HttpState> for MayCreate {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let open = state.settings().creation == Creation::Open;
        if open || shown(parts, state, &[Scope::Create]).is_some() {
            return Ok(Self);
        }
        Operator::from_request_parts(parts, state).await.map(|Operator| Self)
    }
}

/// The session in the path, and what opens `wanted` of it.
async fn opened(
    parts: &mut Parts,
    state: &HttpState,
    wanted: fn(SessionId) -> Scope,
) -> Result<(SessionId, Pass), Problem> {
    let refused = || Problem::unauthenticated("session");
    let id = session_id(parts, state).await.ok_or_else(refused)?;
    let pass = shown(parts, state, &openers(wanted(id), id)).ok_or_else(refused)?;
    Ok((id, pass))
}

/// A person's tokens that are enough for this of session `id`.
pub(crate) fn openers(wanted: Scope, id: SessionId) -> Vec<Scope> {
    let mut scopes = vec![Scope::Session(id), Scope::Read(id), Scope::Operator];
    scopes.retain(|held| held.covers(wanted));
    scopes
}

/// What the caller shows that opens one of these: a token in a header, else a browser's login
/// where the operator's is enough.
pub(crate) fn shown(parts: &Parts, state: &HttpState, scopes: &[Scope]) -> Option<Pass> {
    match bearer(parts) {
        Some(token) => state.locks().pass(scopes, &token),
        None if scopes.contains(&Scope::Operator) => login::pass(parts, state),
        None => None,
    }
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
