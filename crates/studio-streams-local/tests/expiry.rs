//! Streams that are removed by themselves, by a clock that the test sets.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use studio_streams::{
    Batch, Clock, CreateOptions, Expiry, Fork, Offset, StreamError, StreamPath, StreamStore,
};
use studio_streams_local::{
    LocalStreams, Options,
    engine::{LogEngine, MemoryEngine},
};
use tempfile::TempDir;

/// A clock in seconds.
#[derive(Clone)]
struct Time(Arc<AtomicU64>);

impl Time {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_700_000_000_000)))
    }

    fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    fn options(&self) -> Options {
        let now = self.0.clone();
        Options { clock: Clock::new(move || now.load(Ordering::SeqCst)), ..Options::default() }
    }
}

fn path(text: &str) -> StreamPath {
    text.parse().unwrap()
}

fn expiring(expiry: Expiry) -> CreateOptions {
    let initial = Some(Batch::new(vec![Bytes::from_static(b"1")]).unwrap());
    CreateOptions { expiry: Some(expiry), initial, ..CreateOptions::default() }
}

async fn is_there(store: &LocalStreams, path: &StreamPath) -> bool {
    match store.head(path).await {
        Ok(_) => true,
        Err(StreamError::NotFound { .. }) => false,
        Err(error) => panic!("{error:?}"),
    }
}

/// The files as a kill would leave them now.
async fn killed(store: &LocalStreams, dir: &Path) -> TempDir {
    // What readers told of goes through the committer before this.
    store.ready().await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    for name in ["streams.redb", "streams.journal"] {
        fs::copy(dir.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

/// Time of the streams here: 16 * 100 s, so that a use may be brought to the disk 100 s late.
const TTL: u64 = 1_600;

#[tokio::test]
async fn a_kill_never_brings_the_end_of_a_stream_nearer() {
    let (dir, time) = (tempfile::tempdir().unwrap(), Time::new());
    let store = LocalStreams::open(dir.path(), time.options()).unwrap();
    let path = path("a");
    store.create(&path, expiring(Expiry::AfterSeconds(TTL))).await.unwrap();
    // A read that the disk is not told of.
    time.pass(99);
    store.read(&path, Offset::Start, 1).await.unwrap();
    let copy = killed(&store, dir.path()).await;
    store.stop().await;
    time.pass(TTL - 1);
    let store = LocalStreams::open(copy.path(), time.options()).unwrap();
    assert!(is_there(&store, &path).await);
    // And one that it is told of, being later.
    time.pass(1);
    store.read(&path, Offset::Start, 1).await.unwrap();
    let copy = killed(&store, copy.path()).await;
    store.stop().await;
    time.pass(TTL - 1);
    let store = LocalStreams::open(copy.path(), time.options()).unwrap();
    assert!(is_there(&store, &path).await);
    time.pass(101);
    assert!(!is_there(&store, &path).await);
    store.stop().await;
}

#[tokio::test]
async fn a_follower_keeps_a_stream_over_a_kill_too() {
    tokio::time::pause();
    let (dir, time) = (tempfile::tempdir().unwrap(), Time::new());
    let store = LocalStreams::open(dir.path(), time.options()).unwrap();
    let path = path("a");
    store.create(&path, expiring(Expiry::AfterSeconds(TTL))).await.unwrap();
    let mut follow = store.follow(&path, Offset::Now).await.unwrap();
    // It waits for several times the stream's time, as the runtime's clock has it too.
    for _ in 0..50 {
        time.pass(100);
        let waited = tokio::time::timeout(Duration::from_secs(100), follow.next()).await;
        assert!(waited.is_err(), "{waited:?}");
    }
    let copy = killed(&store, dir.path()).await;
    drop(follow);
    store.stop().await;
    time.pass(TTL - 1);
    let store = LocalStreams::open(copy.path(), time.options()).unwrap();
    assert!(is_there(&store, &path).await);
    store.stop().await;
}

#[tokio::test]
async fn only_the_end_of_its_time_ends_a_stream_with_followers() {
    let time = Time::new();
    let store = LocalStreams::over(Arc::new(MemoryEngine::new()), &time.options()).unwrap();
    let (by_use, by_date) = (path("by-use"), path("by-date"));
    store.create(&by_use, expiring(Expiry::AfterSeconds(TTL))).await.unwrap();
    let at = time.0.load(Ordering::SeqCst) + 1_000 * TTL;
    store.create(&by_date, expiring(Expiry::AtMillis(at))).await.unwrap();
    let follow_by_use = store.follow(&by_use, Offset::Now).await.unwrap();
    let mut follow_by_date = store.follow(&by_date, Offset::Now).await.unwrap();
    time.pass(10 * TTL);
    // Wakes the committer, which looks at its clock.
    store.ready().await.unwrap();
    let ended = follow_by_date.next().await;
    assert!(matches!(ended, Err(StreamError::NotFound { .. })), "{ended:?}");
    assert!(is_there(&store, &by_use).await);
    // Its last use is the end of its last follower.
    drop(follow_by_use);
    time.pass(TTL - 1);
    assert!(is_there(&store, &by_use).await);
    time.pass(1);
    assert!(!is_there(&store, &by_use).await);
    store.stop().await;
}

#[tokio::test]
async fn streams_whose_time_is_over_are_swept_away_and_the_others_left_alone() {
    let time = Time::new();
    let engine = Arc::new(MemoryEngine::new());
    let store = LocalStreams::over(engine.clone(), &time.options()).unwrap();
    for n in 0..500 {
        let seconds = if n % 5 == 0 { 10 * TTL } else { TTL };
        let name = path(&format!("session/{n:03}"));
        store.create(&name, expiring(Expiry::AfterSeconds(seconds))).await.unwrap();
    }
    store.create(&path("forever"), CreateOptions::default()).await.unwrap();
    // One is used in time.
    time.pass(TTL - 1);
    store.read(&path("session/001"), Offset::Start, 1).await.unwrap();
    time.pass(TTL / 2);
    let deadline = Instant::now() + Duration::from_secs(60);
    while 101 < engine.rows_kept() {
        assert!(Instant::now() < deadline, "{} rows are left", engine.rows_kept());
        // Wakes the committer, which looks at its clock.
        store.ready().await.unwrap();
    }
    assert_eq!(store.list("", None, 1_000).await.unwrap().len(), 102);
    assert_eq!(engine.due(1_000).unwrap().len(), 101);
    assert!(is_there(&store, &path("session/001")).await);
    store.stop().await;
}

#[tokio::test]
async fn the_end_of_a_fork_ends_what_was_kept_for_it() {
    let time = Time::new();
    let engine = Arc::new(MemoryEngine::new());
    let store = LocalStreams::over(engine.clone(), &time.options()).unwrap();
    let (source, fork) = (path("source"), path("fork"));
    store.create(&source, expiring(Expiry::AfterSeconds(TTL))).await.unwrap();
    let of = Some(Fork::of(source.clone()));
    let made = CreateOptions { fork: of, ..expiring(Expiry::AfterSeconds(2 * TTL)) };
    store.create(&fork, made).await.unwrap();
    time.pass(TTL);
    let gone = store.head(&source).await;
    assert!(matches!(gone, Err(StreamError::Gone { .. })), "{gone:?}");
    assert!(is_there(&store, &fork).await);
    time.pass(2 * TTL);
    let deadline = Instant::now() + Duration::from_secs(60);
    while 0 < engine.rows_kept() {
        assert!(Instant::now() < deadline, "{} rows are left", engine.rows_kept());
        store.ready().await.unwrap();
    }
    for path in [&source, &fork] {
        assert!(!is_there(&store, path).await);
        assert!(store.create(path, CreateOptions::default()).await.unwrap().is_new());
    }
    store.stop().await;
}

#[tokio::test]
async fn reads_write_to_the_disk_only_now_and_then() {
    let time = Time::new();
    let engine = Arc::new(MemoryEngine::new());
    let store = LocalStreams::over(engine.clone(), &time.options()).unwrap();
    let path = path("a");
    store.create(&path, expiring(Expiry::AfterSeconds(TTL))).await.unwrap();
    let before = engine.commits();
    for _ in 0..1_000 {
        time.pass(1);
        store.read(&path, Offset::Start, 1).await.unwrap();
    }
    store.ready().await.unwrap();
    // One in a hundred seconds at most; several in one commit, or a later one, if the committer
    // comes late.
    let commits = engine.commits() - before;
    assert!((1..=10).contains(&commits), "{commits} commits for 1,000 reads");
    store.stop().await;
}
