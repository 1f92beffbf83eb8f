use axum::{
    Router,
    extract::{Request, State},
    http::Method,
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{MethodRouter, delete, get, options, patch, post, put},
};

use crate::{
    HttpState, app, databases, events, files, github, guard, hooks, log, login, openapi, sandboxes,
    sessions, shared, streams, system, tickets, tokens, transfer,
};

/// Who may use a route. The handlers' extractors enforce it; a test holds each to its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Whoever reaches the port.
    Open,
    /// As [`crate::Creation`] says; what makes a session or a database so often an hour per address
    /// in production.
    Create,
    /// Who runs the studio.
    Operator,
    /// A person with the session's token.
    Session,
    /// As [`Policy::Session`], or who may only look at the session.
    Read,
    /// As [`Policy::Read`]; the token may stand in the query, or a ticket.
    Watch,
    /// The session's agent.
    Hook,
    /// git in the session's sandbox, or as [`Policy::Session`].
    Git,
    /// The hooks of a project on somebody's machine.
    ProjectHook,
    /// Who installs such hooks, with the code that the installer was given.
    SetupCode,
    /// A browser, with the code of a link that logs in.
    LoginCode,
    /// Who has the invite code in the path.
    InviteCode,
    /// A person in the shared session, with its token.
    Room,
    /// As [`Policy::Room`]; the token may stand in the query.
    WatchRoom,
    /// A person at the studio's own machine; in production with the operator's token.
    LocalUser,
    /// Who may use all streams; for a session's own stream also as [`Policy::Watch`].
    ReadStream,
    /// Who may use all streams.
    WriteStream,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `GET` (and with it `HEAD`), `POST`, …
    pub method: Method,
    /// The path; `{id}` stands for a session's id, a shared one's too, `{session}` for that of one
    /// that is linked to it, `{code}` for an invite code, `{message}` for a message's, `{token}` for a
    /// token's, `{owner}` and `{repo}` for a repository's, `{*path}` for a stream's path.
    pub path: &'static str,
    /// Who may use it.
    pub policy: Policy,
}

/// The streams themselves, below [`streams::MOUNT`].
const STREAM: &str = "/v1/stream/{*path}";

/// Every route of the studio: the table of contents of this crate.
fn table() -> Vec<(Route, MethodRouter<HttpState>)> {
    use Policy::{
        Create, Git, Hook, InviteCode, LocalUser, LoginCode, Open, Operator, ProjectHook, Read,
        ReadStream, Room, Session, SetupCode, Watch, WatchRoom, WriteStream,
    };
    let route = |method, path, policy| Route { method, path, policy };
    let (read, write, remove) = (Method::GET, Method::POST, Method::DELETE);
    vec![
        (route(read.clone(), "/api/health", Open), get(system::health)),
        (route(read.clone(), "/api/config", Open), get(system::config)),
        (route(write.clone(), "/api/provision-electric", Create), post(databases::provision)),
        (route(read.clone(), "/api/openapi.json", Open), get(openapi::json)),
        (route(read.clone(), "/api/docs", Open), get(openapi::docs)),
        (route(read.clone(), "/api/docs/style.css", Open), get(openapi::style)),
        (route(write.clone(), "/api/sessions", Create), post(sessions::create)),
        (route(read.clone(), "/api/sessions", Operator), get(sessions::list)),
        (route(write.clone(), "/api/sessions/local", Create), post(sessions::create_local)),
        (route(write.clone(), "/api/sessions/auto", Create), post(hooks::create_auto)),
        (route(write.clone(), "/api/sessions/resume", Create), post(github::resume)),
        (route(write.clone(), "/api/hook", ProjectHook), post(hooks::hook)),
        (route(remove.clone(), "/api/hook", ProjectHook), delete(hooks::give_up)),
        (route(read.clone(), "/api/hooks/setup", LocalUser), get(hooks::setup)),
        (route(write.clone(), "/api/hooks/projects", SetupCode), post(hooks::set_up)),
        (route(read.clone(), "/api/hooks/projects", Operator), get(hooks::projects)),
        (route(remove.clone(), "/api/hooks/projects/{id}", Operator), delete(hooks::revoke)),
        (route(read.clone(), "/api/sessions/{id}", Read), get(sessions::get)),
        (route(remove.clone(), "/api/sessions/{id}", Session), delete(sessions::delete)),
        (route(write.clone(), "/api/sessions/{id}/iterate", Session), post(sessions::iterate)),
        (route(write.clone(), "/api/sessions/{id}/respond", Session), post(sessions::respond)),
        (route(write.clone(), "/api/sessions/{id}/interrupt", Session), post(sessions::interrupt)),
        (route(write.clone(), "/api/sessions/{id}/cancel", Session), post(sessions::cancel)),
        (route(write.clone(), "/api/sessions/{id}/hook-event", Hook), post(sessions::hook_event)),
        (route(read.clone(), "/api/sessions/{id}/events", Watch), get(events::events)),
        (route(read.clone(), "/api/sessions/{id}/gates", Read), get(sessions::gates)),
        (route(read.clone(), "/api/sessions/{id}/queue", Read), get(sessions::queue)),
        (
            route(remove.clone(), "/api/sessions/{id}/queue/{message}", Session),
            delete(sessions::drop_message),
        ),
        (route(read.clone(), "/api/sessions/{id}/files", Read), get(files::list)),
        (route(read.clone(), "/api/sessions/{id}/file-content", Read), get(files::content)),
        (route(read.clone(), "/api/sessions/{id}/git-status", Read), get(files::git_status)),
        (route(read.clone(), "/api/sessions/{id}/app-status", Read), get(app::status)),
        (route(write.clone(), "/api/sessions/{id}/start-app", Session), post(app::start)),
        (route(write.clone(), "/api/sessions/{id}/stop-app", Session), post(app::stop)),
        (route(write.clone(), "/api/sessions/{id}/stream/append", Session), post(app::append)),
        (route(Method::PATCH, "/api/sessions/{id}", Session), patch(sessions::change)),
        (route(read.clone(), "/api/sessions/{id}/usage", Read), get(sessions::usage)),
        (route(read.clone(), "/api/sessions/{id}/export", Read), get(transfer::export)),
        (route(write.clone(), "/api/sessions/import", Operator), post(transfer::import)),
        (route(read.clone(), "/api/sessions/{id}/tokens", Session), get(tokens::of_session)),
        (
            route(write.clone(), "/api/sessions/{id}/tokens", Session),
            post(tokens::mint_for_session),
        ),
        (route(write.clone(), "/api/sessions/{id}/tokens/rotate", Session), post(tokens::rotate)),
        (
            route(remove.clone(), "/api/sessions/{id}/tokens/{token}", Session),
            delete(tokens::revoke_of_session),
        ),
        (route(write.clone(), "/api/sessions/{id}/events-ticket", Read), post(tickets::give)),
        (route(read.clone(), "/login", Open), get(login::page)),
        (route(write.clone(), "/api/login", LoginCode), post(login::login)),
        (route(write.clone(), "/api/login-links", Operator), post(login::link)),
        (route(write.clone(), "/api/logout", Open), post(login::logout)),
        (route(read.clone(), "/api/me", Operator), get(login::me)),
        (route(read.clone(), "/api/tokens", Operator), get(tokens::of_programs)),
        (route(write.clone(), "/api/tokens", Operator), post(tokens::mint_for_program)),
        (route(remove.clone(), "/api/tokens/{token}", Operator), delete(tokens::revoke_of_program)),
        (route(write.clone(), "/api/sessions/{id}/github-token", Git), post(github::token)),
        (route(read.clone(), "/api/github/accounts", Create), get(github::accounts)),
        (route(read.clone(), "/api/github/repos", Create), get(github::repos)),
        (
            route(read.clone(), "/api/github/repos/{owner}/{repo}/branches", Create),
            get(github::branches),
        ),
        (route(write.clone(), "/api/shared-sessions", Create), post(shared::create)),
        (route(read.clone(), "/api/shared-sessions/join/{code}", InviteCode), get(shared::find)),
        (route(write.clone(), "/api/shared-sessions/{id}/join", Room), post(shared::join)),
        (route(write.clone(), "/api/shared-sessions/{id}/leave", Room), post(shared::leave)),
        (route(write.clone(), "/api/shared-sessions/{id}/ping", Room), post(shared::ping)),
        (route(read.clone(), "/api/shared-sessions/{id}/presence", Room), get(shared::presence)),
        (route(write.clone(), "/api/shared-sessions/{id}/sessions", Room), post(shared::link)),
        (
            route(remove.clone(), "/api/shared-sessions/{id}/sessions/{session}", Room),
            delete(shared::unlink),
        ),
        (
            route(read.clone(), "/api/shared-sessions/{id}/sessions/{session}/token", Room),
            get(shared::token),
        ),
        (route(read.clone(), "/api/shared-sessions/{id}/events", WatchRoom), get(shared::events)),
        (route(write.clone(), "/api/shared-sessions/{id}/revoke", Room), post(shared::revoke)),
        (route(read.clone(), "/api/sandboxes", Operator), get(sandboxes::list)),
        (route(write.clone(), "/api/sandboxes", Operator), post(sandboxes::create)),
        (route(read.clone(), "/api/sandboxes/{id}", Session), get(sandboxes::get)),
        (route(remove.clone(), "/api/sandboxes/{id}", Session), delete(sandboxes::delete)),
        (route(read, STREAM, ReadStream), get(streams::streams)),
        (route(Method::PUT, STREAM, WriteStream), put(streams::streams)),
        (route(write, STREAM, WriteStream), post(streams::streams)),
        (route(remove, STREAM, WriteStream), delete(streams::streams)),
        // What a browser asks before it does one of those for an allowed origin.
        (route(Method::OPTIONS, STREAM, Open), options(streams::streams)),
    ]
}

/// Every route and who may use it.
pub fn routes() -> Vec<Route> {
    table().into_iter().map(|(route, _)| route).collect()
}

/// The studio over HTTP.
pub fn router(state: HttpState) -> Router {
    let mut router = Router::new();
    for (route, handler) in table() {
        router = router.route(route.path, handler);
    }
    router
        .fallback(system::unknown)
        .method_not_allowed_fallback(system::wrong_method)
        .layer(from_fn_with_state(state.clone(), around))
        .with_state(state)
}

/// What is done around every handler. One layer, because each is a boxed future and a copy of the
/// service behind it for every request.
async fn around(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let handle = |request| log::catch_panics(request, |request| next.run(request));
    log::log(request, |request| guard::guard(state.settings(), request, handle)).await
}
