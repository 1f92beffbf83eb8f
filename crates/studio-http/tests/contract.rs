//! What every route answers, from a table: in both modes, with the right token and without one, and
//! what it takes amiss. Each answer must be one that the OpenAPI document tells of.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "contract/rows.rs"]
mod rows;
mod support;

use std::{collections::BTreeSet, fmt::Write as _};

use axum::http::{HeaderMap, Method};
use rows::{
    LAST_ROWS, ROWS, Row,
    Who::{Far, Home, Hook, Member, Nobody, Operator, Page, Plain, Project, Session, Setup},
};
use serde_json::{Value, json};
use studio_auth::Scope;
use studio_events::Timestamp;
use studio_flows::Mode;
use studio_http::{openapi, routes};
use studio_ids::SessionId;
use studio_testkit::ElectricServer;
use support::{Ask, Told, World, eventually};

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

/// A studio with what the rows name.
struct Asked {
    world: World,
    /// Lives as long as what asks it for databases.
    _electric: ElectricServer,
    /// What stands for what.
    names: Vec<(&'static str, String)>,
    session: String,
    project: String,
    setup: String,
    member: String,
}

impl Asked {
    async fn new(mode: Mode) -> Self {
        let electric = ElectricServer::start().await;
        let world = World::provisioning(&electric, mode, |_http| {}).await;
        let operator = world.token(Scope::Operator);
        let (local, session, _) = world.local_session().await;
        let create = |peer| {
            let ask = Ask::post("/api/sessions").token(&operator).from(peer);
            ask.json(&json!({ "description": "hi" }))
        };
        let text = |told: Told, name: &str| told.json[name].as_str().unwrap().to_owned();
        let asks = text(world.send(create([192, 0, 2, 1])).await, "sessionId");
        let ended = text(world.send(create([192, 0, 2, 2])).await, "sessionId");
        let post = async |path: String, body: Value| {
            world.send(Ask::post(path).token(&operator).json(&body)).await
        };
        post(format!("/api/sessions/{ended}/cancel"), json!({})).await;
        let read = json!({ "scope": "read" });
        let token = text(post(format!("/api/sessions/{local}/tokens"), read).await, "id");
        let key = text(post("/api/tokens".to_owned(), json!({ "scope": "create" })).await, "id");
        let link = text(post("/api/login-links".to_owned(), json!({})).await, "url");
        let code = link.split_once("code=").unwrap().1.to_owned();
        // From elsewhere: what an address makes in an hour is counted.
        let ask = Ask::post("/api/shared-sessions").from([192, 0, 2, 4]);
        let shared = json!({ "name": "x", "participant": { "id": "p0", "displayName": "Bo" } });
        let shared = world.send(ask.json(&shared)).await.json;
        let made = |name: &str| shared[name].as_str().unwrap().to_owned();
        let member = made("roomToken");
        let (project_id, project) = world.project_secret("/home/me/app").await;
        let setup = world.setup_code().await;
        eventually(async || world.studio.health().await.recovered.then_some(())).await;
        let names = vec![
            ("{local}", local.to_string()),
            ("{asks}", asks),
            ("{ended}", ended),
            ("{gone}", SessionId::random().to_string()),
            ("{token}", token),
            ("{key}", key),
            ("{code}", code),
            ("{project}", project_id),
            ("{shared}", made("id")),
            ("{invite}", made("code")),
            ("{large}", "x".repeat(64 * 1024)),
        ];
        Self { world, _electric: electric, names, session, project, setup, member }
    }

    fn named(&self, text: &str) -> String {
        let names = self.names.iter();
        names.fold(text.to_owned(), |text, (name, meant)| text.replace(name, meant))
    }

    async fn send(&self, &(who, method, path, body): &Row) -> Told {
        let target = self.named(path);
        let token = match who {
            Nobody | Home | Far | Page => None,
            Session => Some(self.session.clone()),
            Hook => {
                let id = target.split('/').find_map(|part| part.parse().ok()).unwrap();
                Some(self.world.token(Scope::Hook(id)))
            }
            Project => Some(self.project.clone()),
            Setup => Some(self.setup.clone()),
            Member => Some(self.member.clone()),
            Operator | Plain => Some(self.world.token(Scope::Operator)),
        };
        let declared = if who == Plain {
            "text/plain"
        } else if who == Page {
            "application/x-www-form-urlencoded"
        } else if path.ends_with("/import") {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let mut ask = Ask::new(Method::from_bytes(method.as_bytes()).unwrap(), target);
        if who == Home {
            ask = ask.from([127, 0, 0, 1]);
        }
        if who == Far {
            ask = ask.from([192, 0, 2, 3]);
        }
        if who == Page {
            ask = ask.header("sec-fetch-site", "same-origin");
        }
        if let Some(token) = token {
            ask = ask.token(&token);
        }
        if let Some(body) = body {
            ask.body = self.named(body).into_bytes();
            ask = ask.header("content-type", declared);
        }
        self.world.send(ask).await
    }
}

async fn all_answers(mode: Mode) -> String {
    let asked = Asked::new(mode).await;
    let document = openapi();
    let mut text = String::new();
    let mut undocumented = BTreeSet::new();
    for row in ROWS.iter().chain(LAST_ROWS) {
        if row == &LAST_ROWS[0] {
            asked.world.stop.cancel();
        }
        let (who, method, path, body) = row;
        let told = asked.send(row).await;
        let shown = body.and_then(|body| body.lines().next()).unwrap_or_default();
        let asked = format!("{who:?} {method} {path} {shown}");
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
                    || matches!(name, "secret" | "token" | "ticket" | "url")
                    || (name == "code" && text.len() == 64) =>
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
