use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use studio_events::{
    Phase, SandboxRecord, SessionPrivate, SessionStatus, SessionTotals, SessionUpdate, Timestamp,
};
use studio_registry::{Registry, RegistryError, TOUCH_WRITE_EVERY};
use studio_streams::RECORD_BYTES_MAX;
use tokio::task::JoinSet;

use crate::world::{Disturbed, Hand, Weather, id, info, open, try_open};

fn status(status: SessionStatus) -> SessionUpdate {
    SessionUpdate { status: Some(status), ..SessionUpdate::default() }
}

async fn register(registry: &Registry, n: u16) {
    registry.register(info(n), SessionPrivate::default()).await.unwrap();
}

#[tokio::test]
async fn a_session_is_durable_before_it_is_visible() {
    let store = Disturbed::new();
    let registry = open(&store).await;
    let door = store.shut();
    let writing = registry.clone();
    let write = tokio::spawn(async move { register(&writing, 1).await });
    store.until_came(2).await;
    assert_eq!(registry.get(id(1)), None, "not written yet, so nobody hears of it");
    door.add_permits(1);
    write.await.unwrap();
    assert_eq!(registry.get(id(1)).unwrap().info, info(1));
    let entries = store.entries().await;
    assert_eq!(entries[1]["type"], "session_registered");
    assert_eq!(entries[1]["session"]["id"], json!(id(1)));
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let (store, hand) = (Disturbed::new(), Hand::default());
    let registry = try_open(&store, &hand).await.unwrap();
    register(&registry, 1).await;
    hand.set(500);
    let sandbox = SandboxRecord { provider: "docker".to_owned(), id: "abc".to_owned() };
    let update = SessionUpdate {
        status: Some(SessionStatus::Complete),
        app_port: Some(Some(5173)),
        phase: Some(Phase::Started),
        sandbox: Some(Some(sandbox.clone())),
        ..SessionUpdate::default()
    };
    let record = registry.update(id(1), update).await.unwrap();
    let mut expected = info(1);
    expected.status = SessionStatus::Complete;
    expected.app_port = Some(5173);
    expected.last_active_at = Timestamp::from_unix_millis(500);
    assert_eq!(record.info, expected);
    assert_eq!(record.internal.phase, Phase::Started);
    assert_eq!(record.internal.sandbox, Some(sandbox));
    assert_eq!(registry.get(id(1)), Some(record));

    let cleared = SessionUpdate { app_port: Some(None), sandbox: Some(None), ..Default::default() };
    let record = registry.update(id(1), cleared).await.unwrap();
    assert_eq!((record.info.app_port, &record.internal.sandbox), (None, &None));
    assert_eq!(record.info.status, SessionStatus::Complete);
}

#[tokio::test]
async fn what_is_not_there_cannot_be_changed() {
    let registry = open(&Disturbed::new()).await;
    let not_found = |result: Result<(), RegistryError>| {
        assert!(matches!(result, Err(RegistryError::NotFound { session }) if session == id(1)));
    };
    not_found(registry.update(id(1), status(SessionStatus::Error)).await.map(drop));
    not_found(registry.delete(id(1)).await);
    not_found(registry.add_totals(id(1), SessionTotals::default()).await.map(drop));
    not_found(registry.map_transcript("/t".to_owned(), id(1)).await);

    register(&registry, 1).await;
    registry.map_transcript("/t".to_owned(), id(1)).await.unwrap();
    assert_eq!(registry.session_of_transcript("/t"), Some(id(1)));
    registry.delete(id(1)).await.unwrap();
    assert_eq!((registry.get(id(1)), registry.len()), (None, 0));
    assert_eq!(registry.session_of_transcript("/t"), None);
    not_found(registry.delete(id(1)).await);
}

#[tokio::test]
async fn requests_that_wait_are_written_in_one_append_in_their_order() {
    let store = Disturbed::new();
    let registry = open(&store).await;
    let door = store.shut();
    let mut writes = JoinSet::new();
    let first = registry.clone();
    writes.spawn(async move { register(&first, 0).await });
    store.until_came(2).await;
    // While the first append stands at the door, the rest gathers behind it.
    for n in 1..=100 {
        let registry = registry.clone();
        writes.spawn(async move {
            register(&registry, n).await;
        });
        tokio::task::yield_now().await;
    }
    let before = store.appends.load(Ordering::SeqCst);
    door.add_permits(100);
    writes.join_all().await;
    assert_eq!(store.appends.load(Ordering::SeqCst) - before, 2);
    let entries = store.entries().await;
    let names: Vec<_> = entries[1..].iter().map(|e| e["session"]["projectName"].clone()).collect();
    let expected: Vec<_> = (0..=100).map(|n| json!(format!("electric-{n}"))).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn one_batch_sees_its_own_earlier_requests() {
    let store = Disturbed::new();
    let registry = open(&store).await;
    let door = store.shut();
    let first = registry.clone();
    let first = tokio::spawn(async move { register(&first, 0).await });
    store.until_came(2).await;
    // All of these are one batch, in this order.
    let (updated, deleted, gone) = {
        let ask = |what: u8| {
            let registry = registry.clone();
            async move {
                match what {
                    0 => registry.register(info(1), SessionPrivate::default()).await.map(drop),
                    1 => registry.update(id(1), status(SessionStatus::Complete)).await.map(drop),
                    2 => registry.delete(id(1)).await,
                    _ => registry.update(id(1), status(SessionStatus::Error)).await.map(drop),
                }
            }
        };
        let mut asked = Vec::new();
        for what in 0..4 {
            asked.push(tokio::spawn(ask(what)));
            tokio::task::yield_now().await;
        }
        door.add_permits(10);
        let mut answers = Vec::new();
        for asked in asked {
            answers.push(asked.await.unwrap());
        }
        answers.remove(0).unwrap();
        (answers.remove(0), answers.remove(0), answers.remove(0))
    };
    first.await.unwrap();
    updated.unwrap();
    deleted.unwrap();
    assert!(matches!(gone, Err(RegistryError::NotFound { .. })));
    assert_eq!(registry.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_are_exact_whoever_adds_at_the_same_time() {
    let registry = open(&Disturbed::new()).await;
    register(&registry, 1).await;
    let mut adding = JoinSet::new();
    for n in 0..200_u64 {
        let registry = registry.clone();
        adding.spawn(async move {
            let totals = SessionTotals {
                cost_usd: (n % 2 == 0).then_some(0.25),
                num_turns: Some(3),
                duration_ms: Some(n),
                duration_api_ms: None,
            };
            registry.add_totals(id(1), totals).await.unwrap();
        });
    }
    adding.join_all().await;
    let info = &registry.get(id(1)).unwrap().info;
    assert_eq!(info.total_cost_usd, Some(25.0));
    assert_eq!(info.total_turns, Some(600));
    assert_eq!(info.total_duration_ms, Some(19_900));
}

#[tokio::test]
async fn an_update_can_depend_on_what_the_session_is_then() {
    let store = Disturbed::new();
    let registry = open(&store).await;
    register(&registry, 1).await;
    registry.update(id(1), status(SessionStatus::Cancelled)).await.unwrap();
    let appends = store.appends.load(Ordering::SeqCst);
    // An agent's exit that comes late does not overwrite the cancellation.
    let record = registry
        .update_with(id(1), |before| {
            (before.info.status == SessionStatus::Running).then(|| status(SessionStatus::Error))
        })
        .await
        .unwrap();
    assert_eq!(record.info.status, SessionStatus::Cancelled);
    assert_eq!(store.appends.load(Ordering::SeqCst), appends, "nothing to write");
}

#[tokio::test(start_paused = true)]
async fn activity_is_written_once_a_minute() {
    let (store, hand) = (Disturbed::new(), Hand::default());
    let registry = try_open(&store, &hand).await.unwrap();
    register(&registry, 1).await;
    register(&registry, 2).await;
    let appends = store.appends.load(Ordering::SeqCst);
    for millis in 0..1_000 {
        hand.set(1_000 + millis);
        registry.touch(id(1));
        registry.touch(id(2));
        registry.touch(id(3));
    }
    tokio::time::sleep(TOUCH_WRITE_EVERY - Duration::from_secs(1)).await;
    assert_eq!(store.appends.load(Ordering::SeqCst), appends);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(store.appends.load(Ordering::SeqCst), appends + 1);
    for n in [1, 2] {
        let active = registry.get(id(n)).unwrap().info.last_active_at;
        assert_eq!(active, Timestamp::from_unix_millis(1_999));
    }
    assert_eq!(store.entries().await.len(), 3 + 2, "one entry per session");
    // Without activity nothing is written, however long.
    tokio::time::sleep(TOUCH_WRITE_EVERY * 10).await;
    assert_eq!(store.appends.load(Ordering::SeqCst), appends + 1);

    // What still waits is written when the registry stops.
    hand.set(9_000);
    registry.touch(id(2));
    registry.stop().await;
    let active = registry.get(id(2)).unwrap().info.last_active_at;
    assert_eq!(active, Timestamp::from_unix_millis(9_000));
}

#[tokio::test]
async fn stopping_writes_what_waits_and_takes_no_more() {
    let store = Disturbed::new();
    let registry = open(&store).await;
    let door = store.shut();
    let mut writes = JoinSet::new();
    for n in 1..=50 {
        let registry = registry.clone();
        writes.spawn(async move { register(&registry, n).await });
    }
    store.until_came(2).await;
    let stopping = registry.clone();
    tokio::task::yield_now().await;
    let stop = tokio::spawn(async move { stopping.stop().await });
    tokio::task::yield_now().await;
    door.add_permits(100);
    stop.await.unwrap();
    writes.join_all().await;
    assert_eq!(registry.len(), 50);
    let refused = registry.update(id(1), status(SessionStatus::Error)).await;
    assert!(matches!(refused, Err(RegistryError::Stopped)));
    assert!(matches!(registry.snapshot().await, Err(RegistryError::Stopped)));
    registry.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_asked_for_until_it_is_known() {
    let store = Disturbed::new();
    let registry = open(&store).await;
    store.weather(Weather::AnswerLost);
    let failed = registry.register(info(1), SessionPrivate::default()).await;
    assert!(matches!(failed, Err(RegistryError::Write { .. })));
    assert_eq!(registry.get(id(1)), None, "nobody knows");

    store.weather(Weather::Unreachable);
    let failed = registry.register(info(2), SessionPrivate::default()).await;
    assert!(matches!(failed, Err(RegistryError::Write { .. })));

    // The registry finds out by itself, and goes on.
    store.weather(Weather::Fair);
    let came = *store.came.borrow();
    store.until_came(came + 1).await;
    while registry.get(id(1)).is_none() {
        tokio::task::yield_now().await;
    }
    register(&registry, 3).await;
    registry.stop().await;
    let entries = store.entries().await;
    let ids: Vec<_> = entries[1..].iter().map(|entry| entry["session"]["id"].clone()).collect();
    assert_eq!(ids, [json!(id(1)), json!(id(3))], "each once, and what was refused not at all");
    assert_eq!(crate::world::all(&open(&store).await).len(), 2);
}

#[tokio::test]
async fn a_store_without_room_refuses_and_recovers() {
    let store = Disturbed::new();
    let registry = open(&store).await;
    store.weather(Weather::Full);
    let failed = registry.register(info(1), SessionPrivate::default()).await;
    assert!(matches!(failed, Err(RegistryError::Write { .. })));
    assert!(registry.is_empty());
    store.weather(Weather::Fair);
    register(&registry, 1).await;
    assert_eq!(registry.len(), 1);
}

#[tokio::test]
async fn an_entry_over_the_limit_harms_nobody_else() {
    let registry = open(&Disturbed::new()).await;
    let mut huge = info(1);
    huge.description = "x".repeat(RECORD_BYTES_MAX);
    let refused = registry.register(huge, SessionPrivate::default()).await;
    assert!(matches!(refused, Err(RegistryError::TooLarge { .. })));
    register(&registry, 2).await;
    assert_eq!(registry.len(), 1);
}
