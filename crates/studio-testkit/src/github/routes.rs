use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response},
};
use futures::stream;
use serde_json::{Value, json};

use super::{
    GitHubRequest, GitHubServer, GitHubTrouble,
    answer::{Answer, failed, good, http_date, invalid, iso_date, page},
    auth::{Caller, caller},
    git, tokens,
    world::{Holder, Repo, Shared, World},
};

/// Longest body that is read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
const NO_ACCESS: &str = "Resource not accessible by integration";

type Query = Vec<(String, String)>;

/// Everything that is asked of this GitHub.
pub(super) async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(_too_long) => return failed(413, "too long").into_response(),
    };
    if parts.uri.path().contains(".git/") {
        return git::answer(&shared, &parts, body).await;
    }
    if parts.uri.path().ends_with("/access_tokens") {
        let mut held = shared.held.clone();
        // The sender lives as long as this server.
        drop(held.wait_for(|held| !held).await);
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    api(&shared, &parts.method, target, &parts.headers, json)
}

fn api(
    shared: &Shared,
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    body: Value,
) -> Response<Body> {
    let mut world = shared.world();
    let asked = caller(&world, headers);
    let by = asked.as_ref().map(Caller::name).unwrap_or_default();
    let (method, target) = (method.to_string(), target.to_owned());
    let one = GitHubRequest { method, target: target.clone(), by: by.clone(), body: body.clone() };
    let method = one.method.clone();
    world.requests.push(one);
    let trouble = world.next_trouble(&target);
    let (limit, used, resets_at, over) = world.count(&by);
    let answer = match (trouble, asked) {
        (Some(GitHubTrouble::Status(status)), _) => failed(status, "Server Error"),
        (Some(GitHubTrouble::Secondary { retry_after }), _) => {
            let answer = failed(
                403,
                "You have exceeded a secondary rate limit. Please wait a few minutes before you \
                 try again.",
            );
            match retry_after {
                Some(seconds) => answer.with("retry-after", seconds.to_string()),
                None => answer,
            }
        }
        _ if over => failed(403, &format!("API rate limit exceeded for {by}.")),
        (_, Err(refusal)) => refusal,
        (
            Some(GitHubTrouble::BreakAfterwards | GitHubTrouble::SilentAfterwards) | None,
            Ok(caller),
        ) => match manners(headers) {
            Some(refusal) => refusal,
            None => route(&mut world, shared, &caller, &method, &target, &body),
        },
    };
    let now = world.now();
    drop(world);
    if trouble == Some(GitHubTrouble::SilentAfterwards) {
        let silence = stream::pending::<Result<Vec<u8>, std::io::Error>>();
        return Response::new(Body::from_stream(silence));
    }
    if trouble == Some(GitHubTrouble::BreakAfterwards) {
        let broken = std::io::Error::other("broken for a test");
        return Response::new(Body::from_stream(stream::iter([Err::<Vec<u8>, _>(broken)])));
    }
    let mut response = answer.into_response();
    let common = [
        ("date", http_date(now)),
        ("x-ratelimit-limit", limit.to_string()),
        ("x-ratelimit-used", used.to_string()),
        ("x-ratelimit-remaining", limit.saturating_sub(used).to_string()),
        ("x-ratelimit-reset", resets_at.to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
        ("x-github-media-type", "github.v3; format=json".to_owned()),
    ];
    for (name, value) in common {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// What the real server wants of every request.
fn manners(headers: &HeaderMap) -> Option<Answer> {
    if !headers.contains_key("user-agent") {
        let message = "Request forbidden by administrative rules. Please make sure your request \
                       has a User-Agent header";
        return Some(failed(403, message));
    }
    let version = headers.get("x-github-api-version").map(HeaderValue::as_bytes);
    match version {
        None | Some(b"2022-11-28") => None,
        Some(_) => Some(failed(400, "The X-GitHub-Api-Version is not supported")),
    }
}

fn query(target: &str) -> (&str, Query) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    (path, pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

fn route(
    world: &mut World,
    shared: &Shared,
    caller: &Caller,
    method: &str,
    target: &str,
    body: &Value,
) -> Answer {
    let (path, query) = query(target);
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let url = &shared.url;
    match (method, &parts[..], caller) {
        ("GET", ["app"], Caller::App) => {
            good(200, json!({"id": GitHubServer::APP_ID, "slug": "studio"}))
        }
        ("POST", ["app", "installations", id, "access_tokens"], Caller::App) => {
            if id.parse() == Ok(GitHubServer::INSTALLATION) {
                tokens::create(world, url, body)
            } else {
                failed(404, "Not Found")
            }
        }
        (_, ["app", ..], _) => failed(401, "A JSON web token could not be decoded"),
        (_, _, Caller::App) => failed(403, NO_ACCESS),
        (_, _, Caller::Nobody) => failed(401, "Requires authentication"),
        ("DELETE", ["installation", "token"], Caller::Token(token, holder)) => match holder {
            Holder::Installation { .. } => {
                world.tokens.remove(token);
                good(204, Value::Null)
            }
            Holder::User { .. } => failed(403, NO_ACCESS),
        },
        (_, ["user", ..], Caller::Token(_, Holder::Installation { .. })) => failed(403, NO_ACCESS),
        ("GET", ["user", rest @ ..], Caller::Token(_, Holder::User { login, scopes })) => {
            user(world, url, rest, login, scopes, &query).with("x-oauth-scopes", scopes.join(", "))
        }
        ("POST", ["user", "repos"], Caller::Token(_, Holder::User { login, scopes })) => {
            if scopes.iter().any(|scope| scope == "repo") {
                create(world, shared, login, body, false)
            } else {
                failed(404, "Not Found")
            }
        }
        ("POST", ["orgs", org, "repos"], Caller::Token(_, holder)) => {
            if !world.orgs.iter().any(|known| known == org) {
                return failed(404, "Not Found");
            }
            if let Some(refusal) = may_create(world, holder, org) {
                return refusal;
            }
            let by_app = matches!(holder, Holder::Installation { .. });
            create(world, shared, org, body, by_app)
        }
        ("GET", ["repos", owner, name, rest @ ..], Caller::Token(_, holder)) => {
            let old = format!("{owner}/{name}").to_ascii_lowercase();
            if let (None, Some(id)) = (world.find(owner, name), world.renamed.get(&old)) {
                let to = format!("{url}/repositories/{id}/{}", rest.join("/"));
                let to = to.trim_end_matches('/');
                return failed(301, "Moved Permanently").with("location", to);
            }
            repository(world, url, world.find(owner, name), rest, holder, &query)
        }
        ("GET", ["repositories", id, rest @ ..], Caller::Token(_, holder)) => {
            repository(world, url, id.parse().ok(), rest, holder, &query)
        }
        _ => failed(404, "Not Found"),
    }
}

fn user(
    world: &World,
    url: &str,
    rest: &[&str],
    login: &str,
    scopes: &[String],
    query: &Query,
) -> Answer {
    let has = |names: &[&str]| scopes.iter().any(|scope| names.contains(&scope.as_str()));
    let orgs: Vec<&String> = world.users.get(login).into_iter().flatten().collect();
    match rest {
        [] => good(200, json!({"login": login, "id": 1, "type": "User"})),
        ["orgs"] if has(&["read:org", "user"]) => {
            let all = orgs.iter().map(|org| json!({"login": org, "id": 2}));
            page(all.collect(), query, &format!("{url}/user/orgs"))
        }
        ["orgs"] => failed(
            403,
            "You need at least read:org scope or user scope to list your organizations.",
        ),
        ["repos"] => {
            let holder = Holder::User { login: login.to_owned(), scopes: scopes.to_vec() };
            let own = |repo: &&Repo| repo.owner == login || orgs.contains(&&repo.owner);
            let mut all: Vec<&Repo> = world.repos.iter().filter(own).collect();
            all.retain(|repo| world.sees(&holder, repo));
            if query.contains(&("sort".to_owned(), "updated".to_owned())) {
                all.sort_by_key(|repo| std::cmp::Reverse(repo.updated_at));
            }
            let all = all.into_iter().map(|repo| repo_json(repo, url)).collect();
            page(all, query, &format!("{url}/user/repos"))
        }
        _ => failed(404, "Not Found"),
    }
}

fn repository(
    world: &World,
    url: &str,
    id: Option<u64>,
    rest: &[&str],
    holder: &Holder,
    query: &Query,
) -> Answer {
    let repo = id.and_then(|id| world.repo(id)).filter(|repo| world.sees(holder, repo));
    let Some(repo) = repo else { return failed(404, "Not Found") };
    match rest {
        [] => good(200, repo_json(repo, url)),
        ["branches"] if !allows(holder, "contents", "read") => failed(403, NO_ACCESS),
        ["branches"] => {
            let all = repo.branches.iter().map(|name| json!({"name": name, "protected": false}));
            // As the real one, the next page is under the number.
            page(all.collect(), query, &format!("{url}/repositories/{}/branches", repo.id))
        }
        _ => failed(404, "Not Found"),
    }
}

/// Whether a token goes as far; a user's is bounded by scopes alone.
pub(super) fn allows(holder: &Holder, permission: &str, access: &str) -> bool {
    match holder {
        Holder::User { .. } => true,
        Holder::Installation { permissions, .. } => {
            permissions.get(permission).is_some_and(|has| has == "write" || has == access)
        }
    }
}

fn may_create(world: &World, holder: &Holder, org: &str) -> Option<Answer> {
    match holder {
        Holder::User { login, scopes } => {
            let member = world.users.get(login).is_some_and(|orgs| orgs.iter().any(|o| o == org));
            let message = "You need admin access to the organization before adding a repository \
                           to it.";
            let may = member && scopes.iter().any(|scope| scope == "repo");
            (!may).then(|| failed(403, message))
        }
        Holder::Installation { .. } => {
            let may = org == world.account && allows(holder, "administration", "write");
            (!may).then(|| failed(403, NO_ACCESS))
        }
    }
}

fn create(
    world: &mut World,
    shared: &Shared,
    owner: &str,
    body: &Value,
    in_installation: bool,
) -> Answer {
    let Some(name) = body["name"].as_str() else {
        return invalid("Validation Failed", json!([{"field": "name", "code": "missing_field"}]));
    };
    if world.find(owner, name).is_some() {
        let message = "name already exists on this account";
        let error = json!({"resource": "Repository", "code": "custom", "field": "name",
                           "message": message});
        return invalid("Repository creation failed.", json!([error]));
    }
    let private = match body["visibility"].as_str() {
        Some(visibility) => visibility != "public",
        None => body["private"].as_bool().unwrap_or(false),
    };
    let private = private && !world.makes_public;
    let id = world.add_repo(owner, name, private, in_installation);
    world.describe(id, body["description"].as_str());
    shared.init(owner, name);
    match world.repo(id) {
        Some(repo) => good(201, repo_json(repo, &shared.url)),
        None => failed(500, "Server Error"),
    }
}

pub(super) fn repo_json(repo: &Repo, url: &str) -> Value {
    let full_name = repo.full_name();
    json!({
        "id": repo.id,
        "name": repo.name,
        "full_name": full_name,
        "private": repo.private,
        "visibility": if repo.private { "private" } else { "public" },
        "owner": {"login": repo.owner},
        "description": repo.description,
        "html_url": format!("{url}/{full_name}"),
        "clone_url": format!("{url}/{full_name}.git"),
        "default_branch": "main",
        "updated_at": iso_date(repo.updated_at),
    })
}
