//! What the store does when it cannot do what it is for.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use studio_streams::{
    Appended, Batch, CreateOptions, Offset, ProducerStamp, StreamError, StreamPath, StreamStore,
};
use studio_streams_local::{
    LocalStreams, OpenError, Options,
    engine::{EngineError, MemoryEngine},
};

fn path(text: &str) -> StreamPath {
    text.parse().unwrap()
}

fn batch(records: usize, bytes: usize) -> Batch {
    Batch::new(vec![Bytes::from(vec![b'1'; bytes]); records]).unwrap()
}

fn in_memory(options: &Options) -> (Arc<MemoryEngine>, LocalStreams) {
    let engine = Arc::new(MemoryEngine::new());
    let store = LocalStreams::over(engine.clone(), options).unwrap();
    (engine, store)
}

async fn stream_of(store: &LocalStreams, records: usize) -> StreamPath {
    let path = path("session/a");
    store.create(&path, CreateOptions::default()).await.unwrap();
    for _ in 0..records {
        store.append(&path, batch(1, 10), None).await.unwrap();
    }
    path
}

async fn count(store: &LocalStreams, path: &StreamPath) -> usize {
    store.read(path, Offset::Start, usize::MAX).await.unwrap().records.len()
}

#[tokio::test]
async fn after_a_failed_commit_nothing_is_written_and_reads_go_on() {
    let (engine, store) = in_memory(&Options::default());
    let path = stream_of(&store, 3).await;
    let mut follow = store.follow(&path, Offset::Now).await.unwrap();
    let source = "the disk caught fire".into();
    engine.fail_next_commit(EngineError::Failed { tried: "sync", source });

    // Nobody knows whether this one was written.
    let failed = store.append(&path, batch(1, 10), None).await;
    assert!(matches!(failed, Err(StreamError::Failed { .. })), "{failed:?}");
    for _ in 0..2 {
        let refused = store.append(&path, batch(1, 10), None).await;
        let Err(StreamError::ReadOnly { reason }) = refused else { panic!("{refused:?}") };
        assert_eq!(reason, "the engine failed to sync: the disk caught fire");
    }
    assert!(matches!(store.ready().await, Err(StreamError::ReadOnly { .. })));
    assert_eq!(count(&store, &path).await, 3);
    // Followers hear nothing of what failed. The time passes once nothing else is under way.
    tokio::time::pause();
    let heard = tokio::time::timeout(Duration::from_millis(50), follow.next()).await;
    assert!(heard.is_err(), "{heard:?}");
    store.stop().await;
}

#[tokio::test]
async fn a_full_disk_refuses_appends_until_there_is_room_again() {
    let (engine, store) = in_memory(&Options::default());
    let path = stream_of(&store, 3).await;
    engine.set_full(true);
    let refused = store.append(&path, batch(1, 10), None).await;
    let Err(StreamError::ReadOnly { reason }) = refused else { panic!("{refused:?}") };
    assert_eq!(reason, "the disk is full");
    assert!(matches!(store.ready().await, Err(StreamError::ReadOnly { .. })));
    assert_eq!(count(&store, &path).await, 3);
    // What makes room is still done.
    store.create(&"session/b".parse().unwrap(), CreateOptions::default()).await.unwrap_err();
    engine.set_full(false);
    store.ready().await.unwrap();
    store.append(&path, batch(1, 10), None).await.unwrap();
    assert_eq!(count(&store, &path).await, 4);
    engine.set_full(true);
    store.delete(&path).await.unwrap();
    store.stop().await;
}

/// A small file system of its own, gone at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "studio-streams-test"])
            .arg(dir.path())
            .output()
            .unwrap();
        assert!(
            mount.status.success(),
            "this test mounts a small tmpfs, so it must run as root (in a container: with \
             CAP_SYS_ADMIN): {}",
            String::from_utf8_lossy(&mount.stderr)
        );
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.unwrap().success());
    }
}

/// Appends until the store refuses; how many were taken.
async fn fill(store: &LocalStreams, path: &StreamPath) -> (usize, StreamError) {
    for taken in 0.. {
        if let Err(error) = store.append(path, batch(4, 10_000), None).await {
            return (taken, error);
        }
    }
    unreachable!("the disk is small")
}

#[tokio::test]
async fn a_really_full_disk_refuses_appends_and_reads_on() {
    let disk = SmallDisk::mount("24m");
    let data = disk.path().join("data");
    let options = Options { reserve_bytes: 8 * 1024 * 1024, ..Options::default() };
    let store = LocalStreams::open(&data, options.clone()).unwrap();
    let path = stream_of(&store, 0).await;
    let (taken, error) = fill(&store, &path).await;
    let StreamError::ReadOnly { reason } = error else { panic!("{error:?}") };
    assert_eq!(reason, "the disk is full");
    assert!(0 < taken);
    let mut follow = store.follow(&path, Offset::Start).await.unwrap();
    let mut followed = 0;
    while followed < 4 * taken {
        followed += follow.next().await.unwrap().unwrap().len();
    }

    // Deleting the stream makes room in the file for the next one.
    store.delete(&path).await.unwrap();
    store.stop().await;
    let store =
        LocalStreams::open(&data, Options { reserve_bytes: 1024 * 1024, ..options }).unwrap();
    let path = stream_of(&store, 0).await;
    store.append(&path, batch(4, 10_000), None).await.unwrap();
    store.stop().await;
}

#[tokio::test]
async fn a_disk_that_others_fill_up_loses_nothing_that_was_acknowledged() {
    let disk = SmallDisk::mount("16m");
    let data = disk.path().join("data");
    // Without a reserve the engine itself runs into the end of the disk.
    let options = Options { reserve_bytes: 0, ..Options::default() };
    let store = LocalStreams::open(&data, options.clone()).unwrap();
    let path = stream_of(&store, 5).await;
    let mut filling = File::create(disk.path().join("filling")).unwrap();
    while filling.write_all(&[0; 4096]).is_ok() {}
    let (taken, _) = fill(&store, &path).await;
    let refused = store.append(&path, batch(1, 10), None).await;
    let Err(StreamError::ReadOnly { reason }) = refused else { panic!("{refused:?}") };
    assert!(reason.starts_with("the disk is full"), "{reason}");
    assert_eq!(5 + 4 * taken, count(&store, &path).await);

    // Once there is room it goes on, without a restart and after one.
    drop(filling);
    fs::remove_file(disk.path().join("filling")).unwrap();
    store.ready().await.unwrap();
    store.append(&path, batch(1, 10), None).await.unwrap();
    assert_eq!(5 + 4 * taken + 1, count(&store, &path).await);
    store.stop().await;
    let store = LocalStreams::open(&data, options).unwrap();
    assert_eq!(5 + 4 * taken + 1, count(&store, &path).await);
    store.append(&path, batch(1, 10), None).await.unwrap();
    store.stop().await;
}

/// Puts `count` appends into the queue of a store whose engine does not answer, then lets it; how
/// many were written and how many refused. The first one is with the engine when the others come.
async fn crowd(options: Options, count: usize, bytes: usize) -> (usize, usize) {
    let (engine, store) = in_memory(&options);
    let path = stream_of(&store, 0).await;
    let mut appends: Vec<_> =
        (0..count).map(|_| store.append(&path, batch(1, bytes), None)).collect();
    {
        let paused = engine.pause();
        for (nth, append) in appends.iter_mut().enumerate() {
            if nth == 1 {
                paused.until_asked();
            }
            // One poll puts it into the queue; a refusal is ready at once.
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            if let std::task::Poll::Ready(answer) = append.as_mut().poll(&mut context) {
                let refusal = async { answer };
                *append = Box::pin(refusal);
            }
        }
    }
    let (mut written, mut busy) = (0, 0);
    for append in appends {
        match append.await {
            Ok(_) => written += 1,
            Err(StreamError::Busy) => busy += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(self::count(&store, &path).await, written, "what was refused was not written");
    store.append(&path, batch(1, bytes), None).await.unwrap();
    store.stop().await;
    (written, busy)
}

#[tokio::test]
async fn what_goes_over_the_queue_is_refused_as_busy_and_not_written() {
    let options = Options { queued_commands_max: 5, ..Options::default() };
    let (written, busy) = crowd(options, 50, 10).await;
    assert_eq!((written, busy), (1 + 5, 44));
}

#[tokio::test]
async fn bytes_that_wait_are_bounded_and_a_large_batch_still_gets_through() {
    let options = Options { queued_bytes_max: 1_000, ..Options::default() };
    let (written, busy) = crowd(options.clone(), 50, 300).await;
    assert_eq!((written, busy), (1 + 3, 46));
    // One that is larger than what may wait goes when nothing else does.
    let (written, busy) = crowd(options, 50, 100_000).await;
    assert_eq!((written, busy), (1 + 1, 48));
}

#[tokio::test]
async fn a_directory_in_use_is_refused_by_name_and_free_after_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStreams::open(dir.path(), Options::default()).unwrap();
    let refused = LocalStreams::open(dir.path(), Options::default());
    let Err(error @ OpenError::InUse { .. }) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    store.stop().await;
    LocalStreams::open(dir.path(), Options::default()).unwrap().stop().await;
}

#[tokio::test]
async fn a_directory_of_another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    LocalStreams::open(dir.path(), Options::default()).unwrap().stop().await;
    {
        let database = redb::Database::open(dir.path().join("streams.redb")).unwrap();
        let write = database.begin_write().unwrap();
        let numbers = redb::TableDefinition::<&str, u64>::new("numbers");
        write.open_table(numbers).unwrap().insert("format", 7).unwrap();
        write.commit().unwrap();
    }
    let refused = LocalStreams::open(dir.path(), Options::default());
    assert!(matches!(refused, Err(OpenError::Format { found: 7, known: 2, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_stop_writes_what_was_taken_within_a_second_and_ends_followers() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStreams::open(dir.path(), Options::default()).unwrap();
    let path = stream_of(&store, 0).await;
    let mut follow = store.follow(&path, Offset::Now).await.unwrap();
    let mut appends = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let (store, path) = (store.clone(), path.clone());
        appends.spawn(async move { store.append(&path, batch(1, 1_000), None).await });
    }
    tokio::task::yield_now().await;
    let began = Instant::now();
    store.stop().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let answers = appends.join_all().await;
    let written = answers.iter().filter(|answer| answer.is_ok()).count();
    for answer in answers {
        assert!(
            matches!(answer, Ok(Appended::Written { .. }) | Err(StreamError::ReadOnly { .. })),
            "{answer:?}"
        );
    }
    let ended = loop {
        match follow.next().await {
            Ok(frames) => assert!(frames.is_some(), "the stream was not closed"),
            Err(error) => break error,
        }
    };
    assert!(matches!(ended, StreamError::Failed { .. }), "{ended:?}");
    store.stop().await;
    store.append(&path, batch(1, 1), None).await.unwrap_err();

    let store = LocalStreams::open(dir.path(), Options::default()).unwrap();
    assert_eq!(count(&store, &path).await, written);
    store.stop().await;
}

#[tokio::test]
async fn the_rows_of_a_deleted_stream_are_removed_bit_by_bit() {
    let (engine, store) = in_memory(&Options::default());
    let path = stream_of(&store, 0).await;
    for seq in 0..3 {
        let stamp = ProducerStamp { id: "p".parse().unwrap(), epoch: 1, seq };
        store.append(&path, batch(4_000, 10), Some(stamp)).await.unwrap();
    }
    let kept = stream_of_named(&store, "session/kept").await;
    let commits = engine.commits();
    store.delete(&path).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while 1 < engine.rows_kept() {
        assert!(Instant::now() < deadline, "{} rows are still there", engine.rows_kept());
        // Each goes through the committer, between two of its sweeps.
        store.ready().await.unwrap();
    }
    assert!(commits + 5 < engine.commits(), "12,001 rows went in one large commit");
    assert_eq!(count(&store, &kept).await, 1);
    store.stop().await;
}

async fn stream_of_named(store: &LocalStreams, name: &str) -> StreamPath {
    let options = CreateOptions { initial: Some(batch(1, 1)), ..CreateOptions::default() };
    store.create(&path(name), options).await.unwrap();
    path(name)
}
