//! Sandboxes by themselves (`D30-1`): all of them are the operator's, one is its session's too.

use axum::{Json, extract::State, http::StatusCode};
use studio_api::{
    CreateSandbox,
    answers::{Done, SandboxDetails, SandboxItem, SandboxList, SandboxMade},
};
use studio_flows::{NewSandbox, words::SandboxTold};

use crate::{
    HttpState, Problem,
    address::ClientAddress,
    body::Checked,
    permit::{Operator, OwnedSession},
    sessions::{infra_words, limited},
};

/// `GET /api/sandboxes`.
pub(crate) async fn list(
    State(state): State<HttpState>,
    _: Operator,
) -> Result<Json<SandboxList>, Problem> {
    let all = state.studio().sandboxes().await?;
    Ok(Json(SandboxList { sandboxes: all.into_iter().map(item).collect() }))
}

/// `GET /api/sandboxes/{id}`.
pub(crate) async fn get(
    State(state): State<HttpState>,
    OwnedSession(session): OwnedSession,
) -> Result<Json<SandboxDetails>, Problem> {
    let told = state.studio().sandbox(session).await?;
    let app_running = told.app_running;
    Ok(Json(SandboxDetails { sandbox: item(told), app_running }))
}

/// `POST /api/sandboxes`.
pub(crate) async fn create(
    State(state): State<HttpState>,
    _: Operator,
    client: ClientAddress,
    Checked(body): Checked<CreateSandbox>,
) -> Result<(StatusCode, Json<SandboxMade>), Problem> {
    let new = NewSandbox {
        session: body.session_id,
        project: body.project_name,
        infra: body.infra.map(infra_words),
    };
    let told = limited(&state, client, async |studio| studio.create_sandbox(new).await).await?;
    let made = SandboxMade {
        session_id: told.session,
        runtime: told.runtime.to_owned(),
        port: told.port,
        project_dir: told.project_dir,
        preview_url: told.preview_url,
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// `DELETE /api/sandboxes/{id}`.
pub(crate) async fn delete(
    State(state): State<HttpState>,
    OwnedSession(session): OwnedSession,
) -> Result<Json<Done>, Problem> {
    state.studio().delete_sandbox(session).await?;
    Ok(Json(Done::OK))
}

fn item(told: SandboxTold) -> SandboxItem {
    SandboxItem {
        session_id: told.session,
        runtime: told.runtime.to_owned(),
        port: told.port,
        project_dir: told.project_dir,
        preview_url: told.preview_url,
        alive: told.alive,
    }
}
