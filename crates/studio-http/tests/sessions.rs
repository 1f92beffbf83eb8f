//! Finding, naming and putting away sessions, what they cost, taking them out and in as files,
//! telling events from outside, and what the other routes say without a sandbox.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use axum::http::{Method, StatusCode};
use insta::assert_snapshot;
use serde_json::{Value, json};
use studio_api::limits::IMPORT_LINE_BYTES_MAX;
use studio_auth::Scope;
use studio_flows::Mode;
use studio_ids::SessionId;
use studio_streams::{Batch, Offset, StreamPath, StreamStore as _};
use support::{Ask, World};

fn patch(id: SessionId, token: &str, body: &Value) -> Ask {
    Ask::new(Method::PATCH, format!("/api/sessions/{id}")).token(token).json(body)
}

async fn local(world: &World, description: &str) -> (SessionId, String) {
    let body = json!({ "description": description });
    let told = world.send(Ask::post("/api/sessions/local").json(&body)).await;
    let text = |name: &str| told.json[name].as_str().unwrap().to_owned();
    (text("sessionId").parse().unwrap(), text("sessionToken"))
}

/// The descriptions that a query finds, over all pages.
async fn found(world: &World, query: &str) -> Vec<String> {
    let operator = world.token(Scope::Operator);
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let target = format!("/api/sessions?{query}{cursor}");
        let told = world.send(Ask::get(target).token(&operator)).await;
        assert_eq!(told.status, StatusCode::OK, "{}", told.text);
        let page = told.json["sessions"].as_array().unwrap().clone();
        all.extend(page.iter().map(|s| s["description"].as_str().unwrap().to_owned()));
        match told.json["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn sessions_are_found_page_by_page_renamed_and_put_away() {
    let world = World::new(Mode::Dev).await;
    let mut made = Vec::new();
    for n in 0..7 {
        made.push(local(&world, &format!("a shop for Kites {n}")).await);
    }
    let all = found(&world, "limit=500").await;
    assert_eq!(all.len(), 7);
    assert_eq!(found(&world, "limit=2").await, all, "page by page the same");
    assert_eq!(found(&world, "q=kites%206&limit=2").await, ["a shop for Kites 6"]);
    assert_eq!(found(&world, "q=KITES+shop&limit=3").await, all, "every word, whatever case");
    assert_eq!(found(&world, "q=kites+boats").await, [""; 0]);
    assert_eq!(found(&world, "status=running").await.len(), 7);
    assert_eq!(found(&world, "status=cancelled").await, [""; 0]);
    assert_eq!(found(&world, &format!("q={}", made[3].0)).await, ["a shop for Kites 3"]);

    let (id, token) = &made[2];
    let before = world.send(Ask::get(format!("/api/sessions/{id}")).token(token)).await.json;
    let told = world.send(patch(*id, token, &json!({"name": "Dragons 🐉"}))).await;
    assert_eq!((told.status, &told.json["name"]), (StatusCode::OK, &json!("Dragons 🐉")));
    assert_eq!(told.json["lastActiveAt"], before["lastActiveAt"], "that is no activity");
    assert_eq!(found(&world, "q=dragons").await, ["a shop for Kites 2"]);
    let told = world.send(patch(*id, token, &json!({"archived": true, "name": null}))).await;
    assert_eq!((&told.json["name"], &told.json["archived"]), (&Value::Null, &json!(true)));
    assert_eq!(found(&world, "limit=3").await.len(), 6);
    assert_eq!(found(&world, "archived=true").await, ["a shop for Kites 2"]);
    assert_eq!(found(&world, "archived=all").await, all);
    world.send(patch(*id, token, &json!({"archived": false}))).await;
    assert_eq!(found(&world, "").await, all);

    // A page goes on also after the session at its end was deleted.
    let operator = world.token(Scope::Operator);
    let page = world.send(Ask::get("/api/sessions?limit=3").token(&operator)).await.json;
    let last = page["sessions"][2]["id"].as_str().unwrap();
    let gone = Ask::new(Method::DELETE, format!("/api/sessions/{last}")).token(&operator);
    assert_eq!(world.send(gone).await.status, StatusCode::OK);
    let next = format!("limit=500&cursor={}", page["next"].as_str().unwrap());
    assert_eq!(found(&world, &next).await, all[3..]);
}

#[tokio::test]
async fn d30_17_only_what_an_agent_tells_is_appended() {
    let world = World::new(Mode::Dev).await;
    let (id, token) = local(&world, "mine").await;
    let path = format!("/api/sessions/{id}/stream/append");
    let ask = |body: &Value| Ask::post(&path).token(&token).json(body);
    let forged = json!({"type": "assistant_message", "text": "hi", "source": "server", "ts": "1970-01-01T00:00:00.000Z", "journal": {"run": "x", "at": 7}});
    let told = world.send(ask(&forged)).await;
    assert_eq!((told.status, told.json), (StatusCode::OK, json!({"ok": true})));
    let page = world.streams.read(&StreamPath::session(id), Offset::Start, 100).await.unwrap();
    let last: Value = serde_json::from_slice(&page.records.last().unwrap().data).unwrap();
    assert_eq!((&last["source"], &last["text"]), (&json!("agent"), &json!("hi")));
    assert_ne!(last["ts"], forged["ts"]);
    assert_eq!(last.get("journal"), None);

    let before = page.records.len();
    let unknown = SessionId::random();
    let foreign = world.token(Scope::Session(unknown));
    let mut lines = String::new();
    for (what, ask) in [
        ("not declared", Ask::post(&path).token(&token)),
        ("empty", Ask::post(&path).token(&token).bytes("")),
        ("too large", Ask::post(&path).token(&token).bytes(vec![b' '; 65_537])),
        ("not JSON", Ask::post(&path).token(&token).bytes("{")),
        ("not UTF-8", Ask::post(&path).token(&token).bytes(b"{\"type\":\"\xff\"}".to_vec())),
        ("null", ask(&Value::Null)),
        ("a list", ask(&json!([{"type": "log"}]))),
        ("no type", ask(&json!({}))),
        ("a gate's end", ask(&json!({"type": "gate_resolved", "gate": "infra_config"}))),
        ("a turn's end", ask(&json!({"type": "session_end", "success": true, "cost_usd": 0.0}))),
        ("between servers", ask(&json!({"type": "writer_started", "epoch": 99}))),
        ("half", ask(&json!({"type": "pre_tool_use", "tool_name": "Bash"}))),
        ("wrong", ask(&json!({"type": "assistant_message", "text": 7}))),
        (
            "unknown session",
            Ask::post(format!("/api/sessions/{unknown}/stream/append")).token(&foreign),
        ),
        ("another's token", Ask::post(&path).token(&foreign).json(&json!({"type": "log"}))),
        (
            "the agent's hook token",
            Ask::post(&path).token(&world.token(Scope::Hook(id))).json(&json!({"type": "log"})),
        ),
    ] {
        let told = world.send(ask).await;
        let details = told.json.get("details").map(Value::to_string).unwrap_or_default();
        lines.push_str(&format!("{what}: {} {details}\n", told.line()));
    }
    assert_snapshot!(lines);
    let page = world.streams.read(&StreamPath::session(id), Offset::Start, 100).await.unwrap();
    assert_eq!(page.records.len(), before, "nothing of that was written");
}

#[tokio::test]
async fn without_a_sandbox_the_routes_say_so() {
    let mut lines = String::new();
    for mode in [Mode::Dev, Mode::Production] {
        let world = World::new(mode).await;
        let (id, token) = local(&world, "mine").await;
        let unknown = SessionId::random();
        let foreign = world.token(Scope::Session(unknown));
        let operator = world.token(Scope::Operator);
        lines.push_str(&format!("{mode:?}\n"));
        for (method, below) in [
            (Method::GET, "files"),
            (Method::GET, "files?limit=0"),
            (Method::GET, "files?limit=x"),
            (Method::GET, "file-content?path=x"),
            (Method::GET, "file-content"),
            (Method::GET, "file-content?path=x&offset=-1"),
            (Method::GET, "file-content?path=x&raw=maybe"),
            (Method::GET, "git-status"),
            (Method::GET, "app-status"),
            (Method::POST, "start-app"),
            (Method::POST, "stop-app"),
            (Method::GET, "usage"),
        ] {
            let ask = |id: SessionId, token: &str| {
                Ask::new(method.clone(), format!("/api/sessions/{id}/{below}")).token(token)
            };
            let told = world.send(ask(id, &token)).await.line();
            lines.push_str(&format!(
                "  {method} {below}: {}\n",
                told.replace(&id.to_string(), "<id>")
            ));
            let told = world.send(ask(unknown, &foreign)).await.line();
            lines.push_str(&format!("    unknown session: {told}\n"));
        }
        for (what, ask) in [
            ("all sandboxes", Ask::get("/api/sandboxes").token(&operator)),
            ("all, with a session's token", Ask::get("/api/sandboxes").token(&token)),
            ("one", Ask::get(format!("/api/sandboxes/{id}")).token(&token)),
            ("an unknown one", Ask::get(format!("/api/sandboxes/{unknown}")).token(&operator)),
            ("one, without a token", Ask::get(format!("/api/sandboxes/{id}"))),
            (
                "removing one that is not there",
                Ask::new(Method::DELETE, format!("/api/sandboxes/{id}")).token(&token),
            ),
            (
                "a session's",
                Ask::post("/api/sandboxes").token(&operator).json(&json!({"sessionId": id})),
            ),
            (
                "a wrong one",
                Ask::post("/api/sandboxes").token(&operator).json(&json!({"projectName": "../x"})),
            ),
            ("none can be made", Ask::post("/api/sandboxes").token(&operator).json(&json!({}))),
            ("no token", Ask::post("/api/sandboxes").json(&json!({}))),
            ("no change", patch(id, &token, &json!({}))),
            ("a wrong name", patch(id, &token, &json!({"name": "a\nb", "archived": 1}))),
            ("unknown session", patch(unknown, &foreign, &json!({"archived": true}))),
            (
                "export of an unknown session",
                Ask::get(format!("/api/sessions/{unknown}/export")).token(&foreign),
            ),
        ] {
            let told = world.send(ask).await;
            let details = told.json.get("details").map(Value::to_string).unwrap_or_default();
            lines.push_str(&format!("  {what}: {} {details}\n", told.line()));
        }
    }
    assert_snapshot!(lines);
}

fn import(world: &World, file: impl Into<Vec<u8>>) -> Ask {
    let token = world.token(Scope::Operator);
    let mut ask = Ask::post("/api/sessions/import").token(&token);
    ask.body = file.into();
    ask.header("content-type", "application/x-ndjson")
}

#[tokio::test]
async fn a_session_of_fifty_thousand_events_goes_out_and_comes_in_again() {
    let world = World::new(Mode::Dev).await;
    let (id, token) = local(&world, "a long story").await;
    world.send(patch(id, &token, &json!({"name": "Saga"}))).await;
    for batch in 0..50 {
        let events = (0..1_000).map(|n| {
            let text = format!("{}: grüße\u{2028}🙂", batch * 1_000 + n);
            let event = json!({
                "source": "agent", "type": "assistant_message", "text": text,
                "ts": "2026-11-24T09:00:00.000Z", "journal": {"run": "r", "at": n},
            });
            event.to_string().into()
        });
        let batch = Batch::new(events.collect()).unwrap();
        world.streams.append(&StreamPath::session(id), batch, None).await.unwrap();
    }
    // What is no event of a reader's is in the stream, and not in the file.
    let odd = ["null", "[1]", r#"{"type":"recorded","source":"server","ts":"t"}"#];
    let odd = Batch::new(odd.map(Into::into).to_vec()).unwrap();
    world.streams.append(&StreamPath::session(id), odd, None).await.unwrap();

    let file = world.export(id, &token).await;
    let lines: Vec<&str> = file.lines().collect();
    assert_eq!(lines.len(), 50_002);
    let head: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!((&head["type"], &head["version"]), (&json!("studio_export"), &json!(1)));
    assert_eq!(head["session"]["name"], "Saga");
    assert_eq!(lines[50_001], r#"{"type":"studio_export_end","events":50000}"#);
    assert!(!file.contains("\"journal\"") && !file.contains("\"source\""));

    let told = world.send(import(&world, file.clone())).await;
    assert_eq!(told.status, StatusCode::CREATED, "{}", told.text);
    let session = &told.json["session"];
    let new: SessionId = told.json["sessionId"].as_str().unwrap().parse().unwrap();
    assert_ne!(new, id);
    assert_eq!(told.json["events"], 50_000);
    assert_eq!(session["status"], "complete");
    assert_eq!(session["imported"]["from"], json!(id));
    assert_eq!(
        (&session["name"], &session["description"]),
        (&json!("Saga"), &json!("a long story"))
    );

    // It is the same once more, but for the line that says where it came from.
    let new_token = told.json["sessionToken"].as_str().unwrap();
    let again = world.export(new, new_token).await;
    let again: Vec<&str> = again.lines().collect();
    assert!(again[1].contains(&format!("Imported from session {id}")), "{}", again[1]);
    let told: Vec<Value> =
        again[2..50_002].iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    let was: Vec<Value> =
        lines[1..50_001].iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(told == was);

    // And it is over: nothing can be said to it, and it can be deleted.
    let say = Ask::post(format!("/api/sessions/{new}/iterate")).token(new_token);
    let told = world.send(say.json(&json!({"request": "go on"}))).await;
    assert_eq!(told.json["error"], "Container is not running");
    let gone = Ask::new(Method::DELETE, format!("/api/sessions/{new}")).token(new_token);
    assert_eq!(world.send(gone).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_bad_file_is_refused_and_leaves_nothing() {
    let world = World::new(Mode::Dev).await;
    let (id, token) = local(&world, "mine").await;
    let file = world.export(id, &token).await;
    let head = file.lines().next().unwrap().to_owned();
    let event = r#"{"type":"log","level":"system","message":"x","ts":"2026-11-24T09:00:00.000Z"}"#;
    let end = |n: u64| format!(r#"{{"type":"studio_export_end","events":{n}}}"#);
    let good = format!("{head}\n{event}\n\n{event}\r\n{}", end(2));
    let told = world.send(import(&world, good)).await;
    assert_eq!(told.status, StatusCode::CREATED, "{}", told.text);
    let newer = r#"{"type":"of_tomorrow","ts":"2026-11-24T09:00:00.000Z"}"#;
    let told = world.send(import(&world, format!("{head}\n{newer}\n{}\n", end(1)))).await;
    assert_eq!(told.status, StatusCode::CREATED, "a newer studio's event: {}", told.text);
    let streams = world.streams.list("session/", None, 100).await.unwrap();

    let deep = format!("{head}\n{}\n", "[".repeat(100_000));
    let long = head.replace("\"mine\"", &format!("\"{}\"", "x".repeat(10_001)));
    let with = |line: &str| format!("{head}\n{event}\n{line}\n{}\n", end(2)).into_bytes();
    let mut lines = String::new();
    for (what, file) in [
        ("empty", Vec::new()),
        ("blank", b"\n\n".to_vec()),
        ("no head", format!("{event}\n{}\n", end(1)).into_bytes()),
        ("null", b"null\n".to_vec()),
        ("not UTF-8", vec![0xff, 0xfe, b'\n']),
        ("another version", head.replace("\"version\":1", "\"version\":2").into_bytes()),
        ("too long", long.into_bytes()),
        ("only a head", head.clone().into_bytes()),
        ("cut off", format!("{head}\n{event}\n").into_bytes()),
        ("cut off in a line", format!("{head}\n{event}\n{}", &event[..20]).into_bytes()),
        ("a wrong number", format!("{head}\n{event}\n{}\n", end(2)).into_bytes()),
        ("more behind it", format!("{head}\n{}\n{event}\n", end(0)).into_bytes()),
        ("too deep", deep.into_bytes()),
        ("null inside", with("null")),
        ("no type", with("{}")),
        ("no time", with(r#"{"type":"log","level":"system","message":"x"}"#)),
        ("a wrong time", with(r#"{"type":"log","level":"system","message":"x","ts":"soon"}"#)),
        ("half an event", with(r#"{"type":"log","ts":"2026-11-24T09:00:00.000Z"}"#)),
        ("between servers", with(r#"{"type":"writer_started","ts":"2026-11-24T09:00:00.000Z"}"#)),
        ("a second head", with(&head)),
    ] {
        let told = world.send(import(&world, file)).await;
        let details = told.json.get("details").map(Value::to_string).unwrap_or_default();
        lines.push_str(&format!("{what}: {} {details}\n", told.line()));
    }
    // A line of the longest length is longer than a record when it says who wrote it.
    let words = "x".repeat(IMPORT_LINE_BYTES_MAX - event.len() + 1);
    let longest = event.replace("\"x\"", &format!("\"{words}\""));
    assert_eq!(longest.len(), IMPORT_LINE_BYTES_MAX);
    let told = world.send(import(&world, with(&longest))).await;
    assert_eq!(told.status, StatusCode::BAD_REQUEST, "{}", told.text);
    assert!(told.text.contains("over the limit"), "{}", told.text);
    let foreign = Ask { body: good_body(), ..Ask::post("/api/sessions/import") };
    let foreign = foreign.token(&world.token(Scope::Operator)).header("content-type", "text/plain");
    lines.push_str(&format!("declared otherwise: {}\n", world.send(foreign).await.line()));
    let open = Ask { body: good_body(), ..Ask::post("/api/sessions/import") };
    let open = open.token(&token).header("content-type", "application/x-ndjson");
    lines.push_str(&format!("a session's token: {}\n", world.send(open).await.line()));
    assert_snapshot!(lines);
    let left = world.streams.list("session/", None, 100).await.unwrap();
    assert_eq!(left, streams, "no stream is left of what was refused");
}

fn good_body() -> Vec<u8> {
    b"{}\n".to_vec()
}
