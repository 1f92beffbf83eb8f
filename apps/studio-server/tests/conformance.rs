//! The published conformance suite of the Durable Streams protocol against the server itself, with
//! its guard, its tokens left open on purpose, and its store on disk.

use studio_testkit::{StudioServer, run_conformance_suite};

#[tokio::test]
async fn every_core_test_passes_against_the_studio() {
    let server = StudioServer::program(env!("CARGO_BIN_EXE_studio-server"))
        .arg("--sandbox")
        .arg("local")
        .env("STUDIO_STREAMS_OPEN", "1")
        // Shorter than the suite's patience, so that it sees both ends of a wait.
        .env("STUDIO_STREAMS_WAIT_SECONDS", "2")
        // The page in whose name the suite asks what a browser would.
        .env("STUDIO_ALLOWED_ORIGINS", "https://example.com")
        .start()
        .await;
    run_conformance_suite(server.url("").trim_end_matches('/')).await;
}
