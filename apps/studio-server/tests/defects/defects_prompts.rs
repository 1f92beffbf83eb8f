//! Words to an agent travel over its stdin: no text is an option, none is too long for an
//! argument, none is seen in a list of processes.

use serde_json::json;
use studio_testkit::ModelServer;

use crate::studio::{Session, is_sound, up_to, with_claude};

/// D30-74, D31-10, D31-11: a text that looks like an option, and one of the longest allowed.
#[tokio::test]
async fn d30_74_d31_10_d31_11_whatever_is_said_reaches_the_agent_as_words() {
    let model = ModelServer::start();
    let server = with_claude(&model.url("hello")).env("ANTHROPIC_API_KEY", "dummy").start().await;
    let session = Session::freeform(&server, "--version").await;
    let mut watch = session.watch(&server).await;
    let seen = up_to(&mut watch, "session_end").await;
    assert_eq!(seen.last().unwrap()["success"], true, "{seen:#?}");
    // Ten thousand units; in bytes and escapes six times as much.
    let longest: String = "漢\u{0}\"\\".chars().cycle().take(10_000).collect();
    for text in ["- fix the header", "-p --dangerously-skip-permissions", &longest] {
        let (status, told) = session.tell(&server, "iterate", &json!({ "request": text })).await;
        assert_eq!(status, 200, "{told}");
        let seen = up_to(&mut watch, "session_end").await;
        assert_eq!(seen.last().unwrap()["success"], true, "{seen:#?}");
    }
    let asked = model.requests().await;
    let asked = serde_json::to_string(&asked).unwrap();
    for text in ["--version", "- fix the header", "-p --dangerously-skip-permissions"] {
        assert!(asked.contains(text), "the model never heard {text:?}: {asked}");
    }
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(words) = std::fs::read(process.path().join("cmdline")) else { continue };
        let words = String::from_utf8_lossy(&words);
        assert!(!words.contains("fix the header"), "{words}");
    }
    let over = json!({ "request": "x".repeat(10_001) });
    assert_eq!(session.tell(&server, "iterate", &over).await.0, 400);
    is_sound(&server);
}
