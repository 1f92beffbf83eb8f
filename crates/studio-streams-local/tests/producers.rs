//! A stream does not know any number of producers.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use studio_streams::{
    Appended, Batch, Clock, CreateOptions, ProducerStamp, StreamError, StreamPath, StreamStore,
};
use studio_streams_local::{LocalStreams, Options, offline};

const DAY_MS: u64 = 24 * 3_600_000;

struct World {
    dir: tempfile::TempDir,
    store: LocalStreams,
    time: Arc<AtomicU64>,
    path: StreamPath,
}

impl World {
    /// A stream that can know three producers, each for two days at least.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let time = Arc::new(AtomicU64::new(1_700_000_000_000));
        let store = Self::open(dir.path(), &time);
        let path: StreamPath = "session/a".parse().unwrap();
        store.create(&path, CreateOptions::default()).await.unwrap();
        Self { dir, store, time, path }
    }

    fn open(dir: &std::path::Path, time: &Arc<AtomicU64>) -> LocalStreams {
        let now = time.clone();
        let clock = Clock::new(move || now.load(Ordering::SeqCst));
        let options = Options { producers_max: 3, producer_days: 2, clock, ..Options::default() };
        LocalStreams::open(dir, options).unwrap()
    }

    fn pass(&self, millis: u64) {
        self.time.fetch_add(millis, Ordering::SeqCst);
    }

    async fn by(&self, producer: &str, seq: u64) -> Result<Appended, StreamError> {
        let batch = Batch::new(vec![Bytes::from_static(b"1")]).unwrap();
        let stamp = ProducerStamp { id: producer.parse().unwrap(), epoch: 1, seq };
        self.store.append(&self.path, batch, Some(stamp)).await
    }

    async fn end(self) {
        self.store.stop().await;
        let report = offline::check(self.dir.path(), &mut |_| {}).unwrap();
        assert!(report.is_sound(), "{report}");
    }
}

#[tokio::test]
async fn one_too_many_is_refused_and_the_others_go_on() {
    let world = World::new().await;
    for producer in ["p", "q", "r"] {
        world.by(producer, 0).await.unwrap();
    }
    for _ in 0..2 {
        let refused = world.by("s", 0).await;
        assert!(
            matches!(refused, Err(StreamError::TooManyProducers { max: 3, .. })),
            "{refused:?}"
        );
    }
    for producer in ["p", "q", "r"] {
        world.by(producer, 1).await.unwrap();
    }
    // One that is refused for another reason does not count.
    let gap = world.by("t", 5).await;
    assert!(matches!(gap, Err(StreamError::Gap { expected: 0, .. })), "{gap:?}");
    world.end().await;
}

#[tokio::test]
async fn those_that_were_not_heard_of_for_long_are_forgotten_for_a_new_one() {
    let mut world = World::new().await;
    for producer in ["p", "q", "r"] {
        world.by(producer, 0).await.unwrap();
    }
    world.pass(DAY_MS);
    world.by("p", 1).await.unwrap();
    world.pass(DAY_MS - 1);
    world.by("s", 0).await.unwrap_err();
    world.pass(1);
    // Nobody is forgotten without need.
    let again = world.by("q", 0).await.unwrap();
    assert!(matches!(again, Appended::Duplicate { .. }), "{again:?}");
    // The same after a start: times and counts are on the disk.
    world.store.stop().await;
    world.store = World::open(world.dir.path(), &world.time);
    world.by("s", 0).await.unwrap();
    let again = world.by("p", 1).await.unwrap();
    assert!(matches!(again, Appended::Duplicate { .. }), "{again:?}");
    world.by("p", 2).await.unwrap();
    // Two were forgotten, so one has room, as a new one.
    let gap = world.by("q", 1).await;
    assert!(matches!(gap, Err(StreamError::Gap { expected: 0, .. })), "{gap:?}");
    world.by("q", 0).await.unwrap();
    world.by("r", 0).await.unwrap_err();
    world.end().await;
}

#[tokio::test]
async fn many_new_ones_at_once_are_counted_too() {
    let world = Arc::new(World::new().await);
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..50 {
        let world = world.clone();
        writers.spawn(async move { world.by(&format!("p{n}"), 0).await.is_ok() });
    }
    let taken = writers.join_all().await.into_iter().filter(|taken| *taken).count();
    assert_eq!(taken, 3);
    Arc::into_inner(world).unwrap().end().await;
}
