//! Shared sessions: people who watch sessions together.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};
use studio_auth::Scope;
use studio_flows::Mode;
use studio_ids::{RoomId, SessionId};
use studio_streams::{Batch, StreamPath, StreamStore as _};
use support::{Ask, Told, World};

/// One that was just made.
struct Made {
    id: RoomId,
    code: String,
    token: String,
}

impl Made {
    /// A request below it, with its token.
    fn ask(&self, method: Method, below: &str) -> Ask {
        Ask::new(method, format!("/api/shared-sessions/{}/{below}", self.id)).token(&self.token)
    }

    fn post(&self, below: &str, body: &Value) -> Ask {
        self.ask(Method::POST, below).json(body)
    }

    fn link(&self, session: SessionId) -> Ask {
        self.post("sessions", &json!({ "sessionId": session, "linkedBy": "p1" }))
    }

    fn token_of(&self, session: SessionId) -> Ask {
        self.ask(Method::GET, &format!("sessions/{session}/token"))
    }
}

fn person(id: &str) -> Value {
    json!({ "participant": { "id": id, "displayName": id.to_uppercase() } })
}

impl World {
    async fn shared(&self) -> Made {
        let ask = Ask::post("/api/shared-sessions");
        let mut body = person("p1");
        body["name"] = "kites".into();
        let told = self.send(ask.json(&body)).await;
        assert_eq!(told.status, StatusCode::CREATED, "{}", told.text);
        let text = |name: &str| told.json[name].as_str().unwrap().to_owned();
        Made { id: text("id").parse().unwrap(), code: text("code"), token: text("roomToken") }
    }

    async fn find(&self, code: &str) -> Told {
        self.send(Ask::get(format!("/api/shared-sessions/join/{code}"))).await
    }

    async fn done(&self, ask: Ask) {
        let told = self.send(ask).await;
        assert_eq!((told.status, &told.json), (StatusCode::OK, &json!({ "ok": true })));
    }

    async fn present(&self, made: &Made) -> Value {
        let told = self.send(made.ask(Method::GET, "presence")).await;
        told.json["participants"].clone()
    }

    /// Everything that was told in it, without times and offsets.
    async fn told(&self, made: &Made, ask: Ask) -> Vec<Value> {
        // So that the stream of events ends.
        self.streams.close(&StreamPath::shared(made.id)).await.unwrap();
        let told = self.send(ask).await;
        assert_eq!(told.headers["content-type"], "text/event-stream");
        let data = told.text.lines().filter_map(|line| line.strip_prefix("data:"));
        let mut events: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
        for event in &mut events {
            assert!(event.as_object_mut().unwrap().remove("ts").unwrap().is_string());
        }
        events
    }
}

#[tokio::test]
async fn people_watch_sessions_together() {
    let world = World::new(Mode::Production).await;
    let (session, token, _) = world.local_session().await;
    let made = world.shared().await;
    let found = world.find(&made.code).await;
    let expected = json!({
        "id": made.id, "code": made.code, "revoked": false, "roomToken": made.token,
    });
    assert_eq!((found.status, found.json), (StatusCode::OK, expected));

    world.done(made.post("join", &person("p2"))).await;
    world.done(made.post("join", &person("p2"))).await;
    world.done(made.post("ping", &json!({ "participantId": "p2", "displayName": "Grace" }))).await;
    world.done(made.post("ping", &json!({ "participantId": "0123456789" }))).await;
    let ids = json!([
        { "id": "0123456789", "displayName": "01234567" }, { "id": "p2", "displayName": "Grace" },
    ]);
    assert_eq!(world.present(&made).await, ids);
    world.done(made.post("leave", &json!({ "participantId": "p2" }))).await;
    world.done(made.post("leave", &json!({ "participantId": "p2" }))).await;
    assert_eq!(world.present(&made).await, json!([ids[0]]), "who leaves is not present");

    let link = json!({
        "sessionId": session, "linkedBy": "p1", "sessionName": "shop",
        "sessionDescription": "x".repeat(10_000),
    });
    world.done(made.post("sessions", &link).header("x-session-token", token.clone())).await;
    let told = world.send(made.token_of(session)).await;
    assert_eq!((told.status, told.json), (StatusCode::OK, json!({ "sessionToken": token })));
    world.done(made.ask(Method::DELETE, &format!("sessions/{session}"))).await;
    world.done(made.ask(Method::POST, "revoke")).await;

    let ada = &person("p1")["participant"];
    let events = world.told(&made, made.ask(Method::GET, "events")).await;
    let expected = [
        json!({ "type": "shared_session_created", "name": "kites", "code": made.code, "createdBy": ada }),
        json!({ "type": "participant_joined", "participant": ada }),
        json!({ "type": "participant_joined", "participant": person("p2")["participant"] }),
        json!({ "type": "participant_left", "participantId": "p2" }),
        json!({
            "type": "session_linked", "sessionId": session, "sessionName": "shop",
            "sessionDescription": "x".repeat(500), "linkedBy": "p1",
        }),
        json!({ "type": "session_unlinked", "sessionId": session }),
        json!({ "type": "code_revoked" }),
    ];
    assert_eq!(events, expected);
    let in_query = format!("/api/shared-sessions/{}/events?token={}", made.id, made.token);
    assert_eq!(world.told(&made, Ask::get(in_query)).await, expected);
}

#[tokio::test]
async fn l1_a_member_gets_no_session_that_was_not_given_away() {
    let world = World::new(Mode::Production).await;
    let (session, token, hook) = world.local_session().await;
    let (_, others, _) = world.local_session().await;
    let made = world.shared().await;
    let refused = async || {
        let told = world.send(made.token_of(session)).await;
        assert_eq!(
            told.line(),
            "404 application/problem+json session_not_found: Session not found"
        );
    };
    refused().await;
    let read = world.token(Scope::Read(session));
    for wrong in [made.token.as_str(), &hook, &others, &read, "", "x"] {
        let told = world.send(made.link(session).header("x-session-token", wrong)).await;
        let line = "401 application/problem+json unauthenticated: Invalid or missing session token";
        assert_eq!(told.line(), line, "{wrong}");
    }
    assert_eq!(world.send(made.link(session)).await.status, StatusCode::UNAUTHORIZED);
    refused().await;

    world.done(made.link(session).header("x-session-token", token.clone())).await;
    assert_eq!(world.send(made.token_of(session)).await.json["sessionToken"], token);
    let another = world.shared().await;
    let told = world.send(another.token_of(session)).await;
    assert_eq!(told.status, StatusCode::NOT_FOUND, "linked elsewhere");
    world.done(made.ask(Method::DELETE, &format!("sessions/{session}"))).await;
    refused().await;
    let operator = world.token(Scope::Operator);
    world.done(made.link(session).without("authorization").token(&operator)).await;
    assert_eq!(world.send(made.token_of(session)).await.status, StatusCode::OK);

    let none = made.link(SessionId::random()).without("authorization").token(&operator);
    assert_eq!(world.send(none).await.status, StatusCode::NOT_FOUND);
    world.done(Ask::new(Method::DELETE, format!("/api/sessions/{session}")).token(&token)).await;
    refused().await;
}

#[tokio::test]
async fn a_link_ends_when_the_sessions_tokens_are_rotated() {
    let world = World::new(Mode::Production).await;
    let (session, token, _) = world.local_session().await;
    let made = world.shared().await;
    world.done(made.link(session).header("x-session-token", token.clone())).await;
    let rotate = Ask::post(format!("/api/sessions/{session}/tokens/rotate")).token(&token);
    assert_eq!(world.send(rotate).await.status, StatusCode::OK);
    let told = world.send(made.token_of(session)).await;
    assert_eq!(told.status, StatusCode::NOT_FOUND);
    let again = world.send(made.link(session).header("x-session-token", token)).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED, "the old token links nothing");
}

#[tokio::test]
async fn l2_a_revoked_code_gives_no_token() {
    let world = World::new(Mode::Production).await;
    let made = world.shared().await;
    world.done(made.ask(Method::POST, "revoke")).await;
    world.done(made.ask(Method::POST, "revoke")).await;
    let found = world.find(&made.code).await;
    let expected = json!({ "id": made.id, "code": made.code, "revoked": true });
    assert_eq!((found.status, found.json), (StatusCode::OK, expected));
    let told = world.send(made.post("join", &person("p2"))).await;
    let line = "403 application/problem+json invite_revoked: Invite code has been revoked";
    assert_eq!(told.line(), line);
    world.done(made.post("leave", &json!({ "participantId": "p1" }))).await;
}

#[tokio::test]
async fn a_shared_session_outlives_the_server_and_is_no_other_studios() {
    let world = World::new(Mode::Production).await;
    let (session, token, _) = world.local_session().await;
    let made = world.shared().await;
    world.done(made.link(session).header("x-session-token", token.clone())).await;
    world.done(made.post("ping", &json!({ "participantId": "p1" }))).await;

    let stranger = World::new(Mode::Production).await;
    assert_eq!(stranger.find(&made.code).await.status, StatusCode::NOT_FOUND);
    assert_eq!(stranger.present(&made).await, json!([]), "as nobody told it there");
    let told = stranger.send(made.post("join", &person("p2"))).await;
    let line = "404 application/problem+json shared_session_not_found: Shared session not found";
    assert_eq!(told.line(), line);

    world.studio.stop().await;
    let next = World::over(Arc::clone(&world.streams), Mode::Production, true, |_http| {}).await;
    assert_eq!(next.find(&made.code).await.json["roomToken"], made.token);
    assert_eq!(next.send(made.token_of(session)).await.json["sessionToken"], token);
    next.done(made.post("join", &person("p2"))).await;
    next.done(made.ask(Method::POST, "revoke")).await;
    assert_eq!(next.find(&made.code).await.json["revoked"], true);
}

#[tokio::test]
async fn an_address_comes_so_often_an_hour() {
    let world = World::new(Mode::Dev).await;
    let made = world.shared().await;
    for n in 0..60 {
        assert_eq!(world.find(&format!("{n:064x}")).await.status, StatusCode::NOT_FOUND);
        world.done(made.post("join", &person(&format!("p{n}")))).await;
    }
    let told = world.find(&made.code).await;
    let line = "429 application/problem+json rate_limited: Too many joins. Please try again later.";
    assert_eq!(told.line(), line);
    assert!(told.headers.contains_key("retry-after"));
    let told = world.send(made.post("join", &person("q"))).await;
    assert_eq!(told.line(), line);
    world.done(made.post("join", &person("q")).from([192, 0, 2, 9])).await;
}

#[tokio::test]
async fn a_full_shared_session_lets_people_go_and_nobody_come() {
    let world = World::new(Mode::Dev).await;
    let made = world.shared().await;
    let path = StreamPath::shared(made.id);
    let event = Bytes::from(r#"{"type":"from_the_future","ts":"t"}"#);
    let batch = Batch::new(vec![event; 2_000]).unwrap();
    world.streams.append(&path, batch, None).await.unwrap();
    let told = world.send(made.post("join", &person("p2"))).await;
    let line = "409 application/problem+json shared_session_full: The shared session is full: make another";
    assert_eq!(told.line(), line);
    world.done(made.post("join", &person("p1"))).await;
    world.done(made.post("leave", &json!({ "participantId": "p1" }))).await;
    world.done(made.ask(Method::POST, "revoke")).await;
}

#[tokio::test]
async fn nobody_writes_what_shared_sessions_are_made_of_but_the_studio() {
    for open in [false, true] {
        let world = World::with(Mode::Production, |http| http.streams_open = open).await;
        let (session, ..) = world.local_session().await;
        let made = world.shared().await;
        let stream = format!("/v1/stream/shared/{}", made.id);
        let link = json!({ "type": "session_linked", "sessionId": session, "linkedBy": "p1", "ts": "2126-11-24T09:00:00.000Z" });
        for scope in [Scope::Streams, Scope::Operator, Scope::Room(made.id)] {
            let token = world.token(scope);
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                let told = world.send(Ask::new(method, &stream).token(&token).json(&link)).await;
                assert_eq!(told.status, StatusCode::UNAUTHORIZED);
            }
        }
        let told = world.send(made.token_of(session)).await;
        assert_eq!(told.status, StatusCode::NOT_FOUND);
        // The code stands there.
        let read =
            async |scope| world.send(Ask::get(&stream).token(&world.token(scope))).await.status;
        assert_eq!(read(Scope::Streams).await, StatusCode::UNAUTHORIZED);
        assert_eq!(read(Scope::Room(made.id)).await, StatusCode::UNAUTHORIZED);
        assert_eq!(read(Scope::Operator).await, StatusCode::OK);
    }
}
