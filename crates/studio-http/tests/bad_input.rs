//! Whatever is sent to whichever route: a clean refusal, never a 5xx, never a panic.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use axum::http::{Method, StatusCode};
use insta::assert_snapshot;
use serde_json::json;
use studio_api::limits::{BODY_BYTES_MAX, HOOK_BODY_BYTES_MAX};
use studio_auth::Scope;
use studio_flows::Mode;
use studio_http::{Policy, routes};
use studio_ids::{RoomId, SessionId};
use support::{Ask, World, path_of};

fn bad_bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = [
        "", "{", "nul", "null", "1", "\"x\"", "[]", "[[[[", "{}", "{\"\":1}",
        "{\"description\":null}", "{\"description\":1}", "{\"description\":\"\"}",
        "{\"request\":{}}", "{\"request\":\"\\ud800\"}", "{\"gate\":[]}", "{\"gate\":\"\"}",
        "{\"gate\":\"ask_user_question\",\"toolUseId\":\"'; rm -rf / #\",\"answers\":1}",
        "{\"gate\":\"infra_config\",\"mode\":\"../../etc\"}",
        "{\"gate\":\"infra_config\",\"mode\":\"claim\",\"databaseUrl\":\"postgres://a\\n  privileged: true\"}",
        "{\"gate\":\"outbound_message_gate\",\"gateId\":\"infra_config\",\"action\":\"approve\"}",
        "{\"gate\":\"permission\",\"toolUseId\":7}",
        "{\"hook_event_name\":7}", "{\"hook_event_name\":\"PreToolUse\",\"tool_input\":null}",
        "{\"hook_event_name\":\"PreToolUse\",\"tool_name\":\"AskUserQuestion\",\"tool_use_id\":{}}",
        "{\"hook_event_name\":\"SessionEnd\",\"session\":[1]}", "\u{feff}{}", "{}{}",
        "{\"a\":1e999999}", "\u{0}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    bodies.push(vec![0xff, 0xfe, 0xfd]);
    bodies.push(b"{\"description\":\"\xc3\x28\"}".to_vec());
    bodies.push("[".repeat(100_000).into_bytes());
    bodies.push(json!({"description": "x".repeat(10_001), "request": "x".repeat(10_001), "gate": "x".repeat(501)}).to_string().into());
    bodies.push(vec![b' '; BODY_BYTES_MAX + 1]);
    bodies.push(vec![b' '; HOOK_BODY_BYTES_MAX + 1]);
    bodies
}

#[tokio::test]
async fn no_body_brings_a_route_down() {
    let world = World::new(Mode::Dev).await;
    // Made anew once something may have changed it.
    let mut unchanged = None;
    for route in routes() {
        for known in [true, false] {
            for body in bad_bodies() {
                let own = match unchanged.take() {
                    Some(own) => own,
                    None => world.local_session().await,
                };
                let (id, session, hook) = own.clone();
                let id = if known { id } else { SessionId::random() };
                let token = match route.policy {
                    Policy::Hook if known => hook,
                    Policy::Hook => world.token(Scope::Hook(id)),
                    Policy::Session | Policy::Read | Policy::Watch if known => session,
                    Policy::Session | Policy::Read | Policy::Watch => {
                        world.token(Scope::Session(id))
                    }
                    Policy::ReadStream | Policy::WriteStream => world.token(Scope::Streams),
                    Policy::Operator
                    | Policy::LocalUser
                    | Policy::LoginCode
                    | Policy::Open
                    | Policy::InviteCode
                    | Policy::Create => world.token(Scope::Operator),
                    Policy::ProjectHook if route.method == Method::POST => {
                        world.token(Scope::AllHooks)
                    }
                    Policy::ProjectHook => world.project_secret("/bad input").await.1,
                    Policy::SetupCode => world.setup_code().await,
                    Policy::Git => world.token(Scope::Git(id)),
                    Policy::Room | Policy::WatchRoom => {
                        world.token(Scope::Room(RoomId::from_bytes(*id.as_bytes())))
                    }
                };
                if route.policy == Policy::Watch && known {
                    continue; // Takes no body and does not end.
                }
                let path = path_of(&route, &id.to_string());
                let ask = Ask::new(route.method.clone(), path).token(&token).bytes(body);
                let shown = format!("{ask:.200?}");
                let told = world.send(ask).await;
                unchanged = told.status.is_client_error().then_some(own);
                // Nothing is wrong with some of these, and nothing makes sandboxes or databases here.
                let code = told.json["code"].as_str().unwrap_or_default();
                match route.path {
                    "/api/sandboxes" if code == "sandbox_failed" => continue,
                    "/api/provision-electric" if code == "provisioning_failed" => continue,
                    _ => {}
                }
                assert!(told.status.as_u16() < 500, "{shown}: {} {}", told.status, told.text);
                if told.status.is_client_error() {
                    assert!(told.json["code"].is_string(), "{shown}: {}", told.text);
                }
            }
        }
    }
}

#[tokio::test]
async fn no_query_or_header_brings_a_route_down() {
    let world = World::new(Mode::Dev).await;
    let (id, token, _) = world.local_session().await;
    let events = format!("/api/sessions/{id}/events");
    for offset in [
        "",
        "x,y",
        "%00",
        "%ff",
        "99999999999999999999",
        "-2",
        "NOW",
        "a%20b",
        "1%0a2",
        "00000000000000000007",
    ] {
        let told = world.send(Ask::get(format!("{events}?offset={offset}")).token(&token)).await;
        assert_eq!(told.line(), "400 application/problem+json bad_offset: Bad offset", "{offset}");
        if !offset.is_empty() && !offset.contains('%') {
            let told =
                world.send(Ask::get(&events).token(&token).header("last-event-id", offset)).await;
            assert_eq!(told.status, StatusCode::BAD_REQUEST, "{offset}");
        }
    }
    let told =
        world.send(Ask::get(&events).token(&token).header("last-event-id", vec![0xff])).await;
    assert_eq!(told.status, StatusCode::BAD_REQUEST);
    for query in [
        "limit=0",
        "limit=-1",
        "limit=501",
        "limit=x",
        "cursor=x",
        "cursor=../x",
        "cursor=%ff",
        "status=x",
        "archived=x",
    ] {
        let ask = Ask::get(format!("/api/sessions?{query}")).token(&world.token(Scope::Operator));
        assert_eq!(world.send(ask).await.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let participant = Ask::post(format!("/api/sessions/{id}/respond"))
        .token(&token)
        .header("x-participant-id", vec![0xff, 0xfe])
        .header("x-participant-name", "n".repeat(5_000))
        .json(&json!({"gate": "ask_user_question", "toolUseId": "t1", "answer": "x"}));
    let told = world.send(participant).await;
    assert_eq!(told.line(), "404 application/problem+json gate_not_pending: No pending gate found");
}

#[tokio::test]
async fn the_sentences_are_the_references() {
    let world = World::new(Mode::Production).await;
    let (id, token, hook) = world.local_session().await;
    let below = |path: &str| format!("/api/sessions/{id}/{path}");
    let unknown = SessionId::random();
    let foreign = world.token(Scope::Session(unknown));
    let mut lines = String::new();
    for (what, ask) in [
        ("no description", Ask::post("/api/sessions").json(&json!({}))),
        ("not JSON", Ask::post("/api/sessions").bytes("{")),
        ("not declared", Ask::post("/api/sessions").json(&json!({})).without("content-type")),
        ("declared otherwise", Ask::post("/api/sessions").header("content-type", "text/plain")),
        (
            "freeform in production",
            Ask::post("/api/sessions").json(&json!({"description": "x", "freeform": true})),
        ),
        ("too large", Ask::post("/api/sessions").bytes(vec![b' '; BODY_BYTES_MAX + 1])),
        ("unknown session", Ask::get(format!("/api/sessions/{unknown}")).token(&foreign)),
        (
            "unknown session and no body",
            Ask::post(format!("/api/sessions/{unknown}/iterate")).token(&foreign),
        ),
        (
            "unknown session's events",
            Ask::get(format!("/api/sessions/{unknown}/events")).token(&foreign),
        ),
        (
            "unknown session interrupted",
            Ask::post(format!("/api/sessions/{unknown}/interrupt")).token(&foreign),
        ),
        (
            "unknown session cancelled",
            Ask::post(format!("/api/sessions/{unknown}/cancel")).token(&foreign),
        ),
        (
            "unknown session deleted",
            Ask::new(Method::DELETE, format!("/api/sessions/{unknown}")).token(&foreign),
        ),
        ("no token", Ask::get(format!("/api/sessions/{id}"))),
        ("no hook token", Ask::post(below("hook-event")).token(&token)),
        ("nothing said", Ask::post(below("iterate")).token(&token).json(&json!({"request": ""}))),
        (
            "no sandbox",
            Ask::post(below("iterate")).token(&token).json(&json!({"request": "go on"})),
        ),
        ("no gate named", Ask::post(below("respond")).token(&token).json(&json!({}))),
        (
            "no tool call named",
            Ask::post(below("respond")).token(&token).json(&json!({"gate": "ask_user_question"})),
        ),
        (
            "no message named",
            Ask::post(below("respond"))
                .token(&token)
                .json(&json!({"gate": "outbound_message_gate"})),
        ),
        (
            "no gate pending",
            Ask::post(below("respond"))
                .token(&token)
                .json(&json!({"gate": "infra_config", "mode": "local"})),
        ),
        (
            "unknown hook",
            Ask::post(below("hook-event"))
                .token(&hook)
                .json(&json!({"hook_event_name": "Unheard"})),
        ),
        ("unknown route", Ask::get("/api/nothing")),
        ("wrong method", Ask::post("/api/health")),
        ("not ours", Ask::post("/elsewhere")),
    ] {
        let told = world.send(ask).await;
        lines.push_str(&format!("{what}: {}\n", told.line()));
    }
    assert_snapshot!(lines);
}

#[tokio::test]
async fn a_local_session_takes_no_body_and_a_malformed_one() {
    let world = World::new(Mode::Dev).await;
    for body in ["", "{", "{\"description\":\"mine\"}"] {
        let told = world.send(Ask::post("/api/sessions/local").bytes(body)).await;
        assert_eq!(told.status, StatusCode::CREATED, "{body}");
    }
    let told = world.send(Ask::post("/api/sessions/local").bytes("{\"description\":7}")).await;
    assert_eq!(told.json["details"], json!(["description: Expected string, received number"]));
    let foreign = Ask::post("/api/sessions/local").bytes("{}").without("content-type");
    let told = world.send(foreign.header("content-type", "text/plain")).await;
    assert_eq!(told.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
