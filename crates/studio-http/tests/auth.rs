//! Every route with every wrong token.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use axum::http::{Method, StatusCode};
use serde_json::json;
use studio_auth::Scope;
use studio_flows::Mode;
use studio_http::{Creation, Policy, routes};
use studio_ids::{HookSecretId, RoomId, SessionId};
use support::{Ask, World, path_of};

/// Opens nothing: wrong, malformed, of another session, of another purpose.
fn foreign_tokens(world: &World, policy: Policy, id: SessionId) -> Vec<String> {
    let other = SessionId::random();
    // Of another room, or of the one that has the session's id.
    let is_of_room = matches!(policy, Policy::Room | Policy::WatchRoom);
    let room = RoomId::from_bytes(*if is_of_room { other } else { id }.as_bytes());
    let mut scopes = vec![Scope::Session(other), Scope::Read(other), Scope::Hook(other)];
    // What a cookie holds is no token in a header.
    scopes.extend([Scope::Relay(other), Scope::Room(room), Scope::Login, Scope::Create]);
    match policy {
        Policy::Hook => {
            scopes.extend([Scope::Session(id), Scope::Read(id), Scope::Operator, Scope::Streams]);
        }
        Policy::Session => {
            scopes.extend([Scope::Read(id), Scope::Hook(id), Scope::Relay(id), Scope::Git(id)]);
            scopes.push(Scope::Streams);
        }
        Policy::Read | Policy::Watch => {
            scopes.extend([Scope::Hook(id), Scope::Relay(id), Scope::Git(id), Scope::Streams]);
        }
        Policy::Git => scopes.extend([Scope::Hook(id), Scope::Relay(id), Scope::Git(other)]),
        Policy::Operator => {
            scopes.extend([Scope::Session(id), Scope::Read(id), Scope::Hook(id)]);
            scopes.extend([Scope::Relay(id), Scope::Streams]);
        }
        Policy::ProjectHook | Policy::SetupCode | Policy::LoginCode => {
            scopes.extend([Scope::Session(id), Scope::Hook(id), Scope::Relay(id)]);
            scopes.extend([Scope::Operator, Scope::Streams]);
            // Signed well, and of no project.
            scopes.push(Scope::ProjectHooks(HookSecretId::from_bytes(*id.as_bytes())));
        }
        Policy::Room | Policy::WatchRoom => {
            scopes.extend([Scope::Session(id), Scope::Read(id), Scope::Hook(id), Scope::Relay(id)]);
            scopes.push(Scope::Streams);
        }
        Policy::LocalUser => {
            scopes.extend([Scope::Session(id), Scope::Hook(id), Scope::Streams, Scope::AllHooks]);
        }
        Policy::ReadStream => scopes.extend([Scope::Read(id), Scope::Hook(id), Scope::Relay(id)]),
        Policy::WriteStream => {
            scopes.extend([Scope::Session(id), Scope::Read(id), Scope::Hook(id)]);
            scopes.push(Scope::Relay(id));
        }
        Policy::Open | Policy::Create | Policy::InviteCode => {}
    }
    let mut tokens: Vec<String> = scopes.into_iter().map(|scope| world.token(scope)).collect();
    tokens.extend(
        ["", " ", "x", &"g".repeat(64), &"0".repeat(64), "st1.s.x.1.2.3", "\u{e9}"]
            .map(str::to_owned),
    );
    tokens
}

#[tokio::test]
async fn no_route_opens_without_its_own_token() {
    let world = World::new(Mode::Production).await;
    let (id, ..) = world.local_session().await;
    for route in routes() {
        if matches!(route.policy, Policy::Open | Policy::Create | Policy::InviteCode) {
            continue;
        }
        let ask = |id: &str| Ask::new(route.method.clone(), path_of(&route, id));
        let id_text = id.to_string();
        let mut asks = vec![ask(&id_text), ask(&id_text).header("authorization", "Basic eDp5")];
        for token in foreign_tokens(&world, route.policy, id) {
            asks.push(ask(&id_text).token(&token));
            asks.push(Ask {
                target: format!("{}?token={token}", path_of(&route, &id_text)),
                ..ask(&id_text)
            });
        }
        // An id that is none, and one that nobody has: no token, no answer about existence.
        asks.extend([ask("local"), ask("..%2f"), ask(&SessionId::random().to_string())]);
        for ask in asks {
            // The URI of a request cannot hold everything that a header can.
            if ask.target.parse::<axum::http::Uri>().is_err() {
                continue;
            }
            let told = world.send(ask.clone()).await;
            assert_eq!(told.status, StatusCode::UNAUTHORIZED, "{ask:?}: {}", told.text);
            assert_eq!(told.json["code"], "unauthenticated");
        }
    }
    world.studio.session(id).unwrap();
}

#[tokio::test]
async fn d30_13_a_token_in_the_query_opens_event_streams_only() {
    let world = World::new(Mode::Dev).await;
    let (id, token, hook) = world.local_session().await;
    for route in routes() {
        let token = if route.policy == Policy::Hook { &hook } else { &token };
        let operator = world.token(Scope::Operator);
        let token = if route.policy == Policy::WriteStream { &operator } else { token };
        if matches!(route.policy, Policy::Open | Policy::Create | Policy::Operator) {
            continue;
        }
        let path = path_of(&route, &id.to_string());
        let ask = Ask::new(route.method.clone(), format!("{path}?token={token}"));
        world.stop.cancel(); // So that the stream ends at once.
        let told = world.send(ask).await;
        let opens = told.status == StatusCode::OK;
        let may_open = matches!(route.policy, Policy::Watch | Policy::ReadStream);
        assert_eq!(opens, may_open, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn d30_8_an_agents_credentials_never_answer_a_gate() {
    let world = World::new(Mode::Dev).await;
    let body = json!({"description": "hi"});
    let created = world.send(Ask::post("/api/sessions").json(&body)).await;
    let id: SessionId = created.json["sessionId"].as_str().unwrap().parse().unwrap();
    let answer = json!({"gate": "infra_config", "mode": "local"});
    let path = format!("/api/sessions/{id}/respond");
    for scope in [Scope::Hook(id), Scope::Relay(id)] {
        let told = world.send(Ask::post(&path).token(&world.token(scope)).json(&answer)).await;
        assert_eq!(told.status, StatusCode::UNAUTHORIZED);
    }
    let gates = world.studio.pending_gates(id).await.unwrap();
    assert_eq!(gates.len(), 1, "it waits still");
}

#[tokio::test]
async fn upper_case_and_the_operators_token_open_a_session() {
    let world = World::new(Mode::Production).await;
    let (id, token, _) = world.local_session().await;
    for token in [token.to_uppercase(), world.token(Scope::Operator)] {
        let told = world.send(Ask::get(format!("/api/sessions/{id}")).token(&token)).await;
        assert_eq!(told.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn d30_12_unknown_paths_below_a_session_ask_for_the_token_first() {
    let world = World::new(Mode::Dev).await;
    let (id, token, _) = world.local_session().await;
    for target in
        ["/api/sessions/auto/cancel", "/api/sessions/local/cancel", "/api/sessions/local/x"]
    {
        let told = world.send(Ask::post(target)).await;
        assert_eq!(told.status, StatusCode::UNAUTHORIZED, "{target}");
    }
    // A route of its own, whose methods are no secret.
    let told = world.send(Ask::new(Method::PUT, "/api/sessions/local")).await;
    assert_eq!(told.status, StatusCode::METHOD_NOT_ALLOWED);
    let told = world.send(Ask::post(format!("/api/sessions/{id}"))).await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED);
    let told = world.send(Ask::post(format!("/api/sessions/{id}")).token(&token)).await;
    assert_eq!(told.status, StatusCode::METHOD_NOT_ALLOWED);
    let told = world.send(Ask::get(format!("/api/sessions/{id}/nothing")).token(&token)).await;
    assert_eq!(told.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_list_is_for_who_runs_the_studio() {
    let production = World::new(Mode::Production).await;
    let home = [127, 0, 0, 1];
    let told = production.send(Ask::get("/api/sessions").from(home)).await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED);
    let dev = World::new(Mode::Dev).await;
    dev.local_session().await;
    let told = dev.send(Ask::get("/api/sessions").from(home)).await;
    assert_eq!(told.json["sessions"].as_array().unwrap().len(), 1);
    let told = dev.send(Ask::get("/api/sessions").from([192, 0, 2, 7])).await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED, "not this machine");
}

#[tokio::test]
async fn creation_can_be_kept_for_the_operator() {
    let world = World::with(Mode::Production, |http| http.creation = Creation::Operator).await;
    let told = world.send(Ask::post("/api/sessions/local")).await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED);
    let token = world.token(Scope::Operator);
    let told = world.send(Ask::post("/api/sessions/local").token(&token)).await;
    assert_eq!(told.status, StatusCode::CREATED);
}

#[test]
fn every_route_has_a_policy_and_stands_once() {
    let routes = routes();
    for (at, route) in routes.iter().enumerate() {
        let again =
            |other: &&studio_http::Route| other.method == route.method && other.path == route.path;
        assert_eq!(routes.iter().position(|other| again(&other)), Some(at), "{route:?}");
        let methods = "GET POST PUT PATCH DELETE OPTIONS";
        assert!(methods.split(' ').any(|method| method == route.method.as_str()));
    }
}
