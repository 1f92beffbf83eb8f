//! Shared sessions: what people do who watch sessions together.

use std::time::Instant;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use studio_api::{
    CreateSharedSession, JoinSharedSession, LeaveSharedSession, LinkSession, PingSharedSession,
    answers::{Done, Presence, SharedSessionFound, SharedSessionMade, SharedSessionToken},
};
use studio_auth::Scope;
use studio_flows::words::NewLink;
use studio_streams::StreamPath;

use crate::{
    HttpState, Problem,
    address::ClientAddress,
    body::Checked,
    events::{self, ResumeAt},
    limit::Counted,
    permit::MayCreate,
    room_permit::{InviteCode, Member, NamedSession, SessionProof, WatchingMember},
    sessions::limited,
};

type Answer<T> = Result<Json<T>, Problem>;

/// `POST /api/shared-sessions`.
pub(crate) async fn create(
    State(state): State<HttpState>,
    _: MayCreate,
    client: ClientAddress,
    Checked(CreateSharedSession { name, participant }): Checked<CreateSharedSession>,
) -> Result<(StatusCode, Json<SharedSessionMade>), Problem> {
    let create =
        async |studio: &studio_flows::Studio| studio.create_shared(name, participant).await;
    let (id, code) = limited(&state, client, create).await?;
    let room_token = state.locks().mint(Scope::Room(id));
    let made = SharedSessionMade { id, code: code.expose().to_owned(), room_token };
    Ok((StatusCode::CREATED, Json(made)))
}

/// `GET /api/shared-sessions/join/{code}`. A code that is revoked opens nothing (`L2`).
pub(crate) async fn find(
    State(state): State<HttpState>,
    client: ClientAddress,
    InviteCode(code): InviteCode,
) -> Answer<SharedSessionFound> {
    let tried = count_join(&state, client)?;
    let (id, good) = state.studio().shared_by_code(&code).await?;
    if let Some(tried) = tried {
        state.join_limit().give_back(tried);
    }
    let room_token = good.then(|| state.locks().mint(Scope::Room(id)));
    Ok(Json(SharedSessionFound { id, code, revoked: !good, room_token }))
}

/// `POST /api/shared-sessions/{id}/join`.
pub(crate) async fn join(
    State(state): State<HttpState>,
    Member(id, _): Member,
    client: ClientAddress,
    Checked(body): Checked<JoinSharedSession>,
) -> Answer<Done> {
    count_join(&state, client)?;
    state.studio().join_shared(id, body.participant).await?;
    Ok(Json(Done::OK))
}

/// Counts a try with a code, or a coming.
fn count_join(state: &HttpState, client: ClientAddress) -> Result<Option<Counted>, Problem> {
    let told = "Too many joins. Please try again later.";
    let counted = state.join_limit().take(client.0, Instant::now());
    counted.map_err(|wait| Problem::rate_limited(wait).saying(told))
}

/// `POST /api/shared-sessions/{id}/leave`.
pub(crate) async fn leave(
    State(state): State<HttpState>,
    Member(id, _): Member,
    Checked(body): Checked<LeaveSharedSession>,
) -> Answer<Done> {
    state.studio().leave_shared(id, body.participant_id).await?;
    Ok(Json(Done::OK))
}

/// `POST /api/shared-sessions/{id}/ping`.
pub(crate) async fn ping(
    State(state): State<HttpState>,
    Member(id, _): Member,
    Checked(body): Checked<PingSharedSession>,
) -> Json<Done> {
    state.studio().ping_shared(id, body.participant);
    Json(Done::OK)
}

/// `GET /api/shared-sessions/{id}/presence`.
pub(crate) async fn presence(
    State(state): State<HttpState>,
    Member(id, _): Member,
) -> Json<Presence> {
    Json(Presence { participants: state.studio().present_in_shared(id) })
}

/// `POST /api/shared-sessions/{id}/sessions`.
pub(crate) async fn link(
    State(state): State<HttpState>,
    Member(id, pass): Member,
    proof: SessionProof,
    Checked(body): Checked<LinkSession>,
) -> Answer<Done> {
    proof.of(&state, &pass, body.session_id)?;
    let link = NewLink {
        session: body.session_id,
        name: body.session_name,
        description: body.session_description,
        by: body.linked_by,
    };
    state.studio().link_session(id, link).await?;
    Ok(Json(Done::OK))
}

/// `DELETE /api/shared-sessions/{id}/sessions/{session}`.
pub(crate) async fn unlink(
    State(state): State<HttpState>,
    Member(id, _): Member,
    NamedSession(session): NamedSession,
) -> Answer<Done> {
    state.studio().unlink_session(id, session).await?;
    Ok(Json(Done::OK))
}

/// `GET /api/shared-sessions/{id}/sessions/{session}/token`.
pub(crate) async fn token(
    State(state): State<HttpState>,
    Member(id, _): Member,
    NamedSession(session): NamedSession,
) -> Answer<SharedSessionToken> {
    let scope = state.studio().linked(id, session).await?;
    Ok(Json(SharedSessionToken { session_token: state.locks().mint(scope) }))
}

/// `GET /api/shared-sessions/{id}/events`.
pub(crate) async fn events(
    State(state): State<HttpState>,
    WatchingMember(id, pass): WatchingMember,
    ResumeAt(from): ResumeAt,
) -> Result<Response, Problem> {
    let follow = state.studio().watch_shared(id, from).await?;
    Ok(events::told(&state, StreamPath::shared(id), follow, pass))
}

/// `POST /api/shared-sessions/{id}/revoke`.
pub(crate) async fn revoke(State(state): State<HttpState>, Member(id, _): Member) -> Answer<Done> {
    state.studio().revoke_invite(id).await?;
    Ok(Json(Done::OK))
}
