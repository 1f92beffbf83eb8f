//! A session is cancelled or deleted at any stage: no container, no process, no directory and no
//! pending gate is left, and its stream says how it ended.

use serde_json::json;
use tokio::time::Instant;

use crate::{
    in_both,
    world::{Place, Rest, SOON, Session, Watch, World},
};

in_both! {
    a_session_is_cancelled_at_every_stage
    a_session_is_deleted_at_every_stage
    an_interrupt_before_the_agent_makes_nothing
}

/// How far a session has come when it is ended.
const STAGES: [&str; 5] = ["gate", "at once", "sandbox", "question", "command"];

/// A session at this stage, and a reader of it.
async fn at(world: &World, stage: &str) -> (Session, Watch) {
    let description = if stage == "question" { "ask me" } else { "run the command" };
    let freeform = stage != "gate";
    let body = json!({ "description": description, "freeform": freeform });
    let session = world.session_of(body).await;
    let mut watch = world.watch(&session).await;
    match stage {
        "gate" => drop(watch.next("infra_config_prompt").await),
        "sandbox" => world.sandbox_begins(&session).await,
        "question" => drop(watch.next("ask_user_question").await),
        "command" => drop(watch.next("pre_tool_use").await),
        _ => {}
    }
    (session, watch)
}

/// The script of a stage: one that asks, or one that works.
fn script(stage: &str) -> &'static str {
    if stage == "question" { "ask-user" } else { "slow" }
}

async fn a_session_is_cancelled_at_every_stage(place: Place) {
    for stage in STAGES {
        let world = World::start(place, script(stage)).await;
        let (session, mut watch) = at(&world, stage).await;
        world.tell(&session, "cancel", json!({})).await;
        world.leaves_nothing(&session);
        watch.until("the end", |seen| seen.is("session_end")).await;
        assert_eq!(watch.seen.last().unwrap().event["success"], false, "{stage}");
        assert_eq!(world.ask(&session, "").await["status"], "cancelled", "{stage}");
        assert!(world.gates(&session).await.is_empty(), "{stage}");
        let late = json!({ "request": "go on" });
        let (status, told) = world.try_to_tell(&session, "iterate", late).await;
        assert_eq!((status, &told["error"]), (400, &json!("Container is not running")), "{stage}");
        if stage == "gate" {
            let late = json!({ "gate": "infra_config", "mode": "local" });
            let (status, told) = world.try_to_tell(&session, "respond", late).await;
            assert_eq!(status, 410, "{told}");
        }
        // Once more is a success, and changes nothing.
        world.tell(&session, "cancel", json!({})).await;
        world.leaves_nothing(&session);
        world.is_sound();
    }
}

async fn a_session_is_deleted_at_every_stage(place: Place) {
    for stage in STAGES {
        let world = World::start(place, script(stage)).await;
        let (session, mut watch) = at(&world, stage).await;
        let (status, told) = world.delete(&session).await;
        assert_eq!((status, told), (200, json!({ "ok": true })), "{stage}");
        world.leaves_nothing(&session);
        assert_ne!(watch.rest(Instant::now() + SOON).await, Rest::More, "{stage}: the stream ends");
        let (status, told) = world.get(&session.path(""), &session.token).await;
        assert_eq!((status, &told["error"]), (404, &json!("Session not found")), "{stage}");
        let (status, _) = world.get(&session.path("events"), &session.token).await;
        assert_eq!(status, 404, "{stage}");
        assert_eq!(world.delete(&session).await.0, 404, "{stage}");
        world.is_sound();
    }
}

async fn an_interrupt_before_the_agent_makes_nothing(place: Place) {
    let world = World::start(place, "slow").await;
    let (session, mut watch) = at(&world, "gate").await;
    world.tell(&session, "interrupt", json!({})).await;
    watch.turn_end().await;
    assert!(world.gates(&session).await.is_empty());
    world.leaves_nothing(&session);
    world.is_sound();
}
