//! What the store costs, beside what the disk allows. Prints one line per figure.
//!
//! `cargo bench -p studio-streams-local`. The data lies under the target directory, or where
//! `STREAMS_BENCH_DIR` says: in memory (`/dev/shm`) it shows what the store costs by itself.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // A tool that prints; it may end by a panic.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use studio_streams::{Batch, CreateOptions, Offset, ProducerStamp, StreamPath, StreamStore};
use studio_streams_local::{LocalStreams, Options};

const RECORD_BYTES: usize = 330;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let on = std::env::var("STREAMS_BENCH_DIR");
    let root = tempfile::tempdir_in(on.as_deref().unwrap_or(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let sync = raw_sync(root.path());
    runtime.block_on(async {
        memory(&root.path().join("memory")).await;
        lone(&root.path().join("lone"), sync).await;
        for writers in [1, 16, 64] {
            group(&root.path().join(format!("group-{writers}")), writers, sync).await;
        }
        fan_out(&root.path().join("fan-out")).await;
        replay(&root.path().join("replay")).await;
        start(&root.path().join("start")).await;
        space(&root.path().join("space")).await;
    });
}

fn record() -> Bytes {
    Bytes::from(format!("\"{}\"", "x".repeat(RECORD_BYTES - 2)))
}

fn one() -> Batch {
    Batch::new(vec![record()]).unwrap()
}

fn open(dir: &Path) -> LocalStreams {
    LocalStreams::open(dir, Options::default()).unwrap()
}

async fn streams(store: &LocalStreams, count: usize) -> Vec<StreamPath> {
    let mut paths = Vec::new();
    for number in 0..count {
        paths.push(format!("session/{number:08}").parse::<StreamPath>().unwrap());
    }
    let mut made = tokio::task::JoinSet::new();
    for part in paths.chunks(count.div_ceil(64)) {
        let (store, part) = (store.clone(), part.to_vec());
        made.spawn(async move {
            for path in part {
                store.create(&path, CreateOptions::default()).await.unwrap();
            }
        });
    }
    made.join_all().await;
    paths
}

/// The disk alone: the time of one small write and its `fdatasync`.
fn raw_sync(dir: &Path) -> Duration {
    let path = dir.join("raw");
    let mut file = File::create(&path).unwrap();
    file.write_all(&vec![0; 4 << 20]).unwrap();
    file.sync_all().unwrap();
    let mut times = Vec::new();
    for turn in 0..2_000u64 {
        let began = Instant::now();
        file.write_all_at(&record(), turn * RECORD_BYTES as u64).unwrap();
        file.sync_data().unwrap();
        times.push(began.elapsed());
    }
    let p50 = percentile(&mut times, 50);
    let rate = 1.0 / p50.as_secs_f64();
    let p99 = percentile(&mut times, 99);
    println!("raw write + fdatasync            p50 {p50:?}, p99 {p99:?} ({rate:.0}/s)");
    p50
}

async fn lone(dir: &Path, sync: Duration) {
    let store = open(dir);
    let paths = streams(&store, 200).await;
    let mut times = Vec::new();
    for turn in 0..5_000 {
        let began = Instant::now();
        store.append(&paths[turn % paths.len()], one(), None).await.unwrap();
        times.push(began.elapsed());
    }
    let (p50, p99) = (percentile(&mut times, 50), percentile(&mut times, 99));
    let over = p50.saturating_sub(sync);
    println!("lone append                      p50 {p50:?} (sync + {over:?}), p99 {p99:?}");
    store.stop().await;
}

async fn group(dir: &Path, writers: usize, sync: Duration) {
    let store = open(dir);
    let paths = Arc::new(streams(&store, 200).await);
    let until = Instant::now() + Duration::from_secs(3);
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let (store, paths) = (store.clone(), paths.clone());
        tasks.spawn(async move {
            // Each writer has its streams, and a producer on each.
            let own: Vec<_> = paths.iter().skip(writer).step_by(writers).collect();
            let id: studio_streams::ProducerId = format!("writer:{writer}").parse().unwrap();
            let (mut done, mut seq) = (0u64, 0);
            while Instant::now() < until {
                for path in &own {
                    let stamp = ProducerStamp { id: id.clone(), epoch: 1, seq };
                    store.append(path, one(), Some(stamp)).await.unwrap();
                    done += 1;
                }
                seq += 1;
            }
            done
        });
    }
    let began = Instant::now();
    let done: u64 = tasks.join_all().await.into_iter().sum();
    let rate = done as f64 / began.elapsed().as_secs_f64();
    let share = rate * sync.as_secs_f64() / writers as f64 * 100.0;
    println!(
        "group commit, {writers:2} writers         {rate:.0}/s ({share:.0} % of {writers} per sync)"
    );
    store.stop().await;
}

async fn fan_out(dir: &Path) {
    const READERS: u64 = 1_000;
    const EVENTS: u64 = 500;
    let store = open(dir);
    let path = streams(&store, 1).await.remove(0);
    let epoch = Instant::now();
    let mut readers = tokio::task::JoinSet::new();
    let encodings = Arc::new(AtomicU64::new(0));
    for _ in 0..READERS {
        let mut follow = store.follow(&path, Offset::Start).await.unwrap();
        let encodings = encodings.clone();
        readers.spawn(async move {
            let mut delays = Vec::new();
            while let Some(frames) = follow.next().await.unwrap() {
                let now = epoch.elapsed();
                for frame in frames {
                    let _event = frame.encoded(studio_streams::Encoding::Events, |record| {
                        encodings.fetch_add(1, Ordering::Relaxed);
                        Some(record.data.clone())
                    });
                    let text = std::str::from_utf8(frame.data()).unwrap();
                    let sent = text[1..21].parse().unwrap();
                    delays.push(now.saturating_sub(Duration::from_nanos(sent)));
                }
            }
            delays
        });
    }
    let began = Instant::now();
    for _ in 0..EVENTS {
        let sent = epoch.elapsed().as_nanos();
        let record = format!("\"{sent:020}{}\"", "x".repeat(RECORD_BYTES - 22));
        store.append(&path, Batch::new(vec![record.into()]).unwrap(), None).await.unwrap();
    }
    store.close(&path).await.unwrap();
    let mut delays: Vec<_> = readers.join_all().await.into_iter().flatten().collect();
    let rate = delays.len() as f64 / began.elapsed().as_secs_f64();
    let (p50, p99) = (percentile(&mut delays, 50), percentile(&mut delays, 99));
    let encodings = encodings.load(Ordering::Relaxed);
    println!(
        "fan-out to {READERS} followers        {rate:.0} deliveries/s, p50 {p50:?}, p99 {p99:?}, {encodings} encodings of {EVENTS} events"
    );
    store.stop().await;
}

async fn replay(dir: &Path) {
    let store = open(dir);
    let path = streams(&store, 1).await.remove(0);
    for events in [10_000, 100_000] {
        let there = store.read(&path, Offset::Start, 1).await.unwrap().records.len();
        let mut missing = events - if there == 0 { 0 } else { 10_000 };
        while 0 < missing {
            let batch = Batch::new(vec![record(); missing.min(5_000)]).unwrap();
            missing -= batch.records().len();
            store.append(&path, batch, None).await.unwrap();
        }
        let began = Instant::now();
        let (mut from, mut seen) = (Offset::Start, 0);
        loop {
            let page = store.read(&path, from, usize::MAX).await.unwrap();
            seen += page.records.len();
            from = page.next;
            if page.up_to_date {
                break;
            }
        }
        assert_eq!(seen, events);
        let pages = began.elapsed();
        let began = Instant::now();
        let mut follow = store.follow(&path, Offset::Start).await.unwrap();
        let mut seen = 0;
        while seen < events {
            seen += follow.next().await.unwrap().unwrap().len();
        }
        let followed = began.elapsed();
        println!("replay of {events:6} events          {pages:?} in pages, {followed:?} followed");
    }
    store.stop().await;
}

async fn start(dir: &Path) {
    const STREAMS: usize = 100_000;
    let store = open(dir);
    let paths = streams(&store, STREAMS).await;
    for part in paths.chunks(1_000) {
        let mut tasks = tokio::task::JoinSet::new();
        // Each task keeps its path.
        #[allow(clippy::unnecessary_to_owned)]
        for path in part.to_vec() {
            let store = store.clone();
            tasks.spawn(async move { store.append(&path, one(), None).await.unwrap() });
        }
        tasks.join_all().await;
    }
    // What a kill leaves: the files as the operating system has them.
    let killed = dir.with_extension("killed");
    fs::create_dir_all(&killed).unwrap();
    for name in ["streams.redb", "streams.journal"] {
        fs::copy(dir.join(name), killed.join(name)).unwrap();
        File::open(killed.join(name)).unwrap().sync_all().unwrap();
    }
    store.stop().await;
    drop(store);
    for (what, dir) in [("clean", dir), ("after a kill", &killed)] {
        let before = resident_bytes();
        let began = Instant::now();
        let store = open(dir);
        store.ready().await.unwrap();
        let took = began.elapsed();
        let memory = (resident_bytes() - before) as f64 / f64::from(1 << 20);
        println!("open with {STREAMS} streams, {what}: {took:?}, {memory:.1} MiB");
        store.stop().await;
    }
}

/// Gives back what half of the streams took.
async fn space(dir: &Path) {
    let store = open(dir);
    let paths = streams(&store, 400).await;
    for _ in 0..4 {
        for path in &paths {
            let batch = Batch::new(vec![record(); 200]).unwrap();
            store.append(path, batch, None).await.unwrap();
        }
    }
    for path in paths.iter().step_by(2) {
        store.delete(path).await.unwrap();
    }
    store.stop().await;
    let compacted = studio_streams_local::offline::compact(dir, &mut |_| {}).unwrap();
    println!("compaction, half of it deleted   {compacted}");
}

async fn memory(dir: &Path) {
    const STREAMS: usize = 10_000;
    let store = open(dir);
    let paths = streams(&store, STREAMS).await;
    let before = resident_bytes();
    let mut follows = Vec::new();
    for path in &paths {
        follows.push(store.follow(path, Offset::Now).await.unwrap());
    }
    for follow in &mut follows {
        // Brings each to its wait.
        assert!(still_waits(follow.next()).await);
    }
    let per = (resident_bytes() - before) as f64 / STREAMS as f64;
    println!("memory of one idle followed stream {per:.0} B, follower included");
    drop(follows);
    store.stop().await;
}

/// Waits a moment; says whether the future was still waiting.
async fn still_waits<F: Future>(future: F) -> bool {
    tokio::time::timeout(Duration::from_micros(500), future).await.is_err()
}

fn resident_bytes() -> i64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4_096
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}
