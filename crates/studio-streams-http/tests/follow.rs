//! Following over a service: one reader of it for all, and no gap whatever happens to that one.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A test fails by panicking.

mod support;

use std::{sync::Arc, time::Duration};

use axum::http::Method;
use bytes::Bytes;
use studio_streams::{
    Batch, ContentType, CreateOptions, Expiry, Follow, MemoryStreams, Offset, StreamError,
    StreamPath, StreamStore,
};
use studio_streams_http::{HttpOptions, HttpStreams, ServiceState};
use studio_testkit::lasting_port;
use tokio::task::JoinSet;

use support::{
    Official, Studio, connect,
    faulty::{Fault, Faulty},
    options,
};

fn path() -> StreamPath {
    "session/a".parse().unwrap()
}

fn batch(record: impl ToString) -> Batch {
    Batch::new(vec![Bytes::from(record.to_string())]).unwrap()
}

async fn append(store: &HttpStreams, record: impl ToString) {
    store.append(&path(), batch(record), None).await.unwrap();
}

/// Follows until so many records came; fails when that takes too long.
async fn take(follow: &mut Follow, count: usize) -> Vec<String> {
    let taking = async {
        let mut found = Vec::new();
        while found.len() < count {
            let frames = follow.next().await.unwrap().expect("closed too early");
            let text = |data: &Bytes| String::from_utf8(data.to_vec()).unwrap();
            found.extend(frames.iter().map(|frame| text(frame.data())));
        }
        found
    };
    tokio::time::timeout(Duration::from_secs(60), taking).await.expect("records are missing")
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// A service with an empty stream, and the port over it.
async fn start() -> (Faulty, HttpStreams) {
    let faulty = Faulty::start().await;
    let store = connect(&faulty.url).await;
    store.create(&path(), CreateOptions::default()).await.unwrap();
    (faulty, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_followers_are_one_to_the_service() {
    let (faulty, store) = start().await;
    append(&store, 0).await;
    let mut followers = JoinSet::new();
    for follower in 0..1_000 {
        let store = store.clone();
        let from = if follower % 2 == 0 { Offset::Now } else { Offset::Start };
        let mut follow = store.follow(&path(), from).await.unwrap();
        followers.spawn(async move {
            let old = (follower % 2 == 1).then_some("0".to_owned());
            let mut found = take(&mut follow, 20 + usize::from(old.is_some())).await;
            if let Some(old) = old {
                assert_eq!(found.remove(0), old);
            }
            (found, follow)
        });
    }
    for number in 1..=20 {
        append(&store, number).await;
    }
    let followed = followers.join_all().await;
    for (found, _) in &followed {
        assert_eq!(*found, numbers(1..21));
    }
    assert_eq!(faulty.open(), (1, 1));
    assert_eq!(faulty.seen(&Method::GET, "live=").len(), 1);
    // With the last follower the reader of the service ends.
    drop(followed);
    let gone = async {
        while 0 < faulty.open().0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("it is still read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_end_all_the_time_lose_and_double_nothing() {
    let (faulty, store) = start().await;
    faulty.next(Method::GET, "live=sse", Fault::CutAfter(Duration::from_millis(300)), 1_000);
    let mut follow = store.follow(&path(), Offset::Start).await.unwrap();
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 0..300 {
                append(&store, number).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    assert_eq!(take(&mut follow, 300).await, numbers(0..300));
    writing.await.unwrap();
    assert!(2 <= faulty.seen(&Method::GET, "live=sse").len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_events_do_not_get_through_long_polls_take_over() {
    let (faulty, store) = start().await;
    faulty.next(Method::GET, "live=sse", Fault::Empty, 1_000);
    let mut follow = store.follow(&path(), Offset::Start).await.unwrap();
    for number in 0..5 {
        append(&store, number).await;
        assert_eq!(take(&mut follow, 1).await, [number.to_string()]);
    }
    assert_eq!(faulty.seen(&Method::GET, "live=sse").len(), 2);
    let polls = faulty.seen(&Method::GET, "live=long-poll");
    assert!(!polls.is_empty());
    assert!(polls.last().unwrap().uri.contains("cursor="), "the cursor is sent back");
    store.close(&path()).await.unwrap();
    assert!(follow.next().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_ends_every_connection_at_once_is_not_asked_all_the_time() {
    let (faulty, store) = start().await;
    faulty.next(Method::GET, "live=", Fault::Empty, 1_000);
    let mut follow = store.follow(&path(), Offset::Start).await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_secs(4), follow.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let asked = faulty.seen(&Method::GET, "live=").len();
    assert!((3..=12).contains(&asked), "it was asked {asked} times in four seconds");
    faulty.heal();
    append(&store, 0).await;
    assert_eq!(take(&mut follow, 1).await, ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_gets_everything_over_a_restart_of_the_service() {
    let streams = MemoryStreams::new();
    let studio = Studio::over(streams.clone(), ([127, 0, 0, 1], lasting_port()).into()).await;
    let address = studio.address;
    let store = connect(&studio.url).await;
    store.create(&path(), CreateOptions::default()).await.unwrap();
    for number in 0..10 {
        append(&store, number).await;
    }
    let mut early = store.follow(&path(), Offset::Start).await.unwrap();
    assert_eq!(take(&mut early, 10).await, numbers(0..10));
    studio.end().await;
    // The service is away and its log is not; it grows before anybody can follow it again.
    let mut state = store.state();
    let away = state.wait_for(|state| *state != ServiceState::Up);
    tokio::time::timeout(Duration::from_secs(60), away).await.unwrap().unwrap();
    let inside: StreamPath = "studio/session/a".parse().unwrap();
    for number in 10..20 {
        streams.append(&inside, batch(number), None).await.unwrap();
    }
    let _studio = Studio::over(streams, address).await;
    let back = state.wait_for(|state| *state == ServiceState::Up);
    tokio::time::timeout(Duration::from_secs(60), back).await.unwrap().unwrap();
    for number in 20..30 {
        append(&store, number).await;
    }
    assert_eq!(take(&mut early, 20).await, numbers(10..30));
    let mut late = store.follow(&path(), Offset::Start).await.unwrap();
    assert_eq!(take(&mut late, 30).await, numbers(0..30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_follower_reads_pages_and_misses_nothing() {
    let faulty = Faulty::start().await;
    let options = HttpOptions { ring_frames_max: 8, ..options(&faulty.url) };
    let store = HttpStreams::connect(options).await.unwrap();
    store.create(&path(), CreateOptions::default()).await.unwrap();
    let mut quick = store.follow(&path(), Offset::Start).await.unwrap();
    let mut slow = store.follow(&path(), Offset::Start).await.unwrap();
    append(&store, 0).await;
    assert_eq!(take(&mut slow, 1).await, ["0"]);
    for number in 1..200 {
        append(&store, number).await;
    }
    assert_eq!(take(&mut quick, 200).await, numbers(0..200));
    assert_eq!(take(&mut slow, 199).await, numbers(1..200));
    append(&store, 200).await;
    assert_eq!(take(&mut slow, 1).await, ["200"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_goes_on_from_the_middle_of_a_batch() {
    for official in [false, true] {
        let (studio, service) = match official {
            false => (Some(Studio::start().await), None),
            true => (None, Some(Official::in_memory().await)),
        };
        let url = studio.as_ref().map(|studio| studio.url.clone());
        let url = url.or(service.as_ref().map(|service| service.url.clone())).unwrap();
        let store = connect(&url).await;
        store.create(&path(), CreateOptions::default()).await.unwrap();
        let mut first = store.follow(&path(), Offset::Start).await.unwrap();
        let three = |at: usize| numbers(at..at + 3).into_iter().map(Bytes::from).collect();
        for at in [0, 3, 6] {
            let batch = Batch::new(three(at)).unwrap();
            store.append(&path(), batch, None).await.unwrap();
        }
        let mut offsets = Vec::new();
        while offsets.len() < 9 {
            let frames = first.next().await.unwrap().unwrap();
            offsets.extend(frames.iter().map(|frame| frame.offset().to_string()));
        }
        assert!(offsets.is_sorted(), "{offsets:?}");
        for (index, offset) in offsets.iter().enumerate() {
            let offset: Offset = offset.parse().unwrap();
            // Each turn appends one more.
            let page = store.read(&path(), offset.clone(), 100).await.unwrap();
            assert_eq!(page.records.len(), 8);
            let back = store.read_back(&path(), offset.clone(), 2).await.unwrap();
            assert_eq!(back.records.len(), 2.min(index + 1));
            assert_eq!(back.records.last().unwrap().data, index.to_string());
            let mut follow = store.follow(&path(), offset).await.unwrap();
            append(&store, 9 + index).await;
            let found = take(&mut follow, 9).await;
            assert_eq!(found, numbers(index + 1..10 + index));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn back_from_a_place_that_has_another_name_now() {
    let studio = Studio::start().await;
    let store = connect(&studio.url).await;
    store.create(&path(), CreateOptions::default()).await.unwrap();
    let mut tails = Vec::new();
    for number in 0..12 {
        let appended = store.append(&path(), batch(number), None).await.unwrap();
        tails.push(appended.next().clone());
    }
    for (index, tail) in tails.iter().enumerate() {
        let page = store.read_back(&path(), tail.clone(), 3).await.unwrap();
        let found: Vec<_> = page.records.iter().map(|r| r.data.clone()).collect();
        let first = (index + 1).saturating_sub(3);
        assert_eq!(found, numbers(first..index + 1));
        assert_eq!(page.up_to_date, first == 0);
        let again = store.read(&path(), page.next, found.len()).await.unwrap();
        assert_eq!(again.records.last().unwrap().data, index.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_is_not_led_into_a_stream_that_another_server_made_anew() {
    let studio = Studio::start().await;
    let (one, two) = (connect(&studio.url).await, connect(&studio.url).await);
    one.create(&path(), CreateOptions::default()).await.unwrap();
    append(&one, 0).await;
    let mut follow = one.follow(&path(), Offset::Start).await.unwrap();
    assert_eq!(take(&mut follow, 1).await, ["0"]);
    assert_eq!(two.list("", None, 10).await.unwrap(), [path()]);
    two.delete(&path()).await.unwrap();
    two.create(&path(), CreateOptions::default()).await.unwrap();
    append(&two, 1).await;
    append(&two, 2).await;
    let ended = tokio::time::timeout(Duration::from_secs(60), follow.next()).await.unwrap();
    assert!(matches!(ended, Err(StreamError::NotFound { .. })), "{ended:?}");
    assert_eq!(one.list("", None, 10).await.unwrap(), [path()]);
    let page = one.read(&path(), Offset::Start, 10).await.unwrap();
    assert_eq!(page.records.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_is_followed_byte_by_byte_as_it_was_written() {
    let official = Official::in_memory().await;
    let store = connect(&official.url).await;
    for (name, content_type) in [("text", "text/plain"), ("bytes", "application/octet-stream")] {
        let path: StreamPath = name.parse().unwrap();
        let content_type: Option<ContentType> = Some(content_type.parse().unwrap());
        let options = CreateOptions { content_type, ..CreateOptions::default() };
        store.create(&path, options).await.unwrap();
        let mut follow = store.follow(&path, Offset::Start).await.unwrap();
        let pieces = ["one\r\ntwo\r", "\n\nthr\u{e9}e\n", " \u{1F600} "];
        let whole = pieces.concat().into_bytes();
        let mut found = Vec::new();
        for piece in pieces {
            let batch = Batch::new(vec![Bytes::from(piece)]).unwrap();
            store.append(&path, batch, None).await.unwrap();
            while found.len() < piece.len() || !whole.starts_with(&found) {
                let frames = follow.next().await.unwrap().unwrap();
                found.extend(frames.iter().flat_map(|frame| frame.data().to_vec()));
                assert!(whole.starts_with(&found));
            }
        }
        while found.len() < whole.len() {
            let frames = follow.next().await.unwrap().unwrap();
            found.extend(frames.iter().flat_map(|frame| frame.data().to_vec()));
        }
        assert_eq!(found, whole);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_followed_stream_with_a_time_to_live_lives_and_then_goes() {
    let official = Official::in_memory().await;
    let store: Arc<dyn StreamStore> = Arc::new(connect(&official.url).await);
    let expiry = Some(Expiry::AfterSeconds(3));
    let options = CreateOptions { expiry, ..CreateOptions::default() };
    store.create(&path(), options).await.unwrap();
    let mut follow = store.follow(&path(), Offset::Start).await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_secs(7), follow.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    drop(follow);
    let gone = async {
        while store.head(&path()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("it is still there");
    assert_eq!(store.list("", None, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_keeps_the_store_open() {
    let (faulty, store) = start().await;
    let mut follow = store.follow(&path(), Offset::Start).await.unwrap();
    drop(store);
    let inside: StreamPath = "studio/session/a".parse().unwrap();
    faulty.streams.append(&inside, batch(0), None).await.unwrap();
    assert_eq!(take(&mut follow, 1).await, ["0"]);
}
