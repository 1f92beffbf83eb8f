//! The official TypeScript client of the Durable Streams protocol reads and writes a session's
//! stream live, with the tokens that the server gave out.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::time::Duration;

use serde_json::{Value, json};
use studio_testkit::{NodeTool, SseEvent, SseReader, StudioServer};
use tokio::process::Command;

const COUNT: u64 = 200;

#[tokio::test]
async fn the_official_client_reads_and_writes_a_sessions_stream_live() {
    let server = StudioServer::program(env!("CARGO_BIN_EXE_studio-server"))
        .arg("--sandbox")
        .arg("local")
        .start()
        .await;
    let made = server.client().post(server.url("/api/sessions/local")).send().await.unwrap();
    let session: Value = made.json().await.unwrap();
    let text = |name: &str| session[name].as_str().unwrap().to_owned();
    let (id, token) = (text("sessionId"), text("sessionToken"));
    // What the studio itself writes there stands before what the client writes.
    let hook = json!({"hook_event_name": "UserPromptSubmit", "prompt": "hello"});
    let told = server
        .client()
        .post(server.url(&format!("/api/sessions/{id}/hook-event")))
        .bearer_auth(text("hookToken"))
        .json(&hook)
        .send()
        .await
        .unwrap();
    assert_eq!(told.status(), 200);
    // As `studio streams token` prints it.
    let hour = Duration::from_secs(3_600);
    let service = studio_server::tools::token(server.data_dir(), hour, |_| None).unwrap();

    let tool = NodeTool::durable_streams();
    let mut node = Command::from(tool.node("client.mjs"));
    node.env("STREAM_URL", server.url(&format!("/v1/stream/session/{id}")))
        .env("READ_TOKEN", &token)
        .env("WRITE_TOKEN", service)
        .env("COUNT", COUNT.to_string())
        .kill_on_drop(true);
    let run = tokio::time::timeout(Duration::from_secs(60), node.output());
    let output = run.await.expect("the client did not end").unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = told.lines().last().unwrap_or_default();
    let told: Value =
        serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}\n{told}\n{errors}"));

    let whole = told["whole"].as_array().unwrap();
    let mine = |entry: &&Value| entry["from"] == "typescript";
    let written: Vec<u64> =
        whole.iter().filter(mine).map(|entry| entry["n"].as_u64().unwrap()).collect();
    assert_eq!(written, (0..COUNT).collect::<Vec<_>>(), "each once and in order");
    assert!(!mine(&&whole[0]), "the studio's own entries are there too: {}", whole[0]);
    assert_eq!(told["events"], told["whole"], "live, as events");
    assert_eq!(told["polled"], told["whole"], "live, by polling");
    assert_eq!(told["errors"], json!([]));
    assert_eq!(told["refused"], json!([401, 401]));

    // A browser's view of the same session has what the client wrote, under the same places.
    let events = server.url(&format!("/api/sessions/{id}/events?token={token}"));
    let mut browser = SseReader::open(server.client().get(events), None).await.unwrap();
    let is_last = |event: &SseEvent| event.json()["n"] == COUNT - 1;
    browser.until("the last entry", Duration::from_secs(20), is_last).await.unwrap();
    assert_eq!(browser.last_id(), told["tail"].as_str());
}
