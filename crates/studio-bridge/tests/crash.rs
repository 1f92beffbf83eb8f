//! A server that vanishes at any moment, and the next one that goes on.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "for tests")]

mod plain;
mod world;

use std::{collections::HashMap, sync::Arc, time::Duration};

use plain::plain;
use serde_json::{Value, json};
use studio_agent_codec::Answer;
use studio_bridge::{Activity, AnswerRecord, Bridge, BridgeError, Record, Told};
use studio_events::{EngineEvent, InternalEvent};
use studio_ids::{GateId, RunId};
use studio_sandbox::{Command, JournaledProcess, SandboxError};
use studio_testkit::wait_for;
use tokio::runtime::Runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use world::{PATIENCE, World, world};

/// A bridge in a runtime of its own, which can be made to vanish as a killed process does: no
/// task runs on, nothing is finished or flushed.
struct Server {
    runtime: Option<Runtime>,
    bridge: Bridge,
}

impl Server {
    async fn start(world: &mut World) -> Self {
        let parts = world.parts().await;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let guard = runtime.enter();
        let bridge = Bridge::start(parts, &TaskTracker::new(), CancellationToken::new());
        drop(guard);
        Self { runtime: Some(runtime), bridge }
    }

    fn vanish(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Random enough, and the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

async fn idle(bridge: &Bridge) {
    let look = || async {
        let state = bridge.state().await.unwrap();
        (state.activity == Activity::Idle).then_some(())
    };
    wait_for("the agent to be idle", PATIENCE, look).await;
}

fn yes(gate: &GateId) -> AnswerRecord {
    AnswerRecord {
        response: InternalEvent::GateResponse {
            gate: "ask_user_question".to_owned(),
            gate_id: gate.clone(),
            value: json!("yes"),
        },
        resolved: EngineEvent::GateResolved {
            gate: "ask_user_question".to_owned(),
            summary: None,
            details: None,
            resolved_by: None,
            gate_id: Some(gate.clone()),
            tool_use_id: None,
        },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_crash_every_event_is_recorded_once_and_in_order() {
    let mut world = world().await;
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let server = Server::start(&mut world).await;
    let run = server.bridge.launch(plain(&world.sandbox)).await.unwrap();
    server.vanish();

    let mut acknowledged = Vec::new();
    for round in 0..40 {
        let server = Server::start(&mut world).await;
        assert_eq!(server.bridge.open_run().await.unwrap(), Some(run));
        let attached = server.bridge.attach(plain(&world.sandbox), run).await.unwrap();
        assert!(attached.alive);
        // Half of the callers may never hear whether it was said.
        let words = format!("count {round}");
        let wait = if round % 2 == 0 { PATIENCE } else { Duration::from_millis(dice.roll(30)) };
        if let Ok(said) = tokio::time::timeout(wait, server.bridge.say(words, None)).await {
            acknowledged.push(said.unwrap().to_string());
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(80))).await;
        server.vanish();
    }
    let server = Server::start(&mut world).await;
    server.bridge.attach(plain(&world.sandbox), run).await.unwrap();
    idle(&server.bridge).await;
    server.bridge.finish(Vec::new()).await.unwrap();

    let prompts = world.of_type("user_prompt").await;
    let ids: Vec<_> = prompts.iter().map(|p| p["message_id"].as_str().unwrap()).collect();
    for id in &acknowledged {
        assert!(ids.contains(&id.as_str()), "an acknowledged message is not in the stream");
    }
    assert!(20 <= acknowledged.len(), "only {} were said in time", acknowledged.len());
    let expected: Vec<_> = prompts
        .iter()
        .flat_map(|prompt| {
            let words = prompt["message"].as_str().unwrap().to_owned();
            let begins = [format!("{words} begins")];
            let ends = [format!("{words} ends")];
            begins.into_iter().chain((1..=40).map(move |i| format!("{words} {i}"))).chain(ends)
        })
        .collect();
    assert_eq!(world.words().await, expected);
    assert_eq!(world.of_type("session_end").await.len(), prompts.len());
    for state in ["started", "completed"] {
        let told = world.of_type("message_state").await;
        let told = told.iter().filter(|entry| entry["state"] == state);
        let told: Vec<_> = told.map(|e| e["message_ids"][0].as_str().unwrap()).collect();
        assert_eq!(told, ids, "{state}");
    }
    marks_rise(&world.entries().await, run);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_agent_works_on_through_crashes_and_is_recorded_once() {
    let mut world = world().await;
    let model = studio_testkit::ModelServer::start();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let server = Server::start(&mut world).await;
    let run = server.bridge.launch(world.claude(&model, "long")).await.unwrap();
    server.bridge.say("work".to_owned(), None).await.unwrap();
    server.vanish();
    for _ in 0..12 {
        let server = Server::start(&mut world).await;
        let attached = server.bridge.attach(world.claude(&model, "long"), run).await.unwrap();
        assert!(attached.alive);
        tokio::time::sleep(Duration::from_millis(50 + dice.roll(400))).await;
        server.vanish();
    }
    let server = Server::start(&mut world).await;
    server.bridge.attach(world.claude(&model, "long"), run).await.unwrap();
    idle(&server.bridge).await;
    server.bridge.finish(Vec::new()).await.unwrap();

    let mut expected: Vec<_> = (1..=200).map(|n| format!("Step {n}.")).collect();
    expected.push("All 200 steps are done.".to_owned());
    assert_eq!(world.words().await, expected);
    let calls = |entries: Vec<Value>| -> Vec<String> {
        entries.iter().map(|entry| entry["tool_use_id"].to_string()).collect()
    };
    let begun = calls(world.of_type("pre_tool_use").await);
    assert_eq!(begun, calls(world.of_type("post_tool_use").await));
    assert_eq!(begun.len(), 200);
    let ends = world.of_type("session_end").await;
    assert_eq!((ends.len(), &ends[0]["success"]), (1, &json!(true)));
    assert_eq!(world.of_type("session_start").await.len(), 1);
    marks_rise(&world.entries().await, run);
}

/// The journal's position is told in order and only at the end of a batch.
fn marks_rise(entries: &[Value], run: RunId) {
    let marks: Vec<_> = entries
        .iter()
        .filter_map(|entry| entry.get("journal"))
        .map(|mark| {
            assert_eq!(mark["run"], run.to_string());
            mark["at"].as_u64().unwrap()
        })
        .collect();
    assert!(marks.is_sorted_by(|a, b| a < b), "{marks:?}");
}

#[tokio::test]
async fn an_open_question_survives_and_its_answer_arrives_once() {
    let mut world = world().await;
    let server = Server::start(&mut world).await;
    let run = server.bridge.launch(plain(&world.sandbox)).await.unwrap();
    server.bridge.say("ask something".to_owned(), None).await.unwrap();
    world.ears.hear("the question", |told| matches!(told, Told::Asked(_))).await;
    server.vanish();

    let server = Server::start(&mut world).await;
    let attached = server.bridge.attach(plain(&world.sandbox), run).await.unwrap();
    let [open] = &attached.open_asks[..] else { panic!("{attached:?}") };
    assert_eq!(open.response, None);
    let gate = open.ask.gate.clone();
    assert_eq!(server.bridge.state().await.unwrap().activity, Activity::WaitingForPerson);
    // The response is written down, and then the server vanishes before the agent has it.
    let response = yes(&gate).response;
    server.bridge.record_all(vec![Record::Internal(response)]).await.unwrap();
    server.vanish();

    let server = Server::start(&mut world).await;
    let attached = server.bridge.attach(plain(&world.sandbox), run).await.unwrap();
    assert_eq!(attached.open_asks[0].response, Some(json!("yes")));
    let answer = Answer::Allow { always: false };
    server.bridge.answer(gate.clone(), answer, yes(&gate)).await.unwrap();
    idle(&server.bridge).await;
    assert_eq!(world.of_type("gate_response").await.len(), 1);
    assert_eq!(world.of_type("gate_resolved").await.len(), 1);
    server.vanish();

    let server = Server::start(&mut world).await;
    let attached = server.bridge.attach(plain(&world.sandbox), run).await.unwrap();
    assert_eq!(attached.open_asks, []);
    server.bridge.finish(Vec::new()).await.unwrap();
    let answered = world.words().await.into_iter().filter(|words| words.starts_with("answered"));
    assert_eq!(answered.collect::<Vec<_>>(), ["answered request-1 yes"]);
}

#[tokio::test]
async fn an_end_that_nobody_saw_is_recorded() {
    let mut world = world().await;
    let server = Server::start(&mut world).await;
    let run = server.bridge.launch(plain(&world.sandbox)).await.unwrap();
    server.bridge.say("count first".to_owned(), None).await.unwrap();
    world.ears.turn_end(0).await;
    server.bridge.say("die now".to_owned(), None).await.unwrap();
    server.vanish();
    let process = studio_sandbox::JournaledProcess::of(world.sandbox.clone(), run);
    let ended = || async {
        let state = process.state().await.unwrap();
        matches!(state, studio_sandbox::JournalState::Ended(_)).then_some(())
    };
    // Delivered or not before the crash: if not, the next server does it.
    let died = tokio::time::timeout(Duration::from_secs(2), wait_for("it", PATIENCE, ended)).await;

    let skip = world.ears.len();
    let server = Server::start(&mut world).await;
    let attached = server.bridge.attach(plain(&world.sandbox), run).await.unwrap();
    assert!(died.is_err() || !attached.alive, "it was seen to end");
    world.ears.hear_after(skip, "the exit", |t| matches!(t, Told::AgentExited { .. })).await;
    let types: Vec<_> = world.entries().await.iter().map(|e| e["type"].clone()).collect();
    let tail: Vec<_> = types[types.len() - 5..].iter().map(|kind| kind.as_str().unwrap()).collect();
    assert_eq!(
        tail,
        ["assistant_message", "log", "message_state", "agent_exit", "session_end"],
        "{types:?}"
    );
    let log = world.of_type("log").await.pop().unwrap();
    assert_eq!(log["message"], "The agent's process ended with exit code 3.\nlast words");
    assert_eq!(world.of_type("agent_exit").await[0]["code"], 3);
    server.vanish();

    // It is recorded once.
    let server = Server::start(&mut world).await;
    assert_eq!(server.bridge.open_run().await.unwrap(), None);
    let attached = server.bridge.attach(plain(&world.sandbox), run).await.unwrap();
    assert!(!attached.alive);
    assert_eq!(world.of_type("agent_exit").await.len(), 1);
}

#[tokio::test]
async fn what_was_held_goes_with_the_next_thing_said_after_a_restart_too() {
    let mut world = world().await;
    let server = Server::start(&mut world).await;
    let run = server.bridge.launch(plain(&world.sandbox)).await.unwrap();
    server.bridge.say("stubborn".to_owned(), None).await.unwrap();
    world.ears.hear("the turn", |told| matches!(told, Told::TurnStarted)).await;
    server.bridge.say("one".to_owned(), None).await.unwrap();
    server.bridge.say("two".to_owned(), None).await.unwrap();
    server.bridge.interrupt().await.unwrap();
    let end = world.of_type("session_end").await.pop().unwrap();
    assert_eq!((&end["success"], &end["reason"]), (&json!(false), &json!("interrupted")));
    assert_eq!(server.bridge.queue().await.unwrap().len(), 2);
    server.vanish();

    let server = Server::start(&mut world).await;
    let attached = server.bridge.attach(plain(&world.sandbox), run).await.unwrap();
    assert!(!attached.alive);
    let queue: Vec<_> =
        server.bridge.queue().await.unwrap().into_iter().map(|waiting| waiting.text).collect();
    assert_eq!(queue, ["one", "two"]);
    let run = server.bridge.launch(plain(&world.sandbox)).await.unwrap();
    server.vanish();

    let server = Server::start(&mut world).await;
    server.bridge.attach(plain(&world.sandbox), run).await.unwrap();
    server.bridge.say("three".to_owned(), None).await.unwrap();
    idle(&server.bridge).await;
    server.bridge.finish(Vec::new()).await.unwrap();
    let begun = world.words().await.into_iter().filter(|words| words.ends_with("begins"));
    let begun: Vec<_> = begun.collect();
    assert_eq!(begun, ["stubborn begins", "one begins", "two begins", "three begins"]);
}

#[tokio::test]
async fn a_sandbox_that_is_gone_ends_the_run() {
    let mut world = world().await;
    let server = Server::start(&mut world).await;
    let run = server.bridge.launch(plain(&world.sandbox)).await.unwrap();
    server.bridge.say("ask something".to_owned(), None).await.unwrap();
    world.ears.hear("the question", |told| matches!(told, Told::Asked(_))).await;
    let skip = world.ears.len();
    world.destroy_sandbox().await;
    world.ears.hear_after(skip, "the exit", |t| matches!(t, Told::AgentExited { .. })).await;
    let closed = world.of_type("gate_closed").await;
    assert_eq!(closed[0]["outcome"], "withdrawn");
    server.vanish();

    let server = Server::start(&mut world).await;
    assert!(!server.bridge.attach(plain(&world.sandbox), run).await.unwrap().alive);
    let nobody = server.bridge.say("hello".to_owned(), None).await;
    assert!(matches!(nobody, Err(BridgeError::NoAgent(_))), "{nobody:?}");
}

#[tokio::test]
async fn a_run_that_the_first_server_did_not_start_is_not_started_under_the_second() {
    let mut world = world().await;
    let first = Server::start(&mut world).await;
    // Written down, as a launch does first; then it is stopped for a while.
    let run = RunId::random();
    let recorded = vec![Record::Internal(InternalEvent::RunStarted { run })];
    first.bridge.record_all(recorded).await.unwrap();

    let second = Server::start(&mut world).await;
    assert_eq!(second.bridge.open_run().await.unwrap(), Some(run));
    assert!(!second.bridge.attach(plain(&world.sandbox), run).await.unwrap().alive);
    let its_own = second.bridge.launch(plain(&world.sandbox)).await.unwrap();
    // The first goes on with what it was about to do.
    let late = JournaledProcess::of(Arc::clone(&world.sandbox), run);
    let refused = late.start(Command::new(["sleep", "1000"])).await;
    assert!(matches!(refused, Err(SandboxError::Exists { .. })), "{refused:?}");
    assert_ne!(its_own, run);
    let ends = world.of_type("agent_exit").await;
    assert_eq!(ends.len(), 1, "of the run that never was: {ends:?}");
    second.bridge.finish(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn the_session_of_a_second_server_is_left_alone_by_the_first() {
    let mut world = world().await;
    let first = Server::start(&mut world).await;
    let run = first.bridge.launch(plain(&world.sandbox)).await.unwrap();
    let second = Server::start(&mut world).await;
    let fenced = first.bridge.say("too late".to_owned(), None).await;
    assert!(matches!(fenced, Err(BridgeError::Fenced(_))), "{fenced:?}");
    world.ears.hear("the fence", |told| matches!(told, Told::Fenced)).await;
    let ended = first.bridge.say("too late".to_owned(), None).await;
    assert!(matches!(ended, Err(BridgeError::Ended(_))), "{ended:?}");

    let attached = second.bridge.attach(plain(&world.sandbox), run).await.unwrap();
    assert!(attached.alive);
    second.bridge.say("hello".to_owned(), None).await.unwrap();
    idle(&second.bridge).await;
    second.bridge.finish(Vec::new()).await.unwrap();
    assert_eq!(world.words().await, ["hello begins", "hello ends"]);
    let states: HashMap<_, _> = world
        .of_type("message_state")
        .await
        .iter()
        .map(|entry| (entry["state"].to_string(), entry["message_ids"].to_string()))
        .collect();
    assert_eq!(states.len(), 3, "{states:?}");
}
