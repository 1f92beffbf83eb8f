//! Tokens that are good for something else, or for nothing, on the real program. The lines are
//! those of the table "What is tried" of `docs/security.md`.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use studio_testkit::{SseReader, StudioServer};

use crate::studio::{SOON, Session, hooked, is_sound, post, program};

/// In production nobody is let in for where they come from.
async fn server() -> StudioServer {
    program().arg("--sandbox").arg("local").env("STUDIO_DEV_MODE", "0").start().await
}

fn operator(server: &StudioServer) -> String {
    let token = std::fs::read_to_string(server.data_dir().join("operator-token")).unwrap();
    token.trim().to_owned()
}

/// What a session's own token opens, what looks first.
const OWN: [(Method, &str); 15] = [
    (Method::GET, ""),
    (Method::GET, "gates"),
    (Method::GET, "queue"),
    (Method::GET, "usage"),
    (Method::GET, "files"),
    (Method::GET, "export"),
    (Method::GET, "events"),
    (Method::PATCH, ""),
    (Method::POST, "iterate"),
    (Method::POST, "respond"),
    (Method::POST, "stream/append"),
    (Method::POST, "tokens"),
    (Method::POST, "tokens/rotate"),
    (Method::POST, "cancel"),
    (Method::DELETE, ""),
];

async fn asked(server: &StudioServer, method: &Method, path: &str, token: &[u8]) -> StatusCode {
    let request = server.client().request(method.clone(), server.url(path)).timeout(SOON);
    let mut value = b"Bearer ".to_vec();
    value.extend_from_slice(token);
    let request = request.header("authorization", value);
    let request = if method == Method::GET { request } else { request.json(&json!({})) };
    request.send().await.unwrap().status()
}

/// That this opens nothing of the session, and that the session is as it was.
async fn opens_nothing(server: &StudioServer, session: &Session, token: &[u8]) {
    for (method, what) in OWN {
        let told = asked(server, &method, &session.path(what), token).await;
        let shown = String::from_utf8_lossy(token);
        assert_eq!(told, StatusCode::UNAUTHORIZED, "{method} {what} {shown:.80}");
    }
    let (status, told) = session.ask(server, "").await;
    assert_eq!((status, &told["status"]), (200, &json!("running")), "{told}");
}

async fn minted(server: &StudioServer, path: &str, holder: &str, body: &Value) -> String {
    let (status, told) = post(server, path, holder, body).await;
    assert_eq!(status, 201, "{told}");
    told["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_of_another_session_opens_nothing() {
    let server = server().await;
    let (mine, hook) = hooked(&server).await;
    let (other, other_hook) = hooked(&server).await;
    let read = json!({ "scope": "read" });
    let others_read = minted(&server, &other.path("tokens"), &other.token, &read).await;
    for token in [&other.token, &other_hook, &others_read] {
        opens_nothing(&server, &mine, token.as_bytes()).await;
    }
    let hooks = mine.path("hook-event");
    let stop = json!({ "hook_event_name": "Stop" });
    assert_eq!(post(&server, &hooks, &other_hook, &stop).await.0, 401);
    assert_eq!(post(&server, &hooks, &hook, &stop).await.0, 200);
    let stream = format!("/v1/stream/session/{}", mine.id);
    let told = asked(&server, &Method::GET, &stream, other.token.as_bytes()).await;
    assert_eq!(told, StatusCode::UNAUTHORIZED);
    is_sound(&server);
}

#[tokio::test]
async fn a_token_of_another_purpose_opens_nothing() {
    let server = server().await;
    let (session, hook) = hooked(&server).await;
    let operator = operator(&server);
    for scope in ["create", "streams"] {
        let key = minted(&server, "/api/tokens", &operator, &json!({ "scope": scope })).await;
        opens_nothing(&server, &session, key.as_bytes()).await;
        assert_eq!(asked(&server, &Method::GET, "/api/sessions", key.as_bytes()).await, 401);
    }
    opens_nothing(&server, &session, hook.as_bytes()).await;
    let read = json!({ "scope": "read" });
    let read = minted(&server, &session.path("tokens"), &session.token, &read).await;
    let (looks, changes): (Vec<_>, Vec<_>) =
        OWN.into_iter().partition(|(method, what)| method == Method::GET && *what != "events");
    for (method, what) in looks {
        assert_eq!(asked(&server, &method, &session.path(what), read.as_bytes()).await, 200);
    }
    for (method, what) in changes.into_iter().filter(|(method, _)| method != Method::GET) {
        let told = asked(&server, &method, &session.path(what), read.as_bytes()).await;
        assert_eq!(told, 401, "{method} {what}");
    }
    // Nobody's hooks: neither a person's tokens nor the operator's.
    for token in [&session.token, &read, &operator] {
        let stop = json!({ "hook_event_name": "Stop" });
        assert_eq!(post(&server, &session.path("hook-event"), token, &stop).await.0, 401);
        assert_eq!(post(&server, "/api/hook", token, &stop).await.0, 401);
    }
    for path in ["/api/sessions", "/api/sandboxes", "/api/tokens", "/v1/stream/registry"] {
        for token in [&session.token, &read, &hook] {
            assert_eq!(asked(&server, &Method::GET, path, token.as_bytes()).await, 401, "{path}");
        }
    }
    is_sound(&server);
}

#[tokio::test]
async fn a_token_that_expires_ends_what_is_open_and_opens_nothing() {
    let server = server().await;
    let (session, _) = hooked(&server).await;
    for scope in ["read", "session"] {
        let short = json!({ "scope": scope, "expiresInSeconds": 2 });
        let token = minted(&server, &session.path("tokens"), &session.token, &short).await;
        let events = server.client().get(server.url(&session.path("events")));
        let mut watch = SseReader::open(events.bearer_auth(&token), None).await.unwrap();
        // Nothing is told, so the first thing to come is the end.
        let ended = tokio::time::timeout(SOON, watch.next_event()).await;
        assert_eq!(ended.unwrap().unwrap(), None, "the stream ends with the token");
        opens_nothing(&server, &session, token.as_bytes()).await;
        let query = format!("{}?token={token}", session.path("events"));
        assert_eq!(server.client().get(server.url(&query)).send().await.unwrap().status(), 401);
    }
    is_sound(&server);
}

#[tokio::test]
async fn a_token_that_is_no_hex_opens_nothing_and_breaks_nothing() {
    let server = server().await;
    let (session, _) = hooked(&server).await;
    let good = session.token.clone();
    let wide: String =
        good.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap()).collect();
    let mut flipped = good.clone().into_bytes();
    flipped[0] = if flipped[0] == b'0' { b'1' } else { b'0' };
    for token in [
        b"".to_vec(),
        b"0".to_vec(),
        "g".repeat(64).into_bytes(),
        "0".repeat(64).into_bytes(),
        format!("0x{}", &good[2..]).into_bytes(),
        good.as_bytes()[1..].to_vec(),
        format!("{good}0").into_bytes(),
        format!("{good} {good}").into_bytes(),
        format!("{}-{}", &good[..32], &good[33..]).into_bytes(),
        wide.into_bytes(),
        vec![0xff; 64],
        "\u{e9}".repeat(32).into_bytes(),
        b"st2.".repeat(2_000),
        b"st1.s.x.1.2.3".to_vec(),
        flipped,
    ] {
        opens_nothing(&server, &session, &token).await;
        let hex: String = token.iter().map(|byte| format!("%{byte:02x}")).collect();
        let query = format!("{}?token={hex}", session.path("events"));
        let told = server.client().get(server.url(&query)).send().await.unwrap();
        assert_eq!(told.status(), 401, "{:.80}", hex);
    }
    is_sound(&server);
}
