//! Idempotent producers.

use std::task::{Context, Poll, Waker};

use super::*;
use crate::SessionWriter;

async fn send(
    store: &Arc<dyn StreamStore>,
    path: &StreamPath,
    record: &str,
    (epoch, seq): (u64, u64),
) -> Result<Appended, StreamError> {
    store.append(path, batch([record]), Some(stamp("session:a", epoch, seq))).await
}

fn is_duplicate(appended: Result<Appended, StreamError>) -> bool {
    matches!(appended, Ok(Appended::Duplicate { .. }))
}

pub async fn a_producers_retry_is_written_once(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    written(send(&store, &path, "0", (1, 0)).await);
    let tail = written(send(&store, &path, "1", (1, 1)).await);
    assert!(is_duplicate(send(&store, &path, "1", (1, 1)).await));
    // Also an older one, and whatever it carries.
    let again = send(&store, &path, "other", (1, 0)).await.unwrap();
    assert_eq!(again, Appended::Duplicate { next: tail });
    written(send(&store, &path, "2", (1, 2)).await);
    assert_eq!(all(&store, &path).await, numbers(0..3));
}

pub async fn a_producers_gap_is_refused(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    let refused = send(&store, &path, "x", (1, 1)).await;
    assert!(matches!(refused, Err(StreamError::Gap { expected: 0, got: 1, .. })), "{refused:?}");
    written(send(&store, &path, "0", (1, 0)).await);
    let refused = send(&store, &path, "x", (1, 2)).await;
    assert!(matches!(refused, Err(StreamError::Gap { expected: 1, got: 2, .. })), "{refused:?}");
    written(send(&store, &path, "1", (1, 1)).await);
    assert_eq!(all(&store, &path).await, numbers(0..2));
}

pub async fn a_newer_epoch_fences_the_older(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    written(send(&store, &path, "0", (1, 0)).await);
    written(send(&store, &path, "1", (4, 0)).await);
    for seq in [0, 1, 2] {
        let refused = send(&store, &path, "x", (1, seq)).await;
        assert!(matches!(refused, Err(StreamError::Fenced { current: 4, .. })), "{refused:?}");
    }
    written(send(&store, &path, "2", (4, 1)).await);
    assert_eq!(all(&store, &path).await, numbers(0..3));
}

pub async fn a_newer_epoch_begins_with_zero(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    written(send(&store, &path, "0", (1, 0)).await);
    let refused = send(&store, &path, "x", (2, 1)).await;
    assert!(matches!(refused, Err(StreamError::NotFromZero { .. })), "{refused:?}");
    // The refused one did not open its epoch.
    written(send(&store, &path, "1", (1, 1)).await);
    written(send(&store, &path, "2", (2, 0)).await);
    assert_eq!(all(&store, &path).await, numbers(0..3));
}

pub async fn producers_and_plain_appends_do_not_disturb_each_other(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    written(send(&store, &path, "0", (1, 0)).await);
    written(store.append(&path, batch(["1"]), None).await);
    written(store.append(&path, batch(["2"]), Some(stamp("hook:b", 9, 0))).await);
    written(send(&store, &path, "3", (1, 1)).await);
    assert!(is_duplicate(send(&store, &path, "x", (1, 1)).await));
    written(store.append(&path, batch(["4"]), Some(stamp("hook:b", 9, 1))).await);
    assert_eq!(all(&store, &path).await, numbers(0..5));
}

pub async fn a_refused_append_changes_nothing(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..1)).await;
    let before = store.head(&path).await.unwrap();
    send(&store, &path, "x", (3, 7)).await.unwrap_err();
    assert_eq!(store.head(&path).await.unwrap(), before);
    written(send(&store, &path, "1", (3, 0)).await);
    assert_eq!(all(&store, &path).await, numbers(0..2));
}

pub async fn concurrent_retries_of_one_stamp_write_once(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    for seq in 0..20 {
        let mut tries = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (store, path) = (store.clone(), path.clone());
            tries.spawn(async move {
                let answer = send(&store, &path, &seq.to_string(), (1, seq)).await;
                // Whatever the answer: from then on it is there to be read.
                let last = store.read_back(&path, Offset::Now, 1).await.unwrap();
                assert_eq!(text(&last.records[0].data), seq.to_string());
                is_duplicate(answer)
            });
        }
        let duplicates = tries.join_all().await.into_iter().filter(|was| *was).count();
        assert_eq!(duplicates, 3, "of four tries one writes");
    }
    assert_eq!(all(&store, &path).await, numbers(0..20));
}

pub async fn a_producer_is_known_per_stream(store: Arc<dyn StreamStore>) {
    let one = stream_of(&store, "session/a", &[]).await;
    let two = stream_of(&store, "session/b", &[]).await;
    written(send(&store, &one, "0", (5, 0)).await);
    written(send(&store, &two, "0", (1, 0)).await);
}

pub async fn a_writer_takes_over_and_the_old_one_is_fenced(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    let take_over = async |epoch: u64, first: &str| {
        let producer = "session:a".parse().unwrap();
        SessionWriter::take_over(store.clone(), path.clone(), producer, epoch, bytes(first)).await
    };
    let mut old = take_over(1, "0").await.unwrap();
    old.append(batch(["1", "2"])).await.unwrap();
    let mut new = take_over(2, "3").await.unwrap();
    let refused = old.append(batch(["x"])).await;
    assert!(matches!(refused, Err(StreamError::Fenced { current: 2, .. })), "{refused:?}");
    new.append(batch(["4"])).await.unwrap();
    // An epoch is for one writer, also when the second one comes with the same number.
    let same = take_over(2, "x").await;
    assert!(matches!(same, Err(StreamError::Fenced { .. })), "{same:?}");
    new.append(batch(["5"])).await.unwrap();
    assert_eq!(all(&store, &path).await, numbers(0..6));
}

pub async fn a_dropped_append_of_a_writer_is_settled_first(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    let producer = "session:a".parse().unwrap();
    let mut writer = SessionWriter::take_over(store.clone(), path.clone(), producer, 1, bytes("0"))
        .await
        .unwrap();
    let mut settled = vec!["0".to_owned()];
    for turn in 1..20 {
        let record = format!("dropped {turn}");
        {
            let mut append = std::pin::pin!(writer.append(batch([record.clone()])));
            let polled = append.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(!matches!(polled, Poll::Ready(Err(_))), "{polled:?}");
        }
        settled.push(record);
        let record = format!("awaited {turn}");
        writer.append(batch([record.clone()])).await.unwrap();
        settled.push(record);
    }
    assert_eq!(all(&store, &path).await, settled);
}
