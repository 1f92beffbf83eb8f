//! 200 kills of a writer process at random moments (and 40 while its files are made), under concurrent plain and producer appends.
//! After each: no acknowledged append is missing, none is doubled when it is sent again with its
//! stamp, no record and no batch is there in part, and a fenced writer stays fenced.
//!
//! `STREAMS_CRASH_KILLS` asks for another number of kills.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // A test: it panics, and it tells.

#[path = "crash/check.rs"]
mod check;
#[path = "crash/words.rs"]
mod words;
#[path = "crash/writer.rs"]
mod writer;

use std::{
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use studio_streams_local::{LocalStreams, Options};

/// Where the child finds the directory; unset in the parent.
const DIR_VARIABLE: &str = "STREAMS_CRASH_DIR";
const LIFE_VARIABLE: &str = "STREAMS_CRASH_LIFE";
/// Longest life of a writer process.
const LIFE_MS_MAX: u64 = 150;
/// How long making the files of a new store may take.
const FIRST_MOMENTS_MS: u64 = 25;

fn main() {
    if let Ok(dir) = std::env::var(DIR_VARIABLE) {
        let life = std::env::var(LIFE_VARIABLE).unwrap().parse().unwrap();
        return writer::run(Path::new(&dir), life);
    }
    let kills = std::env::var("STREAMS_CRASH_KILLS").map_or(200, |kills| kills.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut check = check::Check::default();
    let began = Instant::now();
    for life in 1..=kills {
        let patience = Duration::from_micros(random() % (LIFE_MS_MAX * 1_000));
        let acknowledged = live_and_die(dir.path(), life, patience);
        runtime.block_on(check.after(dir.path(), life, &acknowledged));
    }
    runtime.block_on(check.whole(dir.path()));
    for _ in 0..kills / 5 {
        // In the very first moments, when the files are made.
        let dir = tempfile::tempdir().unwrap();
        let mut check = check::Check::default();
        let patience = Duration::from_micros(random() % (FIRST_MOMENTS_MS * 1_000));
        let acknowledged = live_and_die(dir.path(), 1, patience);
        runtime.block_on(check.after(dir.path(), 1, &acknowledged));
    }
    let took = began.elapsed();
    println!("test {kills} kills in {took:.1?}: {check} ... ok");
    assert!(check.acknowledged as u64 > 10 * kills, "the writers hardly wrote: {check}");
}

/// Runs a writer process until it is killed after `patience`; what it had acknowledged.
fn live_and_die(dir: &Path, life: u64, patience: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(DIR_VARIABLE, dir)
        .env(LIFE_VARIABLE, life.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let lines = std::thread::spawn(move || {
        // The last line may be cut; a whole one ends with a full stop.
        let whole = |line: String| line.strip_suffix(" .").map(str::to_owned);
        out.lines().map_while(Result::ok).filter_map(whole).collect()
    });
    // The moment of the kill is the point here, there is nothing to wait for.
    std::thread::sleep(patience);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.code().is_none(), "the writer of life {life} ended by itself: {status}");
    lines.join().unwrap()
}

/// Small bounds, so that a short life has many checkpoints.
fn options() -> Options {
    Options { journal_bytes_max: 48 * 1024, cache_bytes: 1024 * 1024, ..Options::default() }
}

fn open(dir: &Path) -> LocalStreams {
    LocalStreams::open(dir, options()).unwrap()
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}
