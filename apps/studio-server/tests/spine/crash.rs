//! Servers that die, and agents that do not.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use tokio::time::Instant;

use crate::{
    in_both,
    world::{Place, Rest, SOON, Session, Watch, World},
};

/// Kills in one run of [`no_kill_loses_doubles_or_reorders_an_event`].
const KILLS: usize = 7;

in_both! {
    no_kill_loses_doubles_or_reorders_an_event
    no_kill_loses_doubles_or_reorders_an_event_once_more
    an_orderly_stop_takes_less_than_a_second_and_the_agent_goes_on
    a_question_outlives_the_server_and_its_answer_reaches_the_agent
    an_answer_that_a_kill_overtakes_is_given_once
    a_session_that_was_being_prepared_is_prepared_by_the_next_server
    an_infrastructure_gate_outlives_the_server
}

/// Small, seeded by the clock; the seed is in the message of a test that fails.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap() | 1;
        println!("the dice begin with {seed}");
        Self(seed)
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(from + self.0 % (to - from))
    }
}

async fn no_kill_loses_doubles_or_reorders_an_event_once_more(place: Place) {
    no_kill_loses_doubles_or_reorders_an_event(place).await;
}

async fn no_kill_loses_doubles_or_reorders_an_event(place: Place) {
    let mut dice = Dice::new();
    let mut world = World::start(place, "long").await;
    let session = world.session("do all of it").await;
    let mut watch = world.watch(&session).await;
    watch.next("post_tool_use").await;
    let agents = world.agents(&session);
    assert_eq!(agents.len(), 1, "{:?}", world.processes(&session));

    let mut in_the_middle = 0;
    for _ in 0..KILLS {
        // Read for a while and then kill, wherever the agent is.
        let at = Instant::now() + dice.millis(30, 450);
        assert_eq!(watch.rest(at).await, Rest::More, "{}", watch.told());
        in_the_middle += usize::from(watch.all("session_end").is_empty());
        world.server.crash().await;
        while watch.rest(Instant::now() + SOON).await == Rest::More {}
        world.server.restart().await;
        watch.resume(&world, &session).await;
    }
    assert!(KILLS / 2 <= in_the_middle, "only {in_the_middle} kills before the turn ended");
    if watch.all("session_end").is_empty() {
        watch.turn_end().await;
    }
    is_whole(&watch);
    assert_eq!(world.agents(&session), agents, "the agent never stopped");

    // Whoever comes later reads the same.
    let mut late = world.watch(&session).await;
    late.turn_end().await;
    assert_eq!(late.seen[..], watch.seen[..late.seen.len()]);
    assert_eq!(world.rests(&session).await["status"], "complete");
    world.is_sound();
}

/// That all that the agent of `long` does was told once and in order.
pub(crate) fn is_whole(watch: &Watch) {
    watch.is_in_order();
    let ids: BTreeSet<&str> = watch.seen.iter().map(|seen| seen.id.as_str()).collect();
    assert_eq!(ids.len(), watch.seen.len(), "ids are not unique");
    let lines: Vec<String> = (1..=200).map(|n| format!("line {n}")).collect();
    assert_eq!(watch.texts("post_tool_use", "tool_response"), lines);
    let mut steps: Vec<String> = (1..=200).map(|n| format!("Step {n}.")).collect();
    steps.push("All 200 steps are done.".to_owned());
    assert_eq!(watch.texts("assistant_message", "text"), steps);
    assert_eq!(watch.all("pre_tool_use").len(), 200);
    assert_eq!(watch.all("session_start").len(), 1, "{}", watch.told());
    let ends = watch.all("session_end");
    assert_eq!((ends.len(), &ends[0].event["success"]), (1, &json!(true)), "{}", watch.told());
}

async fn an_orderly_stop_takes_less_than_a_second_and_the_agent_goes_on(place: Place) {
    let mut world = World::start(place, "long").await;
    let session = world.session("do all of it").await;
    let mut watch = world.watch(&session).await;
    watch.next("post_tool_use").await;
    let agents = world.agents(&session);
    let (status, took) = world.server.terminate().await;
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    while watch.rest(Instant::now() + SOON).await == Rest::More {}
    world.server.restart().await;
    watch.resume(&world, &session).await;
    watch.turn_end().await;
    is_whole(&watch);
    assert_eq!(world.agents(&session), agents, "the agent never stopped");
    world.is_sound();
}

async fn crash_and_resume(world: &mut World, watch: &mut Watch, session: &Session) {
    world.server.crash().await;
    while watch.rest(Instant::now() + SOON).await == Rest::More {}
    world.server.restart().await;
    watch.resume(world, session).await;
}

fn colours(tool_use: &str) -> serde_json::Value {
    let answers = json!({
        "Which colour should the page have?": "Blue",
        "Which parts do you want?": "Footer"
    });
    json!({ "gate": "ask_user_question", "toolUseId": tool_use, "answers": answers })
}

async fn a_question_outlives_the_server_and_its_answer_reaches_the_agent(place: Place) {
    let mut world = World::start(place, "ask-user").await;
    let session = world.session("make a page").await;
    let mut watch = world.watch(&session).await;
    let asked = watch.next("ask_user_question").await;
    let agents = world.agents(&session);
    for _ in 0..2 {
        crash_and_resume(&mut world, &mut watch, &session).await;
        let gates = world.gates(&session).await;
        assert_eq!(gates.len(), 1, "{gates:?}");
        assert_eq!(gates[0]["id"], asked.text("tool_use_id"));
        assert_eq!(world.ask(&session, "").await["needsInput"], true);
    }
    world.tell(&session, "respond", colours(asked.text("tool_use_id"))).await;
    watch.turn_end().await;
    assert!(watch.last_words().contains("Footer"), "{}", watch.told());
    assert_eq!(watch.all("ask_user_question").len(), 1, "{}", watch.told());
    assert_eq!(watch.all("gate_resolved").len(), 1, "{}", watch.told());
    assert_eq!(world.agents(&session), agents, "the agent never stopped");
    world.is_sound();
}

async fn an_answer_that_a_kill_overtakes_is_given_once(place: Place) {
    let mut dice = Dice::new();
    let mut world = World::start(place, "ask-user").await;
    for _ in 0..3 {
        let session = world.session("make a page").await;
        let mut watch = world.watch(&session).await;
        let asked = watch.next("ask_user_question").await;
        let answer = colours(asked.text("tool_use_id"));
        {
            // The answer is somewhere between the socket and the agent when the server dies.
            let telling = world.try_to_tell_or_not(&session, "respond", &answer);
            let killed_after = dice.millis(0, 25);
            drop(tokio::time::timeout(killed_after, telling).await);
        }
        crash_and_resume(&mut world, &mut watch, &session).await;
        // Whether it arrived or not: the same answer again is a success and does nothing twice.
        world.tell(&session, "respond", answer).await;
        watch.turn_end().await;
        assert!(watch.last_words().contains("Footer"), "{}", watch.told());
        assert_eq!(watch.all("gate_resolved").len(), 1, "{}", watch.told());
        assert_eq!(watch.all("gate_closed").len(), 0, "{}", watch.told());
        assert!(world.gates(&session).await.is_empty());
    }
    world.is_sound();
}

async fn a_session_that_was_being_prepared_is_prepared_by_the_next_server(place: Place) {
    let mut dice = Dice::new();
    let mut world = World::start(place, "hello").await;
    for _ in 0..3 {
        let session = world.session("say hello").await;
        let mut watch = world.watch(&session).await;
        watch.rest(Instant::now() + dice.millis(0, 1_200)).await;
        crash_and_resume(&mut world, &mut watch, &session).await;
        if watch.all("session_end").is_empty() {
            watch.turn_end().await;
        }
        assert!(watch.last_words().contains("say hello"), "{}", watch.told());
        assert_eq!(watch.all("assistant_message").len(), 1, "{}", watch.told());
        assert_eq!(world.agents(&session).len(), 1, "{:?}", world.processes(&session));
        if place == Place::Docker {
            assert_eq!(world.containers(&session).len(), 1);
        }
        watch.is_in_order();
    }
    world.is_sound();
}

async fn an_infrastructure_gate_outlives_the_server(place: Place) {
    let mut world = World::start(place, "hello").await;
    let session = world.session_of(json!({ "description": "a list" })).await;
    let mut watch = world.watch(&session).await;
    watch.next("infra_config_prompt").await;
    crash_and_resume(&mut world, &mut watch, &session).await;
    assert_eq!(world.gates(&session).await[0]["gate"], "infra_config");
    world.tell(&session, "respond", json!({ "gate": "infra_config", "mode": "local" })).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    assert_eq!(watch.all("infra_config_prompt").len(), 1, "{}", watch.told());
    world.is_sound();
}
