//! Creating a session: its stream and its place in the registry are durable before anybody hears
//! of it; the rest is a job in the background (see [`crate::prepare`]).

use std::sync::Arc;

use studio_events::{
    EngineEvent, Phase, SessionEntry, SessionInfo, SessionPrivate, SessionStatus, Timestamp,
};
use studio_gates::{Gate, GateKind, infra_gate_id};
use studio_ids::{GateId, ProjectName, SessionId};
use studio_limits::Subject;
use studio_streams::{Batch, CreateOptions, StreamError, StreamPath};

use crate::{FlowError, Mode, Studio, inner::Inner, words::NewSession};

/// What a session is called that says nothing of itself.
const LOCAL_DESCRIPTION: &str = "Local Claude Code session";

impl Studio {
    /// Creates a session and begins to work on it in the background.
    pub async fn create_session(&self, new: NewSession) -> Result<SessionInfo, FlowError> {
        let subject = self.subject.clone();
        self.whole(|inner| async move { inner.create_session(new, subject).await }).await
    }

    /// Registers a session that an agent on somebody's machine feeds through hooks.
    pub async fn create_local_session(
        &self,
        description: Option<String>,
    ) -> Result<SessionInfo, FlowError> {
        let subject = self.subject.clone();
        let create = |inner: Arc<Inner>| async move {
            inner.create_local_session(description, subject).await
        };
        self.whole(create).await
    }
}

impl Inner {
    async fn create_session(
        &self,
        new: NewSession,
        subject: Option<Subject>,
    ) -> Result<SessionInfo, FlowError> {
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
            subject: subject.map(String::from),
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
        subject: Option<Subject>,
    ) -> Result<SessionInfo, FlowError> {
        let id = SessionId::random();
        let description = description.unwrap_or_else(|| LOCAL_DESCRIPTION.to_owned());
        let info = info(id, "local-session".to_owned(), description, self.now());
        let subject = subject.map(String::from);
        let private = SessionPrivate { phase: Phase::Hosted, subject, ..SessionPrivate::default() };
        self.create(&info, private, Vec::new()).await?;
        Ok(info)
    }

    /// Makes the stream with its first events, then registers the session.
    pub(crate) async fn create(
        &self,
        info: &SessionInfo,
        private: SessionPrivate,
        events: Vec<EngineEvent>,
    ) -> Result<(), FlowError> {
        let _place = self.place_for_session(info.id, &private)?;
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
    pub(crate) async fn begin(
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
    now: Timestamp,
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
        deadline: Some(inner.gate_deadline(GateKind::InfraConfig)),
    }
}

/// The gate that an event opened; until when it is open stands in the event, if anywhere.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other events open no gate")]
pub(crate) fn gate_of(event: &EngineEvent, id: GateId, kind: GateKind, inner: &Inner) -> Gate {
    let told = match event {
        EngineEvent::InfraConfigPrompt { deadline, .. }
        | EngineEvent::AskUserQuestion { deadline, .. }
        | EngineEvent::PermissionRequest { deadline, .. }
        | EngineEvent::OutboundMessageGate { deadline, .. } => *deadline,
        _ => None,
    };
    let deadline = told.unwrap_or_else(|| inner.gate_deadline(kind));
    let asked = serde_json::to_value(event).unwrap_or_default();
    Gate { id, kind, deadline: Some(deadline), asked }
}

impl Inner {
    /// Until when a gate of this kind is open that opens now.
    pub(crate) fn gate_deadline(&self, kind: GateKind) -> Timestamp {
        let gates = &self.parts.settings.gates;
        self.deadline(match kind {
            GateKind::InfraConfig => gates.infra,
            GateKind::AskUserQuestion | GateKind::Permission => gates.agent,
            GateKind::OutboundMessage => gates.outbound,
        })
    }
}
