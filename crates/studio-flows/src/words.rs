//! What goes into a flow and what comes out, in the studio's words (HTTP bodies become these).

use std::collections::BTreeMap;

use serde_json::Value;
use studio_agent_codec::PermissionPolicy;
use studio_events::{ResolvedBy, SessionInfo, Timestamp};
use studio_ids::{GateId, HookProjectId, MessageId, SessionId};
use studio_sandbox::Secret;

/// Credentials that a caller brings for one session; kept in memory and in its sandbox only.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The model provider's key.
    pub api_key: Option<Secret>,
    /// The agent's login; wins over the key.
    pub oauth_token: Option<Secret>,
    /// For repositories.
    pub gh_token: Option<Secret>,
}

/// `POST /api/sessions`.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// What the person wants.
    pub description: String,
    /// No infrastructure question, no template: the description is the prompt.
    pub freeform: bool,
    /// The caller's credentials.
    pub credentials: Credentials,
    /// The model, if the caller chose one.
    pub model: Option<String>,
    /// What a person is asked about, if the caller chose.
    pub permissions: Option<PermissionPolicy>,
    /// US dollars after which the session stops.
    pub budget_usd: Option<f64>,
}

/// A session that is to be linked to a shared one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLink {
    /// Which.
    pub session: SessionId,
    /// What it is called.
    pub name: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// Who links it.
    pub by: String,
}

/// Where the project's data lives; the answer to the infrastructure gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Infra {
    /// Database beside the sandbox.
    Local,
    /// A hosted database (a claimed one too).
    Cloud {
        /// Connection string.
        database_url: Secret,
        /// Sync service.
        electric_url: String,
        /// Its source.
        source_id: String,
        /// Its secret.
        secret: Secret,
        /// Set when the database was provisioned for the session.
        claim_id: Option<String>,
    },
}

/// The repository that the project shall get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoChoice {
    /// Owner.
    pub account: String,
    /// Name.
    pub name: String,
    /// `private` or `public`.
    pub visibility: String,
}

/// What becomes of an agent's message to its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboundAction {
    /// It goes as it is.
    Approve,
    /// It goes in other words.
    Edit,
    /// It does not go.
    Drop,
}

impl OutboundAction {
    /// The action on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Edit => "edit",
            Self::Drop => "drop",
        }
    }
}

/// A person's answer to a gate.
#[derive(Clone, Debug)]
pub enum GateAnswer {
    /// To `infra_config`.
    Infra {
        /// Where data lives.
        infra: Infra,
        /// Which repository.
        repo: Option<RepoChoice>,
    },
    /// To a question of the agent.
    Question {
        /// Which: the tool call's id.
        gate: GateId,
        /// Question → answer.
        answers: BTreeMap<String, String>,
    },
    /// To an agent that wants to call a tool.
    Permission {
        /// Which: the tool call's id.
        gate: GateId,
        /// Whether it may.
        allow: bool,
        /// Same kind of call needs no asking any more.
        always: bool,
        /// Told to the agent on a refusal.
        message: Option<String>,
    },
    /// To an agent that wants to send a message to its room.
    Outbound {
        /// Which.
        gate: GateId,
        /// What becomes of the message.
        action: OutboundAction,
        /// The words that go instead.
        edited_body: Option<String>,
    },
    /// Words for gates of the older protocol (`approval`, `clarification`, `continue`, …).
    Legacy {
        /// The gate's name.
        gate: String,
        /// The answer as the text that the agent gets.
        text: String,
    },
}

/// `POST …/respond`.
#[derive(Clone, Debug)]
pub struct Response {
    /// The answer.
    pub answer: GateAnswer,
    /// The answer in a line, for the log.
    pub summary: Option<String>,
    /// Who answered, as they call themselves.
    pub resolved_by: Option<ResolvedBy>,
}

/// What a hook is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum HookReply {
    /// `{"ok":true}`.
    Ok,
    /// The agent's question was answered; the hook's own output shape.
    Output(Value),
}

/// Whose hooks tell something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookSource {
    /// Those of no project that is known: the reference's one secret.
    Anybody,
    /// Those of one project.
    Project(HookProjectId),
}

/// What a hook is answered that did not name its session.
#[derive(Clone, Debug, PartialEq)]
pub struct HookTold {
    /// The session that it belongs to.
    pub session: SessionId,
    /// The answer.
    pub reply: HookReply,
}

/// A gate that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingGate {
    /// Which.
    pub id: GateId,
    /// Its kind on the wire: `infra_config`, `ask_user_question`, `permission`,
    /// `outbound_message_gate`.
    pub gate: &'static str,
    /// Until when.
    pub deadline: Option<Timestamp>,
    /// The exact thing asked: the event that opened it.
    pub asked: Value,
}

/// A message that waits for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedMessage {
    /// Which.
    pub id: MessageId,
    /// The words.
    pub text: String,
    /// `queued` (the agent reads it next) or `held` (waits for the next iterate).
    pub state: &'static str,
}

/// Whether the studio can work, asked for real.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// An append would be taken now.
    pub streams: Result<(), String>,
    /// A sandbox could be made now.
    pub sandbox: Result<(), String>,
    /// The provider's name.
    pub runtime: &'static str,
    /// Everything recorded before is back.
    pub recovered: bool,
    /// Another server has taken over: this one has stood down and never works again.
    pub taken_over: bool,
}

/// A page of sessions, newest first.
#[derive(Clone, Debug)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<SessionInfo>,
    /// Where to go on, if there is more: a [`crate::Cursor`] as text.
    pub next: Option<String>,
}

/// Files of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileList {
    /// Absolute paths inside, sorted.
    pub files: Vec<String>,
    /// The project's directory; empty while there is none.
    pub prefix: String,
    /// The last path of this page, if there are more.
    pub next: Option<String>,
}

/// How a project's repository stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitStatus {
    /// Whether there is a repository.
    pub initialized: bool,
    /// The branch; `HEAD` when none is checked out.
    pub branch: Option<String>,
    /// Whether something is not committed.
    pub has_uncommitted: bool,
    /// The last commit.
    pub last_commit_hash: Option<String>,
    /// Its subject.
    pub last_commit_message: Option<String>,
}

/// A token that opens one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitToken {
    /// The token: git's password for the user `x-access-token`.
    pub token: Secret,
    /// When it ends, by GitHub's clock: `2026-11-24T10:00:00Z`.
    pub expires_at: String,
}

/// How a session's app is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppStatus {
    /// Whether it runs.
    pub running: bool,
    /// Its port on the studio's machine.
    pub port: Option<u16>,
    /// Where a browser finds it.
    pub preview_url: Option<String>,
}

/// A sandbox, with a session or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxTold {
    /// Under which id it was made.
    pub session: SessionId,
    /// The provider's name.
    pub runtime: &'static str,
    /// The app's port on the studio's machine.
    pub port: Option<u16>,
    /// The project's directory inside.
    pub project_dir: String,
    /// Where a browser finds the app.
    pub preview_url: Option<String>,
    /// Whether commands run in it.
    pub alive: bool,
    /// Whether its app runs.
    pub app_running: bool,
}

/// What a session has cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// US dollars over all turns.
    pub cost_usd: Option<f64>,
    /// Requests to the model over all turns.
    pub turns: Option<u64>,
    /// Wall time over all turns.
    pub duration_ms: Option<u64>,
    /// What it may cost in all, in US dollars.
    pub budget_usd: Option<f64>,
    /// What of that is left.
    pub left_usd: Option<f64>,
}
