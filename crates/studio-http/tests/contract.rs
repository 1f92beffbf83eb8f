//! What every route answers, from a table: in both modes, with the right token and without one, and
//! what it takes amiss. Each answer must be one that the OpenAPI document tells of.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::{collections::BTreeSet, fmt::Write as _};

use axum::http::{HeaderMap, Method};
use serde_json::{Value, json};
use studio_auth::Scope;
use studio_events::Timestamp;
use studio_flows::Mode;
use studio_http::{openapi, routes};
use studio_ids::SessionId;
use studio_testkit::ElectricServer;
use support::{Ask, Told, World, eventually};

/// Whose token is shown.
#[derive(Clone, Copy, Debug)]
enum Who {
    Nobody,
    Session,
    Hook,
    Operator,
    /// Nobody, from the studio's own machine.
    Home,
}
use Who::{Home, Hook, Nobody, Operator, Session};

/// Method, path and body. `{local}` is a session that hooks feed, `{asks}` one that waits for its
/// infrastructure, `{gone}` one that nobody has.
type Row = (Who, &'static str, &'static str, Option<&'static str>);

const OPEN: &str = r#"{"description":"hi"}"#;
const SAY: &str = r#"{"request":"go on"}"#;
const TOLD: &str =
    r#"{"hook_event_name":"Stop","session_id":"c1","last_assistant_message":"done"}"#;
const LOG: &str = r#"{"type":"log","level":"done","message":"x"}"#;

/// In this order, over one studio for each mode.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    (Nobody, "GET", "/api/health", None),
    (Nobody, "GET", "/api/config", None),
    (Nobody, "POST", "/api/provision-electric", None),
    (Nobody, "GET", "/api/provision-electric", None),
    (Nobody, "GET", "/api/openapi.json", None),
    (Nobody, "GET", "/api/docs", None),
    (Nobody, "GET", "/api/docs/style.css", None),
    (Nobody, "GET", "/api/nothing", None),
    (Nobody, "PUT", "/api/config", None),

    (Nobody, "POST", "/api/sessions", Some(OPEN)),
    (Nobody, "POST", "/api/sessions", Some(r#"{"description":"hi","freeform":true}"#)),
    (Nobody, "POST", "/api/sessions", Some(r#"{"description":7,"budgetUsd":0,"apiKey":"a\nb"}"#)),
    (Nobody, "POST", "/api/sessions", Some("{")),
    (Nobody, "POST", "/api/sessions/local", Some(OPEN)),
    (Nobody, "POST", "/api/sessions/local", Some(r#"{"description":[]}"#)),
    (Nobody, "POST", "/api/sessions/auto", Some(r#"{"hook_event_name":"SessionStart","session_id":"c1","transcript_path":"/t"}"#)),
    (Nobody, "POST", "/api/sessions/auto", Some("{}")),

    (Operator, "GET", "/api/sessions?limit=1&q=nothing", None),
    (Nobody, "GET", "/api/sessions", None),
    (Operator, "GET", "/api/sessions?limit=0", None),
    (Operator, "GET", "/api/sessions?status=asleep", None),
    (Session, "GET", "/api/sessions/{local}", None),
    (Nobody, "GET", "/api/sessions/{local}", None),
    (Operator, "GET", "/api/sessions/{gone}", None),
    (Session, "PATCH", "/api/sessions/{local}", Some(r#"{"name":"kites"}"#)),
    (Session, "PATCH", "/api/sessions/{local}", Some("{}")),
    (Operator, "PATCH", "/api/sessions/{gone}", Some(r#"{"name":"kites"}"#)),

    (Session, "POST", "/api/sessions/{local}/iterate", Some(SAY)),
    (Session, "POST", "/api/sessions/{local}/iterate", Some(r#"{"request":""}"#)),
    (Operator, "POST", "/api/sessions/{gone}/iterate", Some(SAY)),
    (Operator, "GET", "/api/sessions/{asks}/gates", None),
    (Nobody, "GET", "/api/sessions/{asks}/gates", None),
    (Operator, "POST", "/api/sessions/{asks}/respond", Some(r#"{"gate":"infra_config","mode":"cloud","databaseUrl":"x"}"#)),
    (Operator, "POST", "/api/sessions/{asks}/respond", Some(r#"{"gate":"ask_user_question"}"#)),
    (Operator, "POST", "/api/sessions/{asks}/respond", Some(r#"{"gate":"permission","toolUseId":"t","decision":"allow"}"#)),
    (Operator, "POST", "/api/sessions/{asks}/respond", Some(r#"{"gate":"unheard_of"}"#)),
    (Hook, "POST", "/api/sessions/{local}/respond", Some(r#"{"gate":"infra_config","mode":"local"}"#)),
    (Operator, "POST", "/api/sessions/{asks}/respond", Some(r#"{"gate":"infra_config","mode":"local"}"#)),
    (Operator, "POST", "/api/sessions/{asks}/respond", Some(r#"{"gate":"infra_config","mode":"local"}"#)),
    (Operator, "POST", "/api/sessions/{asks}/respond", Some(r#"{"gate":"infra_config","mode":"claim","databaseUrl":"postgres://a/b","electricUrl":"https://a","sourceId":"s","secret":"t","claimId":"c"}"#)),
    (Hook, "POST", "/api/sessions/{local}/hook-event", Some(TOLD)),
    (Session, "POST", "/api/sessions/{local}/hook-event", Some(TOLD)),
    (Hook, "POST", "/api/sessions/{local}/hook-event", Some("[]")),
    (Session, "GET", "/api/sessions/{local}/queue", None),
    (Operator, "GET", "/api/sessions/{gone}/queue", None),
    (Session, "DELETE", "/api/sessions/{local}/queue/{gone}", None),
    (Session, "GET", "/api/sessions/{local}/usage", None),
    (Nobody, "GET", "/api/sessions/{local}/usage", None),
    (Session, "GET", "/api/sessions/{local}/export", None),
    (Operator, "GET", "/api/sessions/{gone}/export", None),
    (Operator, "POST", "/api/sessions/import", Some("{}")),
    (Nobody, "POST", "/api/sessions/import", Some("{}")),

    (Session, "GET", "/api/sessions/{local}/files", None),
    (Session, "GET", "/api/sessions/{local}/files?limit=x", None),
    (Session, "GET", "/api/sessions/{local}/file-content", None),
    (Session, "GET", "/api/sessions/{local}/file-content?path=../x", None),
    (Session, "GET", "/api/sessions/{local}/git-status", None),
    (Session, "GET", "/api/sessions/{local}/app-status", None),
    (Session, "POST", "/api/sessions/{local}/start-app", None),
    (Session, "POST", "/api/sessions/{local}/stop-app", None),
    (Nobody, "POST", "/api/sessions/{local}/stop-app", None),
    (Session, "POST", "/api/sessions/{local}/stream/append", Some(LOG)),
    (Session, "POST", "/api/sessions/{local}/stream/append", Some(r#"{"type":"gate_resolved","gate":"x"}"#)),
    (Hook, "POST", "/api/sessions/{local}/stream/append", Some(LOG)),

    (Session, "POST", "/api/sessions/{local}/tokens", Some(r#"{"scope":"read","label":"Ada"}"#)),
    (Session, "POST", "/api/sessions/{local}/tokens", Some(r#"{"scope":"operator"}"#)),
    (Nobody, "POST", "/api/sessions/{local}/tokens", Some(r#"{"scope":"read"}"#)),
    (Operator, "POST", "/api/sessions/{gone}/tokens", Some(r#"{"scope":"read"}"#)),
    (Session, "GET", "/api/sessions/{local}/tokens", None),
    (Session, "DELETE", "/api/sessions/{local}/tokens/{gone}", None),
    (Operator, "POST", "/api/sessions/{asks}/tokens/rotate", None),
    (Hook, "POST", "/api/sessions/{local}/tokens/rotate", None),
    (Session, "POST", "/api/sessions/{local}/events-ticket", None),
    (Nobody, "POST", "/api/sessions/{local}/events-ticket", None),
    (Operator, "POST", "/api/sessions/{gone}/events-ticket", None),
    (Nobody, "GET", "/login", None),
    (Nobody, "POST", "/api/login", None),
    (Operator, "POST", "/api/login-links", None),
    (Session, "POST", "/api/login-links", None),
    (Nobody, "POST", "/api/logout", None),
    (Operator, "GET", "/api/me", None),
    (Nobody, "GET", "/api/me", None),
    (Home, "GET", "/api/me", None),
    (Operator, "POST", "/api/tokens", Some(r#"{"scope":"create"}"#)),
    (Operator, "POST", "/api/tokens", Some(r#"{"scope":"session","expiresInSeconds":0}"#)),
    (Session, "POST", "/api/tokens", Some(r#"{"scope":"create"}"#)),
    (Operator, "GET", "/api/tokens", None),
    (Operator, "DELETE", "/api/tokens/{gone}", None),
    (Nobody, "POST", "/api/sessions/resume", Some(r#"{"repoUrl":"https://github.com/acme/kites"}"#)),
    (Nobody, "POST", "/api/sessions/resume", Some(r#"{"repoUrl":"ext::sh -c id","branch":"--upload-pack=x"}"#)),
    (Session, "POST", "/api/sessions/{local}/github-token", None),
    (Hook, "POST", "/api/sessions/{local}/github-token", None),
    (Operator, "POST", "/api/sessions/{gone}/github-token", None),
    (Nobody, "GET", "/api/github/accounts", None),
    (Nobody, "GET", "/api/github/repos", None),
    (Nobody, "GET", "/api/github/repos/acme/kites/branches", None),

    (Operator, "GET", "/api/sandboxes", None),
    (Session, "GET", "/api/sandboxes", None),
    (Operator, "POST", "/api/sandboxes", Some(r#"{"projectName":"../x","infra":{"mode":"x"}}"#)),
    (Operator, "POST", "/api/sandboxes", Some(r#"{"infra":{"mode":"none"}}"#)),
    (Session, "GET", "/api/sandboxes/{local}", None),
    (Session, "DELETE", "/api/sandboxes/{local}", None),
    (Nobody, "DELETE", "/api/sandboxes/{local}", None),

    (Nobody, "POST", "/api/hook", Some(TOLD)),
    (Nobody, "DELETE", "/api/hook", None),
    (Home, "GET", "/api/hooks/setup", None),
    (Nobody, "GET", "/api/hooks/setup", None),
    (Nobody, "POST", "/api/hooks/projects", Some(r#"{"directory":"/home/me/app"}"#)),
    (Operator, "GET", "/api/hooks/projects", None),
    (Operator, "DELETE", "/api/hooks/projects/{gone}", None),

    (Operator, "PUT", "/v1/stream/notes", Some("[]")),
    (Operator, "POST", "/v1/stream/notes", Some(r#"{"n":1}"#)),
    (Operator, "POST", "/v1/stream/notes", Some("{")),
    (Operator, "GET", "/v1/stream/notes", None),
    (Operator, "GET", "/v1/stream/notes?offset=x", None),
    (Session, "GET", "/v1/stream/notes", None),
    (Operator, "DELETE", "/v1/stream/notes", None),
    (Operator, "DELETE", "/v1/stream/notes", None),
    (Nobody, "OPTIONS", "/v1/stream/notes", None),

    (Session, "POST", "/api/sessions/{local}/interrupt", None),
    (Nobody, "POST", "/api/sessions/{local}/interrupt", None),
    (Session, "POST", "/api/sessions/{local}/cancel", None),
    (Session, "POST", "/api/sessions/{local}/iterate", Some(SAY)),
    (Session, "DELETE", "/api/sessions/{local}", None),
    (Session, "DELETE", "/api/sessions/{local}", None),
    (Session, "GET", "/api/sessions/{local}/events", None),
    (Session, "GET", "/api/sessions/{local}/events?offset=x", None),
];

#[tokio::test]
async fn every_route_answers_as_it_always_did_in_development() {
    insta::assert_snapshot!(all_answers(Mode::Dev).await);
}

#[tokio::test]
async fn every_route_answers_as_it_always_did_in_production() {
    insta::assert_snapshot!(all_answers(Mode::Production).await);
}

#[test]
fn every_route_of_the_table_is_asked() {
    let missing: Vec<String> = routes()
        .into_iter()
        .filter(|route| {
            let asks = |row: &Row| row.1 == route.method && fits(row.2, route.path);
            !ROWS.iter().any(asks)
        })
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(missing, [""; 0], "each needs a row in ROWS");
}

async fn all_answers(mode: Mode) -> String {
    let electric = ElectricServer::start().await;
    let world = World::provisioning(&electric, mode, |_http| {}).await;
    let operator = world.token(Scope::Operator);
    let (local, session, hook) = world.local_session().await;
    let create = Ask::post("/api/sessions").token(&operator).json(&json!({ "description": "hi" }));
    let asks = world.send(create).await.json["sessionId"].as_str().unwrap().to_owned();
    let gone = SessionId::random().to_string();
    eventually(async || world.studio.health().await.recovered.then_some(())).await;
    let document = openapi();
    let mut text = String::new();
    let mut undocumented = BTreeSet::new();
    for (who, method, path, body) in ROWS {
        let target = path
            .replace("{local}", &local.to_string())
            .replace("{asks}", &asks)
            .replace("{gone}", &gone);
        let mut ask = Ask::new(Method::from_bytes(method.as_bytes()).unwrap(), target);
        ask = match who {
            Nobody => ask,
            Home => ask.from([127, 0, 0, 1]),
            Session => ask.token(&session),
            Hook => ask.token(&hook),
            Operator => ask.token(&operator),
        };
        ask = match body {
            Some(lines) if path.ends_with("/import") => {
                let mut ask = ask.header("content-type", "application/x-ndjson");
                ask.body = lines.as_bytes().to_vec();
                ask
            }
            Some(body) => ask.bytes(*body),
            None => ask,
        };
        let told = world.send(ask).await;
        let asked = format!("{who:?} {method} {path} {}", body.unwrap_or_default());
        if let Some(why) = missing(&document, method, path, &told) {
            undocumented.insert(format!("{asked}: {why}"));
        }
        writeln!(text, "{}\n  {}\n", asked.trim_end(), line(&told)).unwrap();
    }
    assert_eq!(undocumented, BTreeSet::new(), "answers that the document does not tell of");
    text
}

/// Whether a path is one of a route's.
fn fits(path: &str, route: &str) -> bool {
    let path = path.split('?').next().unwrap();
    if let Some((mount, _)) = route.split_once("{*") {
        return path.starts_with(mount);
    }
    let (path, route): (Vec<_>, Vec<_>) = (path.split('/').collect(), route.split('/').collect());
    let named = |of: &str| matches!(of, "{owner}" | "{repo}");
    let is = |(one, of): (&&str, &&str)| {
        one == of || named(of) || (of.starts_with('{') && one.starts_with('{'))
    };
    path.len() == route.len() && path.iter().zip(&route).all(is)
}

/// Why the document does not tell of this answer.
fn missing(document: &Value, method: &str, path: &str, told: &Told) -> Option<String> {
    let method = method.to_ascii_lowercase();
    let paths = document["paths"].as_object().unwrap();
    // The names of the document's parameters stand for any.
    let route = |name: &str| {
        let name = name.replace("/v1/stream/{path}", "/v1/stream/{*path}");
        fits(path, &name)
    };
    // A route with a word in its place comes before one with a parameter.
    let operation = paths
        .get(path.split('?').next().unwrap())
        .or_else(|| paths.iter().find(|(name, _)| route(name)).map(|(_, methods)| methods))?;
    let operation = operation.get(&method)?;
    let response = &operation["responses"][told.status.as_str()];
    if response.is_null() {
        return Some(format!("no {}", told.status));
    }
    let kind = media(&told.headers);
    let content = response["content"].as_object();
    let body = match content.and_then(|content| content.get(&kind).or(content.get("*/*"))) {
        Some(body) => body,
        None if told.text.is_empty() => return None,
        None => return Some(format!("no {kind} of {}", told.status)),
    };
    let codes = body.pointer("/schema/allOf/1/properties/code/enum")?.as_array()?;
    (!codes.contains(&told.json["code"])).then(|| format!("no code {}", told.json["code"]))
}

fn media(headers: &HeaderMap) -> String {
    let kind = headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
    kind.split(';').next().unwrap().to_owned()
}

/// What a client would notice, without what is different each time.
fn line(told: &Told) -> String {
    let kind = media(&told.headers);
    let mut json = told.json.clone();
    plain("", &mut json);
    let body = if json.is_null() && kind != "application/x-ndjson" {
        told.text.lines().next().unwrap_or_default().chars().take(60).collect()
    } else if json.is_null() || 20_000 <= told.text.len() {
        "…".to_owned()
    } else {
        json.to_string()
    };
    format!("{} {kind} {body}", told.status.as_u16()).trim_end().to_owned()
}

/// Puts names in the places of ids, times and tokens.
fn plain(name: &str, value: &mut Value) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| plain(name, value)),
        Value::Array(all) => all.iter_mut().for_each(|value| plain(name, value)),
        Value::String(text) => {
            let replaced = match name {
                "version" | "projectName" => "…",
                _ if name.ends_with("Token")
                    || matches!(name, "secret" | "token" | "ticket" | "url") =>
                {
                    "<token>"
                }
                _ if text.parse::<SessionId>().is_ok() => "<id>",
                _ if Timestamp::try_from(text.clone()).is_ok() => "<time>",
                _ => return,
            };
            replaced.clone_into(text);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
