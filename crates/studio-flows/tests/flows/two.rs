//! Two servers over one store: the newer one owns everything, the older one stands down.

use std::time::Duration;

use studio_flows::{
    FlowError, Studio,
    words::{GateAnswer, Infra, Response},
};
use studio_ids::SessionId;
use studio_streams::{Offset, StreamPath};

use crate::support::{Watch, World, app, freeform};

const SOON: Duration = Duration::from_secs(60);

/// Waits until the studio knows that it has been followed.
async fn stood_down(studio: &Studio) {
    studio_testkit::wait_for("the older studio to stand down", SOON, async || {
        studio.health().await.taken_over.then_some(())
    })
    .await;
}

/// That it does nothing for anybody any more, and says why.
async fn refuses_everything(studio: &Studio, id: SessionId) {
    let refusals = [
        studio.iterate(id, "more".to_owned()).await,
        studio.interrupt(id).await,
        studio.cancel(id).await,
        studio.delete(id).await,
        studio.session(id).map(drop),
        studio.find_sessions(&studio_flows::Wanted::default(), None, 10).map(drop),
        studio.pending_gates(id).await.map(drop),
        studio.queue(id).await.map(drop),
        studio.hook_event(id, serde_json::json!({})).await.map(drop),
        studio.create_session(freeform("another")).await.map(drop),
        studio.create_local_session(None).await.map(drop),
    ];
    for (at, refusal) in refusals.into_iter().enumerate() {
        assert!(matches!(refusal, Err(FlowError::StoodDown)), "{at}: {refusal:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_server_goes_on_and_the_older_stands_down_without_a_gap_or_a_double() {
    let world = World::of("long").await;
    let first = world.studio().await;
    let session = first.create_session(freeform("go")).await.unwrap();
    let mut watch = Watch::open(&first, &session).await;
    for _ in 0..5 {
        watch.until("post_tool_use").await;
    }
    // The first is not told: it is in the middle of its work.
    let second = world.studio().await;
    stood_down(&first).await;
    refuses_everything(&first, session.id).await;

    // Who watches at the older one sees the newer one's work: there is one log.
    let mut lines = Vec::new();
    let mut later = Watch::open(&second, &session).await;
    loop {
        let event = later.next().await;
        assert_ne!(event["level"], "error", "{event}");
        if event["type"] == "post_tool_use" {
            lines.push(event["tool_response"].as_str().unwrap().to_owned());
        }
        if event["type"] == "session_end" {
            assert_eq!(event["success"], true, "{event}");
            break;
        }
    }
    let expected: Vec<String> = (1..=200).map(|n| format!("line {n}")).collect();
    assert_eq!(lines, expected);
    watch.until("session_end").await;
    assert_eq!(watch.at, later.at);

    // One agent from beginning to end: nobody ended it, and nobody started another.
    let page = world.streams.read(&StreamPath::session(session.id), Offset::Start, 9_999).await;
    let of = |kind: &str| {
        let records = page.as_ref().unwrap().records.iter();
        let kinds = records.map(|r| serde_json::from_slice::<serde_json::Value>(&r.data).unwrap());
        kinds.filter(|entry| entry["type"] == kind).count()
    };
    assert_eq!([of("run_started"), of("agent_exit"), of("session_start")], [1, 0, 1]);
    assert_eq!(of("writer_started"), 2);
    assert!(world.has_sandbox(session.id).await);

    // The older one's end disturbs nothing either.
    first.stop().await;
    second.iterate(session.id, "go on".to_owned()).await.unwrap();
    later.until("session_end").await;
    assert!(second.health().await.streams.is_ok() && !second.health().await.taken_over);
    second.cancel(session.id).await.unwrap();
    assert!(!world.has_sandbox(session.id).await);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_prepares_a_session_leaves_it_to_the_newer_one() {
    let world = World::of("hello").await;
    let first = world.studio().await;
    let session = first.create_session(app("an app")).await.unwrap();
    let second = world.studio().await;
    stood_down(&first).await;
    let mut watch = Watch::open(&second, &session).await;
    watch.until("infra_config_prompt").await;
    let infra = || GateAnswer::Infra { infra: Infra::Local, repo: None };
    let response = || Response { answer: infra(), summary: None, resolved_by: None };
    let refused = first.respond(session.id, response()).await;
    assert!(matches!(refused, Err(FlowError::StoodDown)), "{refused:?}");
    second.respond(session.id, response()).await.unwrap();
    assert_eq!(watch.until("session_end").await["success"], true);
    first.stop().await;
    assert!(world.has_sandbox(session.id).await, "the older one took nothing away");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_taken_over_in_the_middle_of_a_preparation_removes_nothing() {
    let world = World::of("hello").await;
    // Wherever the first one stands: the second one finishes, with one agent and one answer.
    for pause in [0, 10, 20, 40, 80, 160, 320] {
        let first = world.studio().await;
        let session = first.create_session(freeform("go")).await.unwrap();
        let mut watch = Watch::open(&first, &session).await;
        // The moment of the take-over is what is tried here.
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let second = world.studio().await;
        stood_down(&first).await;
        let end = watch.until("session_end").await;
        assert_eq!(end["success"], true, "after {pause} ms: {end}");
        assert!(world.has_sandbox(session.id).await, "after {pause} ms");
        first.stop().await;
        second.cancel(session.id).await.unwrap();
        second.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_server_with_a_quiet_session_ends_no_agent() {
    let mut world = World::of("hello").await;
    let newer = world.settings.clone();
    world.settings.idle_after = Duration::from_millis(400);
    let first = world.studio().await;
    let session = first.create_session(freeform("hello")).await.unwrap();
    let mut watch = Watch::open(&first, &session).await;
    watch.until("session_end").await;
    world.settings = newer;
    let second = world.studio().await;
    stood_down(&first).await;
    second.iterate(session.id, "again".to_owned()).await.unwrap();
    assert_eq!(watch.until("session_end").await["success"], true);
    // Twice the time after which the older one would have ended it. That nothing happens has no
    // event, and agents are real processes, so the time is real too.
    tokio::time::sleep(Duration::from_millis(800)).await;
    second.iterate(session.id, "and again".to_owned()).await.unwrap();
    assert_eq!(watch.until("session_end").await["success"], true);
    first.stop().await;
    second.cancel(session.id).await.unwrap();
    second.stop().await;
}
