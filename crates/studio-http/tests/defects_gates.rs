//! Gates over HTTP: one outcome, the right one, and nobody is told of an answer that reached
//! nobody. The rows are those of `docs/requirements.md`.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::http::StatusCode;
use serde_json::{Value, json};
use studio_agent_codec::Claude;
use studio_auth::{Keys, ServerKey};
use studio_events::Timestamp;
use studio_flows::{Mode, Parts, Settings, Studio};
use studio_http::{HttpSettings, HttpState, router};
use studio_ids::SessionId;
use studio_streams::{MemoryStreams, Offset, StreamPath, StreamStore as _};
use support::{Ask, NoSandboxes, Told, World, eventually};
use tokio_util::sync::CancellationToken;

/// A studio whose hooks wait for a person as long as this.
async fn world(hooks_wait: Duration) -> World {
    let streams = Arc::new(MemoryStreams::default());
    let mut settings = Settings { mode: Mode::Dev, ..Settings::default() };
    settings.gates.hook = hooks_wait;
    let parts = Parts {
        streams: streams.clone(),
        provider: Arc::new(NoSandboxes),
        github: None,
        databases: None,
        codec: Arc::new(|conversation| Box::new(Claude::of(conversation))),
        settings,
        clock: Arc::new(|| Timestamp::from(SystemTime::now())),
    };
    let studio = Studio::start(parts).await.unwrap();
    let keys = Keys::new(ServerKey::new("test-secret").unwrap());
    let stop = CancellationToken::new();
    let http = HttpSettings::default();
    let app = router(HttpState::new(studio.clone(), keys.clone(), http, stop.clone()));
    World { app, keys, stop, studio, streams }
}

/// A hosted session and what is asked in it.
struct Asked<'a> {
    world: &'a World,
    id: SessionId,
    token: String,
    hook: String,
}

impl<'a> Asked<'a> {
    async fn new(world: &'a World) -> Self {
        let (id, token, hook) = world.local_session().await;
        Self { world, id, token, hook }
    }

    /// A hook that asks and waits.
    fn question(&self, tool_use_id: &str) -> tokio::task::JoinHandle<Told> {
        let ask = Ask::post(format!("/api/sessions/{}/hook-event", self.id)).token(&self.hook);
        let ask = ask.json(&json!({
            "hook_event_name": "PreToolUse", "tool_name": "AskUserQuestion",
            "tool_use_id": tool_use_id,
            "tool_input": {"questions": [{"question": format!("Colour of {tool_use_id}?")}]},
        }));
        let app = self.world.app.clone();
        let (keys, stop) = (self.world.keys.clone(), self.world.stop.clone());
        let (studio, streams) = (self.world.studio.clone(), self.world.streams.clone());
        tokio::spawn(async move { World { app, keys, stop, studio, streams }.send(ask).await })
    }

    async fn answer(&self, tool_use_id: &str, answer: &str) -> Told {
        self.respond(&json!({
            "gate": "ask_user_question", "toolUseId": tool_use_id,
            "answers": { format!("Colour of {tool_use_id}?"): answer },
        }))
        .await
    }

    async fn respond(&self, body: &Value) -> Told {
        let ask = Ask::post(format!("/api/sessions/{}/respond", self.id));
        self.world.send(ask.token(&self.token).json(body)).await
    }

    async fn gates(&self) -> Vec<String> {
        let ask = Ask::get(format!("/api/sessions/{}/gates", self.id)).token(&self.token);
        let told = self.world.send(ask).await;
        let gates = told.json["gates"].as_array().unwrap().clone();
        gates.iter().map(|gate| gate["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn wait_for_gates(&self, ids: &[&str]) {
        eventually(async || {
            let mut gates = self.gates().await;
            gates.sort();
            (gates == ids).then_some(())
        })
        .await;
    }

    async fn events(&self, kind: &str) -> Vec<Value> {
        let path = StreamPath::session(self.id);
        let page = self.world.streams.read(&path, Offset::Start, 1_000);
        let records = page.await.unwrap().records;
        let all = records.iter().map(|record| serde_json::from_slice(&record.data).unwrap());
        all.filter(|event: &Value| event["type"] == kind).collect()
    }
}

const LONG: Duration = Duration::from_secs(60);

/// D30-44: a hook that is tried again joins its gate, and both get the one answer.
#[tokio::test]
async fn d30_44_a_hook_retried_joins_its_gate() {
    let world = world(LONG).await;
    let asked = Asked::new(&world).await;
    let first = asked.question("t1");
    asked.wait_for_gates(&["t1"]).await;
    let second = asked.question("t1");
    let third = asked.question("t1");
    // The later two have nothing to show that they wait; give them their turn.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(asked.answer("t1", "red").await.status, StatusCode::OK);
    for hook in [first, second, third] {
        let told = hook.await.unwrap();
        let output = &told.json["hookSpecificOutput"];
        assert_eq!(output["updatedInput"]["answers"]["Colour of t1?"], "red", "{}", told.text);
        assert_eq!(output["permissionDecision"], "allow");
    }
    assert_eq!(asked.events("ask_user_question").await.len(), 1, "asked once");
    assert_eq!(asked.events("gate_resolved").await.len(), 1, "answered once");
    // Tried again after the answer, it hears the answer.
    let late = asked.question("t1").await.unwrap();
    assert_eq!(late.json["hookSpecificOutput"]["updatedInput"]["answers"]["Colour of t1?"], "red");
}

/// D30-44 at its sharpest: three at once, before any of them has a gate.
#[tokio::test(flavor = "multi_thread")]
async fn d30_44_hooks_that_ask_at_once_are_one_question() {
    let world = world(LONG).await;
    for round in 0..200 {
        let asked = Asked::new(&world).await;
        let hooks = ["t1"; 3].map(|id| asked.question(id));
        asked.wait_for_gates(&["t1"]).await;
        assert_eq!(asked.answer("t1", "red").await.status, StatusCode::OK);
        for hook in hooks {
            let told = hook.await.unwrap();
            let output = &told.json["hookSpecificOutput"]["updatedInput"];
            assert_eq!(output["answers"]["Colour of t1?"], "red", "{round}: {}", told.text);
        }
        assert_eq!(asked.events("ask_user_question").await.len(), 1, "round {round}");
        assert_eq!(asked.gates().await, [""; 0], "round {round}");
    }
}

/// D30-45: of two questions the one that is named is answered, and the events name it.
#[tokio::test]
async fn d30_45_an_answer_goes_to_the_gate_that_it_names() {
    let world = world(LONG).await;
    let asked = Asked::new(&world).await;
    let (first, second) = (asked.question("t1"), asked.question("t2"));
    asked.wait_for_gates(&["t1", "t2"]).await;
    assert_eq!(asked.answer("t1", "red").await.status, StatusCode::OK);
    let told = first.await.unwrap();
    let answers = &told.json["hookSpecificOutput"]["updatedInput"]["answers"];
    assert_eq!(answers, &json!({ "Colour of t1?": "red" }));
    assert_eq!(asked.gates().await, ["t2"], "the newer one waits on");
    assert!(!second.is_finished());
    let resolved = asked.events("gate_resolved").await;
    assert_eq!(resolved.len(), 1);
    assert_eq!(
        (&resolved[0]["gate_id"], &resolved[0]["tool_use_id"]),
        (&json!("t1"), &json!("t1"))
    );
    assert_eq!(asked.answer("t2", "blue").await.status, StatusCode::OK);
    second.await.unwrap();
    assert_eq!(asked.answer("t1", "green").await.status, StatusCode::CONFLICT);
}

/// D30-43, D31-23: a question that nobody answered in time ends visibly; a late answer is told so.
#[tokio::test]
async fn d30_43_d31_23_a_question_that_expired_is_over_for_everybody() {
    let world = world(Duration::from_millis(150)).await;
    let asked = Asked::new(&world).await;
    let told = asked.question("t1").await.unwrap();
    assert_eq!((told.status, &told.json), (StatusCode::OK, &json!({ "ok": true })));
    assert_eq!(asked.gates().await, [""; 0]);
    let closed = asked.events("gate_closed").await;
    assert_eq!(closed.len(), 1);
    assert_eq!((&closed[0]["gate_id"], &closed[0]["outcome"]), (&json!("t1"), &json!("expired")));
    let late = asked.answer("t1", "red").await;
    assert_eq!((late.status, &late.json["code"]), (StatusCode::GONE, &json!("gate_closed")));
    assert!(asked.events("gate_resolved").await.is_empty());
}

/// D30-42, D30-55, D31-8, D31-9: what reaches nobody is no success and leaves no event.
#[tokio::test]
async fn d30_42_d30_55_an_answer_that_reaches_nobody_is_refused() {
    let world = world(LONG).await;
    let asked = Asked::new(&world).await;
    for (body, wanted) in [
        (json!({ "gate": "ask_user_question", "toolUseId": "t1", "answers": {"a": "b"} }), 404),
        (json!({ "gate": "permission", "toolUseId": "t1", "decision": "allow" }), 404),
        (json!({ "gate": "infra_config", "mode": "local" }), 404),
        (
            json!({ "gate": "outbound_message_gate", "gateId": "infra_config", "action": "approve" }),
            404,
        ),
    ] {
        let told = asked.respond(&body).await;
        assert_eq!(told.status.as_u16(), wanted, "{body}: {}", told.text);
    }
    for older in ["continue", "approval", "clarification", "plan"] {
        let told =
            asked.respond(&json!({ "gate": older, "decision": "approve", "answers": [] })).await;
        assert!(told.status.is_client_error(), "{older}: {}", told.text);
    }
    let ask = Ask::post(format!("/api/sessions/{}/iterate", asked.id)).token(&asked.token);
    let told = world.send(ask.json(&json!({ "request": "is anybody there?" }))).await;
    assert!(told.status.is_client_error(), "{}", told.text);
    for kind in ["gate_resolved", "user_prompt"] {
        assert!(asked.events(kind).await.is_empty(), "{kind}");
    }
}

/// D30-46: an answer of another shape, or to another kind, leaves the gate as it is.
#[tokio::test]
async fn d30_46_a_gate_takes_answers_of_its_own_kind_only() {
    let world = world(LONG).await;
    let asked = Asked::new(&world).await;
    let hook = asked.question("infra_config");
    asked.wait_for_gates(&["infra_config"]).await;
    for body in [
        json!({ "gate": "infra_config", "mode": "local" }),
        json!({ "gate": "permission", "toolUseId": "infra_config", "decision": "allow" }),
        json!({ "gate": "outbound_message_gate", "gateId": "infra_config", "action": "approve" }),
    ] {
        let told = asked.respond(&body).await;
        assert!(told.status.is_client_error(), "{body}: {}", told.text);
    }
    assert_eq!(asked.gates().await, ["infra_config"]);
    assert!(!hook.is_finished());
    assert_eq!(asked.answer("infra_config", "red").await.status, StatusCode::OK);
    hook.await.unwrap();
}

/// D30-41: who cancels or deletes at the infrastructure question gets no sandbox.
#[tokio::test]
async fn d30_41_a_rejected_infrastructure_question_makes_nothing() {
    let world = world(LONG).await;
    for verb in ["cancel", "interrupt"] {
        let create = json!({ "description": "an app", "apiKey": "sk-test" });
        let made = world.send(Ask::post("/api/sessions").json(&create)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        let id: SessionId = made.json["sessionId"].as_str().unwrap().parse().unwrap();
        let token = made.json["sessionToken"].as_str().unwrap().to_owned();
        let asked = Asked { world: &world, id, token, hook: String::new() };
        asked.wait_for_gates(&["infra_config"]).await;
        let told =
            world.send(Ask::post(format!("/api/sessions/{id}/{verb}")).token(&asked.token)).await;
        assert_eq!(told.status, StatusCode::OK, "{}", told.text);
        assert_eq!(asked.gates().await, [""; 0]);
        let late = asked.respond(&json!({ "gate": "infra_config", "mode": "local" })).await;
        assert_eq!(late.status, StatusCode::GONE, "{}", late.text);
        let logs = asked.events("log").await;
        assert!(!format!("{logs:?}").contains("Creating"), "{logs:?}");
        assert_eq!(asked.events("gate_closed").await[0]["outcome"], "rejected");
    }
}

/// D30-46 from the other side: a hook that names a gate of another kind neither joins it nor
/// closes it by giving up.
#[tokio::test]
async fn d30_46_a_hook_does_not_touch_a_gate_of_another_kind() {
    let world = world(Duration::from_millis(100)).await;
    let create = json!({ "description": "an app", "apiKey": "sk-test" });
    let made = world.send(Ask::post("/api/sessions").json(&create)).await;
    let id: SessionId = made.json["sessionId"].as_str().unwrap().parse().unwrap();
    let token = made.json["sessionToken"].as_str().unwrap().to_owned();
    let hook = world.token(studio_auth::Scope::Hook(id));
    let asked = Asked { world: &world, id, token, hook };
    asked.wait_for_gates(&["infra_config"]).await;
    let told = asked.question("infra_config").await.unwrap();
    assert_eq!((told.status, &told.json), (StatusCode::OK, &json!({ "ok": true })));
    assert_eq!(asked.gates().await, ["infra_config"]);
    assert!(asked.events("gate_closed").await.is_empty());
}
