//! Making, filling, closing, deleting and listing streams.

use super::*;
use crate::Deleted;

pub async fn creating_twice_changes_nothing(store: Arc<dyn StreamStore>) {
    let path = path("session/a");
    let new = store.create(&path, CreateOptions::default()).await.unwrap();
    assert!(new.is_new());
    store.append(&path, batch(["1"]), None).await.unwrap();
    let again = CreateOptions { initial: Some(batch(["9"])), ..CreateOptions::default() };
    assert!(!store.create(&path, again).await.unwrap().is_new());
    assert_eq!(all(&store, &path).await, ["1"]);
}

pub async fn a_stream_can_be_created_with_its_first_records(store: Arc<dyn StreamStore>) {
    let path = path("session/a");
    let options = CreateOptions { initial: Some(batch(["1", "2"])), ..CreateOptions::default() };
    let created = store.create(&path, options).await.unwrap();
    assert!(created.is_new());
    assert_eq!(*created.head(), store.head(&path).await.unwrap());
    assert_eq!(all(&store, &path).await, ["1", "2"]);
    store.append(&path, batch(["3"]), None).await.unwrap();
    assert_eq!(all(&store, &path).await, ["1", "2", "3"]);
}

pub async fn a_missing_stream_is_not_found(store: Arc<dyn StreamStore>) {
    let path = path("session/missing");
    let failures = [
        store.append(&path, batch(["1"]), None).await.err(),
        store.append(&path, batch(["1"]), Some(stamp("p", 1, 0))).await.err(),
        store.read(&path, Offset::Start, 1).await.err(),
        store.read_back(&path, Offset::Now, 1).await.err(),
        store.follow(&path, Offset::Start).await.err(),
        store.head(&path).await.err(),
        store.close(&path).await.err(),
    ];
    for failure in failures {
        assert!(matches!(failure, Some(StreamError::NotFound { .. })), "{failure:?}");
    }
}

pub async fn appends_keep_their_order(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..50)).await;
    assert_eq!(all(&store, &path).await, numbers(0..50));
}

pub async fn a_batch_is_read_whole_and_its_offset_is_the_tail(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..1)).await;
    let next = written(store.append(&path, batch(numbers(1..5)), None).await);
    let head = store.head(&path).await.unwrap();
    assert_eq!((&head.tail, head.closed), (&next, false));
    assert_eq!(all(&store, &path).await, numbers(0..5));
    let page = store.read(&path, next, 10).await.unwrap();
    assert!(page.records.is_empty() && page.up_to_date);
}

pub async fn concurrent_batches_never_mix(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let (store, path) = (store.clone(), path.clone());
        writers.spawn(async move {
            for turn in 0..10 {
                let records = (0..3).map(|part| format!("{writer} {turn} {part}"));
                store.append(&path, batch(records), None).await.unwrap();
            }
        });
    }
    writers.join_all().await;

    let found = all(&store, &path).await;
    assert_eq!(found.len(), 8 * 10 * 3);
    let mut next_turn = [0; 8];
    for three in found.chunks(3) {
        let mut words = three[0].split(' ').map(|word| word.parse::<usize>().unwrap());
        let (writer, turn) = (words.next().unwrap(), words.next().unwrap());
        assert_eq!(three, [0, 1, 2].map(|part| format!("{writer} {turn} {part}")));
        assert_eq!(turn, next_turn[writer], "writer {writer} out of order");
        next_turn[writer] += 1;
    }
}

pub async fn a_closed_stream_takes_no_append(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..3)).await;
    store.close(&path).await.unwrap();
    store.close(&path).await.unwrap();
    assert!(store.head(&path).await.unwrap().closed);
    for by in [None, Some(stamp("p", 1, 0))] {
        let refused = store.append(&path, batch(["9"]), by).await;
        assert!(matches!(refused, Err(StreamError::Closed { .. })), "{refused:?}");
    }
    // It is not what a plain create makes any more.
    let conflict = store.create(&path, CreateOptions::default()).await;
    assert!(matches!(conflict, Err(StreamError::Conflict { .. })), "{conflict:?}");
    let closed = CreateOptions { closed: true, ..CreateOptions::default() };
    assert!(!store.create(&path, closed).await.unwrap().is_new());
    assert_eq!(all(&store, &path).await, numbers(0..3));
}

pub async fn a_deleted_stream_is_gone_and_deleting_again_is_success(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..3)).await;
    let other = stream_of(&store, "session/b", &numbers(0..2)).await;
    assert_eq!(store.delete(&path).await.unwrap(), Deleted::Now);
    assert_eq!(store.delete(&path).await.unwrap(), Deleted::Before);
    a_missing(&store, &path).await;
    assert_eq!(store.list("", None, 10).await.unwrap(), std::slice::from_ref(&other));
    assert_eq!(all(&store, &other).await, numbers(0..2));
}

async fn a_missing(store: &Arc<dyn StreamStore>, path: &StreamPath) {
    let read = store.read(path, Offset::Start, 1).await;
    assert!(matches!(read, Err(StreamError::NotFound { .. })), "{read:?}");
    let append = store.append(path, batch(["1"]), None).await;
    assert!(matches!(append, Err(StreamError::NotFound { .. })), "{append:?}");
}

pub async fn a_recreated_stream_is_new_and_empty(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..30)).await;
    store.append(&path, batch(["x"]), Some(stamp("p", 5, 0))).await.unwrap();
    store.close(&path).await.unwrap();
    store.delete(&path).await.unwrap();
    assert!(store.create(&path, CreateOptions::default()).await.unwrap().is_new());
    assert_eq!(all(&store, &path).await, Vec::<String>::new());
    assert!(!store.head(&path).await.unwrap().closed);
    // The producer of the old stream is not known on the new one: an older epoch may write.
    written(store.append(&path, batch(["1"]), Some(stamp("p", 1, 0))).await);
    assert_eq!(all(&store, &path).await, ["1"]);
}

pub async fn listing_is_sorted_by_prefix_and_in_pages(store: Arc<dyn StreamStore>) {
    let names =
        ["room/b", "registry", "session/c", "session/a", "session/b", "session-x", "room/a"];
    for name in names {
        store.create(&path(name), CreateOptions::default()).await.unwrap();
    }
    let list = async |prefix: &str, after: Option<&str>, max: usize| {
        let after = after.map(path);
        let found = store.list(prefix, after.as_ref(), max).await.unwrap();
        found.iter().map(|path| path.as_str().to_owned()).collect::<Vec<_>>()
    };
    let mut sorted = names.map(str::to_owned);
    sorted.sort();
    assert_eq!(list("", None, 100).await, sorted);
    assert_eq!(list("session/", None, 100).await, ["session/a", "session/b", "session/c"]);
    assert_eq!(list("session/", None, 2).await, ["session/a", "session/b"]);
    assert_eq!(list("session/", Some("session/b"), 2).await, ["session/c"]);
    assert_eq!(list("session/", Some("registry"), 1).await, ["session/a"]);
    assert_eq!(list("session/", Some("session/c"), 2).await, Vec::<String>::new());
    assert_eq!(list("nothing", None, 2).await, Vec::<String>::new());
}

pub async fn a_ready_store_says_so(store: Arc<dyn StreamStore>) {
    store.ready().await.unwrap();
}
