//! The real Claude Code program, talking to a scripted model, in a jail of this machine.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "for tests")]

mod world;

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use studio_agent_codec::{Answer, LaunchOptions, PermissionPolicy};
use studio_bridge::{Activity, AnswerRecord, BridgeError, Told, WaitingState};
use studio_events::{EngineEvent, InternalEvent};
use studio_ids::GateId;
use studio_testkit::{ModelServer, processes_under, wait_for};
use tokio::time::Instant;
use world::{PATIENCE, World, world};

/// How an answer is written down.
fn recorded(gate: &GateId, kind: &str) -> AnswerRecord {
    AnswerRecord {
        response: InternalEvent::GateResponse {
            gate: kind.to_owned(),
            gate_id: gate.clone(),
            value: json!("yes"),
        },
        resolved: EngineEvent::GateResolved {
            gate: kind.to_owned(),
            summary: Some("yes".to_owned()),
            details: None,
            resolved_by: None,
            gate_id: Some(gate.clone()),
            tool_use_id: None,
        },
    }
}

async fn asked(world: &World, skip: usize) -> (usize, studio_agent_codec::Ask) {
    let is = |told: &Told| matches!(told, Told::Asked(_));
    let at = world.ears.hear_after(skip, "a question", is).await;
    match &world.ears.all()[at] {
        Told::Asked(ask) => (at, ask.clone()),
        other => panic!("{other:?}"),
    }
}

fn types(entries: &[serde_json::Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_turn_is_recorded_from_the_prompt_to_its_end() {
    let (model, mut world) = (ModelServer::start(), world().await);
    let bridge = world.bridge().await;
    assert!(matches!(bridge.say("hi".to_owned(), None).await, Err(BridgeError::NoAgent(_))));
    let run = bridge.launch(world.claude(&model, "hello")).await.unwrap();
    let id = bridge.say("say hello".to_owned(), None).await.unwrap();
    world.ears.turn_end(0).await;

    let entries = world.entries().await;
    let types = types(&entries);
    assert_eq!(types[..3], ["writer_started", "run_started", "user_prompt"]);
    assert!(types.contains(&"session_start") && types.contains(&"assistant_message"), "{types:?}");
    let end = world.of_type("session_end").await;
    assert_eq!(end.len(), 1);
    assert_eq!(end[0]["success"], true);
    assert_eq!(entries[2]["message_id"], id.to_string());
    let marked = entries.iter().rev().find(|entry| entry.get("journal").is_some()).unwrap();
    assert_eq!(marked["journal"]["run"], run.to_string());

    // What the listener heard of events is the stream.
    let heard: Vec<_> = world
        .ears
        .all()
        .into_iter()
        .filter_map(|told| match told {
            Told::Event(event) => Some(serde_json::to_value(event).unwrap()["type"].clone()),
            _ => None,
        })
        .collect();
    let public = |kind: &&str| !["writer_started", "run_started", "recorded"].contains(kind);
    let shown: Vec<_> = types.iter().copied().filter(|kind| public(kind)).collect();
    assert_eq!(heard[..heard.len().min(shown.len())], shown[..heard.len().min(shown.len())]);

    let state = bridge.state().await.unwrap();
    assert_eq!((state.run, state.degraded), (Some(run), None));
    assert!(state.conversation.is_some());
    bridge.finish(Vec::new()).await.unwrap();
    assert_eq!(world.of_type("agent_exit").await.len(), 1);
    assert!(matches!(bridge.queue().await, Err(BridgeError::Ended(_))));
}

#[tokio::test]
async fn the_agent_works_in_its_project_and_a_follow_up_has_the_context() {
    let (model, mut world) = (ModelServer::start(), world().await);
    let bridge = world.bridge().await;
    bridge.launch(world.claude(&model, "edit-file")).await.unwrap();
    bridge.say("make a file".to_owned(), None).await.unwrap();
    let first = world.ears.turn_end(0).await;
    assert!(std::fs::read_dir(world.project()).unwrap().next().is_some(), "no file was written");
    bridge.say("hello again".to_owned(), None).await.unwrap();
    world.ears.turn_end(first + 1).await;
    let last = model.requests().await.into_iter().next_back().unwrap();
    let ends = world.of_type("session_end").await;
    assert_eq!(ends.iter().filter(|end| end["success"] == true).count(), 2, "{last} {ends:?}");
    assert_eq!(world.of_type("session_start").await.len(), 1);
    bridge.finish(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_question_is_answered_once() {
    let (model, mut world) = (ModelServer::start(), world().await);
    let bridge = world.bridge().await;
    bridge.launch(world.claude(&model, "ask-user")).await.unwrap();
    bridge.say("ask me".to_owned(), None).await.unwrap();
    let (_, ask) = asked(&world, 0).await;
    assert_eq!(bridge.state().await.unwrap().activity, Activity::WaitingForPerson);
    let questions = ask.input["questions"].as_array().unwrap();
    let answers: BTreeMap<_, _> = questions
        .iter()
        .map(|q| (q["question"].as_str().unwrap().to_owned(), "my own words".to_owned()))
        .collect();
    let record = recorded(&ask.gate, "ask_user_question");
    bridge
        .answer(ask.gate.clone(), Answer::Answers(answers.clone()), record.clone())
        .await
        .unwrap();
    let again = bridge.answer(ask.gate.clone(), Answer::Answers(answers), record).await;
    assert!(matches!(again, Err(BridgeError::NotAsked { .. })), "{again:?}");
    world.ears.turn_end(0).await;

    let types_of = world.entries().await;
    let order: Vec<_> = types(&types_of)
        .into_iter()
        .filter(|kind| {
            ["ask_user_question", "gate_response", "gate_resolved", "session_end"].contains(kind)
        })
        .collect();
    assert_eq!(order, ["ask_user_question", "gate_response", "gate_resolved", "session_end"]);
    let seen = model.requests().await.iter().any(|r| r.to_string().contains("my own words"));
    assert!(seen, "the model never saw the answer");
    bridge.finish(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_permission_is_refused_and_another_one_given() {
    let (model, mut world) = (ModelServer::start(), world().await);
    let bridge = world.bridge().await;
    let launch = LaunchOptions { permissions: PermissionPolicy::Ask, ..LaunchOptions::default() };
    bridge.launch(world.claude_with(&model, "permission", launch)).await.unwrap();
    bridge.say("delete it".to_owned(), None).await.unwrap();
    let (first, ask) = asked(&world, 0).await;
    let deny = Answer::Deny { message: "better not".to_owned(), interrupt: false };
    bridge.answer(ask.gate.clone(), deny, recorded(&ask.gate, "permission")).await.unwrap();
    let (_, ask) = asked(&world, first + 1).await;
    let allow = Answer::Allow { always: true };
    bridge.answer(ask.gate.clone(), allow, recorded(&ask.gate, "permission")).await.unwrap();
    world.ears.turn_end(0).await;
    assert_eq!(world.of_type("gate_resolved").await.len(), 2);
    let seen = model.requests().await.iter().any(|r| r.to_string().contains("better not"));
    assert!(seen, "the model never saw the refusal");
    bridge.finish(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn an_interrupt_ends_a_command_and_what_it_started() {
    let (model, mut world) = (ModelServer::start(), world().await);
    let bridge = world.bridge().await;
    let run = bridge.launch(world.claude(&model, "slow")).await.unwrap();
    bridge.say("run a command".to_owned(), None).await.unwrap();
    let is = |told: &Told| matches!(told, Told::Event(EngineEvent::PreToolUse { .. }));
    world.ears.hear("a tool call", is).await;
    let ticks = || async { (!ticking(&world).is_empty()).then_some(()) };
    wait_for("the command to run", PATIENCE, ticks).await;
    bridge.say("hello second".to_owned(), None).await.unwrap();
    bridge.say("hello third".to_owned(), None).await.unwrap();

    let start = Instant::now();
    bridge.interrupt().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(ticking(&world), Vec::<i32>::new());
    let state = bridge.state().await.unwrap();
    assert_eq!((state.activity, state.run), (Activity::Idle, Some(run)));
    let queue = bridge.queue().await.unwrap();
    let texts: Vec<_> = queue.iter().map(|m| (m.text.as_str(), m.state)).collect();
    assert_eq!(texts, [("hello second", WaitingState::Held), ("hello third", WaitingState::Held)]);
    let ends = world.of_type("session_end").await;
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(ends[0]["success"], false);
    bridge.interrupt().await.unwrap();

    // The next thing said brings along what was held, in order, in the same conversation.
    let skip = world.ears.len();
    bridge.say("hello fourth".to_owned(), None).await.unwrap();
    world.ears.turn_end(skip).await;
    let empty = || async { bridge.queue().await.unwrap().is_empty().then_some(()) };
    wait_for("the queue to be read", PATIENCE, empty).await;
    let idle =
        || async { (bridge.state().await.unwrap().activity == Activity::Idle).then_some(()) };
    wait_for("the agent to be idle", PATIENCE, idle).await;
    let started: Vec<_> = world
        .of_type("message_state")
        .await
        .into_iter()
        .filter(|entry| entry["state"] == "started")
        .flat_map(|entry| entry["message_ids"].as_array().unwrap().clone())
        .collect();
    let said: Vec<_> = world
        .of_type("user_prompt")
        .await
        .into_iter()
        .map(|entry| entry["message_id"].clone())
        .collect();
    assert_eq!(started, said, "order of reading is order of saying");
    bridge.finish(Vec::new()).await.unwrap();
    assert_eq!(processes_of(&world), 0);
}

/// The processes of the command that the script `slow` runs.
fn ticking(world: &World) -> Vec<i32> {
    let is_tick = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains("echo tick"))
    };
    processes_under(world.root.path()).into_iter().filter(is_tick).collect()
}

/// Agents that run in the world.
fn processes_of(world: &World) -> usize {
    let is_agent = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.starts_with(b"claude\0") || line.ends_with(b"/claude\0"))
    };
    processes_under(world.root.path()).iter().filter(|pid| is_agent(pid)).count()
}

#[tokio::test]
async fn an_interrupt_ends_a_wait_for_the_model() {
    let (model, mut world) = (ModelServer::start(), world().await);
    let bridge = world.bridge().await;
    bridge.launch(world.claude(&model, "slow")).await.unwrap();
    bridge.say("think".to_owned(), None).await.unwrap();
    world.ears.hear("the start", |told| matches!(told, Told::TurnStarted)).await;
    let start = Instant::now();
    bridge.interrupt().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let skip = world.ears.len();
    bridge.say("hello".to_owned(), None).await.unwrap();
    world.ears.turn_end(skip).await;
    assert!(world.words().await.iter().any(|words| words.starts_with("Here I am again")));
    bridge.finish(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn an_interrupt_rejects_an_open_question() {
    let (model, mut world) = (ModelServer::start(), world().await);
    let bridge = world.bridge().await;
    bridge.launch(world.claude(&model, "ask-user")).await.unwrap();
    bridge.say("ask me".to_owned(), None).await.unwrap();
    let (_, ask) = asked(&world, 0).await;
    bridge.interrupt().await.unwrap();
    let closed = world.of_type("gate_closed").await;
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert_eq!(closed[0]["outcome"], "rejected");
    assert_eq!(closed[0]["gate_id"], ask.gate.as_str());
    let late = bridge
        .answer(ask.gate.clone(), Answer::Allow { always: false }, recorded(&ask.gate, "x"))
        .await;
    assert!(matches!(late, Err(BridgeError::NotAsked { .. })), "{late:?}");
    bridge.finish(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn two_messages_to_a_busy_agent_keep_their_order() {
    let (model, mut world) = (ModelServer::start(), world().await);
    let bridge = world.bridge().await;
    bridge.launch(world.claude(&model, "long")).await.unwrap();
    bridge.say("work".to_owned(), None).await.unwrap();
    let is = |told: &Told| matches!(told, Told::Event(EngineEvent::PostToolUse { .. }));
    world.ears.hear("a tool's result", is).await;
    let one = bridge.say("first addition".to_owned(), None).await.unwrap();
    let two = bridge.say("second addition".to_owned(), None).await.unwrap();
    let idle = || async {
        let state = bridge.state().await.unwrap();
        (state.activity == Activity::Idle).then_some(())
    };
    wait_for("the agent to be idle", PATIENCE, idle).await;
    let states = |word: &'static str| {
        let world = &world;
        async move {
            let states = world.of_type("message_state").await;
            let states = states.into_iter().filter(|entry| entry["state"] == word);
            states.flat_map(|e| e["message_ids"].as_array().unwrap().clone()).collect::<Vec<_>>()
        }
    };
    let started = states("started").await;
    assert_eq!(started[started.len() - 2..], [json!(one), json!(two)]);
    let done = || async { (states("completed").await.len() == 3).then_some(()) };
    wait_for("the last message to be told complete", PATIENCE, done).await;
    bridge.finish(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_died_is_resumed_with_its_context() {
    let (model, mut world) = (ModelServer::start(), world().await);
    let bridge = world.bridge().await;
    bridge.launch(world.claude(&model, "slow")).await.unwrap();
    bridge.say("hello".to_owned(), None).await.unwrap();
    world.ears.turn_end(0).await;
    bridge.say("run a command".to_owned(), None).await.unwrap();
    let ticks = || async { (!ticking(&world).is_empty()).then_some(()) };
    wait_for("the command to run", PATIENCE, ticks).await;
    let skip = world.ears.len();
    kill_agents(&world);
    world.ears.hear_after(skip, "the exit", |t| matches!(t, Told::AgentExited { .. })).await;
    let end = world.of_type("session_end").await.pop().unwrap();
    assert_eq!((&end["success"], &end["reason"]), (&json!(false), &json!("exit")));
    let nobody = bridge.say("anybody there".to_owned(), None).await;
    assert!(matches!(nobody, Err(BridgeError::NoAgent(_))), "{nobody:?}");

    let resume = bridge.state().await.unwrap().conversation;
    let launch = LaunchOptions { resume: resume.clone(), ..LaunchOptions::default() };
    bridge.launch(world.claude_with(&model, "slow", launch)).await.unwrap();
    let skip = world.ears.len();
    bridge.say("hello again".to_owned(), None).await.unwrap();
    world.ears.turn_end(skip).await;
    assert_eq!(bridge.state().await.unwrap().conversation, resume);
    let last = world.words().await.pop().unwrap();
    assert!(last.starts_with("Here I am again, after") && !last.contains("after 0"), "{last}");
    bridge.finish(Vec::new()).await.unwrap();
}

/// Kills the agent itself, as the kernel would that has no memory left.
fn kill_agents(world: &World) {
    for pid in processes_under(world.root.path()) {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.starts_with(b"claude\0") {
            std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        }
    }
}

#[tokio::test]
async fn a_lost_conversation_is_told_and_the_message_is_kept() {
    let (model, mut world) = (ModelServer::start(), world().await);
    let bridge = world.bridge().await;
    let resume = Some("00000000-0000-4000-8000-00000000dead".to_owned());
    let launch = LaunchOptions { resume, ..LaunchOptions::default() };
    bridge.launch(world.claude_with(&model, "hello", launch)).await.unwrap();
    // The agent may be gone before the message is said; then it was not recorded.
    let said = bridge.say("say hello".to_owned(), None).await;
    world.ears.hear("the loss", |told| matches!(told, Told::ConversationLost)).await;
    let launch = LaunchOptions::default();
    bridge.launch(world.claude_with(&model, "hello", launch)).await.unwrap();
    match said {
        Ok(id) => {
            let queue = bridge.queue().await.unwrap();
            assert_eq!((queue.len(), queue[0].id, queue[0].state), (1, id, WaitingState::Held));
            assert_eq!(bridge.say_held().await.unwrap(), 1);
        }
        Err(BridgeError::NoAgent(_)) => {
            bridge.say("say hello".to_owned(), None).await.unwrap();
        }
        Err(error) => panic!("{error}"),
    }
    world.ears.turn_end(0).await;
    let ends = world.of_type("session_end").await;
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(ends[0]["success"], true);
    assert_eq!(world.of_type("user_prompt").await.len(), 1);
    bridge.finish(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told() {
    let (model, mut world) = (ModelServer::start(), world().await);
    let bridge = world.bridge().await;
    let mut agent = world.claude(&model, "hello");
    agent.cwd = "/nowhere/at/all".parse().unwrap();
    let error = bridge.launch(agent).await.unwrap_err();
    assert!(matches!(error, BridgeError::Sandbox { .. }), "{error}");
    assert_eq!(bridge.state().await.unwrap().run, None);
    assert_eq!(world.of_type("agent_exit").await.len(), 1);
    assert_eq!(world.of_type("log").await.len(), 1);
    assert_eq!(bridge.open_run().await.unwrap(), None);
}
