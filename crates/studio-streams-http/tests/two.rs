//! Two servers on one service, and all streams carried there and back.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A test fails by panicking.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use studio_streams::{
    Batch, CreateOptions, Deleted, Fork, MemoryStreams, Offset, SessionWriter, StreamError,
    StreamPath, StreamStore, Write,
    copy::{CopyOptions, CopyProgress, copy},
};

use support::{Official, Studio, connect};

fn path(text: &str) -> StreamPath {
    text.parse().unwrap()
}

fn batch(record: &str) -> Batch {
    Batch::new(vec![Bytes::copy_from_slice(record.as_bytes())]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_of_two_servers_owns_a_session() {
    let official = Official::in_memory().await;
    let store: [Arc<dyn StreamStore>; 2] =
        [Arc::new(connect(&official.url).await), Arc::new(connect(&official.url).await)];
    let path = path("session/a");
    store[0].create(&path, CreateOptions::default()).await.unwrap();
    assert!(!store[1].create(&path, CreateOptions::default()).await.unwrap().is_new());
    let take_over = async |server: usize, epoch| {
        let (store, producer) = (store[server].clone(), "session:a".parse().unwrap());
        let first = Bytes::from(format!("\"taken by {server}\""));
        SessionWriter::take_over(store, path.clone(), producer, epoch, first).await
    };
    let mut old = take_over(0, 1).await.unwrap();
    old.append(batch("1")).await.unwrap();
    let mut new = take_over(1, 2).await.unwrap();
    let refused = old.append(batch("\"too late\"")).await;
    assert!(matches!(refused, Err(StreamError::Fenced { current: 2, .. })), "{refused:?}");
    new.append(batch("2")).await.unwrap();
    assert!(matches!(take_over(0, 2).await, Err(StreamError::Fenced { .. })));
    let page = store[0].read(&path, Offset::Start, 100).await.unwrap();
    let found: Vec<_> = page.records.iter().map(|record| record.data.clone()).collect();
    assert_eq!(found, ["\"taken by 0\"", "1", "\"taken by 1\"", "2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_makes_and_deletes_the_other_lists() {
    for official in [false, true] {
        let (studio, service) = match official {
            false => (Some(Studio::start().await), None),
            true => (None, Some(Official::in_memory().await)),
        };
        let url = studio.as_ref().map(|studio| &studio.url);
        let url = url.or(service.as_ref().map(|service| &service.url)).unwrap();
        let (one, two) = (connect(url).await, connect(url).await);
        let list = async |store: &dyn StreamStore| {
            let found = store.list("", None, 100).await.unwrap();
            found.iter().map(|path| path.as_str().to_owned()).collect::<Vec<_>>()
        };
        one.create(&path("a"), CreateOptions::default()).await.unwrap();
        two.create(&path("b"), CreateOptions::default()).await.unwrap();
        one.create(&path("b"), CreateOptions::default()).await.unwrap();
        assert_eq!(list(&one).await, ["a", "b"]);
        assert_eq!(list(&two).await, ["a", "b"]);
        let first = one.head(&path("b")).await.unwrap().incarnation;
        assert_eq!(two.head(&path("b")).await.unwrap().incarnation, first);
        assert_eq!(one.delete(&path("b")).await.unwrap(), Deleted::Now);
        assert_eq!(two.delete(&path("b")).await.unwrap(), Deleted::Before);
        assert_eq!(list(&two).await, ["a"]);
        // This one still thinks that it knows the stream.
        assert!(two.create(&path("b"), CreateOptions::default()).await.unwrap().is_new());
        assert_eq!(list(&one).await, ["a", "b"]);
        assert_ne!(one.head(&path("b")).await.unwrap().incarnation, first);
        // What was not made is not listed, and neither is the list.
        let fork = Some(Fork::of(path("missing")));
        let refused = one.create(&path("c"), CreateOptions { fork, ..Default::default() }).await;
        assert!(matches!(refused, Err(StreamError::NotFound { .. })), "{refused:?}");
        let no_json = CreateOptions { initial: Some(batch("1,2")), ..Default::default() };
        let refused = one.create(&path("c"), no_json).await;
        assert!(matches!(refused, Err(StreamError::Refused { .. })), "{refused:?}");
        for store in [&one, &two, &connect(url).await] {
            assert_eq!(list(store).await, ["a", "b"]);
        }
        let ours = one.create(&path("studio-index"), CreateOptions::default()).await;
        assert!(matches!(ours, Err(StreamError::Refused { .. })), "{ours:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_streams_can_be_carried_to_a_service_and_back() {
    let official = Official::on_disk().await;
    let here: Arc<dyn StreamStore> = Arc::new(MemoryStreams::new());
    for stream in 0..20 {
        let path = path(&format!("session/{stream}"));
        here.create(&path, CreateOptions::default()).await.unwrap();
        for record in 0..stream * 7 {
            let text = format!("{{\"n\":{record},\"text\":\"{}\"}}", "é\\n".repeat(record));
            here.append(&path, batch(&text), None).await.unwrap();
        }
        if stream % 3 == 0 {
            here.close(&path).await.unwrap();
        }
    }
    let text = CreateOptions {
        content_type: Some("text/plain".parse().unwrap()),
        ..CreateOptions::default()
    };
    here.create(&path("text"), text).await.unwrap();
    for line in ["one\r\n", "two\n", "end"] {
        here.append(&path("text"), batch(line), None).await.unwrap();
    }
    here.write(&path("text"), Write::end(None)).await.unwrap();

    let there: Arc<dyn StreamStore> = Arc::new(connect(&official.url).await);
    let back: Arc<dyn StreamStore> = Arc::new(MemoryStreams::new());
    let options = |run| CopyOptions { run, leave_out: vec![], at_once: 4 };
    let mut sums = Vec::new();
    for (run, from, to) in [(1, &here, &there), (2, &here, &there), (3, &there, &back)] {
        let progress = Arc::new(CopyProgress::default());
        let report = copy(from.clone(), to.clone(), options(run), progress).await.unwrap();
        assert_eq!((report.streams, report.failures), (21, 0), "{:?}", report.failed);
        sums.push(report.checksum);
    }
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
}
