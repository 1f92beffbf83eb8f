//! The command against a server that comes and goes.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::{
    path::Path,
    process::{Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use studio_testkit::lasting_port;
use support::{Ends, serve_at, studio};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

fn serve(dir: &Path, port: u16) -> (Ends, String) {
    serve_at(dir, port, &[])
}

async fn told(server: &str, session: &Value, text: &str) {
    let id = session["sessionId"].as_str().unwrap();
    let url = format!("{server}/api/sessions/{id}/hook-event");
    let hook = json!({"hook_event_name": "Stop", "last_assistant_message": text});
    let token = session["hookToken"].as_str().unwrap();
    let sent = reqwest::Client::new().post(url).bearer_auth(token).json(&hook).send().await;
    assert_eq!(sent.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_goes_on_where_it_was_when_the_server_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let port = lasting_port();
    let (server, address) = serve(dir.path(), port);
    let created = reqwest::Client::new().post(format!("{address}/api/sessions/local")).send();
    let session: Value = created.await.unwrap().json().await.unwrap();
    let id = session["sessionId"].as_str().unwrap();
    told(&address, &session, "one").await;

    // Nothing but the data directory: the operator's token lies there.
    let mut command = studio();
    command.args(["tail", id, "--json", "--server", &address, "--data-dir"]).arg(dir.path());
    let mut tail = Ends::of(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let (lines, read) = mpsc::channel();
    let mut printed = tail.lines();
    std::thread::spawn(move || {
        while let Some(Ok(line)) = printed.next() {
            let event: Value = serde_json::from_str(&line).unwrap();
            if lines.send(event["text"].as_str().unwrap_or_default().to_owned()).is_err() {
                break;
            }
        }
    });
    let next = || tokio::task::block_in_place(|| read.recv_timeout(LONG).unwrap());
    assert_eq!(next(), "one");
    told(&address, &session, "two").await;
    assert_eq!(next(), "two");

    drop(server); // kill -9
    let (_server, address) = serve(dir.path(), port);
    told(&address, &session, "three").await;
    assert_eq!(next(), "three", "what was seen does not come again");

    tail.signal(Signal::SIGINT);
    assert_eq!(tail.wait(), Some(0));
    assert!(read.recv_timeout(LONG).is_err(), "and nothing else was printed");
}

#[test]
fn failures_are_told_and_have_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = serve(dir.path(), 0);
    let run = |args: &[&str], server: &str, data: &Path| {
        let mut command = studio();
        let command = command.args(args).args(["--server", server, "--data-dir"]).arg(data);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    };
    let id = "00000000-0000-4000-8000-000000000001";
    assert_eq!(run(&["sessions"], &address, dir.path()), (0, String::new(), String::new()));
    for (args, server, data, code, words) in [
        (&["sessions"][..], "http://127.0.0.1:1", dir.path(), 1, "studio serve"),
        (&["sessions"], "ftp://example.com", dir.path(), 1, "http://"),
        (&["sessions"], &*address, Path::new("nowhere"), 1, "--token"),
        (&["tail", id], &*address, dir.path(), 1, "Session not found"),
        (&["tail", id, "--from", "a,b"], &*address, dir.path(), 1, "Bad offset"),
        (&["tail", "no-id"], &*address, dir.path(), 2, "UUID"),
        (&["say", id, "hi"], &*address, dir.path(), 1, "Session not found"),
        (&["answer", id, "x"], &*address, dir.path(), 1, "Session not found"),
        (&["create", ""], &*address, dir.path(), 1, "description"),
        (&["create", "x", "--freeform"], &*address, dir.path(), 1, "not available"),
    ] {
        let (exit, _, stderr) = run(args, server, data);
        assert_eq!(exit, code, "{args:?}: {stderr}");
        assert!(stderr.contains(words), "{args:?}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_the_command_logs_a_browser_in() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = serve(dir.path(), 0);
    let mut command = studio();
    command.args(["login-link", "--server", &address, "--data-dir"]).arg(dir.path());
    let told = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let (page, code) = told.trim().split_once("?code=").unwrap();
    assert_eq!(page, format!("{address}/login"));
    let form =
        reqwest::Client::new().post(format!("{address}/api/login")).header("origin", &address);
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let answer = form.body(format!("code={code}")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["set-cookie"].to_str().unwrap().starts_with("studio_login=st2.l."));
}

#[test]
fn the_doctor_fails_when_a_line_does_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = studio();
    command.args(["doctor", "--security", "--data-dir"]).arg(dir.path());
    let Output { status, stdout, .. } = command.output().unwrap();
    let told = String::from_utf8(stdout).unwrap();
    assert!(told.contains("GET     /api/health") && told.contains(" pass, "), "{told}");
    assert_eq!(status.success(), !told.contains("FAIL"), "{told}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(studio().arg("doctor").status().unwrap().code(), Some(2), "--security");
}

#[test]
fn the_configuration_is_checked_and_shown_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let run = |what: &str, env: &[(&str, &str)]| {
        let mut command = studio();
        command.args(["config", what, "--port", "0", "--data-dir"]).arg(dir.path());
        let Output { status, stdout, stderr } = command.envs(env.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    };
    let secret = [("DS_SECRET", "hunter2hunter2"), ("STUDIO_MODEL", "claude-x")];
    let (code, told, _) = run("check", &secret);
    assert!(code == 0 && told.starts_with("The configuration is good: 4 of "), "{told}");
    let (code, shown, _) = run("show", &secret);
    assert!(code == 0 && shown.contains("model = \"claude-x\" # STUDIO_MODEL"), "{shown}");
    assert!(shown.contains("# ds_secret: set, not shown") && !shown.contains("hunter2"), "{shown}");
    let (code, told, why) = run("check", &[("STUDIO_TOKEN_DAYS", "0")]);
    assert_eq!((code, told.as_str()), (1, ""));
    assert_eq!(why, "error: STUDIO_TOKEN_DAYS=0 (environment): must be a whole number over 0\n");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_server_with_its_own_certificate_is_known_from_its_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = serve_at(dir.path(), 0, &[("STUDIO_TLS", "self-signed")]);
    assert!(address.starts_with("https://127.0.0.1:"), "{address}");
    let sessions = |data: &Path| {
        let mut command = studio();
        command.args(["sessions", "--server", &address, "--token", "x", "--data-dir"]).arg(data);
        let Output { status, stderr, .. } = command.output().unwrap();
        (status.code().unwrap(), String::from_utf8(stderr).unwrap())
    };
    let (_, told) = sessions(dir.path());
    assert!(told.contains("token"), "it was asked and has answered: {told}");
    let (code, told) = sessions(Path::new("nowhere"));
    assert!(code == 1 && told.contains("no studio answers"), "{told}");
}
