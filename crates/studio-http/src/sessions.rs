//! Sessions: HTTP to words, one call to a flow, words to HTTP.

use std::time::Instant;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::{HeaderMap, StatusCode, request::Parts},
};
use serde_json::{Value, json};
use studio_agent_codec::PermissionPolicy;
use studio_api::{
    ChangeSession, CreateLocalSession, CreateSession, ErrorCode, InfraChoice, InfraConfig, Iterate,
    Permissions, PrivateText, Respond, RespondAnswer,
    answers::{
        Done, GateList, LocalSessionCreated, OpenGate, QueueList, SessionCreated, SessionList,
        UsageAnswer, WaitingMessage,
    },
    limits::{SEARCH_UNITS_MAX, SESSIONS_PAGE_DEFAULT, SESSIONS_PAGE_MAX, SHORT_UNITS_MAX, units},
};
use studio_auth::Scope;
use studio_events::{ResolvedBy, SessionInfo};
use studio_flows::{
    Cursor, FlowError, Mode, Relabel, Wanted,
    words::{
        Credentials, GateAnswer, HookReply, Infra, NewSession, OutboundAction, RepoChoice, Response,
    },
};
use studio_ids::MessageId;
use studio_limits::Subject;
use studio_sandbox::Secret;
use tokio_util::sync::CancellationToken;

use crate::{
    HttpState, Problem,
    address::ClientAddress,
    body::{Checked, HookBody, Optional},
    permit::{HookedSession, KnownSession, MayCreate, Operator, OwnedSession, ReadSession, query},
};

type Answer<T> = Result<Json<T>, Problem>;

/// `POST /api/sessions`.
pub(crate) async fn create(
    State(state): State<HttpState>,
    _: MayCreate,
    client: ClientAddress,
    Checked(body): Checked<CreateSession>,
) -> Result<(StatusCode, Json<SessionCreated>), Problem> {
    let new = new_session(body);
    let session = limited(&state, client, async |studio| {
        // The limit is not to be used up by what this mode refuses anyway.
        if new.freeform && studio.settings().mode == Mode::Production {
            return Err(FlowError::FreeformNotAvailable);
        }
        studio.create_session(new).await
    })
    .await?;
    let session_token = state.locks().mint(Scope::Session(session.id));
    let created = SessionCreated { session_id: session.id, session, session_token };
    Ok((StatusCode::CREATED, Json(created)))
}

/// `POST /api/sessions/local`.
pub(crate) async fn create_local(
    State(state): State<HttpState>,
    _: MayCreate,
    client: ClientAddress,
    Optional(body): Optional<CreateLocalSession>,
) -> Result<(StatusCode, Json<LocalSessionCreated>), Problem> {
    let create =
        async |studio: &studio_flows::Studio| studio.create_local_session(body.description).await;
    let session_id = limited(&state, client, create).await?.id;
    let session_token = state.locks().mint(Scope::Session(session_id));
    let hook_token = state.locks().mint(Scope::Hook(session_id));
    let created = LocalSessionCreated { session_id, session_token, hook_token };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Counts a creation, in production; one that fails does not count.
pub(crate) async fn limited<T>(
    state: &HttpState,
    client: ClientAddress,
    create: impl AsyncFnOnce(&studio_flows::Studio) -> Result<T, FlowError>,
) -> Result<T, Problem> {
    let counted = match state.studio().settings().mode {
        Mode::Dev => None,
        Mode::Production => {
            state.limit().take(client.0, Instant::now()).map_err(Problem::rate_limited)?
        }
    };
    let studio = state.studio().on_behalf_of(Subject::address(client.0));
    // As the list of sessions tells it, so that a restart gives nobody a new hour.
    let kept = studio.count_creation();
    let created = match &kept {
        Ok(_) => create(&studio).await,
        Err(limited) => Err(limited.clone()),
    };
    if created.is_err() {
        if let Some(counted) = counted {
            state.limit().give_back(counted);
        }
        if let Ok(Some(kept)) = &kept {
            studio.uncount_creation(kept);
        }
    }
    Ok(created?)
}

/// `GET /api/sessions`.
pub(crate) async fn list(
    State(state): State<HttpState>,
    _: Operator,
    page: Page,
) -> Answer<SessionList> {
    let found = state.studio().find_sessions(&page.wanted, page.after, page.max)?;
    Ok(Json(SessionList { sessions: found.sessions, next: found.next }))
}

/// `PATCH /api/sessions/{id}`.
pub(crate) async fn change(
    State(state): State<HttpState>,
    KnownSession(session): KnownSession,
    Checked(body): Checked<ChangeSession>,
) -> Answer<SessionInfo> {
    let change = Relabel { name: body.name, archived: body.archived, budget_usd: body.budget_usd };
    Ok(Json(state.studio().relabel(session, change).await?))
}

/// `GET /api/sessions/{id}/usage`.
pub(crate) async fn usage(
    State(state): State<HttpState>,
    ReadSession(session): ReadSession,
) -> Answer<UsageAnswer> {
    let usage = state.studio().usage(session)?;
    Ok(Json(UsageAnswer {
        session_id: session,
        total_cost_usd: usage.cost_usd,
        total_turns: usage.turns,
        total_duration_ms: usage.duration_ms,
        budget_usd: usage.budget_usd,
        left_usd: usage.left_usd,
    }))
}

/// `GET /api/sessions/{id}`.
pub(crate) async fn get(
    State(state): State<HttpState>,
    ReadSession(session): ReadSession,
) -> Answer<SessionInfo> {
    Ok(Json(state.studio().session_with_gates(session).await?))
}

/// `DELETE /api/sessions/{id}`.
pub(crate) async fn delete(
    State(state): State<HttpState>,
    OwnedSession(session): OwnedSession,
) -> Answer<Done> {
    state.studio().delete(session).await?;
    Ok(Json(Done::OK))
}

/// `POST /api/sessions/{id}/iterate`. The session is looked for before the body is read.
pub(crate) async fn iterate(
    State(state): State<HttpState>,
    KnownSession(session): KnownSession,
    Checked(body): Checked<Iterate>,
) -> Answer<Done> {
    state.studio().iterate(session, body.request).await?;
    Ok(Json(Done::OK))
}

/// `POST /api/sessions/{id}/respond`.
pub(crate) async fn respond(
    State(state): State<HttpState>,
    OwnedSession(session): OwnedSession,
    Participant(resolved_by): Participant,
    Checked(body): Checked<Respond>,
) -> Answer<Done> {
    let response =
        Response { answer: gate_answer(body.answer), summary: body.summary, resolved_by };
    state.studio().respond(session, response).await?;
    Ok(Json(Done::OK))
}

/// `POST /api/sessions/{id}/interrupt`.
pub(crate) async fn interrupt(
    State(state): State<HttpState>,
    OwnedSession(session): OwnedSession,
) -> Answer<Done> {
    state.studio().interrupt(session).await?;
    Ok(Json(Done::OK))
}

/// `POST /api/sessions/{id}/cancel`.
pub(crate) async fn cancel(
    State(state): State<HttpState>,
    OwnedSession(session): OwnedSession,
) -> Answer<Done> {
    state.studio().cancel(session).await?;
    Ok(Json(Done::OK))
}

/// `POST /api/sessions/{id}/hook-event`. May wait minutes for a person's answer.
pub(crate) async fn hook_event(
    State(state): State<HttpState>,
    HookedSession(session, pass): HookedSession,
    HookBody(body): HookBody,
) -> Answer<Value> {
    let watched = state.locks().watch(pass, &CancellationToken::new());
    let reply = tokio::select! {
        reply = state.studio().hook_event(session, body) => reply?,
        // An answer is not for who holds what is void by now.
        () = watched.over() => return Err(Problem::unauthenticated("hook")),
        // The question stays open; the hook asks again when the studio is back.
        () = state.stop().cancelled() => return Err(Problem::of(ErrorCode::Stopping)),
    };
    Ok(Json(match reply {
        HookReply::Ok => json!({ "ok": true }),
        HookReply::Output(output) => output,
    }))
}

/// `GET /api/sessions/{id}/gates`.
pub(crate) async fn gates(
    State(state): State<HttpState>,
    ReadSession(session): ReadSession,
) -> Answer<GateList> {
    let pending = state.studio().pending_gates(session).await?;
    let gates = pending
        .into_iter()
        .map(|gate| OpenGate {
            id: gate.id,
            gate: gate.gate.to_owned(),
            deadline: gate.deadline,
            asked: gate.asked,
        })
        .collect();
    Ok(Json(GateList { gates }))
}

/// `GET /api/sessions/{id}/queue`.
pub(crate) async fn queue(
    State(state): State<HttpState>,
    ReadSession(session): ReadSession,
) -> Answer<QueueList> {
    let waiting = state.studio().queue(session).await?;
    let messages = waiting
        .into_iter()
        .map(|m| WaitingMessage { id: m.id, text: m.text, state: m.state.to_owned() })
        .collect();
    Ok(Json(QueueList { messages }))
}

/// `DELETE /api/sessions/{id}/queue/{message}`.
pub(crate) async fn drop_message(
    State(state): State<HttpState>,
    OwnedSession(session): OwnedSession,
    Message(message): Message,
) -> Answer<Done> {
    state.studio().drop_message(session, message).await?;
    Ok(Json(Done::OK))
}

/// `{message}` in the path. What is no message's id is one that does not wait.
pub(crate) struct Message(MessageId);

impl FromRequestParts<HttpState> for Message {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let ids = Path::<(String, String)>::from_request_parts(parts, state).await;
        let id = ids.ok().and_then(|Path((_, message))| message.parse().ok());
        id.map(Self).ok_or_else(|| Problem::of(ErrorCode::MessageNotFound))
    }
}

/// `?q=&status=&archived=&limit=&cursor=`.
pub(crate) struct Page {
    wanted: Wanted,
    after: Option<Cursor>,
    max: usize,
}

impl FromRequestParts<HttpState> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let bad = |what: &str| Problem::told(ErrorCode::BadRequest, format!("{what} is not valid"));
        let after = query(parts, "cursor").map(|cursor| cursor.parse()).transpose();
        let after = after.map_err(|_malformed| bad("cursor"))?;
        let words = query(parts, "q").unwrap_or_default();
        if SEARCH_UNITS_MAX < units(&words) {
            return Err(bad("q"));
        }
        let status = match query(parts, "status") {
            None => None,
            Some(word) => {
                let word = Value::String(word);
                Some(serde_json::from_value(word).map_err(|_unknown| bad("status"))?)
            }
        };
        let archived = match query(parts, "archived").as_deref() {
            None | Some("false") => Some(false),
            Some("true") => Some(true),
            Some("all") => None,
            Some(_) => return Err(bad("archived")),
        };
        let wanted = Wanted { words: Wanted::words_of(&words), status, archived };
        let max = match query(parts, "limit") {
            None => SESSIONS_PAGE_DEFAULT,
            Some(text) => match text.parse() {
                Ok(max) if (1..=SESSIONS_PAGE_MAX).contains(&max) => max,
                _ => return Err(bad("limit")),
            },
        };
        Ok(Self { wanted, after, max })
    }
}

/// Who the caller says they are; only when both headers are there and fit.
pub(crate) struct Participant(Option<ResolvedBy>);

impl FromRequestParts<HttpState> for Participant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let id = told(&parts.headers, "x-participant-id");
        let display_name = told(&parts.headers, "x-participant-name");
        Ok(Self(id.zip(display_name).map(|(id, display_name)| ResolvedBy { id, display_name })))
    }
}

fn told(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = std::str::from_utf8(headers.get(name)?.as_bytes()).ok()?;
    (!text.is_empty() && units(text) <= SHORT_UNITS_MAX).then(|| text.to_owned())
}

fn new_session(body: CreateSession) -> NewSession {
    let secret = |text: Option<PrivateText>| text.map(|text| Secret::new(text.into_inner()));
    NewSession {
        description: body.description,
        freeform: body.freeform,
        credentials: Credentials {
            api_key: secret(body.api_key),
            oauth_token: secret(body.oauth_token),
            gh_token: secret(body.gh_token),
        },
        model: body.model,
        permissions: body.permissions.map(|permissions| match permissions {
            Permissions::AllowListed => PermissionPolicy::AllowListed,
            Permissions::Ask => PermissionPolicy::Ask,
        }),
        budget_usd: body.budget_usd,
    }
}

fn gate_answer(answer: RespondAnswer) -> GateAnswer {
    match answer {
        RespondAnswer::Infra(InfraConfig { infra, repo }) => GateAnswer::Infra {
            infra: infra_words(infra),
            repo: repo.map(|repo| RepoChoice {
                account: repo.account,
                name: repo.name,
                visibility: if repo.public { "public" } else { "private" }.to_owned(),
            }),
        },
        RespondAnswer::Question { gate, answers } => GateAnswer::Question { gate, answers },
        RespondAnswer::Permission { gate, allow, always, message } => {
            GateAnswer::Permission { gate, allow, always, message }
        }
        RespondAnswer::Legacy { gate, text } => GateAnswer::Legacy { gate, text },
        RespondAnswer::Outbound { gate, action, edited_body } => {
            let action = match action {
                studio_api::OutboundAction::Approve => OutboundAction::Approve,
                studio_api::OutboundAction::Edit => OutboundAction::Edit,
                studio_api::OutboundAction::Drop => OutboundAction::Drop,
            };
            GateAnswer::Outbound { gate, action, edited_body }
        }
    }
}

pub(crate) fn infra_words(infra: InfraChoice) -> Infra {
    match infra {
        InfraChoice::Local => Infra::Local,
        InfraChoice::Cloud { database_url, electric_url, source_id, secret, claim_id } => {
            Infra::Cloud {
                database_url: Secret::new(database_url.into_inner()),
                electric_url,
                source_id,
                secret: Secret::new(secret.into_inner()),
                claim_id,
            }
        }
    }
}
