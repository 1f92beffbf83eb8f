//! Nonsense on every route of the real process: always a clear refusal, never a fault, and the
//! server serves on.

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::world::{Place, Session, World};

/// An id that no session has.
const UNKNOWN: &str = "00000000-0000-4000-8000-00000000000a";

/// Bodies that no route takes.
fn bad_bodies() -> Vec<Vec<u8>> {
    let long = "x".repeat(20_000);
    let texts = [
        "",
        "{",
        "null",
        "[]",
        "42",
        "\"text\"",
        "{\"description\": 7, \"request\": [], \"gate\": {}}",
        "{\"description\": \"\", \"request\": \"\", \"gate\": \"\"}",
        "{\"gate\": \"ask_user_question\"}",
        "{\"gate\": \"ask_user_question\", \"toolUseId\": \"'; rm -rf /\", \"answers\": 1}",
        "{\"gate\": \"permission\", \"toolUseId\": \"../../x\", \"decision\": \"perhaps\"}",
        "{\"gate\": \"infra_config\", \"mode\": \"cloud\", \"databaseUrl\": \"a\\nprivileged: true\"}",
        "{\"a\":1}{\"b\":2}",
    ];
    let mut bodies: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    bodies.push(vec![b'{', b'"', 0xff, 0xfe, b'"', b':', b'1', b'}']);
    bodies.push(json!({ "description": long, "request": long, "gate": long }).to_string().into());
    bodies.push("[".repeat(100_000).into_bytes());
    bodies.push(vec![b' '; 3 * 1024 * 1024]);
    bodies
}

fn routes(id: &str) -> Vec<(reqwest::Method, String)> {
    use reqwest::Method;
    let post = ["iterate", "respond", "interrupt", "cancel", "hook-event"];
    let get = ["", "events", "gates", "queue"];
    let mut routes: Vec<_> =
        post.iter().map(|verb| (Method::POST, format!("/api/sessions/{id}/{verb}"))).collect();
    routes.extend(get.iter().map(|what| {
        (Method::GET, format!("/api/sessions/{id}/{what}").trim_end_matches('/').to_owned())
    }));
    routes.push((Method::DELETE, format!("/api/sessions/{id}")));
    routes
}

#[tokio::test]
async fn bad_bodies_are_refused_on_every_route() {
    let world = World::start(Place::Local, "hello").await;
    let session = world.session_of(json!({ "description": "an app" })).await;
    let session_routes = ["iterate", "respond"].map(|verb| session.path(verb));
    let paths = session_routes.into_iter().chain(["/api/sessions".to_owned()]);
    for path in paths {
        for body in bad_bodies() {
            let client = world.server.client();
            let request = client
                .post(world.server.url(&path))
                .bearer_auth(&session.token)
                .header("content-type", "application/json")
                .body(body.clone());
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            // `{"gate": "ask_user_question", …}` of a gate that is not there is a 404.
            assert!(matches!(status, 400 | 404 | 413), "{path} {start}: {status}");
            let told: Value = answer.json().await.unwrap();
            assert!(told["error"].is_string(), "{path} {start}: {told}");
        }
        // The right JSON as something else.
        let request = world.server.client().post(world.server.url(&path));
        let request = request.bearer_auth(&session.token).header("content-type", "text/plain");
        let status = request.body("{\"description\":\"x\"}").send().await.unwrap().status();
        assert_eq!(status, 415, "{path}");
    }
    world.is_sound();
    assert_eq!(world.get("/api/health", "").await.0, 200);
}

#[tokio::test]
async fn tokens_that_are_missing_malformed_or_foreign_open_nothing() {
    let world = World::start(Place::Local, "hello").await;
    let session = world.session_of(json!({ "description": "an app" })).await;
    let other = world.session_of(json!({ "description": "another" })).await;
    let (_, local) = world.post("/api/sessions/local", "", &json!({})).await;
    let hook = local["hookToken"].as_str().unwrap().to_owned();
    let zs = "z".repeat(64);
    let long = "a".repeat(10_000);
    let tokens = ["", "x", &zs, &long, "Bearer", "'; rm -rf /", &other.token, &hook];
    for id in [session.id.as_str(), UNKNOWN] {
        for (method, path) in routes(id) {
            for token in tokens {
                let client = world.server.client();
                let request = client.request(method.clone(), world.server.url(&path));
                let request = request.bearer_auth(token).json(&json!({}));
                let status = request.send().await.unwrap().status().as_u16();
                assert_eq!(status, 401, "{method} {path} with {token:.20}");
            }
        }
    }
    // A session's own token is no hook token.
    let (status, _) = world.try_to_tell(&session, "hook-event", json!({})).await;
    assert_eq!(status, 401);
    // What was not allowed was not done.
    assert_eq!(world.ask(&session, "").await["status"], "running");
    assert_eq!(world.gates(&session).await.len(), 1);
    world.is_sound();
}

#[tokio::test]
async fn hostile_ids_names_and_paths_are_refused() {
    let world = World::start(Place::Local, "hello").await;
    let ids = ["..", "%2e%2e", "local'--", "a%00b", "%0d%0aX-Header:1", "-rf", "%F0%9F%99%82"];
    for id in ids {
        for (method, path) in routes(id) {
            let request = world.server.client().request(method.clone(), world.server.url(&path));
            let status = request.bearer_auth("x").json(&json!({})).send().await.unwrap().status();
            assert!(status.is_client_error(), "{method} {path}: {status}");
        }
    }
    let hostile =
        ["'; rm -rf /", "../../../etc/passwd", "-rf --no-sandbox", "a\nb\r\n\0c", "$(id) `id`"];
    for description in hostile {
        let session = world.session(description).await;
        let mut watch = world.watch(&session).await;
        let prompt = watch.next("user_prompt").await;
        assert_eq!(prompt.text("message"), description);
        let end = watch.turn_end().await;
        assert_eq!(end.event["success"], true, "{description:?}: {}", watch.told());
        let (status, _) = world.delete(&session).await;
        assert_eq!(status, 200);
    }
    let session = world.session("say hello").await;
    world.watch(&session).await.turn_end().await;
    for offset in ["x y", "a,b", "99999999999999999999", "%00", "-2"] {
        let path = format!("{}?offset={offset}", session.path("events"));
        let (status, told) = world.get(&path.replace(' ', "%20"), &session.token).await;
        assert_eq!(status, 400, "{offset}: {told}");
    }
    world.is_sound();
}

#[tokio::test]
async fn connections_that_break_in_the_middle_leave_nothing_half_done() {
    let world = World::start(Place::Local, "hello").await;
    let session: Session = world.session_of(json!({ "description": "an app" })).await;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{\"gate\":",
        session.path("respond"),
        world.server.port(),
        session.token
    );
    for cut in (0..head.len()).step_by(7).chain([head.len()]) {
        let mut stream = TcpStream::connect(("127.0.0.1", world.server.port())).await.unwrap();
        stream.write_all(&head.as_bytes()[..cut]).await.unwrap();
        drop(stream);
    }
    assert_eq!(world.gates(&session).await.len(), 1);
    assert_eq!(world.get("/api/health", "").await.0, 200);
    world.is_sound();
}
