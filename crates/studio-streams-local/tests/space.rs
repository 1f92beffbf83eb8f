//! Room on the disk that is not used any more is given back.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use studio_streams::{Batch, CreateOptions, Deleted, Offset, StreamPath, StreamStore};
use studio_streams_local::{
    LocalStreams, Options,
    engine::{DiskEngine, LogEngine},
};

fn path(text: &str) -> StreamPath {
    text.parse().unwrap()
}

fn file_bytes(dir: &Path) -> u64 {
    std::fs::metadata(dir.join("streams.redb")).unwrap().len()
}

/// A stream with so many mebibytes in records of 1 KiB.
async fn fill(store: &LocalStreams, path: &StreamPath, mebibytes: usize) {
    store.create(path, CreateOptions::default()).await.unwrap();
    for _ in 0..mebibytes {
        let batch = Batch::new(vec![Bytes::from(vec![b'1'; 1_024]); 1_024]).unwrap();
        store.append(path, batch, None).await.unwrap();
    }
}

async fn count(store: &LocalStreams, path: &StreamPath) -> usize {
    let (mut from, mut count) = (Offset::Start, 0);
    loop {
        let page = store.read(path, from, usize::MAX).await.unwrap();
        count += page.records.len();
        from = page.next;
        if page.up_to_date {
            return count;
        }
    }
}

/// Waits until nothing of deleted streams is left to be removed: then `compact` finds nothing more.
async fn compacted_to(store: &LocalStreams, bytes: u64, dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while bytes < file_bytes(dir) {
        let compacted = store.compact().await.unwrap();
        assert_eq!(compacted.bytes_after, file_bytes(dir));
        assert!(Instant::now() < deadline, "{compacted}");
    }
}

#[tokio::test]
async fn compacting_gives_back_what_deleted_streams_took_while_the_store_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStreams::open(dir.path(), Options::default()).unwrap();
    let (kept, gone) = (path("session/kept"), path("session/gone"));
    fill(&store, &kept, 1).await;
    fill(&store, &gone, 12).await;
    let mut follow = store.follow(&kept, Offset::Now).await.unwrap();
    let full = file_bytes(dir.path());
    assert_eq!(store.delete(&gone).await.unwrap(), Deleted::Now);
    compacted_to(&store, full / 3, dir.path()).await;
    assert_eq!(count(&store, &kept).await, 1_024);
    // It goes on as before, and a start finds everything.
    store.append(&kept, Batch::new(vec![Bytes::from("more")]).unwrap(), None).await.unwrap();
    assert_eq!(follow.next().await.unwrap().unwrap().len(), 1);
    store.stop().await;
    let store = LocalStreams::open(dir.path(), Options::default()).unwrap();
    assert_eq!(count(&store, &kept).await, 1_025);
    store.stop().await;
}

#[tokio::test]
async fn a_start_compacts_when_much_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStreams::open(dir.path(), Options::default()).unwrap();
    let (kept, gone) = (path("session/kept"), path("session/gone"));
    fill(&store, &kept, 1).await;
    fill(&store, &gone, 20).await;
    store.stop().await;
    let full = file_bytes(dir.path());
    // Nothing was removed, so a start leaves it alone.
    let engine = Arc::new(DiskEngine::open(dir.path(), &Options::default()).unwrap());
    let store = LocalStreams::over(engine.clone(), &Options::default()).unwrap();
    store.delete(&gone).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while engine.has_leftovers().unwrap() {
        // Each goes through the committer, between two of its sweeps.
        store.ready().await.unwrap();
        assert!(Instant::now() < deadline, "rows of the deleted stream are still there");
    }
    store.stop().await;
    drop(engine);
    assert!(full / 2 < file_bytes(dir.path()), "the file got shorter by itself");
    let store = LocalStreams::open(dir.path(), Options::default()).unwrap();
    assert!(file_bytes(dir.path()) < full / 3, "{} of {full}", file_bytes(dir.path()));
    assert_eq!(count(&store, &kept).await, 1_024);
    store.stop().await;
}
