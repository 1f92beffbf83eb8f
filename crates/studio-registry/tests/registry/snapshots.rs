use std::sync::atomic::Ordering;

use studio_events::{SessionPrivate, SessionUpdate};
use studio_registry::Registry;
use studio_streams::{Offset, StreamPath, StreamStore};
use tokio::task::JoinSet;

use crate::world::{Disturbed, all, id, info, open};

/// Changes session 1 so often.
async fn churn(registry: &Registry, times: u64) {
    let mut changes = JoinSet::new();
    for n in 0..times {
        let registry = registry.clone();
        let update = SessionUpdate { total_turns: Some(n), ..SessionUpdate::default() };
        changes.spawn(async move { registry.update(id(1), update).await.unwrap() });
    }
    changes.join_all().await;
}

async fn filled(sessions: u16) -> (std::sync::Arc<Disturbed>, Registry) {
    let store = Disturbed::new();
    let registry = open(&store).await;
    for n in 1..=sessions {
        registry.register(info(n), SessionPrivate::default()).await.unwrap();
    }
    registry.map_transcript("/home/me/t.jsonl".to_owned(), id(1)).await.unwrap();
    (store, registry)
}

/// How many records of the registry's stream a start reads; the table is the same as before.
async fn start_reads(store: &std::sync::Arc<Disturbed>, before: &Registry) -> usize {
    let before_all = all(before);
    let transcript = before.session_of_transcript("/home/me/t.jsonl");
    before.stop().await;
    store.reads.store(0, Ordering::SeqCst);
    let after = open(store).await;
    assert_eq!(all(&after), before_all);
    assert_eq!(after.session_of_transcript("/home/me/t.jsonl"), transcript);
    assert_eq!(after.lease(), before.lease() + 1);
    after.stop().await;
    store.reads.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_start_reads_the_snapshot_and_what_follows_it() {
    let (store, registry) = filled(20).await;
    registry.snapshot().await.unwrap();
    registry.register(info(100), SessionPrivate::default()).await.unwrap();
    registry.delete(id(2)).await.unwrap();
    // Two entries, and the start's own.
    assert_eq!(start_reads(&store, &registry).await, 3);
}

#[tokio::test]
async fn a_tail_that_has_grown_becomes_a_snapshot_by_itself() {
    let (store, registry) = filled(20).await;
    let mut deleted = store.deleted.subscribe();
    // The first is written after 1,000 entries; the second removes the first.
    while *deleted.borrow_and_update() == 0 {
        churn(&registry, 500).await;
    }
    assert!(start_reads(&store, &registry).await < 2_000);
    assert!(store.snapshots().await.len() <= 2);
}

#[tokio::test]
async fn old_snapshots_are_removed() {
    let (store, registry) = filled(3).await;
    for _ in 0..3 {
        registry.snapshot().await.unwrap();
    }
    assert_eq!(store.snapshots().await.len(), 1);
    registry.stop().await;
    let next = open(&store).await;
    next.snapshot().await.unwrap();
    assert_eq!(store.snapshots().await.len(), 1);
    assert_eq!(start_reads(&store, &next).await, 1);
}

#[tokio::test]
async fn a_snapshot_that_is_not_whole_is_not_used() {
    let (store, registry) = filled(10).await;
    registry.snapshot().await.unwrap();
    let [whole] = &store.snapshots().await[..] else { panic!("one snapshot") };
    let lines: Vec<String> = store
        .records(whole)
        .await
        .iter()
        .map(|record| String::from_utf8(record.data.to_vec()).unwrap())
        .collect();
    assert_eq!(lines.len(), 1 + 10 + 1 + 1);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    // As if the server had ended after so many records; newer than the whole one.
    for cut in 1..lines.len() {
        let path: StreamPath = format!("registry-snapshots/9{cut:019}-0000000000").parse().unwrap();
        store.scribble(&path, &lines[..cut]).await;
    }
    let bad = |n: usize, lines: Vec<&'static str>| (n, lines);
    for (n, lines) in [
        bad(0, vec!["null"]),
        bad(1, vec![r#"{"type":"snapshot","version":2,"offset":"-1","lease":1}"#]),
        bad(
            2,
            vec![
                r#"{"type":"snapshot","version":1,"offset":"-1","lease":1}"#,
                r#"{"type":"snapshot_end","sessions":1,"transcripts":0}"#,
            ],
        ),
        bad(
            3,
            vec![
                r#"{"type":"snapshot","version":1,"offset":"-1","lease":1}"#,
                r#"{"type":"session_registered"}"#,
                r#"{"type":"snapshot_end","sessions":1,"transcripts":0}"#,
            ],
        ),
    ] {
        let path: StreamPath = format!("registry-snapshots/99{n:018}-0000000000").parse().unwrap();
        store.scribble(&path, &lines).await;
    }
    assert_eq!(start_reads(&store, &registry).await, 1, "the older, whole one was used");

    // Without any whole one everything is read.
    let again = open(&store).await;
    store.inner.delete(whole).await.unwrap();
    let everything = store.entries().await.len();
    assert_eq!(start_reads(&store, &again).await, everything + 1);
}

#[tokio::test]
async fn a_snapshot_of_another_stream_is_not_used() {
    let (store, registry) = filled(3).await;
    store
        .scribble(
            &"registry-snapshots/99999999999999999999-0000000000".parse().unwrap(),
            &[
                r#"{"type":"snapshot","version":1,"offset":"00000000000000000003","lease":1}"#,
                r#"{"type":"snapshot_end","sessions":0,"transcripts":0}"#,
            ],
        )
        .await;
    let everything = store.entries().await.len();
    assert_eq!(start_reads(&store, &registry).await, everything + 1);
}

#[tokio::test]
async fn a_snapshot_covers_what_was_asked_for_before_it() {
    let (store, registry) = filled(3).await;
    let mut rounds = JoinSet::new();
    for n in 10..60 {
        let registry = registry.clone();
        rounds.spawn(async move {
            registry.register(info(n), SessionPrivate::default()).await.unwrap();
            registry.snapshot().await.unwrap();
        });
    }
    rounds.join_all().await;
    assert_eq!(start_reads(&store, &registry).await, 1);
    let head = store.head(&StreamPath::registry()).await.unwrap();
    assert_ne!(head.tail, Offset::Start);
}
