//! Agents that the studio does not run: what their hooks tell, and how a project gets its hooks.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use studio_api::{
    ErrorCode, SetUpHooks,
    answers::{Done, HookProjectList, HookProjectTold, HooksSetUp, LocalSessionCreated},
};
use studio_assets::hooks::{remove_script, setup_script};
use studio_auth::Scope;
use studio_flows::words::HookReply;
use studio_ids::{HookProjectId, HookSecretId};

use crate::{
    Encrypted, HttpState, Problem,
    address::ClientAddress,
    body::{Checked, HookBody},
    hook_permit::{HookCaller, LocalUser, ProjectSecret, SetupCode},
    permit::{MayCreate, Operator, query},
    sessions::limited,
};

/// How long a project's secret lasts: until it is changed or revoked, which needs no date.
const SECRET_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// `POST /api/sessions/auto`.
pub(crate) async fn create_auto(
    State(state): State<HttpState>,
    _: MayCreate,
    client: ClientAddress,
    HookBody(body): HookBody,
) -> Result<(StatusCode, Json<LocalSessionCreated>), Problem> {
    let create = async |studio: &studio_flows::Studio| studio.create_auto_session(body).await;
    let session_id = limited(&state, client, create).await?.id;
    let session_token = state.locks().mint(Scope::Session(session_id));
    let hook_token = state.locks().mint(Scope::Hook(session_id));
    Ok((StatusCode::CREATED, Json(LocalSessionCreated { session_id, session_token, hook_token })))
}

/// `POST /api/hook`. May wait minutes for a person's answer.
pub(crate) async fn hook(
    State(state): State<HttpState>,
    caller: HookCaller,
    HookBody(body): HookBody,
) -> Result<Json<Value>, Problem> {
    let told = tokio::select! {
        told = state.studio().hook(caller.from, body) => told?,
        // An answer is not for who holds what is void by now.
        () = caller.over(&state) => return Err(Problem::unauthenticated("hook")),
        // The question stays open; the hook may ask again when the studio is back.
        () = state.stop().cancelled() => return Err(Problem::of(ErrorCode::Stopping)),
    };
    let mut answer = match told.reply {
        HookReply::Ok => json!({ "ok": true }),
        HookReply::Output(output) => output,
    };
    answer["sessionId"] = json!(told.session);
    Ok(Json(answer))
}

/// `DELETE /api/hook`: a project gives its own secret up.
pub(crate) async fn give_up(
    State(state): State<HttpState>,
    ProjectSecret(project): ProjectSecret,
) -> Result<Json<Done>, Problem> {
    state.studio().revoke_hooks(project).await?;
    Ok(Json(Done::OK))
}

/// `GET /api/hooks/setup`, and with `?uninstall` the way back: scripts for `bash`.
pub(crate) async fn setup(
    State(state): State<HttpState>,
    LocalUser { authority }: LocalUser,
    parts: Parts,
) -> Response {
    let encrypted = parts.extensions.get::<Encrypted>().is_some();
    let studio = format!("{}://{authority}", if encrypted { "https" } else { "http" });
    let script = match query(&parts, "uninstall") {
        None => setup_script(&studio, state.setup_codes().give(()).expose()),
        Some(_) => remove_script(&studio),
    };
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], script).into_response()
}

/// `POST /api/hooks/projects`: the installer's own request.
pub(crate) async fn set_up(
    State(state): State<HttpState>,
    SetupCode: SetupCode,
    Checked(body): Checked<SetUpHooks>,
) -> Result<(StatusCode, Json<HooksSetUp>), Problem> {
    let (project_id, secret) = state.studio().set_up_hooks(body.directory).await?;
    let secret = secret_text(&state, secret);
    Ok((StatusCode::CREATED, Json(HooksSetUp { project_id, secret })))
}

/// A project's secret names itself, so that it can be looked for: `sh1.<id>.<token>`.
fn secret_text(state: &HttpState, secret: HookSecretId) -> String {
    let scope = Scope::ProjectHooks(secret);
    let token = state.locks().issue(scope, SECRET_LIFETIME).token;
    format!("{}{secret}.{token}", crate::hook_permit::SECRET_FORM)
}

/// `GET /api/hooks/projects`.
pub(crate) async fn projects(
    State(state): State<HttpState>,
    _: Operator,
) -> Result<Json<HookProjectList>, Problem> {
    let projects = state.studio().hook_projects()?.into_iter().map(|project| HookProjectTold {
        id: project.id,
        directory: project.directory.clone(),
        created_at: project.created_at,
        changed_at: project.changed_at,
        revoked: project.secret.is_none(),
    });
    Ok(Json(HookProjectList { projects: projects.collect() }))
}

/// `DELETE /api/hooks/projects/{id}`: its secret opens nothing any more.
pub(crate) async fn revoke(
    State(state): State<HttpState>,
    _: Operator,
    Path(id): Path<String>,
) -> Result<Json<Done>, Problem> {
    let unknown = || Problem::of(ErrorCode::HookProjectNotFound);
    let id: HookProjectId = id.parse().map_err(|_malformed| unknown())?;
    state.studio().revoke_hooks(id).await?;
    Ok(Json(Done::OK))
}
