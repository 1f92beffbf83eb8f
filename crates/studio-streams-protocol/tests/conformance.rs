//! The published conformance suite, whole, against stores of every kind.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the report")]

use std::{net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use serde_json::Value;
use studio_streams::{MemoryStreams, StreamStore};
use studio_streams_local::{LocalStreams, Options};
use studio_streams_protocol::{Cache, Cors, ProtocolOptions, router};
use studio_testkit::NodeTool;
use tokio::{net::TcpListener, process::Command};

/// Core tests of version 0.3.6 of the suite. Those of the optional subscriptions are beside them.
const CORE: usize = 332;
/// Where the tests of what is not offered stand.
const OPTIONAL: &str = "Reserved subscription APIs";

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

    let tool = NodeTool::durable_streams();
    let report = tool.dir().join("report.json");
    let mut node = Command::from(tool.node("conformance.mjs"));
    node.env("CONFORMANCE_URL", &url).kill_on_drop(true);
    let output = node.output().await.expect("node could not be started");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    check(&report, &told);
    stop.cancel();
    serving.abort();
}

fn check(report: &Path, told: &str) {
    let text =
        std::fs::read(report).unwrap_or_else(|e| panic!("the suite did not run: {e}\n{told}"));
    let report: Value = serde_json::from_slice(&text).unwrap();
    let files = report["testResults"].as_array().unwrap();
    let tests = files.iter().flat_map(|file| file["assertionResults"].as_array().unwrap());
    let (mut passed, mut wrong) = (0, Vec::new());
    for test in tests {
        let name = test["fullName"].as_str().unwrap();
        let status = test["status"].as_str().unwrap();
        match (status, name.trim_start().starts_with(OPTIONAL)) {
            ("passed", _) => passed += 1,
            ("skipped" | "pending", true) => {}
            _ => wrong.push(format!("{status}: {name}\n{}", test["failureMessages"])),
        }
    }
    assert!(wrong.is_empty(), "{} of the suite:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(passed, CORE, "tests of the suite that ran and passed");
}
