//! A studio that ends anywhere is followed by one that goes on there.

use std::collections::BTreeMap;

use crate::support::{Watch, World, app, freeform};
use studio_flows::words::{GateAnswer, Infra, Response};

#[tokio::test(flavor = "multi_thread")]
async fn a_question_survives_the_server_and_its_answer_arrives() {
    let world = World::of("ask-user").await;
    let first = world.studio().await;
    let session = first.create_session(freeform("ask me")).await.unwrap();
    let gate = Watch::open(&first, &session).await.until("ask_user_question").await;
    first.stop().await;

    let second = world.studio().await;
    let mut watch = Watch::open(&second, &session).await;
    watch.until("ask_user_question").await;
    let pending = studio_testkit::wait_for(
        "the gate after the restart",
        std::time::Duration::from_secs(60),
        async || second.pending_gates(session.id).await.unwrap().pop(),
    )
    .await;
    assert_eq!(pending.id.as_str(), gate["tool_use_id"].as_str().unwrap());
    let answers = BTreeMap::from([
        ("Which colour should the page have?".to_owned(), "Red".to_owned()),
        ("Which parts do you want?".to_owned(), "Sidebar".to_owned()),
    ]);
    let answer = GateAnswer::Question { gate: pending.id, answers };
    let response = Response { answer, summary: None, resolved_by: None };
    second.respond(session.id, response).await.unwrap();
    watch.until("gate_resolved").await;
    assert_eq!(watch.until("session_end").await["success"], true);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_waits_for_its_infrastructure_goes_on_after_a_restart() {
    let world = World::of("hello").await;
    let first = world.studio().await;
    let session = first.create_session(app("an app")).await.unwrap();
    first.stop().await;

    let second = world.studio().await;
    let mut watch = Watch::open(&second, &session).await;
    watch.until("infra_config_prompt").await;
    let answer = GateAnswer::Infra { infra: Infra::Local, repo: None };
    let response = Response { answer, summary: None, resolved_by: None };
    second.respond(session.id, response).await.unwrap();
    assert_eq!(watch.until("session_end").await["success"], true);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_works_on_while_servers_come_and_go() {
    let world = World::of("long").await;
    let mut studio = world.studio().await;
    let session = studio.create_session(freeform("go")).await.unwrap();
    let mut watch = Watch::open(&studio, &session).await;
    let mut lines = Vec::new();
    let mut events = 0_u32;
    loop {
        let event = watch.next().await;
        assert_ne!(event["level"], "error", "{event}");
        if event["type"] == "post_tool_use" {
            lines.push(event["tool_response"].as_str().unwrap().to_owned());
        }
        if event["type"] == "session_end" {
            break;
        }
        events += 1;
        // Each server ends somewhere else; the reader goes on where it was.
        if events.is_multiple_of(97) {
            studio.stop().await;
            studio = world.studio().await;
            watch = watch.moved_to(&studio, &session).await;
        }
    }
    let expected: Vec<String> = (1..=200).map(|n| format!("line {n}")).collect();
    assert_eq!(lines, expected);
    studio.stop().await;
}
