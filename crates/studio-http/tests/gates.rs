//! Gates over HTTP: one of two clients wins, and both are told the truth; every kind has its
//! answer, its deadline and its end, also over restarts.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{Router, http::StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};
use studio_agent_codec::Claude;
use studio_auth::{Keys, ServerKey};
use studio_events::Timestamp;
use studio_flows::{Mode, Parts, Settings, Studio};
use studio_http::{HttpSettings, HttpState, router};
use studio_ids::SessionId;
use studio_streams::{Batch, MemoryStreams, Offset, StreamPath, StreamStore as _};
use support::{Ask, NoSandboxes, Told, World, eventually};
use tokio_util::sync::CancellationToken;

/// A studio whose clock is ahead of the machine's by so many milliseconds.
async fn world(streams: &Arc<MemoryStreams>, ahead: &Arc<AtomicI64>) -> World {
    let (streams, ahead) = (Arc::clone(streams), Arc::clone(ahead));
    let clock = move || {
        let now = Timestamp::from(SystemTime::now()).unix_millis();
        Timestamp::from_unix_millis(now + ahead.load(Ordering::SeqCst))
    };
    let parts = Parts {
        streams: streams.clone(),
        provider: Arc::new(NoSandboxes),
        github: None,
        databases: None,
        codec: Arc::new(|conversation| Box::new(Claude::of(conversation))),
        settings: Settings { mode: Mode::Dev, ..Settings::default() },
        clock: Arc::new(clock),
    };
    let studio = Studio::start(parts).await.unwrap();
    let keys = Keys::new(ServerKey::new("test-secret").unwrap());
    let stop = CancellationToken::new();
    let state = HttpState::new(studio.clone(), keys.clone(), HttpSettings::default(), stop.clone());
    World { app: router(state), keys, stop, studio, streams }
}

/// A session at its infrastructure gate.
struct Session {
    id: SessionId,
    token: String,
}

impl Session {
    async fn create(world: &World) -> Self {
        let body = json!({ "description": "an app", "apiKey": "sk-test" });
        let made = world.send(Ask::post("/api/sessions").json(&body)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        let text = |name: &str| made.json[name].as_str().unwrap().to_owned();
        Self { id: text("sessionId").parse().unwrap(), token: text("sessionToken") }
    }

    fn respond(&self, body: &Value) -> Ask {
        Ask::post(format!("/api/sessions/{}/respond", self.id)).token(&self.token).json(body)
    }

    async fn gates(&self, world: &World) -> Vec<Value> {
        let ask = Ask::get(format!("/api/sessions/{}/gates", self.id)).token(&self.token);
        world.send(ask).await.json["gates"].as_array().unwrap().clone()
    }

    async fn info(&self, world: &World) -> Value {
        let ask = Ask::get(format!("/api/sessions/{}", self.id)).token(&self.token);
        world.send(ask).await.json
    }

    async fn events(&self, world: &World, kind: &str) -> Vec<Value> {
        let page = world.streams.read(&StreamPath::session(self.id), Offset::Start, 1_000).await;
        let records = page.unwrap().records;
        let all = records.iter().map(|record| serde_json::from_slice(&record.data).unwrap());
        all.filter(|event: &Value| event["type"] == kind).collect()
    }

    /// Puts an entry into its log behind the studio's back, as an earlier server would have.
    async fn write(&self, world: &World, entry: &Value) {
        let batch = Batch::new(vec![Bytes::from(entry.to_string())]).unwrap();
        world.streams.append(&StreamPath::session(self.id), batch, None).await.unwrap();
    }
}

async fn send(app: Router, world: &World, ask: Ask) -> Told {
    let (keys, stop) = (world.keys.clone(), world.stop.clone());
    let (studio, streams) = (world.studio.clone(), world.streams.clone());
    World { app, keys, stop, studio, streams }.send(ask).await
}

/// 200 rounds: two people answer one question at the same moment. One wins; the agent's hook and
/// the log have the winner's answer; the other one is told 409, or 200 for the very same answer.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_clients_that_answer_one_gate_one_wins_and_both_are_told_the_truth() {
    let world = Arc::new(world(&Arc::default(), &Arc::default()).await);
    let (id, token, hook) = world.local_session().await;
    let session = Session { id, token };
    let mut wins = [0_u32; 2];
    for round in 0..200 {
        let tool = format!("t{round}");
        let asks = Ask::post(format!("/api/sessions/{id}/hook-event")).token(&hook).json(&json!({
            "hook_event_name": "PreToolUse", "tool_name": "AskUserQuestion", "tool_use_id": tool,
            "tool_input": { "questions": [{ "question": "Colour?" }] },
        }));
        let spawn = |ask: Ask| {
            let (world, app) = (Arc::clone(&world), world.app.clone());
            tokio::spawn(async move { send(app, &world, ask).await })
        };
        let waiting = spawn(asks);
        eventually(async || (!session.gates(&world).await.is_empty()).then_some(())).await;
        // Every fifth round both say the same.
        let words = if round % 5 == 4 { ["red", "red"] } else { ["red", "blue"] };
        let mut answers = words.map(|word| {
            session.respond(&json!({
                "gate": "ask_user_question", "toolUseId": tool, "answers": { "Colour?": word },
            }))
        });
        // Neither is always the first to set out.
        if round % 2 == 1 {
            answers.reverse();
        }
        let both = answers.map(&spawn);
        let mut told = Vec::new();
        for one in both {
            told.push(one.await.unwrap().status.as_u16());
        }
        if round % 2 == 1 {
            told.reverse();
        }
        let heard = waiting.await.unwrap().json;
        let heard = heard["hookSpecificOutput"]["updatedInput"]["answers"]["Colour?"].clone();
        let resolved = session.events(&world, "gate_resolved").await;
        assert_eq!(resolved.len(), round + 1, "round {round}: ended once");
        assert_eq!(resolved[round]["gate_id"], json!(tool));
        if words[0] == words[1] {
            assert_eq!((told, heard), (vec![200, 200], json!("red")), "round {round}");
            continue;
        }
        let winner = usize::from(heard == "blue");
        assert_eq!(heard, words[winner], "round {round}");
        assert_eq!((told[winner], told[1 - winner]), (200, 409), "round {round}: {told:?}");
        wins[winner] += 1;
    }
    assert!(wins.iter().all(|wins| 0 < *wins), "only one ever won: {wins:?}");
}

/// D30-47: no gate waits for ever, and who comes late is told so; over a restart, too.
#[tokio::test]
async fn d30_47_an_infrastructure_gate_expires_at_its_deadline_also_after_a_restart() {
    let (streams, ahead) = (Arc::default(), Arc::default());
    let first = world(&streams, &ahead).await;
    let session = Session::create(&first).await;
    let deadline = session.gates(&first).await[0]["deadline"].clone();
    assert!(deadline.is_string(), "{deadline}");
    assert_eq!(session.info(&first).await["needsInput"], true);
    first.studio.stop().await;

    let second = world(&streams, &ahead).await;
    assert_eq!(session.gates(&second).await[0]["deadline"], deadline, "the same as before");
    ahead.store(25 * 60 * 60 * 1_000, Ordering::SeqCst);
    second.studio.stop().await;
    let third = world(&streams, &ahead).await;
    let closed =
        eventually(async || session.events(&third, "gate_closed").await.first().cloned()).await;
    assert_eq!((&closed["gate"], &closed["outcome"]), (&json!("infra_config"), &json!("expired")));
    let info = eventually(async || {
        let info = session.info(&third).await;
        (info["status"] == "error").then_some(info)
    })
    .await;
    assert_eq!(info["needsInput"], false);
    let late = third.send(session.respond(&json!({ "gate": "infra_config", "mode": "local" })));
    let late = late.await;
    assert_eq!((late.status, &late.json["code"]), (StatusCode::GONE, &json!("gate_closed")));
}

/// D30-46, D30-47: an agent's message to its room waits in a gate of its own kind, which takes its
/// own answers, once, and expires.
#[tokio::test]
async fn d30_46_an_outbound_gate_takes_its_own_answers_only() {
    let (streams, ahead) = (Arc::default(), Arc::default());
    let first = world(&streams, &ahead).await;
    let session = Session::create(&first).await;
    first.studio.stop().await;
    for (id, hours) in [("room-msg-1", 48), ("room-msg-2", 48), ("room-msg-3", 1)] {
        let now = Timestamp::from(SystemTime::now()).unix_millis();
        let deadline = Timestamp::from_unix_millis(now + hours * 60 * 60 * 1_000);
        let entry = json!({
            "source": "server", "type": "outbound_message_gate", "gateId": id, "roomId": "r",
            "to": "bob", "body": "GATE: ship it?", "deadline": deadline.to_string(),
            "ts": Timestamp::from(SystemTime::now()).to_string(),
        });
        session.write(&first, &entry).await;
    }
    let second = world(&streams, &ahead).await;
    let gates = eventually(async || {
        let gates = session.gates(&second).await;
        (gates.len() == 4).then_some(gates)
    })
    .await;
    assert_eq!(gates[1]["gate"], "outbound_message_gate");
    assert_eq!(gates[1]["asked"]["body"], "GATE: ship it?");
    let decide = |id: &str, action: &str, body: Option<&str>| {
        let mut answer = json!({ "gate": "outbound_message_gate", "gateId": id, "action": action });
        if let Some(body) = body {
            answer["editedBody"] = json!(body);
        }
        session.respond(&answer)
    };
    let status = async |ask: Ask| second.send(ask).await.status.as_u16();
    // Answers of other kinds and to other kinds reach nobody.
    assert_eq!(status(decide("infra_config", "approve", None)).await, 404);
    assert_eq!(status(decide("room-msg-9", "approve", None)).await, 404);
    let other = json!({ "gate": "permission", "toolUseId": "room-msg-1", "decision": "allow" });
    assert_eq!(status(session.respond(&other)).await, 404);
    assert_eq!(status(decide("room-msg-1", "burn", None)).await, 400);
    assert_eq!(session.gates(&second).await.len(), 4);

    assert_eq!(status(decide("room-msg-1", "edit", Some("ship it!"))).await, 200);
    assert_eq!(status(decide("room-msg-1", "edit", Some("ship it!"))).await, 200, "the same");
    assert_eq!(status(decide("room-msg-1", "drop", None)).await, 409);
    let resolved = session.events(&second, "outbound_message_gate_resolved").await;
    assert_eq!(resolved.len(), 1);
    assert_eq!(
        (&resolved[0]["gateId"], &resolved[0]["action"], &resolved[0]["editedBody"]),
        (&json!("room-msg-1"), &json!("edit"), &json!("ship it!"))
    );
    assert!(session.events(&second, "gate_resolved").await.is_empty());

    second.studio.stop().await;
    ahead.store(2 * 60 * 60 * 1_000, Ordering::SeqCst);
    let third = world(&streams, &ahead).await;
    let closed =
        eventually(async || session.events(&third, "gate_closed").await.first().cloned()).await;
    assert_eq!((&closed["gate_id"], &closed["outcome"]), (&json!("room-msg-3"), &json!("expired")));
    assert_eq!(third.send(decide("room-msg-3", "approve", None)).await.status, StatusCode::GONE);
    assert_eq!(
        third.send(decide("room-msg-1", "drop", None)).await.status,
        StatusCode::CONFLICT,
        "known after a restart"
    );
    assert_eq!(third.send(decide("room-msg-2", "drop", None)).await.status, StatusCode::OK);
}

/// A hook's question is open as long as the hook waits, and says so.
#[tokio::test]
async fn a_question_of_a_hook_tells_the_deadline_that_it_is_closed_at() {
    let world = Arc::new(world(&Arc::default(), &Arc::default()).await);
    let (id, token, hook) = world.local_session().await;
    let session = Session { id, token };
    let asks = Ask::post(format!("/api/sessions/{id}/hook-event")).token(&hook).json(&json!({
        "hook_event_name": "PreToolUse", "tool_name": "AskUserQuestion", "tool_use_id": "t",
        "tool_input": { "questions": [{ "question": "Colour?" }] },
    }));
    let (app, asking) = (world.app.clone(), Arc::clone(&world));
    let waiting = tokio::spawn(async move { send(app, &asking, asks).await });
    let gate = eventually(async || session.gates(&world).await.first().cloned()).await;
    let deadline: Timestamp = gate["deadline"].as_str().unwrap().to_owned().try_into().unwrap();
    let left = deadline.unix_millis() - Timestamp::from(SystemTime::now()).unix_millis();
    let five_minutes = i64::try_from(Duration::from_secs(300).as_millis()).unwrap();
    assert!((five_minutes - 30_000..=five_minutes).contains(&left), "{left}");
    assert_eq!(gate["asked"]["deadline"], gate["deadline"]);
    world.stop.cancel();
    assert_eq!(waiting.await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
}

/// A kind of gate that nobody knows is refused before anything is done.
#[tokio::test]
async fn unknown_kinds_of_gates_are_refused() {
    let world = world(&Arc::default(), &Arc::default()).await;
    let session = Session::create(&world).await;
    for gate in ["plan", "Infra_config", "permission ", "'; rm -rf /", "../infra_config", "-x"] {
        let told = world.send(session.respond(&json!({ "gate": gate, "decision": "x" }))).await;
        assert_eq!(told.status, StatusCode::BAD_REQUEST, "{gate}: {}", told.text);
        assert!(told.text.contains("gate: Unknown gate"), "{gate}: {}", told.text);
    }
    for gate in ["a\nb", "\u{0}"] {
        let told = world.send(session.respond(&json!({ "gate": gate }))).await;
        assert_eq!(told.status, StatusCode::BAD_REQUEST, "{gate:?}: {}", told.text);
    }
    assert_eq!(session.gates(&world).await.len(), 1);
}
