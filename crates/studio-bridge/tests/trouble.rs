//! A store that refuses or forgets to answer, an agent that does not obey, a listener that
//! panics: one session's trouble, and nothing lost.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "for tests")]

mod plain;
mod world;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use plain::plain;
use studio_agent_codec::Answer;
use studio_bridge::{
    Activity, AnswerRecord, Bridge, BridgeError, Listener, MESSAGES_WAITING_MAX, Told,
};
use studio_events::{EngineEvent, InternalEvent, LogLevel};
use studio_ids::SessionId;
use studio_streams::{
    Disturb, MemoryStreams, StreamError, StreamPath, StreamStore, Write, Written,
};
use studio_testkit::{processes_under, wait_for};
use tokio::time::Instant;
use world::{PATIENCE, World, world, world_in};

#[derive(Clone, Copy, Debug)]
enum Mood {
    Good,
    Full,
    ReadOnly,
    /// Writes and then forgets to say so, every second time.
    Forgetful,
    /// Neither writes nor says anything of use.
    Broken,
}

/// A store in memory with moods.
struct Moody {
    store: MemoryStreams,
    mood: Mutex<(Mood, u64)>,
}

impl Moody {
    fn new() -> Arc<Self> {
        Arc::new(Self { store: MemoryStreams::new(), mood: Mutex::new((Mood::Good, 0)) })
    }

    fn be(&self, mood: Mood) {
        self.mood.lock().unwrap().0 = mood;
    }
}

#[async_trait]
impl Disturb for Moody {
    fn inner(&self) -> &dyn StreamStore {
        &self.store
    }

    async fn on_write(&self, path: &StreamPath, write: Write) -> Result<Written, StreamError> {
        let (mood, count) = {
            let mut mood = self.mood.lock().unwrap();
            mood.1 += 1;
            *mood
        };
        let failed = || StreamError::Failed {
            path: path.clone(),
            tried: "appended to",
            source: "the line went dead".into(),
        };
        match mood {
            Mood::Good => self.store.write(path, write).await,
            Mood::Full => Err(StreamError::Busy),
            Mood::ReadOnly => Err(StreamError::ReadOnly { reason: "the disk is full".to_owned() }),
            Mood::Broken => Err(failed()),
            Mood::Forgetful => {
                let written = self.store.write(path, write).await;
                if count.is_multiple_of(2) { Err(failed()) } else { written }
            }
        }
    }
}

async fn idle(bridge: &Bridge) {
    let look = || async {
        let state = bridge.state().await.unwrap();
        (state.activity == Activity::Idle && state.degraded.is_none()).then_some(())
    };
    wait_for("the agent to be idle", PATIENCE, look).await;
}

fn counted(rounds: std::ops::Range<usize>) -> Vec<String> {
    let round = |round| {
        let numbers = (1..=40).map(move |i| format!("count {round} {i}"));
        let begins = [format!("count {round} begins")];
        begins.into_iter().chain(numbers).chain([format!("count {round} ends")])
    };
    rounds.flat_map(round).collect()
}

fn log_line() -> EngineEvent {
    EngineEvent::Log { level: LogLevel::System, message: "x".to_owned() }
}

#[tokio::test]
async fn what_the_agent_says_while_the_store_refuses_is_recorded_later() {
    for mood in [Mood::Full, Mood::ReadOnly, Mood::Broken] {
        let store = Moody::new();
        let mut world = world_in(store.clone()).await;
        let bridge = world.bridge().await;
        bridge.launch(plain(&world.sandbox)).await.unwrap();
        bridge.say("count 0".to_owned(), None).await.unwrap();
        world
            .ears
            .hear("its words", |t| matches!(t, Told::Event(EngineEvent::AssistantMessage { .. })))
            .await;
        store.be(mood);
        let degraded = || async { bridge.state().await.unwrap().degraded.is_some().then_some(()) };
        wait_for("the trouble to be noticed", PATIENCE, degraded).await;
        let refused = bridge.record(vec![log_line()]).await;
        assert!(matches!(refused, Err(BridgeError::NotRecorded { .. })), "{mood:?}: {refused:?}");
        let refused = bridge.say("count 1".to_owned(), None).await;
        assert!(matches!(refused, Err(BridgeError::NotRecorded { .. })), "{mood:?}: {refused:?}");
        store.be(Mood::Good);
        idle(&bridge).await;
        bridge.say("count 1".to_owned(), None).await.unwrap();
        idle(&bridge).await;
        bridge.finish(Vec::new()).await.unwrap();
        assert_eq!(world.words().await, counted(0..2), "{mood:?}");
        assert_eq!(world.of_type("user_prompt").await.len(), 2);
    }
}

#[tokio::test]
async fn lost_answers_of_the_store_double_nothing() {
    let store = Moody::new();
    let mut world = world_in(store.clone()).await;
    let bridge = world.bridge().await;
    bridge.launch(plain(&world.sandbox)).await.unwrap();
    store.be(Mood::Forgetful);
    for round in 0..5 {
        bridge.say(format!("count {round}"), None).await.unwrap();
    }
    idle(&bridge).await;
    bridge.finish(Vec::new()).await.unwrap();
    assert_eq!(world.words().await, counted(0..5));
    assert_eq!(world.of_type("user_prompt").await.len(), 5);
}

#[tokio::test]
async fn words_whose_record_was_in_doubt_are_said_once_it_is_not() {
    let store = Moody::new();
    let mut world = world_in(store.clone()).await;
    let bridge = world.bridge().await;
    bridge.launch(plain(&world.sandbox)).await.unwrap();
    bridge.state().await.unwrap();
    store.be(Mood::Broken);
    let doubt = bridge.say("count 0".to_owned(), None).await;
    assert!(matches!(doubt, Err(BridgeError::InDoubt { .. })), "{doubt:?}");
    store.be(Mood::Good);
    world.ears.turn_end(0).await;
    idle(&bridge).await;
    bridge.finish(Vec::new()).await.unwrap();
    assert_eq!(world.words().await, counted(0..1));
}

#[tokio::test]
async fn an_agent_that_does_not_obey_is_stopped_and_what_waited_is_held() {
    let mut world = world().await;
    let bridge = world.bridge().await;
    bridge.launch(plain(&world.sandbox)).await.unwrap();
    bridge.say("stubborn".to_owned(), None).await.unwrap();
    world.ears.hear("the turn", |told| matches!(told, Told::TurnStarted)).await;
    bridge.say("later".to_owned(), None).await.unwrap();
    let start = Instant::now();
    let (one, two) = tokio::join!(bridge.interrupt(), bridge.interrupt());
    one.unwrap();
    two.unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(agents(&world), 0);
    let state = bridge.state().await.unwrap();
    assert_eq!((state.activity, state.run), (Activity::Idle, None));
    let nobody = bridge.say("hello".to_owned(), None).await;
    assert!(matches!(nobody, Err(BridgeError::NoAgent(_))), "{nobody:?}");
    bridge.launch(plain(&world.sandbox)).await.unwrap();
    assert_eq!(bridge.say_held().await.unwrap(), 1);
    idle(&bridge).await;
    bridge.finish(Vec::new()).await.unwrap();
    assert_eq!(world.words().await, ["stubborn begins", "later begins", "later ends"]);
}

#[tokio::test]
async fn an_interrupt_works_while_nothing_can_be_recorded() {
    let store = Moody::new();
    let mut world = world_in(store.clone()).await;
    let bridge = world.bridge().await;
    bridge.launch(plain(&world.sandbox)).await.unwrap();
    bridge.say("stubborn".to_owned(), None).await.unwrap();
    world.ears.hear("the turn", |told| matches!(told, Told::TurnStarted)).await;
    bridge.say("later".to_owned(), None).await.unwrap();
    store.be(Mood::ReadOnly);
    let start = Instant::now();
    bridge.interrupt().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(agents(&world), 0);
    assert_eq!(world.of_type("agent_exit").await.len(), 0);
    store.be(Mood::Good);
    world.ears.hear("the exit", |told| matches!(told, Told::AgentExited { .. })).await;
    let end = world.of_type("session_end").await.pop().unwrap();
    assert_eq!(end["reason"], "interrupted");
    assert_eq!(bridge.queue().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_link_that_is_cut_again_and_again_loses_and_doubles_nothing() {
    let mut world = world().await;
    let bridge = world.bridge().await;
    bridge.launch(plain(&world.sandbox)).await.unwrap();
    let mut cuts = 0;
    for round in 0..8 {
        bridge.say(format!("count {round}"), None).await.unwrap();
        cuts += cut_links(&world);
        tokio::time::sleep(Duration::from_millis(30)).await;
        cuts += cut_links(&world);
    }
    assert!(0 < cuts, "no link was found");
    idle(&bridge).await;
    bridge.finish(Vec::new()).await.unwrap();
    assert_eq!(world.words().await, counted(0..8));
}

/// Kills what follows a journal; the agent goes on.
fn cut_links(world: &World) -> usize {
    let is_tail = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"tail\0"))
    };
    let links = processes_under(world.root.path()).into_iter().filter(is_tail);
    let kill =
        |pid: i32| std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    links.filter(|pid| kill(*pid).is_ok_and(|status| status.success())).count()
}

/// Plain agents that run in the world.
fn agents(world: &World) -> usize {
    let is_agent = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.starts_with(b"sh\0-c\0\ntrap 'exit 0' TERM\n"))
    };
    processes_under(world.root.path()).iter().filter(|pid| is_agent(pid)).count()
}

#[tokio::test]
async fn finishing_stops_rejects_and_says_the_last_words() {
    let mut world = world().await;
    let bridge = world.bridge().await;
    bridge.launch(plain(&world.sandbox)).await.unwrap();
    bridge.say("ask something".to_owned(), None).await.unwrap();
    world.ears.hear("the question", |told| matches!(told, Told::Asked(_))).await;
    assert_eq!(agents(&world), 1);
    bridge.finish(vec![log_line()]).await.unwrap();
    assert_eq!(agents(&world), 0);
    let entries = world.entries().await;
    let last: Vec<_> = entries[entries.len() - 3..].iter().map(|e| e["type"].clone()).collect();
    assert!(last.iter().any(|kind| kind == "agent_exit") && last[2] == "log", "{last:?}");
    assert_eq!(world.of_type("gate_closed").await[0]["outcome"], "rejected");
    wait_for("the bridge to end", PATIENCE, || async { bridge.is_ended().then_some(()) }).await;
}

#[tokio::test]
async fn detaching_leaves_the_agent_alone() {
    let mut world = world().await;
    let bridge = world.bridge().await;
    let run = bridge.launch(plain(&world.sandbox)).await.unwrap();
    bridge.detach().await;
    assert!(matches!(bridge.state().await, Err(BridgeError::Ended(_))));
    assert_eq!(agents(&world), 1);
    let bridge = world.bridge().await;
    assert!(bridge.attach(plain(&world.sandbox), run).await.unwrap().alive);
    // The studio stops: the same.
    world.stop.cancel();
    world.tasks.close();
    tokio::time::timeout(Duration::from_secs(1), world.tasks.wait()).await.unwrap();
    assert_eq!(agents(&world), 1);
    world.destroy_sandbox().await;
}

#[tokio::test]
async fn more_messages_than_may_wait_are_refused_unrecorded() {
    let mut world = world().await;
    let bridge = world.bridge().await;
    bridge.launch(plain(&world.sandbox)).await.unwrap();
    bridge.say("stubborn".to_owned(), None).await.unwrap();
    world.ears.hear("the turn", |told| matches!(told, Told::TurnStarted)).await;
    for i in 0..MESSAGES_WAITING_MAX {
        bridge.say(format!("{i}"), None).await.unwrap();
    }
    let full = bridge.say("one more".to_owned(), None).await;
    assert!(matches!(full, Err(BridgeError::QueueFull { .. })), "{full:?}");
    assert_eq!(world.of_type("user_prompt").await.len(), 1 + MESSAGES_WAITING_MAX);
    bridge.finish(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn an_answer_to_an_agent_that_is_gone_says_so() {
    let mut world = world().await;
    let bridge = world.bridge().await;
    bridge.launch(plain(&world.sandbox)).await.unwrap();
    bridge.say("ask something".to_owned(), None).await.unwrap();
    let at = world.ears.hear("the question", |told| matches!(told, Told::Asked(_))).await;
    let Told::Asked(ask) = world.ears.all()[at].clone() else { panic!() };
    world.destroy_sandbox().await;
    let gate = ask.gate.clone();
    let record = AnswerRecord {
        response: InternalEvent::GateResponse {
            gate: "ask_user_question".to_owned(),
            gate_id: gate.clone(),
            value: serde_json::Value::Null,
        },
        resolved: log_line(),
    };
    let answer = Answer::Allow { always: false };
    let result = bridge.answer(gate, answer, record).await;
    let told =
        matches!(result, Err(BridgeError::NotAsked { .. } | BridgeError::Undelivered { .. }));
    assert!(told, "{result:?}");
    assert_eq!(world.of_type("gate_resolved").await.len(), 0);
}

/// Panics at the first event that an agent says.
struct Clumsy(Arc<world::Ears>);

impl Listener for Clumsy {
    fn told(&self, session: SessionId, told: &Told) {
        self.0.told(session, told);
        if matches!(told, Told::Event(EngineEvent::AssistantMessage { .. })) {
            panic!("on purpose");
        }
    }
}

#[tokio::test]
async fn a_fault_ends_one_bridge_and_nothing_else() {
    let mut world = world().await;
    let mut parts = world.parts().await;
    parts.listener = Arc::new(Clumsy(Arc::clone(&world.ears)));
    let bridge = Bridge::start(parts, &world.tasks, world.stop.clone());
    let run = bridge.launch(plain(&world.sandbox)).await.unwrap();
    bridge.say("count 0".to_owned(), None).await.unwrap();
    world.ears.hear("the fault", |told| matches!(told, Told::Failed(_))).await;
    assert!(matches!(bridge.state().await, Err(BridgeError::Ended(_))));

    let bridge = world.bridge().await;
    assert!(bridge.attach(plain(&world.sandbox), run).await.unwrap().alive);
    idle(&bridge).await;
    bridge.finish(Vec::new()).await.unwrap();
    assert_eq!(world.words().await, counted(0..1));
}

#[tokio::test]
async fn words_recorded_by_somebody_else_are_delivered_once() {
    let mut world = world().await;
    let bridge = world.bridge().await;
    let id = studio_ids::MessageId::random();
    let prompt =
        EngineEvent::UserPrompt { message: "hello".to_owned(), sender: None, message_id: Some(id) };
    bridge.record(vec![prompt]).await.unwrap();
    let run = bridge.launch(plain(&world.sandbox)).await.unwrap();
    bridge.deliver(id, "hello".to_owned()).await.unwrap();
    bridge.deliver(id, "hello".to_owned()).await.unwrap();
    bridge.detach().await;
    let bridge = world.bridge().await;
    bridge.attach(plain(&world.sandbox), run).await.unwrap();
    bridge.deliver(id, "hello".to_owned()).await.unwrap();
    idle(&bridge).await;
    bridge.deliver(id, "hello".to_owned()).await.unwrap();
    idle(&bridge).await;
    bridge.finish(Vec::new()).await.unwrap();
    assert_eq!(world.words().await, ["hello begins", "hello ends"]);
}
