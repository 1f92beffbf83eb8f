//! The forwarder, run by a real shell against a server of one answer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers are tests")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use studio_assets::hooks::forward_script;
use tempfile::TempDir;

const BODY: &str = "{\"hook_event_name\":\"Stop\",\"text\":\"it's\\n$HOME `x` \u{1F642}\"}";

/// A project with blanks and quotes in its name, and the forwarder in it.
struct Project(TempDir);

impl Project {
    fn new(studio: &str, secret: Option<&str>) -> Self {
        let project = Self(TempDir::with_prefix("it's \"a\" project ").unwrap());
        fs::create_dir_all(project.path(".studio")).unwrap();
        fs::write(project.path("forward.sh"), forward_script(studio)).unwrap();
        if let Some(secret) = secret {
            fs::write(project.path(".studio/secret"), format!("{secret}\n")).unwrap();
        }
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(".claude/hooks").join(name)
    }

    fn forward(&self, env: &[(&str, &str)]) -> Output {
        assert!(
            Command::new("curl").arg("--version").output().is_ok(),
            "the forwarder needs curl: apt-get install curl"
        );
        let mut shell = Command::new("sh")
            .arg(self.path("forward.sh"))
            .current_dir("/")
            .env_remove("EA_PORT")
            .env_remove("EA_HOOK_SECRET")
            // A proxy that is not there.
            .envs([("http_proxy", "http://127.0.0.1:9")])
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell: install dash or bash");
        // A forwarder that does not start curl ends without reading: its output tells.
        let _broken_pipe = shell.stdin.take().unwrap().write_all(BODY.as_bytes());
        let output = shell.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stderr, b"");
        output
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path(".studio/forward.log")).unwrap_or_default()
    }
}

/// Answers one request; gives where, and what was asked.
fn server(status: u16, answer: &'static str) -> (u16, thread::JoinHandle<String>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let request = thread::spawn(move || {
        let (mut client, _) = server.accept().unwrap();
        let mut request = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&request).ends_with(BODY) {
            match client.read(&mut piece).unwrap() {
                0 => break,
                n => request.extend_from_slice(&piece[..n]),
            }
        }
        let length = answer.len();
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n");
        client.write_all((head + answer).as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (port, request)
}

/// What was asked, what the forwarder printed and what it logged.
fn exchange(secret: &str, status: u16, answer: &'static str) -> (String, String, String) {
    let (port, request) = server(status, answer);
    let project = Project::new(&format!("http://localhost:{port}"), Some(secret));
    let output = project.forward(&[]);
    let printed = String::from_utf8(output.stdout).unwrap();
    (request.join().unwrap(), printed, project.log())
}

#[test]
fn a_hook_reaches_the_studio_whole_and_with_its_secret() {
    let (request, printed, log) = exchange("it's $(id) `id`", 200, "{\"ok\":true}");
    assert!(request.starts_with("POST /api/hook HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nAuthorization: Bearer it's $(id) `id`\r\n"), "{request}");
    assert!(request.contains("\r\nContent-Type: application/json\r\n"), "{request}");
    assert!(request.ends_with(&format!("\r\n\r\n{BODY}")), "{request}");
    assert_eq!((printed.as_str(), log.as_str()), ("", ""));
}

#[test]
fn of_an_answer_for_the_agent_only_what_is_for_it_is_printed() {
    for (answer, printed) in [
        (
            r#"{"hookSpecificOutput":{"a":"x\",\"sessionId\":\"y"},"sessionId":"00"}"#,
            "{\"hookSpecificOutput\":{\"a\":\"x\\\",\\\"sessionId\\\":\\\"y\"}}\n",
        ),
        (r#"{"hookSpecificOutput":{}}"#, "{\"hookSpecificOutput\":{}}\n"),
        (r#"{"ok":true,"sessionId":"\"hookSpecificOutput\""}"#, ""),
        ("<html>\"hookSpecificOutput\"</html>", ""),
    ] {
        assert_eq!(exchange("s", 200, answer).1, printed, "{answer}");
    }
}

#[test]
fn d30_75_a_failure_leaves_the_agent_alone_and_a_line_in_the_log() {
    let refused = r#"{"error":"Invalid or missing hook token"}"#;
    let (_, printed, log) = exchange("s3cret", 401, refused);
    assert_eq!(printed, "");
    assert!(log.contains("(401): run the installer again\n"), "{log}");
    let (_, printed, log) = exchange("s3cret", 503, "{\"hookSpecificOutput\":\n1}");
    assert_eq!(printed, "");
    assert!(log.ends_with("answered 503: {\"hookSpecificOutput\": 1}\n"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}

#[test]
fn without_a_studio_or_a_secret_the_agent_is_not_disturbed() {
    let project = Project::new("http://localhost:9", Some("s"));
    assert_eq!(project.forward(&[]).stdout, b"");
    assert!(project.log().contains("is not reached (curl ended with 7)"), "{}", project.log());
    let project = Project::new("http://localhost:9", None);
    assert_eq!(project.forward(&[]).stdout, b"");
    assert!(project.log().contains("run the installer again"), "{}", project.log());
    // Also where not even a log can be written.
    fs::remove_dir_all(project.path(".studio")).unwrap();
    assert_eq!(project.forward(&[]).stdout, b"");
}

#[test]
fn the_environment_wins_and_the_log_stays_small() {
    let (port, request) = server(500, "x");
    let project = Project::new("http://localhost:9", None);
    fs::write(project.path(".studio/forward.log"), "old\n".repeat(50_000)).unwrap();
    project.forward(&[("EA_PORT", &port.to_string()), ("EA_HOOK_SECRET", "other")]);
    assert!(request.join().unwrap().contains("\r\nAuthorization: Bearer other\r\n"));
    let log = project.log();
    assert!(log.len() < 20_000 && log.ends_with("answered 500: x\n"), "{}", log.len());
}
