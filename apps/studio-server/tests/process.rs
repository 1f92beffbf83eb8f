//! The server as a process: starting, refusing to start, stopping, starting again.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use serde_json::{Value, json};
use studio_testkit::StudioServer;

const PROGRAM: &str = env!("CARGO_BIN_EXE_studio-server");

/// Starts what is expected not to start.
fn refused(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars() {
        let ours = ["PORT", "DATA_DIR", "SANDBOX_RUNTIME", "MAX_SESSION_COST_USD"];
        let starts = ["STUDIO_", "DS_"].iter().any(|start| name.starts_with(start));
        if ours.contains(&name.as_str()) || starts {
            command.env_remove(name);
        }
    }
    let command = command.arg("--data-dir").arg(dir).args(["--sandbox", "local"]).args(args);
    let Output { status, stdout, stderr } = command.envs(env.iter().copied()).output().unwrap();
    assert!(stdout.is_empty(), "nothing is ready: {}", String::from_utf8_lossy(&stdout));
    (status.code().unwrap(), String::from_utf8_lossy(&stderr).into_owned())
}

async fn server() -> StudioServer {
    StudioServer::program(PROGRAM).args_local().start().await
}

async fn local_session(server: &StudioServer) -> Value {
    let response = server.client().post(server.url("/api/sessions/local")).send().await.unwrap();
    assert_eq!(response.status(), 201);
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_server_says_one_line_and_answers() {
    let server = server().await;
    let response = server.client().get(server.url("/api/health")).send().await.unwrap();
    let health: Value = response.json().await.unwrap();
    assert_eq!(health["checks"]["streams"], "ok");
    assert_eq!(health["checks"]["sandbox"], "local");
    assert!(health["checks"]["isolation"].as_str().is_some_and(|text| text.contains("Agents")));
    let line = format!("Agent Studio listens on http://127.0.0.1:{}", server.port());
    assert!(server.output().contains(&line), "{}", server.output());
}

#[tokio::test]
async fn a_taken_port_and_a_taken_directory_are_told() {
    let server = server().await;
    let other = tempfile::tempdir().unwrap();
    let (code, told) = refused(other.path(), &["--port", &server.port().to_string()], &[]);
    assert_eq!(code, 1);
    assert!(told.contains("in use") && told.contains("--port"), "{told}");
    let (code, told) = refused(server.data_dir(), &["--port", "0"], &[]);
    assert_eq!(code, 1);
    assert!(told.contains("in use by another process"), "{told}");
}

#[test]
fn a_directory_that_cannot_be_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, told) = refused(&file.join("below"), &["--port", "0"], &[]);
    assert_eq!(code, 1);
    assert!(told.contains("--data-dir"), "{told}");
}

#[test]
fn d30_95_a_setting_that_is_not_understood_refuses_to_start() {
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("PORT", "x"),
        ("MAX_SESSION_COST_USD", "five"),
        ("STUDIO_HOST", "0.0.0.0"),
        ("STUDIO_LOG", "=="),
    ] {
        let (code, told) = refused(dir.path(), &[], &[(name, value)]);
        assert_eq!(code, 1, "{name}: {told}");
        assert!(told.contains("error: "), "{told}");
    }
    let (code, _) = refused(dir.path(), &["--port", "65536"], &[]);
    assert_eq!(code, 2, "the usual code for a wrong option");
}

#[test]
fn a_stream_service_that_cannot_be_used_is_told_once_and_without_its_secret() {
    let dir = tempfile::tempdir().unwrap();
    let all = [
        ("DS_URL", "http://127.0.0.1:9"),
        ("DS_SERVICE_ID", "studio"),
        ("DS_SECRET", "the-secret-of-the-service"),
    ];
    let (code, told) = refused(dir.path(), &["--port", "0"], &all[..2]);
    assert!(code == 1 && told.contains("DS_SECRET is missing"), "{told}");
    let (code, told) = refused(dir.path(), &["--port", "0"], &all);
    assert_eq!(code, 1);
    let errors = told.lines().filter(|line| line.starts_with("error: ")).count();
    assert!(errors == 1 && told.contains("http://127.0.0.1:9"), "{told}");
    assert!(!told.contains("the-secret"), "{told}");
    let open = [("STUDIO_STREAMS_OPEN", "1"), ("STUDIO_ALLOWED_HOSTS", "studio.example.com")];
    let (code, told) = refused(dir.path(), &["--port", "0", "--host", "0.0.0.0"], &open);
    assert!(code == 1 && told.contains("STUDIO_STREAMS_OPEN"), "{told}");
}

#[tokio::test]
async fn a_service_keeps_the_streams_and_its_secret_stays_out_of_the_log() {
    let local = || StudioServer::program(PROGRAM).args_local().env("STUDIO_LOG", "trace");
    let service = local().env("STUDIO_STREAMS_OPEN", "1").start().await;
    let secret = "the-secret-of-the-service";
    let builder = local().env("DS_URL", service.url("")).env("DS_SERVICE_ID", "studio");
    let mut server = builder.env("DS_SECRET", secret).start().await;
    let session = local_session(&server).await;
    let id = session["sessionId"].as_str().unwrap();
    let stream = service.url(&format!("/v1/stream/studio/session/{id}"));
    assert_eq!(service.client().head(stream).send().await.unwrap().status(), 200);
    assert!(!server.data_dir().join("streams/streams.redb").exists());

    // Another machine: nothing but the service is the same.
    server.terminate().await;
    let builder = local().env("DS_URL", service.url("")).env("DS_SERVICE_ID", "studio");
    let other = builder.env("DS_SECRET", secret).start().await;
    let url = other.url(&format!("/api/sessions/{id}"));
    let token = session["sessionToken"].as_str().unwrap();
    let found = other.client().get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(found.status(), 200);
    let owner = |server: &StudioServer| std::fs::read(server.data_dir().join("owner")).unwrap();
    assert_eq!(owner(&server), owner(&other), "whose sandboxes they are is known to the service");
    for output in [server.output(), other.output()] {
        assert!(!output.contains(secret) && !output.contains(token), "{output}");
    }
}

#[tokio::test]
async fn a_stop_takes_less_than_a_second_with_readers_and_waiting_hooks() {
    let mut server = server().await;
    let session = local_session(&server).await;
    let id = session["sessionId"].as_str().unwrap();
    let token = session["sessionToken"].as_str().unwrap();
    let mut readers = Vec::new();
    for _ in 0..20 {
        let url = server.url(&format!("/api/sessions/{id}/events"));
        let response = server.client().get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(response.status(), 200);
        readers.push(response);
    }
    let question = json!({
        "hook_event_name": "PreToolUse", "tool_name": "AskUserQuestion", "tool_use_id": "t1",
        "tool_input": {"questions": [{"question": "Colour?"}]},
    });
    let hook = server
        .client()
        .post(server.url(&format!("/api/sessions/{id}/hook-event")))
        .bearer_auth(session["hookToken"].as_str().unwrap())
        .json(&question);
    let hook = tokio::spawn(hook.send());
    let asked = readers[0].chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&asked).contains("ask_user_question"));
    let (status, took) = server.terminate().await;
    assert!(status.success(), "{status}: {}", server.output());
    assert!(took < Duration::from_secs(1), "{took:?}");
    for reader in readers {
        // The body ends in order, so that a client comes back with its last id.
        reader.bytes().await.unwrap();
    }
    let answered = hook.await.unwrap().unwrap();
    assert_eq!(answered.status(), 503);
}

#[tokio::test]
async fn ctrl_c_stops_in_order_like_sigterm() {
    let mut server = server().await;
    let session = local_session(&server).await;
    let (status, took) = server.interrupt().await;
    assert!(status.success(), "{status}: {}", server.output());
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(server.output().contains("stopping; agents go on"), "{}", server.output());
    server.restart().await;
    let url = server.url(&format!("/api/sessions/{}", session["sessionId"].as_str().unwrap()));
    let token = session["sessionToken"].as_str().unwrap();
    let response = server.client().get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn sessions_and_tokens_survive_a_kill() {
    let mut server = server().await;
    let session = local_session(&server).await;
    server.crash().await;
    server.restart().await;
    let id = session["sessionId"].as_str().unwrap();
    let url = server.url(&format!("/api/sessions/{id}"));
    let token = session["sessionToken"].as_str().unwrap();
    let response = server.client().get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let info: Value = response.json().await.unwrap();
    assert_eq!(info["id"], id);
}

#[tokio::test]
async fn no_token_is_logged() {
    let mut server =
        StudioServer::program(PROGRAM).args_local().env("STUDIO_LOG", "trace").start().await;
    let session = local_session(&server).await;
    let id = session["sessionId"].as_str().unwrap();
    let token = session["sessionToken"].as_str().unwrap();
    let hook = session["hookToken"].as_str().unwrap();
    let key = std::fs::read_to_string(server.data_dir().join("key")).unwrap();
    let operator = std::fs::read_to_string(server.data_dir().join("operator-token")).unwrap();
    let events = server.url(&format!("/api/sessions/{id}/events?token={token}"));
    drop(server.client().get(events).send().await.unwrap());
    for (path, token) in [("hook-event", hook), ("iterate", token), ("cancel", operator.trim())] {
        let url = server.url(&format!("/api/sessions/{id}/{path}?token={token}"));
        let body = json!({"hook_event_name": "Stop", "request": "a request"});
        server.client().post(url).bearer_auth(token).json(&body).send().await.unwrap();
    }
    server.terminate().await;
    let output = server.output();
    for secret in [token, hook, key.trim(), operator.trim()] {
        assert!(!output.contains(secret), "{secret} in {output}");
    }
}

/// What every test of this file gives to the server.
trait Local {
    fn args_local(self) -> Self;
}

impl Local for studio_testkit::ServerBuilder {
    fn args_local(self) -> Self {
        self.arg("--sandbox").arg("local")
    }
}
