//! A session's app: how it is, starting it, stopping it; and what is told of an agent from outside.

use axum::{Json, extract::State};
use studio_api::answers::{AppStatusAnswer, AppStopped, Done};
use studio_flows::FlowError;

use crate::{
    HttpState, Problem,
    body::AppendBody,
    permit::{KnownRead, KnownSession},
};

/// `GET /api/sessions/{id}/app-status`.
pub(crate) async fn status(
    State(state): State<HttpState>,
    KnownRead(session): KnownRead,
) -> Result<Json<AppStatusAnswer>, Problem> {
    let told = state.studio().app_status(session).await?;
    let (running, port, preview_url) = (told.running, told.port, told.preview_url);
    Ok(Json(AppStatusAnswer { running, port, preview_url }))
}

/// `POST /api/sessions/{id}/start-app`.
pub(crate) async fn start(
    State(state): State<HttpState>,
    KnownSession(session): KnownSession,
) -> Result<Json<Done>, Problem> {
    Ok(Json(Done { ok: state.studio().start_app(session).await? }))
}

/// `POST /api/sessions/{id}/stop-app`.
pub(crate) async fn stop(
    State(state): State<HttpState>,
    KnownSession(session): KnownSession,
) -> Result<Json<AppStopped>, Problem> {
    state.studio().stop_app(session).await?;
    Ok(Json(AppStopped { success: true }))
}

/// `POST /api/sessions/{id}/stream/append`.
pub(crate) async fn append(
    State(state): State<HttpState>,
    KnownSession(session): KnownSession,
    AppendBody(body): AppendBody,
) -> Result<Json<Done>, Problem> {
    let written = state.studio().append(session, body.event).await;
    written.map_err(|error| {
        let is_write = matches!(error, FlowError::Write { .. });
        let problem = Problem::from(error);
        if is_write { problem.unless_gone_saying("Failed to append to stream") } else { problem }
    })?;
    Ok(Json(Done::OK))
}
