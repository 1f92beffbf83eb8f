//! Random faults below the engine: power cuts at any point, lost and torn writes, failed syncs,
//! failed reads and writes, a full disk. See `disk_faults/disk.rs` for the disk and
//! `disk_faults/world.rs` for what must hold.
//!
//! `STREAMS_FAULT_SEEDS=10000` runs other than 1,000 seeds, `STREAMS_FAULT_FIRST=7` begins with
//! another seed than 0, `STREAMS_FAULT_SEED=7` runs this one alone and tells what it did.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)] // A test: it panics, and it tells.

#[path = "disk_faults/commands.rs"]
mod commands;
#[path = "disk_faults/disk.rs"]
mod disk;
#[path = "disk_faults/inode.rs"]
mod inode;
#[path = "disk_faults/plan.rs"]
mod plan;
#[path = "disk_faults/random.rs"]
mod random;
#[path = "disk_faults/watcher.rs"]
mod watcher;
#[path = "disk_faults/world.rs"]
mod world;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn whatever_the_disk_does_nothing_acknowledged_is_lost_doubled_or_torn() {
    if let Some(seed) = number("STREAMS_FAULT_SEED") {
        match world::run(seed) {
            Ok(figures) => println!("seed {seed} holds: {figures:?}"),
            Err((violation, trace)) => panic!("{}\nseed {seed}: {violation}", trace.join("\n")),
        }
        return;
    }
    let first = number("STREAMS_FAULT_FIRST").unwrap_or(0);
    let seeds = first..first + number("STREAMS_FAULT_SEEDS").unwrap_or(1_000);
    let next = AtomicU64::new(seeds.start);
    let whole = Mutex::new((world::Figures::default(), Vec::new()));
    let began = Instant::now();
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seeds.end <= seed {
                        return;
                    }
                    let result = world::run(seed);
                    let (figures, violations) = &mut *whole.lock().unwrap();
                    match result {
                        Ok(one) => figures.add(&one),
                        Err((violation, _)) => {
                            eprintln!("STREAMS_FAULT_SEED={seed}: {violation}");
                            violations.push(seed);
                        }
                    }
                }
            });
        }
    });
    let (figures, violations) = whole.into_inner().unwrap();
    println!("seeds {seeds:?} in {:.1?}: {figures:?}", began.elapsed());
    assert!(violations.is_empty(), "{} seeds with a violation: {violations:?}", violations.len());
}
