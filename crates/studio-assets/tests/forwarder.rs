//! The forwarder, run by a real shell against a server of one answer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers are tests")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread;

use studio_assets::hooks::forward_script;

const BODY: &str = "{\"hook_event_name\":\"Stop\",\"text\":\"it's\\n$HOME `x` \u{1F642}\"}";

fn forward(script: &str) -> Output {
    let mut shell = Command::new("sh")
        .args(["-c", script])
        .env_remove("EA_PORT")
        .env_remove("EA_HOOK_SECRET")
        .envs([("no_proxy", "localhost")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell: install dash or bash");
    // A forwarder that cannot start curl ends without reading: its output tells.
    let _broken_pipe = shell.stdin.take().unwrap().write_all(BODY.as_bytes());
    shell.wait_with_output().unwrap()
}

/// Answers one request with `answer`; gives the request and what the forwarder printed.
fn exchange(secret: &str, answer: &'static str) -> (String, String) {
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
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
        client.write_all((head + answer).as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    assert!(
        Command::new("curl").arg("--version").output().is_ok(),
        "the forwarder needs curl: apt-get install curl"
    );
    let output = forward(&forward_script(port, secret));
    assert!(output.status.success(), "{output:?}");
    (request.join().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_hook_reaches_the_studio_whole_and_with_its_secret() {
    let (request, printed) = exchange("it's $(id) `id`", "{\"ok\":true}");
    assert!(request.starts_with("POST /api/hook HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nAuthorization: Bearer it's $(id) `id`\r\n"), "{request}");
    assert!(request.contains("\r\nContent-Type: application/json\r\n"), "{request}");
    assert!(request.ends_with(&format!("\r\n\r\n{BODY}")), "{request}");
    assert_eq!(printed, "");
}

#[test]
fn an_answer_for_the_agent_is_printed() {
    let answer = r#"{"hookSpecificOutput":{"hookEventName":"PreToolUse"}}"#;
    let (_, printed) = exchange("s", answer);
    assert_eq!(printed, format!("{answer}\n"));
}

#[test]
fn without_a_studio_the_agent_is_not_disturbed() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let output = forward(&forward_script(port, "s"));
    assert!(output.status.success(), "{output:?}");
    assert_eq!((output.stdout, output.stderr), (vec![], vec![]));
}
