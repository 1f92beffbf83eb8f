//! Following.

use std::time::Duration;

use super::*;

pub async fn a_follower_gets_old_and_new_records(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..5)).await;
    let second = store.read(&path, Offset::Start, 2).await.unwrap().next;
    let mut whole = store.follow(&path, Offset::Start).await.unwrap();
    let mut rest = store.follow(&path, second).await.unwrap();
    assert_eq!(take(&mut whole, 5).await, numbers(0..5));
    store.append(&path, batch(numbers(5..7)), None).await.unwrap();
    assert_eq!(take(&mut whole, 2).await, numbers(5..7));
    assert_eq!(take(&mut rest, 5).await, numbers(2..7));
}

pub async fn a_follower_from_now_gets_only_new_records(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..5)).await;
    let mut follow = store.follow(&path, Offset::Now).await.unwrap();
    store.append(&path, batch(["5"]), None).await.unwrap();
    assert_eq!(take(&mut follow, 1).await, ["5"]);
}

pub async fn following_under_concurrent_appends_has_no_gap_and_no_double(
    store: Arc<dyn StreamStore>,
) {
    const WRITERS: usize = 4;
    const TURNS: usize = 100;
    let path = stream_of(&store, "session/a", &numbers(0..20)).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (store, path) = (store.clone(), path.clone());
        writers.spawn(async move {
            for turn in 0..TURNS {
                let record = format!("{writer} {turn}");
                store.append(&path, batch([record]), None).await.unwrap();
            }
        });
    }
    let total = 20 + WRITERS * TURNS;
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..8 {
        let (store, path) = (store.clone(), path.clone());
        readers.spawn(async move {
            // Each joins at another moment, some from the start and some from a place within.
            let (from, seen) = match reader % 2 {
                0 => (Offset::Start, 0),
                _ => {
                    (store.read(&path, Offset::Start, 10 + reader).await.unwrap().next, 10 + reader)
                }
            };
            tokio::time::sleep(Duration::from_millis(3 * reader as u64)).await;
            let mut follow = store.follow(&path, from).await.unwrap();
            (seen, take(&mut follow, total - seen).await)
        });
    }
    writers.join_all().await;
    let whole = all(&store, &path).await;
    assert_eq!(whole.len(), total);
    for (seen, found) in readers.join_all().await {
        assert_eq!(found, whole[seen..]);
    }
}

pub async fn a_follower_ends_when_the_stream_is_closed_and_read(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..3)).await;
    let mut waiting = store.follow(&path, Offset::Now).await.unwrap();
    let waiting = tokio::spawn(async move { waiting.next().await });
    store.close(&path).await.unwrap();
    assert!(waiting.await.unwrap().unwrap().is_none());
    let mut late = store.follow(&path, Offset::Start).await.unwrap();
    assert_eq!(take(&mut late, 3).await, numbers(0..3));
    assert!(late.next().await.unwrap().is_none());
    assert!(late.next().await.unwrap().is_none(), "an end stays an end");
}

pub async fn a_follower_of_a_deleted_stream_fails(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..3)).await;
    let mut waiting = store.follow(&path, Offset::Now).await.unwrap();
    let mut behind = store.follow(&path, Offset::Start).await.unwrap();
    let waiting = tokio::spawn(async move { waiting.next().await });
    store.delete(&path).await.unwrap();
    for ended in [waiting.await.unwrap(), behind.next().await] {
        assert!(matches!(ended, Err(StreamError::NotFound { .. })), "{ended:?}");
    }
}

pub async fn a_follower_does_not_see_a_recreated_stream(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..3)).await;
    let mut follow = store.follow(&path, Offset::Now).await.unwrap();
    store.delete(&path).await.unwrap();
    stream_of(&store, "session/a", &numbers(0..9)).await;
    let ended = follow.next().await;
    assert!(matches!(ended, Err(StreamError::NotFound { .. })), "{ended:?}");
}

pub async fn a_dropped_wait_of_a_follower_loses_nothing(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    let mut follow = store.follow(&path, Offset::Start).await.unwrap();
    let writer = tokio::spawn({
        let (store, path) = (store.clone(), path.clone());
        async move {
            for number in numbers(0..100) {
                store.append(&path, batch([number]), None).await.unwrap();
            }
        }
    });
    let mut found = Vec::new();
    let patience = Duration::from_micros(50);
    while found.len() < 100 {
        if let Ok(frames) = tokio::time::timeout(patience, follow.next()).await {
            found.extend(frames.unwrap().unwrap().iter().map(|frame| text(frame.data())));
        }
    }
    assert_eq!(found, numbers(0..100));
    writer.await.unwrap();
}

pub async fn followers_share_one_encoding_of_a_live_record(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    let mut one = store.follow(&path, Offset::Now).await.unwrap();
    let mut two = store.follow(&path, Offset::Now).await.unwrap();
    store.append(&path, batch(["1"]), None).await.unwrap();
    let (one, two) = (one.next().await.unwrap().unwrap(), two.next().await.unwrap().unwrap());
    assert!(Arc::ptr_eq(&one[0], &two[0]), "live readers share a record's frame");
}
