//! `studio streams …` on real data directories and services.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use studio_testkit::NodeTool;
use support::{Ends, serve_with, studio};

/// What a command wrote, and its exit code.
struct Done {
    code: i32,
    out: String,
    err: String,
}

fn done(output: Output) -> Done {
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(args: &[&str], dir: &Path) -> Done {
    done(studio().arg("streams").args(args).arg("--data-dir").arg(dir).output().unwrap())
}

fn copy(from: &str, to: &str) -> Command {
    let mut command = studio();
    command.args(["streams", "copy", "--from", from, "--to", to]);
    command.env("DS_SERVICE_ID", "moved").env("DS_SECRET", "the-secret-of-the-service");
    command
}

fn text(dir: &Path) -> &str {
    dir.to_str().unwrap()
}

/// The line of a summary that begins so.
fn line<'a>(done: &'a Done, start: &str) -> &'a str {
    let found = done.out.lines().find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("no {start} in {}{}", done.out, done.err))
}

/// Waits for a server's end, so that its lock is free.
fn end(mut server: Ends) {
    server.signal(Signal::SIGTERM);
    server.wait();
}

async fn put(server: &str, token: &str, path: &str, records: &[Value]) {
    let client = reqwest::Client::new();
    let url = format!("{server}/v1/stream/{path}");
    let made = client.put(&url).bearer_auth(token).header("content-type", "application/json");
    assert!(made.send().await.unwrap().status().is_success());
    for some in records.chunks(200) {
        let sent = client.post(&url).bearer_auth(token).json(some).send().await.unwrap();
        assert!(sent.status().is_success(), "{}", sent.status());
    }
}

/// A directory with a session, and `streams` streams with some hundred records each.
async fn filled(dir: &Path, streams: usize) -> Value {
    let (server, address) = serve_with(dir, &[]);
    let created = reqwest::Client::new().post(format!("{address}/api/sessions/local")).send();
    let session: Value = created.await.unwrap().json().await.unwrap();
    let token = run(&["token"], dir);
    assert_eq!(token.code, 0, "{}", token.err);
    let words = "words and more words ".repeat(20);
    for stream in 0..streams {
        let record = |n: usize| json!({ "n": n, "stream": stream, "words": words });
        let records: Vec<Value> = (0..100 + 20 * stream).map(record).collect();
        put(&address, token.out.trim(), &format!("more/{stream}"), &records).await;
    }
    end(server);
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_streams_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = serve_with(dir.path(), &[]);
    let registry = format!("{address}/v1/stream/registry?offset=-1");
    let get = |token: String| {
        let request = reqwest::Client::new().get(&registry).bearer_auth(token);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let token = run(&["token", "--days", "2"], dir.path());
    assert_eq!((token.code, token.err.as_str()), (0, ""));
    assert_eq!(get(token.out.trim().to_owned()).await, 200);
    assert_eq!(get("something".to_owned()).await, 401);
    let sessions = format!("{address}/api/sessions");
    let refused = reqwest::Client::new().get(sessions).bearer_auth(token.out.trim()).send().await;
    assert_eq!(refused.unwrap().status(), 401);
    end(server);
    let nowhere = tempfile::tempdir().unwrap();
    let none = run(&["token"], nowhere.path());
    assert!(none.code == 1 && none.err.contains("no key yet"), "{}", none.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_checked_dumped_and_compacted_while_no_server_has_them() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3).await;
    let (server, _) = serve_with(dir.path(), &[]);
    for command in ["check", "dump", "compact"] {
        let refused = run(&[command], dir.path());
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{command}");
        assert!(refused.err.contains("in use by another process"), "{}", refused.err);
    }
    end(server);

    let checked = run(&["check"], dir.path());
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    let dumped = run(&["dump", "more/1"], dir.path());
    assert_eq!(dumped.code, 0, "{}", dumped.err);
    let lines: Vec<Value> =
        dumped.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["stream"], "more/1");
    assert!(120 < lines.len() && dumped.err.contains("120 records of 1 streams"), "{}", dumped.err);
    let compacted = run(&["compact"], dir.path());
    assert_eq!(compacted.code, 0, "{}", compacted.err);
    let again = run(&["dump", "more/1"], dir.path());
    assert_eq!(again.out, dumped.out);

    let nowhere = tempfile::tempdir().unwrap();
    let told = run(&["check"], nowhere.path());
    assert!(told.code == 1 && told.err.contains("holds no streams"), "{}", told.err);
    // Whoever reads only the beginning is no failure.
    let mut dump = studio();
    dump.args(["streams", "dump", "--data-dir"]).arg(dir.path()).stdout(Stdio::piped());
    let mut dump = dump.stderr(Stdio::null()).spawn().unwrap();
    drop(dump.stdout.take());
    assert_eq!(dump.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_told_with_an_exit_code_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 2).await;
    let tables = dir.path().join("streams/streams.redb");
    let mut bytes = std::fs::read(&tables).unwrap();
    let words = b"words and more words";
    let at = bytes.windows(words.len()).position(|window| window == words).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&tables, bytes).unwrap();
    let checked = run(&["check"], dir.path());
    assert_eq!(checked.code, 3, "{}{}", checked.out, checked.err);
    assert!(checked.out.contains("damaged"), "{}", checked.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_streams_move_into_a_service_and_back_through_kills_and_the_session_with_them() {
    let [home, service_dir, back] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let session = filled(home.path(), 12).await;
    let open = [("STUDIO_STREAMS_OPEN", "1")];
    let (service, address) = serve_with(service_dir.path(), &open);

    // Killed at many places, and begun again each time.
    let mut kills = 0;
    for millis in [150, 250, 300, 350, 400, 450, 500, 600] {
        let mut command = copy(text(home.path()), &address);
        let mut killed = Ends::of(command.stderr(Stdio::null()).stdout(Stdio::null()));
        // The moment of the kill is what is tried; no event marks it.
        std::thread::sleep(Duration::from_millis(millis));
        kills += usize::from(killed.kill());
    }
    assert!(0 < kills, "every copy was done before it was killed");
    let there = done(copy(text(home.path()), &address).output().unwrap());
    assert_eq!(there.code, 0, "{}{}", there.out, there.err);

    let mut killed =
        Ends::of(copy(&address, text(back.path())).stderr(Stdio::null()).stdout(Stdio::null()));
    // As above. Whether it was still running does not matter: both ends are compared.
    std::thread::sleep(Duration::from_millis(300));
    killed.kill();
    let here = done(copy(&address, text(back.path())).output().unwrap());
    assert_eq!(here.code, 0, "{}{}", here.out, here.err);
    assert_eq!(line(&there, "checksum"), line(&here, "checksum"));
    assert!(there.out.contains("are alike") && there.out.contains("15 streams"), "{}", there.out);
    // A third time changes nothing, and knows it.
    let again = done(copy(text(home.path()), &address).output().unwrap());
    assert_eq!(again.code, 0, "{}", again.err);
    assert_eq!(line(&again, "checksum"), line(&there, "checksum"));
    end(service);

    let dump = |dir: &Path| {
        let dumped = run(&["dump", "more/"], dir);
        let lines = dumped.out.lines().filter(|line| line.contains("words"));
        lines.map(|line| line.split_once("\"words\"").unwrap().1.len()).sum::<usize>()
    };
    assert_eq!(dump(home.path()), dump(back.path()));
    let checked = run(&["check"], back.path());
    assert_eq!(checked.code, 0, "{}", checked.out);
    // A server over the copy has the session.
    let (server, address) = serve_with(back.path(), &[]);
    let key = std::fs::read_to_string(home.path().join("key")).unwrap();
    assert_ne!(key, std::fs::read_to_string(back.path().join("key")).unwrap());
    let operator = std::fs::read_to_string(back.path().join("operator-token")).unwrap();
    let id = session["sessionId"].as_str().unwrap();
    let url = format!("{address}/api/sessions/{id}");
    let found = reqwest::Client::new().get(url).bearer_auth(operator.trim()).send().await.unwrap();
    assert_eq!(found.status(), 200);
    end(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_server_is_a_place_for_streams_too() {
    let [home, back] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    filled(home.path(), 4).await;
    let tool = NodeTool::durable_streams();
    let mut node = tool.node("server.mjs");
    let mut official = Ends::of(node.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let address = official.lines().next().unwrap().unwrap();
    assert!(address.starts_with("http://"), "{address}");

    let mut killed =
        Ends::of(copy(text(home.path()), &address).stderr(Stdio::null()).stdout(Stdio::null()));
    // The moment of the kill is what is tried. One that comes too late tries nothing and spoils
    // nothing.
    std::thread::sleep(Duration::from_millis(250));
    killed.kill();
    let there = done(copy(text(home.path()), &address).output().unwrap());
    assert_eq!(there.code, 0, "{}{}", there.out, there.err);
    let here = done(copy(&address, text(back.path())).output().unwrap());
    assert_eq!(here.code, 0, "{}{}", here.out, here.err);
    assert_eq!(line(&there, "checksum"), line(&here, "checksum"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_copied_is_told() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1).await;
    let other = tempfile::tempdir().unwrap();
    filled(other.path(), 1).await;
    // Two studios are two registries.
    let told = done(copy(text(dir.path()), text(other.path())).output().unwrap());
    assert_eq!(told.code, 3, "{}{}", told.out, told.err);
    assert!(told.err.contains("registry: the target has another stream there"), "{}", told.err);
    let itself = done(copy(text(dir.path()), text(dir.path())).output().unwrap());
    assert!(itself.code == 1 && itself.err.contains("both"), "{}", itself.err);
    let nobody = done(copy(text(dir.path()), "http://127.0.0.1:9").output().unwrap());
    assert!(nobody.code == 1 && nobody.err.contains("http://127.0.0.1:9"), "{}", nobody.err);
    assert!(!nobody.err.contains("the-secret"), "{}", nobody.err);
    let secretless = done(
        studio()
            .args(["streams", "copy", "--from", text(dir.path()), "--to", "http://127.0.0.1:9"])
            .output()
            .unwrap(),
    );
    assert_eq!(secretless.code, 1);
    assert!(secretless.err.contains("TO_DS_SECRET"), "{}", secretless.err);
    let (server, _) = serve_with(dir.path(), &[]);
    let locked = done(copy(text(dir.path()), text(other.path())).output().unwrap());
    assert!(locked.code == 1 && locked.err.contains("in use"), "{}", locked.err);
    end(server);
}
