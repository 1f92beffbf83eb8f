//! Tokens that somebody asked for: what they open, and when they open nothing any more.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::{Method, StatusCode};
use serde_json::json;
use studio_auth::Scope;
use studio_flows::Mode;
use studio_http::{Creation, Policy, routes};
use studio_ids::SessionId;
use studio_streams::StreamPath;
use support::{Ask, Told, World, eventually, path_of};

impl World {
    /// A token of this kind for the session, and its id.
    async fn minted(&self, id: SessionId, holder: &str, scope: &str) -> (String, String) {
        let ask = Ask::post(format!("/api/sessions/{id}/tokens")).token(holder);
        made(self.send(ask.json(&json!({ "scope": scope }))).await)
    }

    /// A key of this kind for a program, and its id.
    async fn key(&self, scope: &str) -> (String, String) {
        let ask = Ask::post("/api/tokens").token(&self.token(Scope::Operator));
        made(self.send(ask.json(&json!({ "scope": scope }))).await)
    }

    async fn status(&self, ask: Ask) -> StatusCode {
        self.send(ask).await.status
    }

    async fn look(&self, id: SessionId, token: &str) -> StatusCode {
        self.status(Ask::get(format!("/api/sessions/{id}")).token(token)).await
    }
}

fn made(told: Told) -> (String, String) {
    assert_eq!(told.status, StatusCode::CREATED, "{}", told.text);
    let text = |name: &str| told.json[name].as_str().unwrap().to_owned();
    (text("token"), text("id"))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn a_token_for_looking_opens_what_only_looks() {
    let world = World::new(Mode::Production).await;
    let (id, token, _) = world.local_session().await;
    let (read, _) = world.minted(id, &token, "read").await;
    world.stop.cancel(); // So that event streams end at once.
    let mut looked = 0;
    for route in routes() {
        let ask = Ask::new(route.method.clone(), path_of(&route, &id.to_string())).token(&read);
        let opened = world.status(ask).await != StatusCode::UNAUTHORIZED;
        let looks = matches!(route.policy, Policy::Read | Policy::Watch);
        let open = matches!(route.policy, Policy::Open | Policy::Create | Policy::InviteCode);
        let may = looks || open;
        assert_eq!(opened, may, "{} {}", route.method, route.path);
        looked += usize::from(looks);
        // A ticket is for looking too.
        let changes = route.method != Method::GET && !route.path.ends_with("/events-ticket");
        assert!(!looks || !changes, "{} {}", route.method, route.path);
    }
    assert_eq!(looked, 11);
}

#[tokio::test]
async fn a_revoked_token_opens_nothing_from_then_on() {
    let world = World::new(Mode::Production).await;
    let (id, token, _) = world.local_session().await;
    let (read, read_id) = world.minted(id, &token, "read").await;
    let (second, second_id) = world.minted(id, &token, "session").await;
    let list = Ask::get(format!("/api/sessions/{id}/tokens")).token(&token);
    let told = world.send(list.clone()).await;
    assert_eq!(told.json["tokens"].as_array().unwrap().len(), 2);
    assert!(!told.text.contains("st2."), "a list holds no secret");
    // A strangers' session is no way to it.
    let (other, others, _) = world.local_session().await;
    let delete = |session: SessionId, id: &str| {
        Ask::new(Method::DELETE, format!("/api/sessions/{session}/tokens/{id}"))
    };
    let told = world.send(delete(other, &read_id).token(&others)).await;
    assert_eq!(told.json["code"], "token_not_found");
    assert_eq!(world.look(id, &read).await, StatusCode::OK);
    for (token_id, dead) in [(read_id, read), (second_id, second)] {
        assert_eq!(world.look(id, &dead).await, StatusCode::OK);
        assert_eq!(world.status(delete(id, &token_id).token(&token)).await, StatusCode::OK);
        assert_eq!(world.look(id, &dead).await, StatusCode::UNAUTHORIZED);
        let again = world.send(delete(id, &token_id).token(&token)).await;
        assert_eq!(again.json["code"], "token_not_found");
    }
    assert_eq!(world.send(list).await.json, json!({ "tokens": [] }));
    assert_eq!(world.look(id, &token).await, StatusCode::OK, "the others stay");
}

#[tokio::test]
async fn nobody_is_given_more_than_they_have_or_for_longer() {
    let world = World::of(Mode::Production, false, |_| {}).await;
    let (id, token, hook) = world.local_session().await;
    let (read, _) = world.minted(id, &token, "read").await;
    let path = format!("/api/sessions/{id}/tokens");
    for holder in [&read, &hook, &world.token(Scope::Session(SessionId::random()))] {
        for scope in ["read", "session"] {
            let ask = Ask::post(&path).token(holder).json(&json!({ "scope": scope }));
            assert_eq!(world.status(ask).await, StatusCode::UNAUTHORIZED, "{scope}");
        }
    }
    for wider in ["operator", "create", "streams", "hook", "login"] {
        let ask = Ask::post(&path).token(&token).json(&json!({ "scope": wider }));
        assert_eq!(world.send(ask).await.json["code"], "validation_failed", "{wider}");
    }
    let short = world.keys.mint_own(Scope::Session(id), now(), Duration::from_secs(60));
    let wanted = json!({ "scope": "session", "expiresInSeconds": 3_600 });
    let told = world.send(Ask::post(&path).token(&short).json(&wanted)).await;
    let token = told.json["token"].as_str().unwrap();
    assert_eq!(world.look(id, token).await, StatusCode::OK);
    let expires: u64 = token.split('.').nth(5).unwrap().parse().unwrap();
    assert!(expires <= now() + 60, "it does not outlive its holder's");
}

#[tokio::test]
async fn an_expired_token_opens_nothing() {
    let world = World::new(Mode::Production).await;
    let (id, ..) = world.local_session().await;
    let an_hour = Duration::from_secs(3_600);
    for scope in [Scope::Session(id), Scope::Read(id), Scope::Operator] {
        let good = world.keys.mint_own(scope, now(), an_hour);
        assert_eq!(world.look(id, &good).await, StatusCode::OK);
        let expired = world.keys.mint_own(scope, now() - 3_601, an_hour);
        assert_eq!(world.look(id, &expired).await, StatusCode::UNAUTHORIZED, "{scope:?}");
    }
}

#[tokio::test]
async fn a_rotation_ends_what_is_open_and_leaves_one_way_in() {
    let world = Arc::new(World::new(Mode::Production).await);
    let (id, token, hook) = world.local_session().await;
    let (read, _) = world.minted(id, &token, "read").await;
    let (other, others, _) = world.local_session().await;
    let open = async |target: &str, token: &str| {
        let response = world.open(Ask::get(target).token(token)).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body()
    };
    let all = |body| tokio::spawn(axum::body::to_bytes(body, 1 << 20));
    let stream = format!("/v1/stream/session/{id}?offset=now");
    let events = format!("/api/sessions/{id}/events");
    let endless = [
        all(open(&events, &token).await),
        all(open(&events, &read).await),
        all(open(&format!("{stream}&live=sse"), &token).await),
    ];
    let ask = Ask::get(format!("{stream}&live=long-poll")).token(&token);
    let waiting = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.send(ask).await }
    });
    let stays = all(open(&format!("/api/sessions/{other}/events"), &others).await);
    let operators = all(open(&events, &world.token(Scope::Operator)).await);

    let ask = Ask::post(format!("/api/sessions/{id}/tokens/rotate")).token(&token);
    let told = world.send(ask).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.text);
    for stream in endless {
        stream.await.unwrap().unwrap();
    }
    assert_eq!(waiting.await.unwrap().status, StatusCode::UNAUTHORIZED);
    for void in [&token, &read] {
        assert_eq!(world.look(id, void).await, StatusCode::UNAUTHORIZED);
    }
    let tell = |hook: &str| {
        let body = json!({ "hook_event_name": "Stop", "session_id": "c1" });
        Ask::post(format!("/api/sessions/{id}/hook-event")).token(hook).json(&body)
    };
    assert_eq!(world.status(tell(&hook)).await, StatusCode::UNAUTHORIZED);
    let text = |name: &str| told.json[name].as_str().unwrap();
    assert_eq!(world.look(id, text("sessionToken")).await, StatusCode::OK);
    assert_eq!(world.status(tell(text("hookToken"))).await, StatusCode::OK);
    assert!(!stays.is_finished() && !operators.is_finished(), "nobody else's ends");
    assert_eq!(world.look(other, &others).await, StatusCode::OK);
    world.stop.cancel();
    for stream in [stays, operators] {
        stream.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_hook_that_waits_hears_nothing_once_its_token_is_void() {
    let world = Arc::new(World::new(Mode::Production).await);
    let (id, token, hook) = world.local_session().await;
    let asks = json!({
        "hook_event_name": "PreToolUse", "tool_name": "AskUserQuestion", "tool_use_id": "toolu_1",
        "tool_input": { "questions": [{ "question": "Which?", "options": [{ "label": "a" }] }] },
    });
    let ask = Ask::post(format!("/api/sessions/{id}/hook-event")).token(&hook).json(&asks);
    let waiting = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.send(ask).await }
    });
    eventually(async || {
        let gates = world.studio.pending_gates(id).await.unwrap();
        (!gates.is_empty()).then_some(())
    })
    .await;
    let rotate = Ask::post(format!("/api/sessions/{id}/tokens/rotate")).token(&token);
    assert_eq!(world.status(rotate).await, StatusCode::OK);
    assert_eq!(waiting.await.unwrap().status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_hook_that_waits_hears_nothing_once_its_projects_secret_is_void() {
    let world = Arc::new(World::new(Mode::Production).await);
    let operator = world.token(Scope::Operator);
    let asking = async || {
        let told = world.send(Ask::get("/api/sessions").token(&operator)).await.json;
        let id = told["sessions"][0]["id"].as_str()?.parse().unwrap();
        Some(world.studio.pending_gates(id).await.unwrap().len())
    };
    for (nth, end) in ["revoked", "given up", "changed"].into_iter().enumerate() {
        let (project, secret) = world.project_secret("/app").await;
        let asks = json!({
            "hook_event_name": "PreToolUse", "tool_name": "AskUserQuestion",
            "tool_use_id": format!("toolu_{nth}"), "transcript_path": "/t",
            "tool_input": { "questions": [{ "question": "Which?" }] },
        });
        let ask = Ask::post("/api/hook").token(&secret).json(&asks);
        let waiting = tokio::spawn({
            let world = Arc::clone(&world);
            async move { world.send(ask).await }
        });
        eventually(async || (asking().await == Some(nth + 1)).then_some(())).await;
        let delete = |path: &str, token: &str| Ask::new(Method::DELETE, path).token(token);
        match end {
            "revoked" => {
                let path = format!("/api/hooks/projects/{project}");
                assert_eq!(world.status(delete(&path, &operator)).await, 200);
            }
            "given up" => assert_eq!(world.status(delete("/api/hook", &secret)).await, 200),
            _ => drop(world.project_secret("/app").await),
        }
        assert_eq!(waiting.await.unwrap().status, StatusCode::UNAUTHORIZED, "{end}");
    }
    assert_eq!(asking().await, Some(3), "a person may answer still, and the next hook hears it");
}

#[tokio::test]
async fn a_key_of_a_program_creates_and_does_nothing_else() {
    let world = World::with(Mode::Production, |http| http.creation = Creation::Operator).await;
    let (key, key_id) = world.key("create").await;
    let create = || Ask::post("/api/sessions/local").token(&key);
    let told = world.send(create()).await;
    assert_eq!(told.status, StatusCode::CREATED, "{}", told.text);
    let id: SessionId = told.json["sessionId"].as_str().unwrap().parse().unwrap();
    assert_eq!(world.look(id, &key).await, StatusCode::UNAUTHORIZED);
    let own = told.json["sessionToken"].as_str().unwrap();
    assert_eq!(world.look(id, own).await, StatusCode::OK);
    assert_eq!(world.status(Ask::get("/api/sessions").token(&key)).await, 401);
    let delete = |id: &str| Ask::new(Method::DELETE, format!("/api/tokens/{id}"));
    assert_eq!(world.status(delete(&key_id).token(&key)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.status(delete(&key_id).token(&world.token(Scope::Operator))).await, 200);
    assert_eq!(world.status(create()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.look(id, own).await, StatusCode::OK, "what it created stays");

    let (operator, operator_id) = world.key("operator").await;
    assert_eq!(world.status(Ask::get("/api/sessions").token(&operator)).await, 200);
    assert_eq!(world.status(delete(&operator_id).token(&operator)).await, 200);
    assert_eq!(world.status(Ask::get("/api/sessions").token(&operator)).await, 401);
}

#[tokio::test]
async fn what_is_void_is_so_after_a_restart() {
    let before = World::new(Mode::Production).await;
    let (id, token, _) = before.local_session().await;
    let (revoked, revoked_id) = before.minted(id, &token, "read").await;
    let (kept, _) = before.minted(id, &token, "read").await;
    let (rotated, old, _) = before.local_session().await;
    let path = format!("/api/sessions/{id}/tokens/{revoked_id}");
    assert_eq!(before.status(Ask::new(Method::DELETE, path).token(&token)).await, 200);
    let ask = Ask::post(format!("/api/sessions/{rotated}/tokens/rotate")).token(&old);
    let new = before.send(ask).await.json["sessionToken"].as_str().unwrap().to_owned();
    before.studio.stop().await;

    let after = World::over(Arc::clone(&before.streams), Mode::Production, true, |_| {}).await;
    assert_eq!(after.look(id, &revoked).await, StatusCode::UNAUTHORIZED);
    assert_eq!(after.look(rotated, &old).await, StatusCode::UNAUTHORIZED);
    for (id, good) in [(id, &token), (id, &kept), (rotated, &new)] {
        assert_eq!(after.look(id, good).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn nobody_writes_the_list_of_tokens_but_the_studio() {
    for open in [false, true] {
        let world = World::with(Mode::Production, |http| http.streams_open = open).await;
        let (key, _) = world.key("streams").await;
        let path = format!("/v1/stream/{}", StreamPath::tokens());
        for holder in [key, world.token(Scope::Operator)] {
            for method in [Method::PUT, Method::POST, Method::DELETE] {
                let ask = Ask::new(method, &path).token(&holder).bytes("{}");
                assert_eq!(world.status(ask).await, StatusCode::UNAUTHORIZED);
            }
            let read = world.send(Ask::get(&path).token(&holder)).await;
            assert_eq!(read.status, StatusCode::OK);
            assert!(!read.text.contains("st2."), "there are no secrets in it");
            let other = Ask::post("/v1/stream/notes").token(&holder).bytes("{}");
            assert_eq!(world.status(other).await, StatusCode::NOT_FOUND);
        }
    }
}
