//! A server, the agent it is given, and one way to ask.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use studio_testkit::{ServerBuilder, SseEvent, SseReader, StudioServer, needs, write_program};
use tempfile::TempDir;

/// How long anything may take that is expected to happen.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A server in development mode without any setting.
pub(crate) fn program() -> ServerBuilder {
    StudioServer::program(env!("CARGO_BIN_EXE_studio-server")).env("STUDIO_DEV_MODE", "1")
}

/// The server on the local provider with the real agent, which asks the model at `model`.
pub(crate) fn with_claude(model: &str) -> ServerBuilder {
    let dir = needs::claude_cli().parent().map(PathBuf::from).unwrap();
    local(&dir).env("ANTHROPIC_BASE_URL", model)
}

/// The server on the local provider with an agent that is `script`.
pub(crate) fn with_script(script: &str) -> (ServerBuilder, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    write_program(&dir.path().join("claude"), script);
    (local(dir.path()).env("ANTHROPIC_API_KEY", "dummy"), dir)
}

fn local(agent: &Path) -> ServerBuilder {
    program().env("SANDBOX_RUNTIME", "local").env("STUDIO_AGENT_PATH", agent)
}

/// A session, and what opens it.
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Session {
    pub(crate) async fn create(server: &StudioServer, body: &Value) -> Self {
        let (status, told) = post(server, "/api/sessions", "", body).await;
        assert_eq!(status, 201, "{told}");
        Self::of(&told)
    }

    pub(crate) async fn freeform(server: &StudioServer, description: &str) -> Self {
        Self::create(server, &json!({ "description": description, "freeform": true })).await
    }

    fn of(told: &Value) -> Self {
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        Self { id: text("sessionId"), token: text("sessionToken") }
    }

    pub(crate) fn path(&self, what: &str) -> String {
        format!("/api/sessions/{}/{what}", self.id).trim_end_matches('/').to_owned()
    }

    pub(crate) async fn tell(
        &self,
        server: &StudioServer,
        verb: &str,
        body: &Value,
    ) -> (u16, Value) {
        post(server, &self.path(verb), &self.token, body).await
    }

    pub(crate) async fn ask(&self, server: &StudioServer, what: &str) -> (u16, Value) {
        let request = server.client().get(server.url(&self.path(what))).bearer_auth(&self.token);
        answer(request).await
    }

    pub(crate) async fn delete(&self, server: &StudioServer) -> (u16, Value) {
        let request = server.client().delete(server.url(&self.path("")));
        answer(request.bearer_auth(&self.token)).await
    }

    pub(crate) async fn watch(&self, server: &StudioServer) -> SseReader {
        let request = server.client().get(server.url(&self.path("events")));
        SseReader::open(request.bearer_auth(&self.token), None).await.unwrap()
    }
}

/// A session that hooks feed: itself, and the hooks' token.
pub(crate) async fn hooked(server: &StudioServer) -> (Session, String) {
    let (status, told) = post(server, "/api/sessions/local", "", &json!({})).await;
    assert_eq!(status, 201, "{told}");
    (Session::of(&told), told["hookToken"].as_str().unwrap().to_owned())
}

pub(crate) async fn post(
    server: &StudioServer,
    path: &str,
    token: &str,
    body: &Value,
) -> (u16, Value) {
    answer(server.client().post(server.url(path)).bearer_auth(token).json(body)).await
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.timeout(SOON).send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Reads up to the first event of this type and gives all that was read.
pub(crate) async fn up_to(reader: &mut SseReader, kind: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    let reading = async {
        while let Some(event) = reader.next_event().await.unwrap() {
            seen.push(SseEvent::json(&event));
            if seen.last().is_some_and(|event| event["type"] == kind) {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(SOON, reading).await;
    assert_eq!(found, Ok(true), "no {kind}: {seen:#?}");
    seen
}

/// That nothing of the server's went wrong so far that a person should look at.
pub(crate) fn is_sound(server: &StudioServer) {
    let output = server.output();
    let bad = |line: &&str| line.contains("panick") || line.contains(" ERROR ");
    let bad: Vec<&str> = output.lines().filter(bad).collect();
    assert!(bad.is_empty(), "the server wrote:\n{}", bad.join("\n"));
}
