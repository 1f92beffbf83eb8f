//! Bad input on every route of the real process: an answer below 500, no panic, and everything
//! goes on.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::world::{Place, Session, World};

/// Every route; `{id}` is a session's id.
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/api/health"),
    ("GET", "/api/config"),
    ("GET", "/api/sessions"),
    ("POST", "/api/sessions"),
    ("POST", "/api/sessions/local"),
    ("GET", "/api/sessions/{id}"),
    ("DELETE", "/api/sessions/{id}"),
    ("POST", "/api/sessions/{id}/iterate"),
    ("POST", "/api/sessions/{id}/respond"),
    ("POST", "/api/sessions/{id}/interrupt"),
    ("POST", "/api/sessions/{id}/cancel"),
    ("POST", "/api/sessions/{id}/hook-event"),
    ("GET", "/api/sessions/{id}/events"),
    ("GET", "/api/sessions/{id}/gates"),
    ("GET", "/api/sessions/{id}/queue"),
];

/// Larger bodies do not fit into what a server has read when it refuses them unread.
const UNREAD_BYTES: usize = 64 * 1024;

/// Names that end up in paths, arguments or files if nobody looks.
const HOSTILE: &[&str] = &[
    "../../../etc/passwd",
    "$(touch /tmp/owned)",
    "`id`; rm -rf /",
    "--dangerously-skip-permissions",
    "a\u{0}b",
    "line\nbreak\r\n: x",
    "\u{202e}gpj.exe",
    "'\"\\",
    "🙂",
    " ",
    "",
];

async fn world() -> World {
    World::start(Place::Local, "hello").await
}

/// A session that waits for its infrastructure choice: nothing is started for it.
async fn waiting(world: &World) -> Session {
    world.session_of(json!({ "description": "a list" })).await
}

async fn is_well(world: &World) {
    let (status, health) = world.get("/api/health", "").await;
    assert_eq!((status, &health["healthy"]), (200, &json!(true)), "{health}");
    world.is_sound();
}

/// Sends it, and gives the status, which must not be the server's fault; a stream is not read.
async fn send(
    world: &World,
    method: &str,
    path: &str,
    token: &str,
    body: Option<(&str, Vec<u8>)>,
) -> u16 {
    let method: Method = method.parse().unwrap();
    // A connection for each: one on which a body was refused unread is closed.
    let mut request = world.server.client().request(method.clone(), world.server.url(path));
    request = request.header("connection", "close");
    if !token.is_empty() {
        request = request.header("authorization", token);
    }
    if let Some((kind, bytes)) = body.clone() {
        request = request.header(CONTENT_TYPE, kind).body(bytes);
    }
    let answer = match request.timeout(Duration::from_secs(20)).send().await {
        Ok(answer) => answer,
        // Refused before it was read whole: the reset may overtake the answer on its way.
        Err(error) if UNREAD_BYTES < body.as_ref().map_or(0, |(_, bytes)| bytes.len()) => {
            assert!(!error.is_timeout(), "{method} {path}: {error}");
            return 413;
        }
        Err(error) => panic!("{method} {path} {body:?}: {error:?}"),
    };
    let status = answer.status().as_u16();
    assert!(status < 500, "{method} {path} {body:?}: {status} {:?}", answer.text().await);
    status
}

#[tokio::test]
async fn every_route_refuses_tokens_that_do_not_open_it() {
    let world = world().await;
    let (mine, other) = (waiting(&world).await, waiting(&world).await);
    let long = format!("Bearer {}", "a".repeat(20_000));
    let cut = format!("Bearer {}", &mine.token[1..]);
    let lower = format!("bearer {}", mine.token);
    let foreign = format!("Bearer {}", other.token);
    let bad =
        ["", "Bearer", "Bearer ", "Basic YTpi", &long, &cut, &lower, &foreign, "Bearer \u{e4}"];
    for (method, path) in ROUTES.iter().filter(|(_, path)| path.contains("{id}")) {
        for token in bad {
            let body = (*method == "POST").then(|| ("application/json", b"{}".to_vec()));
            let status = send(&world, method, &path.replace("{id}", &mine.id), token, body).await;
            assert_eq!(status, 401, "{method} {path} {token:.60}");
        }
        // The token of a session that does not exist is nobody's.
        for id in ["00000000-0000-4000-8000-000000000000", "x", "..%2f..%2fetc", "%00", "%ff"] {
            let token = format!("Bearer {}", mine.token);
            let body = (*method == "POST").then(|| ("application/json", b"{}".to_vec()));
            let status = send(&world, method, &path.replace("{id}", id), &token, body).await;
            assert!(matches!(status, 400 | 401 | 404), "{method} {path} {id}: {status}");
        }
    }
    is_well(&world).await;
}

#[tokio::test]
async fn every_route_refuses_bodies_that_it_does_not_understand() {
    let world = world().await;
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000)).into_bytes();
    let large = format!(r#"{{"description":"{}"}}"#, "x".repeat(300 * 1024)).into_bytes();
    let long = json!({ "description": "x".repeat(10_001), "request": "x".repeat(10_001) });
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\"text\"".to_vec(),
        b"{\"description\": \xff\xfe}".to_vec(),
        b"{\"description\": 1e999, \"request\": 1e999, \"gate\": 1e999}".to_vec(),
        json!({ "description": 1, "request": [], "gate": {} }).to_string().into_bytes(),
        json!({ "description": {}, "request": null, "gate": ["x"] }).to_string().into_bytes(),
        json!({ "description": "", "request": "", "gate": "" }).to_string().into_bytes(),
        json!({ "gate": "infra_config", "mode": 7 }).to_string().into_bytes(),
        json!({ "gate": "ask_user_question", "answers": 3 }).to_string().into_bytes(),
        json!({ "gate": "permission", "toolUseId": "x", "decision": "perhaps" })
            .to_string()
            .into_bytes(),
        long.to_string().into_bytes(),
        deep,
        large,
    ];
    let strict = ["/api/sessions", "/iterate", "/respond"];
    for (method, path) in ROUTES.iter().filter(|(method, _)| *method == "POST") {
        let session = waiting(&world).await;
        let token = format!("Bearer {}", session.token);
        for body in &bodies {
            for kind in ["application/json", "text/plain", "multipart/form-data", "\u{e4}"] {
                let path = path.replace("{id}", &session.id);
                let body = Some((kind, body.clone()));
                let status = send(&world, method, &path, &token, body).await;
                let refused = (400..500).contains(&status);
                let must_refuse = strict.iter().any(|end| path.ends_with(end));
                assert!(refused || !must_refuse, "{path} {kind}: {status}");
            }
        }
    }
    is_well(&world).await;
}

#[tokio::test]
async fn hostile_words_stay_words() {
    let world = world().await;
    for name in HOSTILE {
        let session = waiting(&world).await;
        for field in ["repoAccount", "repoName"] {
            let mut body = json!({
                "gate": "infra_config", "mode": "local",
                "repoAccount": "somebody", "repoName": "something",
            });
            body[field] = json!(name);
            let (status, told) = world.try_to_tell(&session, "respond", body).await;
            let blank = name.trim().is_empty();
            assert!(status == 400 || blank && status == 200, "{field} {name:?}: {status} {told}");
            if blank {
                break;
            }
        }
        world.tell(&session, "cancel", json!({})).await;
        let body = json!({ "description": "x", "freeform": true, "model": name });
        let (status, told) = world.post("/api/sessions", "", &body).await;
        assert_eq!(status, 400, "model {name:?}: {told}");
        let body = json!({ "description": name, "name": name, "baseDir": name });
        let (status, told) = world.post("/api/sessions", "", &body).await;
        match status {
            201 => {
                let project = told["session"]["projectName"].as_str().unwrap();
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                assert!(project.chars().all(plain), "{project}");
            }
            400 => {}
            other => panic!("{name:?}: {other} {told}"),
        }
        let path = format!("/api/sessions?after={name}").replace(['\n', '\r', '\0', ' '], "%20");
        assert!(send(&world, "GET", &path, "", None).await < 500);
    }
    assert!(!std::path::Path::new("/tmp/owned").exists());
    is_well(&world).await;
}

#[tokio::test]
async fn unknown_routes_methods_and_hosts_are_told_plainly() {
    let world = world().await;
    for path in ["/api", "/api/nothing", "/api/%00", "/api//"] {
        assert_eq!(send(&world, "GET", path, "", None).await, 404, "{path}");
    }
    let session = waiting(&world).await;
    let token = format!("Bearer {}", session.token);
    for (method, route) in ROUTES {
        let path = route.replace("{id}", &session.id);
        // Below a session nothing is told to who does not hold its token; `local` is none's id.
        let below = path.starts_with("/api/sessions/") && *route != "/api/sessions/local";
        for other in ["PUT", "PATCH", "TRACE", "BREW"] {
            if *route == "/api/sessions/{id}" && other == "PATCH" {
                // It is one of this route's own.
                continue;
            }
            if *route == "/api/sessions/local" && other == "PATCH" {
                // What a session's route would take is asked of a session `local`.
                assert_eq!(send(&world, other, &path, &token, None).await, 401);
                continue;
            }
            let bare = send(&world, other, &path, "", None).await;
            assert_eq!(bare, if below { 401 } else { 405 }, "{other} instead of {method} {path}");
            let held = send(&world, other, &path, &token, None).await;
            assert_eq!(held, 405, "{other} for {method} {path}");
        }
    }
    let client = world.server.client();
    let foreign = client.get(world.server.url("/api/health")).header("host", "evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    let foreign =
        client.get(world.server.url("/api/health")).header("origin", "http://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    is_well(&world).await;
}

#[tokio::test]
async fn connections_that_break_or_talk_nonsense_harm_nobody() {
    let world = world().await;
    let session = waiting(&world).await;
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", world.server.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    };
    let token = &session.token;
    let nonsense: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        format!("GET /api/health HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(200_000)).into_bytes(),
        b"POST /api/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n".to_vec(),
        b"POST /api/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\
          Content-Type: application/json\r\n\r\n{"
            .to_vec(),
        b"POST /api/sessions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
          Content-Type: application/json\r\n\r\nzz\r\n"
            .to_vec(),
        b"POST /api/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\
          Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x"
            .to_vec(),
        format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: 400\r\n\r\n{{\"request\": \"cut he",
            session.path("iterate")
        )
        .into_bytes(),
    ];
    for bytes in nonsense {
        let mut stream = connect();
        // The server may have hung up already.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        let status = text.split(' ').nth(1).unwrap_or_default();
        let asked = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        assert!(!status.starts_with('5') || status == "505", "{asked:?}: {text}");
        assert!(!text.starts_with("HTTP/1.1 201"), "{asked:?}: {text}");
    }
    // Readers that hang up at once, many of them.
    for _ in 0..100 {
        let mut stream = connect();
        let head = format!("Host: localhost\r\nAuthorization: Bearer {token}");
        let _ = write!(stream, "GET {} HTTP/1.1\r\n{head}\r\n\r\n", session.path("events"));
    }
    assert_eq!(world.ask(&session, "").await["status"], Value::from("running"));
    is_well(&world).await;
}
