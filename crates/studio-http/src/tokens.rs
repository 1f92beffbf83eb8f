//! Tokens that somebody asks for: given out, listed, made void.

use std::time::Duration;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
};
use studio_api::{
    ErrorCode, MintProgramToken, MintSessionToken, ProgramPurpose, SessionPurpose,
    answers::{Done, TokenList, TokenMade, TokenTold, TokensRotated},
};
use studio_auth::{Issued, Minted, Scope};
use studio_events::Timestamp;
use studio_ids::{SessionId, TokenId};

use crate::{
    HttpState, Problem,
    body::Checked,
    permit::{HeldSession, KnownSession, Operator},
    state,
};

/// `GET /api/sessions/{id}/tokens`.
pub(crate) async fn of_session(
    State(state): State<HttpState>,
    KnownSession(session): KnownSession,
) -> Json<TokenList> {
    list(&state, Some(session))
}

/// `POST /api/sessions/{id}/tokens`.
pub(crate) async fn mint_for_session(
    State(state): State<HttpState>,
    HeldSession(session, held): HeldSession,
    Checked(body): Checked<MintSessionToken>,
) -> Result<(StatusCode, Json<TokenMade>), Problem> {
    let scope = match body.scope {
        SessionPurpose::Session => Scope::Session(session),
        SessionPurpose::Read => Scope::Read(session),
    };
    let wanted = Wanted { scope, label: body.label, seconds: body.expires_in_seconds };
    // Who has a session's token that ends is given none that outlives it.
    let end = held.grant.expires().filter(|_| held.scope.session().is_some());
    made(&state, wanted, end).await
}

/// `DELETE /api/sessions/{id}/tokens/{token}`.
pub(crate) async fn revoke_of_session(
    State(state): State<HttpState>,
    KnownSession(session): KnownSession,
    Named(token): Named,
) -> Result<Json<Done>, Problem> {
    state.studio().revoke_token(Some(session), token).await?;
    Ok(Json(Done::OK))
}

/// `POST /api/sessions/{id}/tokens/rotate`.
pub(crate) async fn rotate(
    State(state): State<HttpState>,
    KnownSession(session_id): KnownSession,
) -> Result<Json<TokensRotated>, Problem> {
    state.studio().rotate_tokens(session_id).await?;
    let session_token = state.locks().mint(Scope::Session(session_id));
    let hook_token = state.locks().mint(Scope::Hook(session_id));
    Ok(Json(TokensRotated { session_id, session_token, hook_token }))
}

/// `GET /api/tokens`.
pub(crate) async fn of_programs(State(state): State<HttpState>, _: Operator) -> Json<TokenList> {
    list(&state, None)
}

/// `POST /api/tokens`.
pub(crate) async fn mint_for_program(
    State(state): State<HttpState>,
    _: Operator,
    Checked(body): Checked<MintProgramToken>,
) -> Result<(StatusCode, Json<TokenMade>), Problem> {
    let scope = match body.scope {
        ProgramPurpose::Create => Scope::Create,
        ProgramPurpose::Operator => Scope::Operator,
        ProgramPurpose::Streams => Scope::Streams,
    };
    let wanted = Wanted { scope, label: body.label, seconds: body.expires_in_seconds };
    made(&state, wanted, None).await
}

/// `DELETE /api/tokens/{token}`.
pub(crate) async fn revoke_of_program(
    State(state): State<HttpState>,
    _: Operator,
    Named(token): Named,
) -> Result<Json<Done>, Problem> {
    state.studio().revoke_token(None, token).await?;
    Ok(Json(Done::OK))
}

fn list(state: &HttpState, session: Option<SessionId>) -> Json<TokenList> {
    let tokens = state.studio().tokens_of(session).into_iter().map(told).collect();
    Json(TokenList { tokens })
}

/// A token that is asked for.
pub(crate) struct Wanted {
    pub(crate) scope: Scope,
    pub(crate) label: Option<String>,
    pub(crate) seconds: Option<u64>,
}

async fn made(
    state: &HttpState,
    wanted: Wanted,
    end: Option<u64>,
) -> Result<(StatusCode, Json<TokenMade>), Problem> {
    let (token, minted) = give(state, wanted, end).await?;
    Ok((StatusCode::CREATED, Json(TokenMade { token, told: told(minted) })))
}

/// A token that is written down before it is told. `end`: it does not outlive this.
pub(crate) async fn give(
    state: &HttpState,
    wanted: Wanted,
    end: Option<u64>,
) -> Result<(String, Minted), Problem> {
    let Wanted { scope, label, seconds } = wanted;
    let lifetime = seconds.map_or(state.locks().lifetime(), Duration::from_secs);
    let left = end.map(|end| Duration::from_secs(end.saturating_sub(state::now())));
    let lifetime = left.map_or(lifetime, |left| lifetime.min(left));
    let Issued { token, claims } = state.locks().issue(scope, lifetime);
    let (id, key_id) = (claims.id, claims.key_id);
    let (issued, expires) = (claims.issued, claims.expires);
    let minted = Minted { id, key_id, scope, label, issued, expires };
    state.studio().give_token(minted.clone()).await?;
    Ok((token, minted))
}

fn told(minted: Minted) -> TokenTold {
    TokenTold {
        id: minted.id,
        scope: minted.scope.kind().to_owned(),
        label: minted.label,
        issued_at: time(minted.issued),
        expires_at: time(minted.expires),
    }
}

/// Unix seconds as they are told.
pub(crate) fn time(seconds: u64) -> Timestamp {
    let millis = i64::try_from(seconds.saturating_mul(1_000));
    Timestamp::from_unix_millis(millis.unwrap_or(i64::MAX))
}

/// `{token}` in the path: a token's id. What is none is one that was never given out.
pub(crate) struct Named(TokenId);

impl FromRequestParts<HttpState> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let all =
            Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, state);
        let id = all.await.ok().and_then(|Path(all)| all.get("token")?.parse().ok());
        id.map(Self).ok_or_else(|| Problem::of(ErrorCode::TokenNotFound))
    }
}
