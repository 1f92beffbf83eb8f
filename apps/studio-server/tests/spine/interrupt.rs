//! A person stops a turn: it ends soon, nothing of it is left running, what was queued waits,
//! and the conversation goes on with the next message.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    in_both,
    world::{Place, Session, Watch, World},
};

in_both! {
    a_command_is_stopped_with_everything_it_started
    a_wait_for_the_model_is_stopped
    a_text_that_streams_is_stopped
    what_is_queued_waits_for_the_next_message
    an_agent_that_does_not_listen_is_stopped_by_signals_and_resumed
}

/// How long an interrupted turn may take to end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Interrupts, and reads to the end of the turn, which must come in time.
async fn stop(world: &World, session: &Session, watch: &mut Watch) {
    let asked = Instant::now();
    world.tell(session, "interrupt", json!({})).await;
    let end = watch.turn_end().await;
    assert!(asked.elapsed() < PATIENCE, "{:?}; {}", asked.elapsed(), watch.told());
    assert_eq!(end.event["success"], false, "{}", watch.told());
    let told = world.ask(session, "").await;
    assert_eq!(told["status"], "complete", "{told}");
}

/// The next message is answered, with everything that was said before in mind.
async fn goes_on(world: &World, session: &Session, watch: &mut Watch) {
    world.tell(session, "iterate", json!({ "request": "hello again" })).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    assert!(watch.last_words().contains("Here I am again, after "), "{}", watch.told());
    let started = watch.texts("session_start", "session_id");
    assert!(started.iter().all(|id| *id == started[0]), "{started:?}");
    watch.is_in_order();
    world.is_sound();
}

async fn a_command_is_stopped_with_everything_it_started(place: Place) {
    let world = World::start(place, "slow").await;
    let session = world.session("run the command").await;
    let mut watch = world.watch(&session).await;
    watch.next("pre_tool_use").await;
    stop(&world, &session, &mut watch).await;
    world.nothing_runs_with(&session, "seq 60").await;
    world.nothing_runs_with(&session, "sleep 1").await;
    goes_on(&world, &session, &mut watch).await;
}

async fn a_wait_for_the_model_is_stopped(place: Place) {
    let world = World::start(place, "slow").await;
    let session = world.session("think for long").await;
    let mut watch = world.watch(&session).await;
    watch.next("session_start").await;
    stop(&world, &session, &mut watch).await;
    goes_on(&world, &session, &mut watch).await;
}

async fn a_text_that_streams_is_stopped(place: Place) {
    let world = World::start(place, "slow").await;
    let session = world.session("stream it").await;
    let mut watch = world.watch(&session).await;
    watch.next("session_start").await;
    stop(&world, &session, &mut watch).await;
    goes_on(&world, &session, &mut watch).await;
}

async fn what_is_queued_waits_for_the_next_message(place: Place) {
    let world = World::start(place, "slow").await;
    let session = world.session("think for long").await;
    let mut watch = world.watch(&session).await;
    watch.next("session_start").await;
    for request in ["first hello", "second hello"] {
        world.tell(&session, "iterate", json!({ "request": request })).await;
    }
    let queue = world.ask(&session, "queue").await;
    let texts = |queue: &serde_json::Value| {
        let waiting = queue["messages"].as_array().cloned().unwrap_or_default();
        waiting.iter().map(|m| m["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&queue), ["first hello", "second hello"], "{queue}");
    stop(&world, &session, &mut watch).await;

    // Nothing runs by itself: what waits is held, in its order.
    let queue = world.ask(&session, "queue").await;
    assert_eq!(texts(&queue), ["first hello", "second hello"], "{queue}");
    let states = queue["messages"].as_array().unwrap().iter().map(|m| m["state"].clone());
    assert_eq!(states.collect::<Vec<_>>(), ["held", "held"], "{queue}");
    assert_eq!(world.ask(&session, "").await["status"], "complete");

    goes_on(&world, &session, &mut watch).await;
    let queue = world.ask(&session, "queue").await;
    assert_eq!(texts(&queue), Vec::<String>::new(), "{queue}");
}

async fn an_agent_that_does_not_listen_is_stopped_by_signals_and_resumed(place: Place) {
    let world = World::start(place, "slow").await;
    let session = world.session("run the command").await;
    let mut watch = world.watch(&session).await;
    watch.next("pre_tool_use").await;
    for pid in world.agents(&session) {
        world.signal(&session, pid, Signal::SIGSTOP);
    }
    stop(&world, &session, &mut watch).await;
    world.nothing_runs_with(&session, "seq 60").await;
    goes_on(&world, &session, &mut watch).await;
}
