//! What the studio answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use studio_events::{SessionInfo, Timestamp};
use studio_ids::{GateId, HookProjectId, MessageId, SessionId};

pub use crate::database::DatabaseMade;
pub use crate::shared::{Presence, SharedSessionFound, SharedSessionMade, SharedSessionToken};
pub use crate::tokens::{
    EventsTicket, LoginLink, Me, TokenList, TokenMade, TokenTold, TokensRotated,
};

/// `{"ok":true}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    /// Always true.
    pub ok: bool,
}

impl Done {
    /// It is done.
    pub const OK: Self = Self { ok: true };
}

/// `GET /api/health`. Fields beside `healthy`, `checks.streams` and `checks.sandbox` are added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthAnswer {
    /// Whether the studio can do its work; the status is 503 if not.
    pub healthy: bool,
    /// What was looked at.
    pub checks: HealthChecks,
    /// The server's version.
    pub version: String,
}

/// The parts of [`HealthAnswer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthChecks {
    /// `ok` or `error`: whether an append would be taken now.
    pub streams: String,
    /// Why it would not: the disk is full, the stream service does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams_error: Option<String>,
    /// The sandbox runtime's name.
    pub sandbox: String,
    /// `ok` or `error`: whether a sandbox could be made now.
    pub sandbox_state: String,
    /// Why it could not, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_error: Option<String>,
    /// What keeps an agent in, and what does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// `ok` or `pending`: whether everything that an earlier server left is taken up again.
    pub recovery: String,
    /// `ok`, or `taken_over`: another server over the same streams works on in this one's place;
    /// this one has stood down.
    #[serde(default = "ok")]
    pub lease: String,
}

fn ok() -> String {
    "ok".to_owned()
}

/// `GET /api/config`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigAnswer {
    /// Whether this is the development mode.
    pub dev_mode: bool,
    /// US dollars that a session may spend; only in production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_session_cost_usd: Option<f64>,
}

/// `POST /api/sessions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionCreated {
    /// Its id.
    pub session_id: SessionId,
    /// The session.
    pub session: SessionInfo,
    /// What opens its routes.
    pub session_token: String,
}

/// `POST /api/sessions/{id}/github-token`. The wire's own words.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GitTokenAnswer {
    /// Opens the session's one repository: git's password for the user `x-access-token`.
    pub token: String,
    /// When it ends, by GitHub's clock.
    pub expires_at: String,
}

/// `GET /api/github/accounts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountList {
    /// The user first, then organisations.
    pub accounts: Vec<GithubAccount>,
    /// Added: why some or all are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// A person or an organisation on GitHub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GithubAccount {
    /// The name.
    pub login: String,
    /// `user` or `org`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// `GET /api/github/repos`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepositoryList {
    /// The 50 latest updated, the latest first.
    pub repos: Vec<GithubRepository>,
    /// Added: why they are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// A repository on GitHub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GithubRepository {
    /// `owner/name`.
    pub name_with_owner: String,
    /// Its page.
    pub url: String,
    /// When it was last changed.
    pub updated_at: String,
}

/// `GET /api/github/repos/{owner}/{repo}/branches`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BranchList {
    /// In GitHub's order.
    pub branches: Vec<GithubBranch>,
    /// Added: why they are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// A branch on GitHub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GithubBranch {
    /// Its name.
    pub name: String,
    /// Whether it is what a clone checks out.
    pub is_default: bool,
}

/// `POST /api/sessions/local`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalSessionCreated {
    /// Its id.
    pub session_id: SessionId,
    /// What opens its routes.
    pub session_token: String,
    /// What opens `hook-event`, and nothing else.
    pub hook_token: String,
}

/// `GET /api/sessions` (added).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionList {
    /// Newest first.
    pub sessions: Vec<SessionInfo>,
    /// `?cursor=` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `GET /api/sessions/{id}/gates` (added).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateList {
    /// Oldest first.
    pub gates: Vec<OpenGate>,
}

/// A gate that waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpenGate {
    /// What to answer it with: `toolUseId`, or the gate's own name.
    pub id: GateId,
    /// Its kind: `infra_config`, `ask_user_question`, `permission`.
    pub gate: String,
    /// Until when an answer is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The event that opened it.
    pub asked: Value,
}

/// `GET /api/sessions/{id}/queue` (added).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueList {
    /// In the order in which the agent gets them.
    pub messages: Vec<WaitingMessage>,
}

/// A message that waits for the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitingMessage {
    /// Its id.
    pub id: MessageId,
    /// The words.
    pub text: String,
    /// `queued` (read next) or `held` (waits for the next iterate).
    pub state: String,
}

/// `GET /api/sessions/{id}/files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileListing {
    /// Absolute paths in the sandbox, sorted.
    pub files: Vec<String>,
    /// The project's directory; empty while there is none.
    pub prefix: String,
    /// Added: `?after=` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `GET /api/sessions/{id}/git-status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitStatusAnswer {
    /// Whether there is a repository.
    pub initialized: bool,
    /// The branch.
    pub branch: Option<String>,
    /// Whether something is not committed.
    pub has_uncommitted: bool,
    /// The last commit.
    pub last_commit_hash: Option<String>,
    /// Its subject.
    pub last_commit_message: Option<String>,
}

/// `GET /api/sessions/{id}/app-status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppStatusAnswer {
    /// Whether the app runs.
    pub running: bool,
    /// Its port on the studio's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Where a browser finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_url: Option<String>,
}

/// `POST /api/sessions/{id}/stop-app`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppStopped {
    /// Always true: nothing of it runs.
    pub success: bool,
}

/// `GET /api/sessions/{id}/usage` (added).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageAnswer {
    /// Whose.
    pub session_id: SessionId,
    /// US dollars over all turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_cost_usd: Option<f64>,
    /// Requests to the model over all turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_turns: Option<u64>,
    /// Wall time over all turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_duration_ms: Option<u64>,
    /// US dollars that it may cost in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<f64>,
    /// What of that is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_usd: Option<f64>,
}

/// `POST /api/sessions/import` (added).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportAnswer {
    /// Its new id.
    pub session_id: SessionId,
    /// The session.
    pub session: SessionInfo,
    /// What opens its routes.
    pub session_token: String,
    /// How many events it brought.
    pub events: u64,
}

/// A sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxItem {
    /// Under which id it was made.
    pub session_id: SessionId,
    /// The runtime's name.
    pub runtime: String,
    /// The app's port on the studio's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The project's directory inside.
    pub project_dir: String,
    /// Where a browser finds the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_url: Option<String>,
    /// Whether commands run in it.
    pub alive: bool,
}

/// `GET /api/sandboxes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SandboxList {
    /// In the order of their ids.
    pub sandboxes: Vec<SandboxItem>,
}

/// `GET /api/sandboxes/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxDetails {
    /// The sandbox.
    #[serde(flatten)]
    pub sandbox: SandboxItem,
    /// Whether its app runs.
    pub app_running: bool,
}

/// `POST /api/sandboxes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxMade {
    /// Its id.
    pub session_id: SessionId,
    /// The runtime's name.
    pub runtime: String,
    /// The app's port on the studio's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The project's directory inside.
    pub project_dir: String,
    /// Where a browser finds the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_url: Option<String>,
}

/// A project whose agents tell the studio what they do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookProjectTold {
    /// Its id; stays the same when its secret changes.
    pub id: HookProjectId,
    /// Where it lies on its machine.
    pub directory: String,
    /// When its hooks were set up first.
    pub created_at: Timestamp,
    /// When its secret was made or revoked.
    pub changed_at: Timestamp,
    /// Whether it has no good secret any more.
    pub revoked: bool,
}

/// `GET /api/hooks/projects` (added).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookProjectList {
    /// The last changed first.
    pub projects: Vec<HookProjectTold>,
}

/// `POST /api/hooks/projects` (added).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HooksSetUp {
    /// The project.
    pub project_id: HookProjectId,
    /// What opens `POST /api/hook` for its sessions; the one before is good no more. Told once.
    pub secret: String,
}

/// `GET /api/sessions/{id}/file-content`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileContent {
    /// Bytes of the whole file.
    pub size: u64,
    /// The first byte of this piece.
    pub offset: u64,
    /// Whether more follows.
    pub truncated: bool,
    /// The piece as text.
    pub content: String,
    /// Whether something in it was no UTF-8 and is replaced.
    pub binary: bool,
}
