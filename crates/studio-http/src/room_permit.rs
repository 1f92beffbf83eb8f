//! Who may be in a shared session, and who may let others into a session of theirs.

use std::collections::HashMap;

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use studio_api::ErrorCode;
use studio_auth::Scope;
use studio_ids::{RoomId, SessionId};

use crate::{
    HttpState, Problem,
    locks::Pass,
    permit::{openers, query, shown},
};

/// Where the token of a session stands that is to be linked: the shared session's own has the
/// header of every request.
const SESSION_TOKEN: &str = "x-session-token";

/// Proof that the caller is in this shared session: its token, or the operator's.
#[derive(Clone, Debug)]
pub(crate) struct Member(pub(crate) RoomId, pub(crate) Pass);

/// As [`Member`]; the token may stand in the query. For event streams only (`D30-13`).
#[derive(Clone, Debug)]
pub(crate) struct WatchingMember(pub(crate) RoomId, pub(crate) Pass);

impl FromRequestParts<HttpState> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let refused = || Problem::unauthenticated("room");
        let id = named(parts, state, "id").await.ok_or_else(refused)?;
        let pass = shown(parts, state, &[Scope::Room(id), Scope::Operator]);
        pass.map(|pass| Self(id, pass)).ok_or_else(refused)
    }
}

impl FromRequestParts<HttpState> for WatchingMember {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let refused = || Problem::unauthenticated("room");
        let id = named(parts, state, "id").await.ok_or_else(refused)?;
        let scopes = [Scope::Room(id), Scope::Operator];
        let in_query = || state.locks().pass(&scopes, &query(parts, "token")?);
        let pass = shown(parts, state, &scopes).or_else(in_query);
        pass.map(|pass| Self(id, pass)).ok_or_else(refused)
    }
}

/// What shows that a member controls a session, once it is known which: being in a shared session
/// is no way into sessions that nobody gave away (`L1`).
pub(crate) struct SessionProof(Option<String>);

impl FromRequestParts<HttpState> for SessionProof {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let value = parts.headers.get(SESSION_TOKEN).and_then(|value| value.to_str().ok());
        Ok(Self(value.map(str::to_owned)))
    }
}

impl SessionProof {
    /// Whether who came in with `pass` may give this session away.
    pub(crate) fn of(
        &self,
        state: &HttpState,
        pass: &Pass,
        session: SessionId,
    ) -> Result<(), Problem> {
        let wanted = Scope::Session(session);
        let shown =
            || self.0.as_deref().and_then(|t| state.locks().pass(&openers(wanted, session), t));
        if pass.scope.covers(wanted) || shown().is_some() {
            return Ok(());
        }
        Err(Problem::unauthenticated("session"))
    }
}

/// `{session}` in the path. What is no id is a session that nobody has.
pub(crate) struct NamedSession(pub(crate) SessionId);

impl FromRequestParts<HttpState> for NamedSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let named = named(parts, state, "session").await;
        named.map(Self).ok_or_else(|| Problem::of(ErrorCode::SessionNotFound))
    }
}

/// `{code}` in the path: any text.
pub(crate) struct InviteCode(pub(crate) String);

impl FromRequestParts<HttpState> for InviteCode {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let code = named(parts, state, "code").await;
        code.map(Self).ok_or_else(|| Problem::of(ErrorCode::SharedSessionNotFound))
    }
}

async fn named<T: std::str::FromStr>(
    parts: &mut Parts,
    state: &HttpState,
    name: &str,
) -> Option<T> {
    let all = Path::<HashMap<String, String>>::from_request_parts(parts, state).await.ok()?;
    all.get(name)?.parse().ok()
}
