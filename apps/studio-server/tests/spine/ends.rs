//! Cancel and delete, at every stage of a session: nothing is left, and the log says so.

use serde_json::json;
use tokio::time::Instant;

use crate::{
    in_both,
    world::{Place, Rest, SOON, Session, Watch, World},
};

in_both! {
    a_session_ends_before_its_gate_is_answered
    a_session_ends_while_its_sandbox_is_made
    a_session_ends_while_its_project_is_set_up
    a_session_ends_while_its_agent_works
    a_session_ends_while_a_question_is_open
}

/// Brings a session to its stage twice: one is cancelled, the other deleted.
async fn ends(world: &World, stage: impl AsyncFn() -> (Session, Watch)) {
    let (session, mut watch) = stage().await;
    world.tell(&session, "cancel", json!({})).await;
    world.leaves_nothing(&session);
    assert!(world.gates(&session).await.is_empty());
    let told = world.ask(&session, "").await;
    assert_eq!((&told["status"], &told["needsInput"]), (&json!("cancelled"), &json!(false)));
    // An agent that works may tell the end of its turn before the end of the session.
    watch.until("the end of the session", |seen| seen.text("reason") == "cancelled").await;
    assert!(watch.seen.last().is_some_and(|last| last.is("session_end")), "{}", watch.told());
    world.tell(&session, "cancel", json!({})).await;
    let (status, _) = world.try_to_tell(&session, "iterate", json!({ "request": "x" })).await;
    assert!((400..500).contains(&status), "{status}");

    let (session, mut watch) = stage().await;
    assert_eq!(world.delete(&session).await, (200, json!({ "ok": true })));
    world.leaves_nothing(&session);
    let until = Instant::now() + SOON;
    assert_eq!(watch.rest(until).await, Rest::Ended, "{}", watch.told());
    let ends = watch.all("session_end");
    assert_eq!(ends.last().map(|end| end.text("reason")), Some("cancelled"), "{}", watch.told());
    for what in ["", "gates", "queue", "events"] {
        assert_eq!(world.get(&session.path(what), &session.token).await.0, 404, "{what}");
    }
    world.is_sound();
}

async fn a_session_ends_before_its_gate_is_answered(place: Place) {
    let world = World::start(place, "slow").await;
    ends(&world, async || {
        let session = world.session_of(json!({ "description": "a list" })).await;
        let mut watch = world.watch(&session).await;
        watch.next("infra_config_prompt").await;
        (session, watch)
    })
    .await;
}

async fn a_session_ends_while_its_sandbox_is_made(place: Place) {
    let world = World::start(place, "slow").await;
    ends(&world, async || {
        let session = world.session("think").await;
        let watch = world.watch(&session).await;
        world.sandbox_begins(&session).await;
        (session, watch)
    })
    .await;
}

async fn a_session_ends_while_its_project_is_set_up(place: Place) {
    let world = World::start(place, "slow").await;
    ends(&world, async || {
        let session = world.session_of(json!({ "description": "a list" })).await;
        let mut watch = world.watch(&session).await;
        let local = json!({ "gate": "infra_config", "mode": "local" });
        world.tell(&session, "respond", local).await;
        let begins = |seen: &crate::world::Seen| seen.text("message").starts_with("Setting up");
        watch.until("the set-up", begins).await;
        (session, watch)
    })
    .await;
}

async fn a_session_ends_while_its_agent_works(place: Place) {
    let world = World::start(place, "slow").await;
    ends(&world, async || {
        let session = world.session("run the command").await;
        let mut watch = world.watch(&session).await;
        watch.next("pre_tool_use").await;
        (session, watch)
    })
    .await;
}

async fn a_session_ends_while_a_question_is_open(place: Place) {
    let world = World::start(place, "ask-user").await;
    ends(&world, async || {
        let session = world.session("make a page").await;
        let mut watch = world.watch(&session).await;
        watch.next("ask_user_question").await;
        (session, watch)
    })
    .await;
}
