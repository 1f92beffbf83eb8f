//! What goes into every route and what comes out: one entry a route, in the order of the table.

use axum::http::Method;
use serde_json::{Value, json};
use studio_api::{
    AppendEvent, ChangeSession, CreateLocalSession, CreateSandbox, CreateSession, ErrorCode,
    Iterate, MintProgramToken, MintSessionToken, Respond, ResumeSession, SetUpHooks,
    limits::{
        FILES_PAGE_DEFAULT, FILES_PAGE_MAX, SEARCH_UNITS_MAX, SESSIONS_PAGE_DEFAULT,
        SESSIONS_PAGE_MAX,
    },
};

use super::{
    examples,
    operation::{Operation, op},
    shared, streams,
};

/// All operations.
pub(super) fn all() -> Vec<Operation> {
    let mut all = system();
    all.extend(sessions());
    all.extend(tokens());
    all.extend(hooks());
    all.extend(inside());
    all.extend(github());
    all.extend(shared::operations());
    all.extend(sandboxes());
    all.extend(streams::operations());
    all
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

fn system() -> Vec<Operation> {
    let file =
        |media, example: &str| Some((media, json!({ "type": "string" }), Some(example.into())));
    vec![
        op(GET, "/api/health", "health", "Whether the studio can work, asked for real")
            .answers(200, examples::health(true))
            .answers(503, examples::health(false)),
        op(GET, "/api/config", "config", "What a client must know of the settings")
            .answers(200, examples::config()),
        op(POST, "/api/provision-electric", "provisionDatabase", "A database that a person may claim")
            .about("Made at Electric Cloud, which takes up to a minute; it goes after three days when nobody claims it.")
            .answers(200, examples::database())
            .fails(&[ErrorCode::ProvisioningFailed, ErrorCode::TakenOver, ErrorCode::Stopping]),
        op(GET, "/api/openapi.json", "openapi", "This document").answers_raw(
            200,
            "OpenAPI 3.1.",
            Some(("application/json", json!({ "type": "object", "required": ["openapi"] }), None)),
        ),
        op(GET, "/api/docs", "docs", "This document as a page").answers_raw(
            200,
            "Without scripts, and without anything from elsewhere.",
            file("text/html", "<!doctype html>…"),
        ),
        op(GET, "/api/docs/style.css", "docsStyle", "How that page looks").answers_raw(
            200,
            "",
            file("text/css", "body { … }"),
        ),
    ]
}

/// One event of a stream, of which `data` is a text of this schema.
pub(super) fn streamed(data: &Value) -> Value {
    json!({
        "type": "object",
        "description": "One event of the stream.",
        "required": ["data"],
        "properties": {
            "id": { "type": "string", "description": "The place after it." },
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": data,
            },
        },
    })
}

fn sessions() -> Vec<Operation> {
    use ErrorCode::{
        AgentUnreachable, BadOffset, BadRequest, BodyTooLarge, BudgetExceeded,
        FreeformNotAvailable, GateClosed, GateConflict, GateNotPending, NoCredentials, QueueFull,
        RequestTimeout, SandboxFailed, SandboxNotRunning, SessionEnded, Stopping,
        StreamsUnavailable, TakenOver, UnsupportedMediaType,
    };
    const ONE: &str = "/api/sessions/{id}";
    let count = |max: usize, usual: usize| json!({ "type": "integer", "minimum": 1, "maximum": max, "default": usual });
    let name = json!({ "type": "string" });
    let event = streamed(&json!({ "$ref": "#/components/schemas/SessionEvent" }));
    vec![
        op(POST, "/api/sessions", "createSession", "Give an agent something to do")
            .about("The session exists when this answers; it is prepared afterwards, and its events tell how far that is.")
            .takes::<CreateSession>()
            .answers(201, examples::created())
            .fails(&[FreeformNotAvailable, NoCredentials, ErrorCode::TooManyRunning, ErrorCode::AtCapacity, StreamsUnavailable, TakenOver, Stopping]),
        op(GET, "/api/sessions", "listSessions", "Find sessions, newest first")
            .query("q", json!({ "type": "string", "maxLength": SEARCH_UNITS_MAX }), "Words that all stand in the name, the description or the project's name, or begin the id.")
            .query("status", json!({ "enum": ["running", "complete", "error", "cancelled"] }), "Where it stands.")
            .query("archived", json!({ "enum": ["false", "true", "all"], "default": "false" }), "Whether it is put away.")
            .query("limit", count(SESSIONS_PAGE_MAX, SESSIONS_PAGE_DEFAULT), "Most sessions of one page.")
            .query("cursor", json!({ "type": "string" }), "`next` of the page before.")
            .answers(200, examples::session_list())
            .fails(&[BadRequest]),
        op(POST, "/api/sessions/local", "createLocalSession", "A session for an agent that runs elsewhere and tells what it does")
            .about("A body that is no JSON counts as `{}`, but it must be declared as JSON.")
            .may_take::<CreateLocalSession>()
            .answers(201, examples::local_created())
            .fails(&[StreamsUnavailable, TakenOver, Stopping]),
        op(GET, ONE, "getSession", "A session").answers(200, examples::session()),
        op(DELETE, ONE, "deleteSession", "End a session and remove all of it")
            .answers(200, examples::done())
            .fails(&[SandboxFailed, AgentUnreachable]),
        op(Method::PATCH, ONE, "changeSession", "Rename a session or put it away")
            .takes::<ChangeSession>()
            .answers(200, examples::session()),
        op(POST, "/api/sessions/{id}/iterate", "iterate", "Say something to the agent")
            .about("While the agent is busy the message waits in the queue.")
            .takes::<Iterate>()
            .answers(200, examples::done())
            .fails(&[ErrorCode::TooManyRunning, SessionEnded, SandboxNotRunning, NoCredentials, BudgetExceeded, QueueFull, AgentUnreachable, SandboxFailed]),
        op(POST, "/api/sessions/{id}/respond", "respond", "Answer a gate")
            .about("The first answer wins; the same one again is a success, another is 409. This answers once the answer is delivered.")
            .header("X-Participant-Id", name.clone(), "Who answers, unverified. Taken only with the name, and when both have at most 500 characters.")
            .header("X-Participant-Name", name, "What they call themselves.")
            .takes::<Respond>()
            .answers(200, examples::done())
            .fails(&[GateNotPending, GateConflict, GateClosed, SessionEnded, SandboxNotRunning, NoCredentials, BudgetExceeded, QueueFull, AgentUnreachable, SandboxFailed]),
        op(POST, "/api/sessions/{id}/interrupt", "interrupt", "End the agent's turn")
            .about("What waits in the queue is held until the next iterate.")
            .answers(200, examples::done())
            .fails(&[SessionEnded, SandboxNotRunning, AgentUnreachable, SandboxFailed]),
        op(POST, "/api/sessions/{id}/cancel", "cancel", "End a session; agent and sandbox are gone")
            .answers(200, examples::done())
            .fails(&[SessionEnded, SandboxNotRunning, AgentUnreachable, SandboxFailed]),
        op(POST, "/api/sessions/{id}/hook-event", "hookEvent", "What a hook of the agent tells or asks")
            .about("A question waits for its answer, which is the hook's output.")
            .takes_hook(examples::hook())
            .answers_raw(200, "`{\"ok\":true}`, or the hook's output.", Some(("application/json", json!({ "type": "object" }), Some(json!({ "ok": true })))))
            .fails(&[SessionEnded, GateConflict, GateClosed, QueueFull]),
        op(GET, "/api/sessions/{id}/events", "events", "What happens in the session, as it happens")
            .about("Server-sent events: `id` is the place in the log, `data` an object of the schema SessionEvent. After the last event the stream waits for more; a comment breaks a silence of 15 s.")
            .header("Last-Event-ID", json!({ "type": "string" }), "The `id` of the last event that was seen; wins over `offset`.")
            .query("offset", json!({ "type": "string", "default": "-1" }), "The same, `-1` (the beginning) or `now`.")
            .answers_raw(200, "`text/event-stream`.", Some(("text/event-stream", event, Some(examples::sse().into()))))
            .fails(&[BadOffset]),
        op(GET, "/api/sessions/{id}/gates", "gates", "What waits for a person").answers(200, examples::gates()),
        op(GET, "/api/sessions/{id}/queue", "queue", "What waits for the agent").answers(200, examples::queue()),
        op(DELETE, "/api/sessions/{id}/queue/{message}", "dropMessage", "Drop a message that waits for the agent")
            .about("No agent hears it any more. One that the agent has already comes back by an interrupt.")
            .answers(200, examples::done())
            .fails(&[ErrorCode::MessageNotFound, ErrorCode::MessageHandedOver, AgentUnreachable, SandboxFailed]),
        op(GET, "/api/sessions/{id}/usage", "usage", "What the session has cost").answers(200, examples::usage()),
        op(GET, "/api/sessions/{id}/export", "exportSession", "The session as a file")
            .about("One JSON object a line: `studio_export` with the session, its events, `studio_export_end` with their number. A file without its last line is cut off.")
            .answers_raw(200, "NDJSON.", Some(("application/x-ndjson", json!({ "type": "string" }), Some(examples::export().into()))))
            .with_header("Content-Disposition", "A name for the file."),
        op(POST, "/api/sessions/import", "importSession", "A session out of a file")
            .about("It gets a new id and is complete. A file that is refused leaves nothing.")
            .takes_raw("application/x-ndjson", &json!({ "type": "string" }), Some(examples::export()))
            .answers(201, examples::imported())
            .fails(&[BadRequest, ErrorCode::ValidationFailed, RequestTimeout, BodyTooLarge, UnsupportedMediaType, StreamsUnavailable, TakenOver, Stopping]),
    ]
}

fn tokens() -> Vec<Operation> {
    use ErrorCode::{Stopping, StreamsUnavailable, TakenOver, TokenNotFound, TooManyTokens};
    const OF_SESSION: &str = "/api/sessions/{id}/tokens";
    let html = || Some(("text/html", json!({ "type": "string" }), Some(json!("<!doctype html>…"))));
    vec![
        op(GET, OF_SESSION, "listSessionTokens", "The session's tokens that were asked for")
            .about("Not the one that came with the session.")
            .answers(200, examples::token_list()),
        op(POST, OF_SESSION, "mintSessionToken", "Another token for the session")
            .about("As good as the session's own, or for looking only. It is told once.")
            .takes::<MintSessionToken>()
            .answers(201, examples::token_made())
            .fails(&[TooManyTokens]),
        op(DELETE, "/api/sessions/{id}/tokens/{token}", "revokeSessionToken", "Make a token void")
            .about("At once: event streams that are open with it end.")
            .answers(200, examples::done())
            .fails(&[TokenNotFound]),
        op(
            POST,
            "/api/sessions/{id}/tokens/rotate",
            "rotateSessionTokens",
            "Make all of the session's tokens void",
        )
        .about("At once, its hooks' too: event streams that are open with one of them end.")
        .answers(200, examples::tokens_rotated()),
        op(POST, "/api/sessions/{id}/events-ticket", "eventsTicket", "What opens the session's event stream once")
            .about("For a page, whose EventSource sends no headers: as good as the token that asks, and void with it.")
            .answers(200, examples::events_ticket()),
        op(GET, "/login", "loginPage", "The page of a link that logs in")
            .about("It sends the code only when a person says so.")
            .query("code", json!({ "type": "string" }), "The code.")
            .answers_raw(200, "", html()),
        op(POST, "/api/login", "login", "Log a browser in")
            .about("For the page's form, with its `Origin`.")
            .takes_raw("application/x-www-form-urlencoded", &json!({ "type": "object", "required": ["code"], "properties": { "code": { "type": "string" } } }), Some("code=5f2b…"))
            .answers_raw(200, "", html())
            .with_header("Set-Cookie", "`studio_login`: `HttpOnly`, `SameSite=Strict`, `Secure` when the connection is.")
            .fails(&[ErrorCode::RateLimited, TooManyTokens, ErrorCode::RequestTimeout, ErrorCode::BodyTooLarge, ErrorCode::BadRequest]),
        op(POST, "/api/login-links", "loginLink", "A link that logs a browser in, once")
            .answers(201, examples::login_link()),
        op(POST, "/api/logout", "logout", "Log the browser out")
            .answers(200, examples::done())
            .with_header("Set-Cookie", "Takes the cookie away.")
            .fails(&[StreamsUnavailable, TakenOver, Stopping]),
        op(GET, "/api/me", "me", "As whom the caller is known").answers(200, examples::me()),
        op(GET, "/api/tokens", "listTokens", "Keys of programs and browsers that are logged in")
            .answers(200, examples::token_list()),
        op(POST, "/api/tokens", "mintToken", "A key for a program")
            .about("It is told once.")
            .takes::<MintProgramToken>()
            .answers(201, examples::token_made())
            .fails(&[TooManyTokens, StreamsUnavailable, TakenOver, Stopping]),
        op(DELETE, "/api/tokens/{token}", "revokeToken", "Make a key void")
            .answers(200, examples::done())
            .fails(&[TokenNotFound, StreamsUnavailable, TakenOver, Stopping]),
    ]
}

fn hooks() -> Vec<Operation> {
    use ErrorCode::{
        GateClosed, GateConflict, HookProjectNotFound, QueueFull, SessionNotFound, Stopping,
        StreamsUnavailable, TakenOver, TooManyHookProjects,
    };
    let script =
        Some(("text/plain", json!({ "type": "string" }), Some(json!("#!/usr/bin/env bash\n…"))));
    let answer = json!({
        "type": "object", "required": ["sessionId"],
        "properties": { "sessionId": { "type": "string", "format": "uuid" } },
    });
    let answer = Some(("application/json", answer, Some(examples::hook_answer())));
    vec![
        op(POST, "/api/sessions/auto", "createAutoSession", "A session for an agent that has just begun elsewhere")
            .takes_hook(examples::hook())
            .answers(201, examples::local_created())
            .fails(&[StreamsUnavailable, TakenOver, Stopping]),
        op(POST, "/api/hook", "hook", "What the hook of a project's agent tells or asks")
            .about("The session is found by `transcript_path`, else by `session_id`, else made. A question waits for its answer, which is the hook's output.")
            .takes_hook(examples::hook())
            .answers_raw(200, "`{\"ok\":true}` or the hook's output, and the session's id.", answer)
            .fails(&[SessionNotFound, GateConflict, GateClosed, QueueFull, ErrorCode::RateLimited]),
        op(DELETE, "/api/hook", "giveUpHooks", "End the secret that is presented")
            .answers(200, examples::done())
            .fails(&[HookProjectNotFound]),
        op(GET, "/api/hooks/setup", "hooksSetup", "The installer of a project's hooks, a script for bash")
            .query("uninstall", json!({ "type": "string" }), "The script that takes all of it out.")
            .answers_raw(200, "A script.", script),
        op(POST, "/api/hooks/projects", "setUpHooks", "A secret for a project")
            .takes::<SetUpHooks>()
            .answers(201, examples::hooks_set_up())
            .fails(&[TooManyHookProjects]),
        op(GET, "/api/hooks/projects", "hookProjects", "Projects whose agents tell the studio what they do")
            .answers(200, examples::hook_projects())
            .fails(&[StreamsUnavailable]),
        op(DELETE, "/api/hooks/projects/{id}", "revokeHooks", "End a project's secret; its sessions stay")
            .answers(200, examples::done())
            .fails(&[HookProjectNotFound, StreamsUnavailable, TakenOver, Stopping]),
    ]
}

fn inside() -> Vec<Operation> {
    use ErrorCode::{
        BadRange, BadRequest, BodyTooLarge, FileNotFound, FileTooLarge, PathOutside, SandboxAway,
        SandboxFailed, SandboxNotRunning,
    };
    let text = || json!({ "type": "string" });
    let place = || json!({ "type": "integer", "minimum": 0, "maximum": u64::from(u32::MAX) << 20 });
    let bytes = || Some(("application/octet-stream", json!({ "type": "string" }), None));
    vec![
        op(GET, "/api/sessions/{id}/files", "files", "The project's files")
            .query("after", text(), "`next` of the page before.")
            .query("limit", json!({ "type": "integer", "minimum": 1, "maximum": FILES_PAGE_MAX, "default": FILES_PAGE_DEFAULT }), "Most files of one page.")
            .answers(200, examples::files())
            .fails(&[BadRequest, SandboxFailed]),
        op(GET, "/api/sessions/{id}/file-content", "fileContent", "One file of the project")
            .query("path", json!({ "type": "string", "minLength": 1 }), "Absolute in the sandbox, or counted from the project.")
            .required()
            .query("offset", place(), "The first byte.")
            .query("limit", place(), "Most bytes.")
            .query("raw", json!({ "enum": ["0", "1", "true", "false", ""] }), "`1`: the bytes themselves, as a download.")
            .header("Range", text(), "One range of bytes, with `raw=1`.")
            .answers(200, examples::file())
            .also("application/octet-stream", json!({ "type": "string" }))
            .answers_raw(206, "The range.", bytes())
            .with_header("Content-Range", "Which bytes.")
            .fails(&[BadRequest, PathOutside, SandboxAway, FileNotFound, FileTooLarge, BadRange, SandboxFailed]),
        op(GET, "/api/sessions/{id}/git-status", "gitStatus", "How the project's repository stands")
            .answers(200, examples::git_status())
            .fails(&[SandboxAway, SandboxFailed]),
        op(GET, "/api/sessions/{id}/app-status", "appStatus", "Whether the project's app runs")
            .answers(200, examples::app_status())
            .fails(&[SandboxAway, SandboxNotRunning, SandboxFailed]),
        op(POST, "/api/sessions/{id}/start-app", "startApp", "Start the project's app")
            .about("False when it did not come up; the log says why.")
            .answers(200, examples::done())
            .fails(&[SandboxAway, SandboxNotRunning, SandboxFailed]),
        op(POST, "/api/sessions/{id}/stop-app", "stopApp", "End the project's app")
            .answers(200, examples::app_stopped())
            .fails(&[SandboxAway, SandboxNotRunning, SandboxFailed]),
        op(POST, "/api/sessions/{id}/stream/append", "append", "Tell of an agent from outside")
            .takes::<AppendEvent>()
            .answers(200, examples::done())
            .fails(&[BodyTooLarge]),
    ]
}

fn github() -> Vec<Operation> {
    use ErrorCode::{
        GithubFailed, GithubNotAvailable, GithubNotConfigured, NoRepository, ResumeNotAvailable,
        SessionEnded, Stopping, StreamsUnavailable, TakenOver, TooManyTokenRequests,
    };
    const NONE: &str = "Without a token the list is empty; what GitHub refuses leaves it empty, too, and `incomplete` says why.";
    let token = || json!({ "type": "string" });
    vec![
        op(POST, "/api/sessions/resume", "resumeSession", "A session out of a repository")
            .about("In development mode alone. The session exists when this answers; its project is cloned afterwards, and its events tell how far that is.")
            .takes::<ResumeSession>()
            .answers(201, examples::created())
            .fails(&[ResumeNotAvailable, GithubNotConfigured, ErrorCode::TooManyRunning, ErrorCode::AtCapacity, StreamsUnavailable, TakenOver, Stopping]),
        op(POST, "/api/sessions/{id}/github-token", "githubToken", "A token for the session's one repository")
            .about("Of the GitHub App, for contents and pull requests, good for an hour at most; ended with the session. Ten an hour.")
            .answers(200, examples::git_token())
            .fails(&[GithubNotAvailable, GithubNotConfigured, GithubFailed, NoRepository, SessionEnded, TooManyTokenRequests]),
        op(GET, "/api/github/accounts", "githubAccounts", "Where the caller may have repositories")
            .about(NONE)
            .header("X-GH-Token", token(), "The caller's own token.")
            .answers(200, examples::accounts()),
        op(GET, "/api/github/repos", "githubRepos", "The caller's repositories, the latest updated first")
            .about(NONE)
            .header("X-GH-Token", token(), "The caller's own token.")
            .answers(200, examples::repositories()),
        op(GET, "/api/github/repos/{owner}/{repo}/branches", "githubBranches", "The branches of a repository")
            .about(NONE)
            .header("X-GH-Token", token(), "The caller's own token.")
            .answers(200, examples::branches()),
    ]
}

fn sandboxes() -> Vec<Operation> {
    use ErrorCode::{
        SandboxAway, SandboxExists, SandboxFailed, SandboxNotFound, Stopping, StreamsUnavailable,
        TakenOver,
    };
    vec![
        op(GET, "/api/sandboxes", "listSandboxes", "All sandboxes")
            .answers(200, examples::sandbox_list())
            .fails(&[SandboxFailed]),
        op(POST, "/api/sandboxes", "createSandbox", "A sandbox by itself, without an agent")
            .takes::<CreateSandbox>()
            .answers(201, examples::sandbox_made())
            .fails(&[
                SandboxExists,
                SandboxFailed,
                StreamsUnavailable,
                TakenOver,
                Stopping,
                ErrorCode::RateLimited,
                ErrorCode::AtCapacity,
            ]),
        op(GET, "/api/sandboxes/{id}", "getSandbox", "A sandbox")
            .answers(200, examples::sandbox())
            .fails(&[SandboxNotFound, SandboxAway, SandboxFailed]),
        op(DELETE, "/api/sandboxes/{id}", "deleteSandbox", "Remove a sandbox; its session stays")
            .answers(200, examples::done())
            .fails(&[SandboxNotFound, SandboxFailed, ErrorCode::AgentUnreachable]),
    ]
}

impl Operation {
    /// A hook's payload: an object in the agent's own words.
    fn takes_hook(mut self, example: Value) -> Self {
        let schema = json!({ "type": "object", "additionalProperties": true });
        let content = json!({ "application/json": { "schema": schema, "example": example } });
        self.body = Some(json!({ "required": true, "content": content }));
        self.takes_json = true;
        self
    }
}
