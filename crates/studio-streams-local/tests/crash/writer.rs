//! The process that is killed: appends as fast as it can and says what was acknowledged.

use std::{io::Write, path::Path};

use studio_streams::{CreateOptions, StreamStore};
use studio_streams_local::LocalStreams;

use super::words::{PLAIN, PRODUCERS, STREAMS, path, plain_batch, producer_batch, stamp};

pub(crate) fn run(dir: &Path, life: u64) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = super::open(dir);
        for stream in 0..STREAMS {
            store.create(&path(stream), CreateOptions::default()).await.unwrap();
        }
        let mut tasks = tokio::task::JoinSet::new();
        for stream in 0..STREAMS {
            for writer in 0..PLAIN {
                tasks.spawn(plain(store.clone(), life, stream, writer));
            }
            for producer in 0..PRODUCERS {
                tasks.spawn(producing(store.clone(), life, stream, producer));
            }
        }
        tasks.join_all().await;
    });
}

async fn plain(store: LocalStreams, life: u64, stream: u64, writer: u64) {
    for turn in 0.. {
        store.append(&path(stream), plain_batch(life, writer, turn), None).await.unwrap();
        say(&format!("plain {stream} {writer} {turn}"));
    }
}

async fn producing(store: LocalStreams, life: u64, stream: u64, producer: u64) {
    for seq in 0.. {
        let stamp = stamp(producer, life, seq);
        let batch = producer_batch(life, producer, seq);
        store.append(&path(stream), batch, Some(stamp)).await.unwrap();
        say(&format!("producer {stream} {producer} {seq}"));
    }
}

/// One write per line; the full stop shows that it is whole.
fn say(what: &str) {
    std::io::stdout().lock().write_all(format!("{what} .\n").as_bytes()).unwrap();
}
