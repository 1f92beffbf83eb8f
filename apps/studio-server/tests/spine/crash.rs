//! The server is killed at any moment: nothing of the agent's is lost or told twice, and the
//! agent does not notice.

use std::time::Duration;

use serde_json::json;
use studio_testkit::wait_for;
use tokio::time::Instant;

use crate::{
    in_both,
    world::{Place, Rest, SOON, Watch, World},
};

in_both! {
    an_agent_works_on_through_ten_kills_and_every_event_is_told_once
    a_question_survives_a_kill_and_its_answer_reaches_the_agent
    an_answer_that_was_given_when_the_server_died_arrives_once
    an_orderly_stop_takes_less_than_a_second_and_leaves_the_agent_at_work
}

/// Kills of one run; with both places twenty in all.
const KILLS: usize = 10;

/// A number below `end` that differs from call to call: where a kill falls must not be chosen.
fn anywhere(end: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::from(now.subsec_nanos()) / 997 % end
}

async fn an_agent_works_on_through_ten_kills_and_every_event_is_told_once(place: Place) {
    let mut world = World::start(place, "long").await;
    let session = world.session("do all of it").await;
    let mut watch = world.watch(&session).await;
    watch.next("pre_tool_use").await;
    let agents = world.agents(&session);
    assert_eq!(agents.len(), 1, "{:?}", world.processes(&session));

    for _ in 0..KILLS {
        let moment = Instant::now() + Duration::from_millis(anywhere(250));
        watch.rest(moment).await;
        world.server.crash().await;
        // What was sent before the kill may still be read; then the connection is gone.
        assert_ne!(watch.rest(Instant::now() + SOON).await, Rest::More);
        world.server.restart().await;
        watch.resume(&world, &session).await;
    }
    if watch.all("session_end").is_empty() {
        watch.turn_end().await;
    }
    assert_eq!(world.agents(&session), agents, "the agent never stopped; {}", watch.told());
    let lines: Vec<String> = (1..=200).map(|n| format!("line {n}")).collect();
    assert_eq!(watch.texts("post_tool_use", "tool_response"), lines);
    let steps: Vec<String> = (1..=200).map(|n| format!("Step {n}.")).collect();
    assert_eq!(watch.texts("assistant_message", "text")[..200], steps);
    assert_eq!(watch.all("session_start").len(), 1, "{}", watch.told());
    assert_eq!(watch.all("session_end").len(), 1, "{}", watch.told());
    watch.is_in_order();

    // A reader that comes late sees the very same.
    let mut late = world.watch(&session).await;
    late.turn_end().await;
    let told = |watch: &Watch| watch.seen.clone();
    let until_end = told(&watch).into_iter().take(late.seen.len()).collect::<Vec<_>>();
    assert_eq!(told(&late), until_end);
    world.is_sound();
}

async fn a_question_survives_a_kill_and_its_answer_reaches_the_agent(place: Place) {
    let mut world = World::start(place, "ask-user").await;
    let session = world.session("make a page").await;
    let mut watch = world.watch(&session).await;
    let asked = watch.next("ask_user_question").await;
    world.server.crash().await;
    world.server.restart().await;
    watch.resume(&world, &session).await;

    let pending = wait_for("the pending gate", SOON, async || {
        let gates = world.gates(&session).await;
        (!gates.is_empty()).then_some(gates)
    })
    .await;
    assert_eq!(pending.len(), 1, "{pending:?}");
    assert_eq!(pending[0]["id"], asked.event["tool_use_id"]);
    assert_eq!(world.ask(&session, "").await["needsInput"], true);
    world.tell(&session, "respond", answer(asked.text("tool_use_id"))).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    assert!(watch.last_words().contains("Blue"), "{}", watch.told());
    assert_eq!(watch.all("ask_user_question").len(), 1, "{}", watch.told());
    assert_eq!(watch.all("gate_resolved").len(), 1, "{}", watch.told());
    watch.is_in_order();
    world.is_sound();
}

async fn an_answer_that_was_given_when_the_server_died_arrives_once(place: Place) {
    let mut world = World::start(place, "ask-user").await;
    let session = world.session("make a page").await;
    let mut watch = world.watch(&session).await;
    let asked = watch.next("ask_user_question").await;
    let respond = world
        .server
        .client()
        .post(world.server.url(&session.path("respond")))
        .bearer_auth(&session.token)
        .json(&answer(asked.text("tool_use_id")))
        .send();
    // Somewhere between the request and its answer.
    tokio::time::timeout(Duration::from_millis(anywhere(40)), respond).await.ok();
    world.server.crash().await;
    world.server.restart().await;
    watch.resume(&world, &session).await;

    // Who did not hear of a success asks again; the same answer is never a conflict.
    wait_for("the answer to be taken", SOON, async || {
        let given = answer(asked.text("tool_use_id"));
        let (status, told) = world.try_to_tell(&session, "respond", given).await;
        assert!(matches!(status, 200 | 404 | 503), "{status} {told}");
        (status == 200).then_some(())
    })
    .await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    assert!(watch.last_words().contains("Blue"), "{}", watch.told());
    assert_eq!(watch.all("gate_resolved").len(), 1, "{}", watch.told());
    world.is_sound();
}

async fn an_orderly_stop_takes_less_than_a_second_and_leaves_the_agent_at_work(place: Place) {
    let mut world = World::start(place, "long").await;
    let session = world.session("do all of it").await;
    let mut watch = world.watch(&session).await;
    watch.next("post_tool_use").await;
    let agents = world.agents(&session);
    let (status, took) = world.server.terminate().await;
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_ne!(watch.rest(Instant::now() + SOON).await, Rest::More);
    world.server.restart().await;
    watch.resume(&world, &session).await;
    watch.turn_end().await;
    assert_eq!(world.agents(&session), agents);
    assert_eq!(watch.all("post_tool_use").len(), 200, "{}", watch.told());
    watch.is_in_order();
    world.is_sound();
}

fn answer(tool_use: &str) -> serde_json::Value {
    json!({
        "gate": "ask_user_question",
        "toolUseId": tool_use,
        "answers": {
            "Which colour should the page have?": "Blue",
            "Which parts do you want?": "Header"
        },
    })
}
