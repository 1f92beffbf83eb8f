//! The published conformance suite, whole, against stores of every kind.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use studio_streams::{MemoryStreams, StreamStore};
use studio_streams_local::{LocalStreams, Options};
use studio_streams_protocol::{Cache, Cors, ProtocolOptions, router};
use studio_testkit::run_conformance_suite;
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_core_test_passes_over_the_store_in_memory() {
    run_suite(Arc::new(MemoryStreams::new()), Cache::Public).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_core_test_passes_over_the_store_on_disk() {
    run_on_disk(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_core_test_passes_over_the_store_on_disk_with_pages_of_4_kib() {
    run_on_disk(Options { page_bytes: 4_096, ..Options::default() }).await;
}

async fn run_on_disk(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalStreams::open(dir.path(), options).unwrap());
    run_suite(store.clone(), Cache::Private).await;
    store.stop().await;
}

async fn run_suite(store: Arc<dyn StreamStore>, cache: Cache) {
    let options = ProtocolOptions {
        // Shorter than the suite's patience, so that it sees both of its ends.
        long_poll: Duration::from_secs(2),
        cors: Cors::Everybody,
        cache,
        ..ProtocolOptions::default()
    };
    let stop = options.stop.clone();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = router(store, options);
    let stopped = stop.clone().cancelled_owned();
    let serving =
        tokio::spawn(axum::serve(listener, app).with_graceful_shutdown(stopped).into_future());

    run_conformance_suite(&url).await;
    stop.cancel();
    serving.await.unwrap().unwrap();
}
