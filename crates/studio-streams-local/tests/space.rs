//! Room on the disk that is not used any more is given back.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod dying;

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
    offline,
};

use dying::{Dying, Life};

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
    let deadline = Instant::now() + Duration::from_secs(60);
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
    let deadline = Instant::now() + Duration::from_secs(60);
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

/// A store of a few streams, half of them deleted and not yet removed.
async fn half_deleted(dir: &Path) {
    let store = LocalStreams::open(dir, Options::default()).unwrap();
    for n in 0..20 {
        let path = path(&format!("session/{n:02}"));
        let initial = Some(Batch::new(vec![Bytes::from(vec![b'1'; 300]); 20]).unwrap());
        let options = CreateOptions { initial, ..CreateOptions::default() };
        store.create(&path, options).await.unwrap();
        if n % 2 == 0 {
            store.delete(&path).await.unwrap();
        }
    }
    store.stop().await;
}

async fn is_whole(dir: &Path) {
    let store = LocalStreams::open(dir, Options::default()).unwrap();
    let paths = store.list("", None, 100).await.unwrap();
    assert_eq!(paths.len(), 10);
    for path in &paths {
        assert_eq!(count(&store, path).await, 20);
        store.append(path, Batch::new(vec![Bytes::from("1")]).unwrap(), None).await.unwrap();
    }
    let new = CreateOptions::default();
    assert!(store.create(&path("session/00"), new).await.unwrap().is_new());
    assert_eq!(count(&store, &path("session/00")).await, 0);
    store.stop().await;
    let report = offline::check(dir, &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report}");
    assert!(!dir.join("streams.redb.new").exists());
}

#[tokio::test]
async fn a_process_that_dies_while_it_compacts_loses_nothing() {
    let made = tempfile::tempdir().unwrap();
    half_deleted(made.path()).await;
    let (mut deaths, mut renamed) = (0, 0);
    for life in 0.. {
        let dir = tempfile::tempdir().unwrap();
        for name in ["streams.redb", "streams.journal"] {
            std::fs::copy(made.path().join(name), dir.path().join(name)).unwrap();
        }
        let before = file_bytes(dir.path());
        let life = Life::of(life);
        let files = Dying { dir: dir.path().to_owned(), life: life.clone() };
        let opened = DiskEngine::over(Arc::new(files), &Options::default());
        if let Ok(engine) = &opened {
            let compacted = engine.compact();
            assert!(compacted.is_ok() || life.is_over(), "{compacted:?}");
        }
        let survived = !life.is_over();
        renamed += usize::from(file_bytes(dir.path()) < before);
        life.end();
        if let Ok(engine) = opened {
            engine.close();
        }
        is_whole(dir.path()).await;
        if survived {
            break;
        }
        deaths += 1;
    }
    assert!(20 < deaths, "{deaths} deaths are too few to tell");
    assert!((1..deaths).contains(&renamed), "{renamed} of {deaths} after the rename");
}

#[tokio::test]
async fn a_compaction_that_fails_leaves_the_store_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    half_deleted(dir.path()).await;
    let engine = Arc::new(DiskEngine::open(dir.path(), &Options::default()).unwrap());
    let store = LocalStreams::over(engine, &Options::default()).unwrap();
    // Nothing can be written where the copy would be.
    std::fs::create_dir(dir.path().join("streams.redb.new")).unwrap();
    store.compact().await.unwrap_err();
    store.ready().await.unwrap();
    let kept = path("session/01");
    store.append(&kept, Batch::new(vec![Bytes::from("1")]).unwrap(), None).await.unwrap();
    assert_eq!(count(&store, &kept).await, 21);
    std::fs::remove_dir(dir.path().join("streams.redb.new")).unwrap();
    let compacted = store.compact().await.unwrap();
    assert!(compacted.bytes_after < compacted.bytes_before, "{compacted}");
    assert_eq!(count(&store, &kept).await, 21);
    store.stop().await;
}
