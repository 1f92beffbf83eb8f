//! What each answer looks like: values of the types that are really sent.

use serde_json::{Value, json};
use studio_api::answers::{
    AccountList, AppStatusAnswer, AppStopped, BranchList, ConfigAnswer, DatabaseMade, Done,
    EventsTicket, FileContent, FileListing, GateList, GitStatusAnswer, GitTokenAnswer,
    GithubAccount, GithubBranch, GithubRepository, HealthAnswer, HealthChecks, HookProjectList,
    HookProjectTold, HooksSetUp, ImportAnswer, LocalSessionCreated, LoginLink, Me, OpenGate,
    Presence, QueueList, RepositoryList, SandboxDetails, SandboxItem, SandboxList, SandboxMade,
    SessionCreated, SessionList, SharedSessionFound, SharedSessionMade, SharedSessionToken,
    TokenList, TokenMade, TokenTold, TokensRotated, UsageAnswer, WaitingMessage,
};
use studio_events::{Participant, SessionInfo, SessionStatus, Timestamp};
use studio_ids::{GateId, HookProjectId, MessageId, RoomId, SessionId, TokenId};

const TOKEN: &str = "5f2b0c47a3d8e6915f2b0c47a3d8e6915f2b0c47a3d8e6915f2b0c47a3d8e691";
const OWN_TOKEN: &str = "st2.v.5f2b0c47.6f9a1c4e-2b7d-4f38-9c05-1a2b3c4d5e6f.1795510800.1795597200.5f2b0c47a3d8e6915f2b0c47a3d8e6915f2b0c47a3d8e6915f2b0c47a3d8e691";
const PROJECT: &str = "/home/agent/workspace/kites";
/// 2026-11-24T09:00:00Z.
const MORNING: i64 = 1_795_510_800_000;

fn id() -> SessionId {
    SessionId::from_bytes([
        0x6f, 0x9a, 0x1c, 0x4e, 0x2b, 0x7d, 0x4f, 0x38, 0x9c, 0x05, 0x1a, 0x2b, 0x3c, 0x4d, 0x5e,
        0x6f,
    ])
}

pub(super) fn done() -> Done {
    Done::OK
}

pub(super) fn health(healthy: bool) -> HealthAnswer {
    let full = || "the disk is full".to_owned();
    HealthAnswer {
        healthy,
        checks: HealthChecks {
            streams: if healthy { "ok" } else { "error" }.to_owned(),
            streams_error: (!healthy).then(full),
            sandbox: "docker".to_owned(),
            sandbox_state: "ok".to_owned(),
            sandbox_error: None,
            isolation: Some("a container for each session".to_owned()),
            recovery: "ok".to_owned(),
            lease: "ok".to_owned(),
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

pub(super) fn config() -> ConfigAnswer {
    ConfigAnswer { dev_mode: false, max_session_cost_usd: Some(5.0) }
}

pub(super) fn session() -> SessionInfo {
    SessionInfo {
        id: id(),
        project_name: "kites".to_owned(),
        sandbox_project_dir: PROJECT.to_owned(),
        description: "Build me a shop for kites".to_owned(),
        created_at: Timestamp::from_unix_millis(MORNING),
        last_active_at: Timestamp::from_unix_millis(MORNING + 90_000),
        status: SessionStatus::Running,
        needs_input: Some(true),
        last_coder_session_id: None,
        app_port: None,
        preview_url: None,
        claim_id: None,
        claude_session_id: None,
        total_cost_usd: Some(0.12),
        total_turns: Some(4),
        total_duration_ms: Some(61_000),
        git: None,
        name: Some("The kite shop".to_owned()),
        archived: None,
        imported: None,
    }
}

pub(super) fn created() -> SessionCreated {
    SessionCreated { session_id: id(), session: session(), session_token: TOKEN.to_owned() }
}

fn token_told() -> TokenTold {
    TokenTold {
        id: TokenId::from_bytes(*id().as_bytes()),
        scope: "read".to_owned(),
        label: Some("for Ada".to_owned()),
        issued_at: Timestamp::from_unix_millis(MORNING),
        expires_at: Timestamp::from_unix_millis(MORNING + 86_400_000),
    }
}

pub(super) fn token_list() -> TokenList {
    TokenList { tokens: vec![token_told()] }
}

pub(super) fn token_made() -> TokenMade {
    TokenMade { token: OWN_TOKEN.to_owned(), told: token_told() }
}

pub(super) fn tokens_rotated() -> TokensRotated {
    let [session_token, hook_token] =
        ["s", "h"].map(|kind| OWN_TOKEN.replace(".v.", &format!(".{kind}.")));
    TokensRotated { session_id: id(), session_token, hook_token }
}

pub(super) fn events_ticket() -> EventsTicket {
    EventsTicket { ticket: TOKEN.to_owned(), expires_in: 30 }
}

fn room() -> RoomId {
    RoomId::from_bytes(*id().as_bytes())
}

pub(super) fn shared_made() -> SharedSessionMade {
    SharedSessionMade { id: room(), code: TOKEN.to_owned(), room_token: TOKEN.to_owned() }
}

pub(super) fn shared_found() -> SharedSessionFound {
    let room_token = Some(TOKEN.to_owned());
    SharedSessionFound { id: room(), code: TOKEN.to_owned(), revoked: false, room_token }
}

pub(super) fn presence() -> Presence {
    let ada = Participant { id: "p1".to_owned(), display_name: "Ada".to_owned() };
    Presence { participants: vec![ada] }
}

pub(super) fn shared_token() -> SharedSessionToken {
    SharedSessionToken { session_token: TOKEN.to_owned() }
}

pub(super) fn login_link() -> LoginLink {
    LoginLink { url: format!("http://127.0.0.1:4400/login?code={TOKEN}"), expires_in: 600 }
}

pub(super) fn me() -> Me {
    let expires_at = Some(Timestamp::from_unix_millis(MORNING + 86_400_000));
    Me { operator: true, by: "login".to_owned(), expires_at }
}

pub(super) fn local_created() -> LocalSessionCreated {
    let token = || TOKEN.to_owned();
    LocalSessionCreated { session_id: id(), session_token: token(), hook_token: token() }
}

pub(super) fn session_list() -> SessionList {
    SessionList { sessions: vec![session()], next: None }
}

pub(super) fn imported() -> ImportAnswer {
    let SessionCreated { session_id, session, session_token } = created();
    ImportAnswer { session_id, session, session_token, events: 1 }
}

pub(super) fn gates() -> GateList {
    let gate = OpenGate {
        id: GateId::infra_config(),
        gate: "infra_config".to_owned(),
        deadline: None,
        asked: json!({
            "type": "infra_config_prompt", "projectName": "kites", "ghAccounts": [],
            "runtime": "docker", "ts": Timestamp::from_unix_millis(MORNING).to_string(),
        }),
    };
    GateList { gates: vec![gate] }
}

pub(super) fn queue() -> QueueList {
    let id = MessageId::from_bytes(*id().as_bytes());
    let text = "Make the kites blue".to_owned();
    QueueList { messages: vec![WaitingMessage { id, text, state: "queued".to_owned() }] }
}

pub(super) fn usage() -> UsageAnswer {
    UsageAnswer {
        session_id: id(),
        total_cost_usd: Some(0.12),
        total_turns: Some(4),
        total_duration_ms: Some(61_000),
        budget_usd: Some(5.0),
        left_usd: Some(4.88),
    }
}

pub(super) fn hook() -> Value {
    json!({
        "hook_event_name": "PreToolUse", "session_id": "7d3c", "tool_name": "Bash",
        "tool_use_id": "toolu_01", "tool_input": { "command": "npm test" },
    })
}

pub(super) fn hook_answer() -> Value {
    json!({ "ok": true, "sessionId": id() })
}

fn hook_project() -> HookProjectId {
    HookProjectId::from_bytes(*id().as_bytes())
}

pub(super) fn hooks_set_up() -> HooksSetUp {
    HooksSetUp { project_id: hook_project(), secret: format!("sh1.{}.{TOKEN}", id()) }
}

pub(super) fn hook_projects() -> HookProjectList {
    let project = HookProjectTold {
        id: hook_project(),
        directory: "/home/me/kites".to_owned(),
        created_at: Timestamp::from_unix_millis(MORNING),
        changed_at: Timestamp::from_unix_millis(MORNING),
        revoked: false,
    };
    HookProjectList { projects: vec![project] }
}

pub(super) fn sse() -> &'static str {
    "id:00000000000000000042\ndata:{\"type\":\"assistant_message\",\"text\":\"All kites are blue\",\"ts\":\"2026-11-24T09:00:00.000Z\"}\n\n"
}

pub(super) fn export() -> &'static str {
    concat!(
        r#"{"type":"studio_export","version":1,"session":{"id":"6f9a1c4e-2b7d-4f38-9c05-1a2b3c4d5e6f","projectName":"kites","sandboxProjectDir":"","description":"Build me a shop for kites","createdAt":"2026-11-24T09:00:00.000Z","lastActiveAt":"2026-11-24T09:01:30.000Z","status":"complete"}}"#,
        "\n",
        r#"{"type":"log","level":"done","message":"All kites are blue","ts":"2026-11-24T09:01:30.000Z"}"#,
        "\n",
        r#"{"type":"studio_export_end","events":1}"#,
        "\n",
    )
}

pub(super) fn files() -> FileListing {
    let files = ["package.json", "src/main.ts"].map(|name| format!("{PROJECT}/{name}")).to_vec();
    FileListing { files, prefix: PROJECT.to_owned(), next: None }
}

pub(super) fn file() -> FileContent {
    let content = "export const colour = \"blue\";\n".to_owned();
    FileContent { size: 30, offset: 0, truncated: false, content, binary: false }
}

pub(super) fn git_status() -> GitStatusAnswer {
    GitStatusAnswer {
        initialized: true,
        branch: Some("main".to_owned()),
        has_uncommitted: false,
        last_commit_hash: Some("9fceb02d0ae598e95dc970b74767f19372d61af8".to_owned()),
        last_commit_message: Some("Make the kites blue".to_owned()),
    }
}

pub(super) fn database() -> DatabaseMade {
    let claim = id().to_string();
    DatabaseMade {
        source_id: "3f8a2c11".to_owned(),
        secret: "eyJhbGciOi…".to_owned(),
        database_url: "postgresql://owner:…@ep-1.eu-central-1.aws.neon.tech/app".to_owned(),
        electric_url: "https://api.electric-sql.cloud".to_owned(),
        claim_url: format!("https://dashboard.electric-sql.cloud/claim?uuid={claim}"),
        claim_id: claim,
    }
}

pub(super) fn git_token() -> GitTokenAnswer {
    let token = "ghs_16C7e42F292c6912E7710c838347Ae178B4a".to_owned();
    GitTokenAnswer { token, expires_at: "2026-11-24T10:00:00Z".to_owned() }
}

pub(super) fn accounts() -> AccountList {
    let account = |(login, kind): (&str, &str)| GithubAccount {
        login: login.to_owned(),
        kind: kind.to_owned(),
    };
    let accounts = [("ada", "user"), ("acme", "org")].map(account).to_vec();
    AccountList { accounts, incomplete: None }
}

pub(super) fn repositories() -> RepositoryList {
    let repository = GithubRepository {
        name_with_owner: "acme/kites".to_owned(),
        url: "https://github.com/acme/kites".to_owned(),
        updated_at: "2026-11-24T09:00:00Z".to_owned(),
    };
    RepositoryList { repos: vec![repository], incomplete: None }
}

pub(super) fn branches() -> BranchList {
    let branch = GithubBranch { name: "main".to_owned(), is_default: true };
    BranchList { branches: vec![branch], incomplete: None }
}

pub(super) fn app_status() -> AppStatusAnswer {
    let url = Some("http://localhost:40123".to_owned());
    AppStatusAnswer { running: true, port: Some(40_123), preview_url: url }
}

pub(super) fn app_stopped() -> AppStopped {
    AppStopped { success: true }
}

fn sandbox_item() -> SandboxItem {
    SandboxItem {
        session_id: id(),
        runtime: "docker".to_owned(),
        port: Some(40_123),
        project_dir: PROJECT.to_owned(),
        preview_url: Some("http://localhost:40123".to_owned()),
        alive: true,
    }
}

pub(super) fn sandbox_list() -> SandboxList {
    SandboxList { sandboxes: vec![sandbox_item()] }
}

pub(super) fn sandbox() -> SandboxDetails {
    SandboxDetails { sandbox: sandbox_item(), app_running: false }
}

pub(super) fn sandbox_made() -> SandboxMade {
    let SandboxItem { session_id, runtime, port, project_dir, preview_url, alive: _ } =
        sandbox_item();
    SandboxMade { session_id, runtime, port, project_dir, preview_url }
}
