//! The handle of the server program, tried with a stand-in that keeps the server's promises: it
//! says that it listens, serves, and ends on SIGTERM.
#![allow(clippy::unwrap_used, reason = "a test helper may fail loudly")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use studio_testkit::{StudioServer, processes_under, wait_for, write_program};

const STAND_IN: &str = r#"#!/usr/bin/env node
const http = require("node:http"), fs = require("node:fs");
const value = (name) => process.argv[process.argv.indexOf(name) + 1];
const dir = value("--data-dir"), marks = `${dir}/starts`;
fs.appendFileSync(marks, "x");
console.error(`starts: ${fs.readFileSync(marks, "utf8").length}`);
if (process.argv.includes("--agent"))
  require("node:child_process").spawn("sleep", ["600"], { cwd: dir, detached: true, stdio: "ignore" });
if (process.argv.includes("--broken")) { console.error("no such setting"); process.exit(2); }
const told = JSON.stringify({ key: process.env.ANTHROPIC_API_KEY, mode: process.env.STUDIO_DEV_MODE });
const server = http.createServer((_, answer) => answer.end(told));
server.listen(Number(value("--port")), "127.0.0.1", () =>
  console.log(`Agent Studio listens on http://127.0.0.1:${server.address().port}`));
process.on("SIGTERM", () => process.exit(0));
"#;

fn stand_in(dir: &Path) -> PathBuf {
    let program = dir.join("server");
    write_program(&program, STAND_IN);
    program
}

#[tokio::test]
async fn a_server_is_crashed_and_restarted_on_its_port_and_directory() {
    let place = tempfile::tempdir().unwrap();
    let builder = StudioServer::program(stand_in(place.path())).env("STUDIO_DEV_MODE", "1");
    let mut server = builder.start().await;
    let (port, pid) = (server.port(), server.pid());
    let answer = server.client().get(server.url("/api/health")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), r#"{"mode":"1"}"#, "no key of this shell gets in");
    assert!(server.resident_bytes() > 1 << 20);

    server.crash().await;
    assert!(!server.is_running());
    server.restart().await;
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    assert_eq!(std::fs::read_to_string(server.data_dir().join("starts")).unwrap(), "xx");
    let output = async || server.output().contains("starts: 2").then_some(());
    wait_for("the second start on stderr", Duration::from_secs(30), output).await;

    let (status, took) = server.terminate().await;
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
}

#[tokio::test]
async fn dropping_the_server_ends_what_it_left_running() {
    let place = tempfile::tempdir().unwrap();
    let mut server = StudioServer::program(stand_in(place.path())).arg("--agent").start().await;
    let dir = server.data_dir().to_owned();
    server.crash().await;
    assert_eq!(processes_under(&dir).len(), 1, "the agent outlives the crash");
    drop(server);
    assert_eq!(processes_under(&dir), [0; 0]);
}

#[tokio::test]
#[should_panic(expected = "no such setting")]
async fn a_server_that_does_not_start_fails_with_what_it_said() {
    let place = tempfile::tempdir().unwrap();
    StudioServer::program(stand_in(place.path())).arg("--broken").start().await;
}

#[tokio::test]
#[should_panic(expected = "in vain for the moon")]
async fn waiting_ends_at_its_deadline() {
    wait_for("the moon", Duration::from_millis(30), async || None::<()>).await;
}
