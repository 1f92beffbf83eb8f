//! Creating a session: its stream and its place in the registry are durable before anybody hears
//! of it; the rest is a job in the background (see [`crate::prepare`]).

use std::sync::Arc;

use studio_events::{EngineEvent, Phase, SessionEntry, SessionInfo, SessionPrivate, SessionStatus};
use studio_gates::{Gate, GateKind, infra_gate_id};
use studio_ids::{GateId, ProjectName, SessionId};
use studio_streams::{Batch, CreateOptions, StreamError, StreamPath};

use crate::{FlowError, Mode, Studio, inner::Inner, words::NewSession};

/// What a session is called that says nothing of itself.
const LOCAL_DESCRIPTION: &str = "Local Claude Code session";

impl Studio {
    /// Creates a session and begins to work on it in the background.
    pub async fn create_session(&self, new: NewSession) -> Result<SessionInfo, FlowError> {
        self.whole(|inner| async move { inner.create_session(new).await }).await
    }

    /// Registers a session that an agent on somebody's machine feeds through hooks.
    pub async fn create_local_session(
        &self,
        description: Option<String>,
    ) -> Result<SessionInfo, FlowError> {
        self.whole(|inner| async move { inner.create_local_session(description).await }).await
    }
}

impl Inner {
    async fn create_session(&self, new: NewSession) -> Result<SessionInfo, FlowError> {
        if new.freeform && self.parts.settings.mode == Mode::Production {
            return Err(FlowError::FreeformNotAvailable);
        }
        let id = SessionId::random();
        let project = project_name(id);
        let now = self.now();
        let mut events = vec![EngineEvent::UserPrompt {
            message: new.description.clone(),
            sender: None,
            message_id: None,
        }];
        let asked = (!new.freeform).then(|| infra_prompt(self, &project));
        events.extend(asked.clone());
        let private = SessionPrivate {
            phase: if new.freeform { Phase::CreatingSandbox } else { Phase::AwaitingInfra },
            freeform: new.freeform,
            project: Some(project.clone()),
            model: new.model.clone(),
            ask_all: new.permissions.map(|p| p == studio_agent_codec::PermissionPolicy::Ask),
            budget_usd: new.budget_usd,
            ..SessionPrivate::default()
        };
        let info = info(id, project.to_string(), new.description.clone(), now);
        self.create(&info, private, events).await?;
        if let Some(event) = asked {
            self.gates.open(id, gate_of(&event, infra_gate_id(), GateKind::InfraConfig, self));
        }
        self.begin(id, new.credentials).await?;
        Ok(self.shown(&info))
    }

    async fn create_local_session(
        &self,
        description: Option<String>,
    ) -> Result<SessionInfo, FlowError> {
        let id = SessionId::random();
        let description = description.unwrap_or_else(|| LOCAL_DESCRIPTION.to_owned());
        let info = info(id, "local-session".to_owned(), description, self.now());
        let private = SessionPrivate { phase: Phase::Hosted, ..SessionPrivate::default() };
        self.create(&info, private, Vec::new()).await?;
        Ok(info)
    }

    /// Makes the stream with its first events, then registers the session.
    async fn create(
        &self,
        info: &SessionInfo,
        private: SessionPrivate,
        events: Vec<EngineEvent>,
    ) -> Result<(), FlowError> {
        let now = self.now();
        let records = events.into_iter().map(|e| SessionEntry::server(e, now).to_json().into());
        let initial = Batch::new(records.collect()).ok();
        let path = StreamPath::session(info.id);
        let options = CreateOptions { initial, ..CreateOptions::default() };
        self.parts.streams.create(&path, options).await.map_err(create_failed)?;
        self.make_here(info.id);
        self.registry.register(info.clone(), private).await.map_err(FlowError::registry)?;
        Ok(())
    }

    /// Starts the background job of a new session.
    async fn begin(
        &self,
        id: SessionId,
        credentials: crate::words::Credentials,
    ) -> Result<(), FlowError> {
        let live = self.live(id).await?;
        live.set_credentials(credentials);
        if let Some(inner) = self.weak.upgrade() {
            inner.start_preparing(&live);
        }
        Ok(())
    }
}

pub(crate) fn create_failed(source: StreamError) -> FlowError {
    FlowError::CreateStream { source: Arc::new(source) }
}

pub(crate) fn info(
    id: SessionId,
    project_name: String,
    description: String,
    now: studio_events::Timestamp,
) -> SessionInfo {
    SessionInfo {
        id,
        project_name,
        sandbox_project_dir: String::new(),
        description,
        created_at: now,
        last_active_at: now,
        status: SessionStatus::Running,
        needs_input: None,
        last_coder_session_id: None,
        app_port: None,
        preview_url: None,
        claim_id: None,
        claude_session_id: None,
        total_cost_usd: None,
        total_turns: None,
        total_duration_ms: None,
        git: None,
        name: None,
        archived: None,
        imported: None,
    }
}

/// `electric-<first 8 of the id>-<4 random hex>`: the reference's form, unique by the id.
pub(crate) fn project_name(id: SessionId) -> ProjectName {
    let suffix = SessionId::random().to_string();
    let text = format!("electric-{}-{}", &id.to_string()[..8], &suffix[..4]);
    text.parse().unwrap_or_else(|_bad| unreachable_name())
}

/// Hex digits and `-` after a letter always make a name; this says so to the type.
fn unreachable_name() -> ProjectName {
    #[expect(clippy::expect_used, reason = "a constant that is a project name")]
    "app".parse().expect("`app` is a project name")
}

/// The question of where the project's data shall live.
pub(crate) fn infra_prompt(inner: &Inner, project: &ProjectName) -> EngineEvent {
    EngineEvent::InfraConfigPrompt {
        project_name: project.to_string(),
        gh_accounts: Vec::new(),
        runtime: inner.parts.provider.name().to_owned(),
        gate_id: Some(infra_gate_id()),
        deadline: Some(inner.deadline(inner.parts.settings.gates.infra)),
    }
}

/// The gate that an event opened.
pub(crate) fn gate_of(event: &EngineEvent, id: GateId, kind: GateKind, inner: &Inner) -> Gate {
    let wait = match kind {
        GateKind::InfraConfig => inner.parts.settings.gates.infra,
        GateKind::AskUserQuestion | GateKind::Permission => inner.parts.settings.gates.agent,
    };
    let asked = serde_json::to_value(event).unwrap_or_default();
    // A hook does not wait as long as an agent of ours does, and has said so.
    let told =
        if let EngineEvent::AskUserQuestion { deadline, .. } = event { *deadline } else { None };
    let deadline = Some(told.unwrap_or_else(|| inner.deadline(wait)));
    Gate { id, kind, deadline, asked }
}
