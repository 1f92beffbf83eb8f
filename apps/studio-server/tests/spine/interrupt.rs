//! Interrupts: in a tool, in a model's wait, in the middle of a text, with a queue, and of an
//! agent that does not listen.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::{
    in_both,
    world::{Place, Seen, Session, Watch, World},
};

/// How long an interrupted turn may take to end.
const AT_ONCE: Duration = Duration::from_secs(3);
/// The same when signals are needed: the agent was asked first, and got its time.
const BY_SIGNALS: Duration = Duration::from_secs(8);

in_both! {
    a_tool_is_interrupted_and_nothing_of_it_runs_on
    a_model_that_thinks_is_interrupted
    a_text_that_comes_slowly_is_interrupted
    what_waits_in_the_queue_waits_for_the_next_message
    an_agent_that_does_not_listen_is_stopped_and_resumed
}

/// A session whose turn goes on; `doing` chooses the scene of `slow`.
async fn busy(world: &World, doing: &str) -> (Session, Watch) {
    let session = world.session(doing).await;
    let mut watch = world.watch(&session).await;
    watch.next("session_start").await;
    (session, watch)
}

/// Interrupts the turn, which must end in time and not well, and give way to a next one that
/// knows of it.
async fn is_interrupted(
    world: &World,
    session: &Session,
    watch: &mut Watch,
    within: Duration,
) -> Seen {
    let start = Instant::now();
    world.tell(session, "interrupt", json!({})).await;
    let end = watch.turn_end().await;
    assert!(start.elapsed() <= within, "it took {:?}; {}", start.elapsed(), watch.told());
    assert_eq!(end.event["success"], false, "{}", watch.told());
    end
}

async fn goes_on(world: &World, session: &Session, watch: &mut Watch) {
    let conversation = watch.all("session_start")[0].text("session_id").to_owned();
    world.tell(session, "iterate", json!({ "request": "are you there again?" })).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    assert!(watch.last_words().contains("Here I am again, after "), "{}", watch.told());
    let started = watch.texts("session_start", "session_id");
    assert!(started.iter().all(|id| *id == conversation), "{started:?}");
    assert_eq!(world.rests(session).await["lastCoderSessionId"], json!(conversation));
    world.is_sound();
}

async fn a_tool_is_interrupted_and_nothing_of_it_runs_on(place: Place) {
    let world = World::start(place, "slow").await;
    let (session, mut watch) = busy(&world, "run the command").await;
    watch.next("pre_tool_use").await;
    world.something_runs_with(&session, "tick").await;
    is_interrupted(&world, &session, &mut watch, AT_ONCE).await;
    world.nothing_runs_with(&session, "tick").await;
    world.nothing_runs_with(&session, "sleep 1 ").await;
    goes_on(&world, &session, &mut watch).await;
    assert!(watch.last_words().contains("after 1 "), "{}", watch.told());
}

async fn a_model_that_thinks_is_interrupted(place: Place) {
    let world = World::start(place, "slow").await;
    let (session, mut watch) = busy(&world, "think").await;
    is_interrupted(&world, &session, &mut watch, AT_ONCE).await;
    goes_on(&world, &session, &mut watch).await;
}

async fn a_text_that_comes_slowly_is_interrupted(place: Place) {
    let world = World::start(place, "slow").await;
    let (session, mut watch) = busy(&world, "a stream please").await;
    is_interrupted(&world, &session, &mut watch, AT_ONCE).await;
    goes_on(&world, &session, &mut watch).await;
}

async fn what_waits_in_the_queue_waits_for_the_next_message(place: Place) {
    let world = World::start(place, "slow").await;
    let (session, mut watch) = busy(&world, "run the command").await;
    watch.next("pre_tool_use").await;
    for request in ["first one after", "second one after"] {
        world.tell(&session, "iterate", json!({ "request": request })).await;
    }
    let queue = async || world.ask(&session, "queue").await["messages"].clone();
    let told = queue().await;
    let texts: Vec<_> = told.as_array().unwrap().iter().map(|m| m["text"].clone()).collect();
    assert_eq!(texts, ["first one after", "second one after"], "{told}");

    is_interrupted(&world, &session, &mut watch, AT_ONCE).await;
    let told = queue().await;
    let states: Vec<_> = told.as_array().unwrap().iter().map(|m| m["state"].clone()).collect();
    assert_eq!(states, ["held", "held"], "{told}; {}", watch.told());
    assert_eq!(world.rests(&session).await["status"], "complete");

    world.tell(&session, "iterate", json!({ "request": "and now the third after" })).await;
    // One turn or several, as the agent likes; but all of it, in order, and nothing is left.
    watch
        .until("the third message being completed", |seen| {
            seen.is("message_state") && seen.event["state"] == "completed"
        })
        .await;
    studio_testkit::wait_for("an empty queue", crate::world::SOON, async || {
        queue().await.as_array().unwrap().is_empty().then_some(())
    })
    .await;
    let said = watch.texts("user_prompt", "message");
    assert_eq!(said[1..], ["first one after", "second one after", "and now the third after"]);
    world.is_sound();
}

async fn an_agent_that_does_not_listen_is_stopped_and_resumed(place: Place) {
    let world = World::start(place, "slow").await;
    let (session, mut watch) = busy(&world, "run the command").await;
    watch.next("pre_tool_use").await;
    world.something_runs_with(&session, "tick").await;
    let agents = world.agents(&session);
    assert_eq!(agents.len(), 1, "{:?}", world.processes(&session));
    world.signal(&session, agents[0], Signal::SIGSTOP);
    is_interrupted(&world, &session, &mut watch, BY_SIGNALS).await;
    world.nothing_runs_with(&session, "tick").await;
    assert_eq!(world.agents(&session), [0; 0], "{:?}", world.processes(&session));
    goes_on(&world, &session, &mut watch).await;
    assert_ne!(world.agents(&session), agents);
}
