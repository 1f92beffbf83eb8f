//! What the recorded hook bodies of the real agent come to.
#![allow(clippy::unwrap_used, reason = "a test's helpers are tests")]

use std::path::Path;

use serde_json::{Value, json};
use studio_agent_codec::hook::HookBody;
use studio_events::SessionTotals;

fn event(body: Value) -> Value {
    serde_json::to_value(HookBody::from(body).event("call-1")).unwrap()
}

#[test]
fn every_recorded_hook_comes_to_the_event_that_was_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/claude-hooks");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "json"));
    paths.sort();
    let mut shown = String::new();
    for path in paths {
        let body: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        shown.push_str(&format!("{name}: {}\n", event(body)));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn what_a_body_lacks_gets_its_default() {
    let names = [
        "SessionStart",
        "PreToolUse",
        "PostToolUse",
        "PostToolUseFailure",
        "Stop",
        "SessionEnd",
        "UserPromptSubmit",
        "SubagentStart",
        "SubagentStop",
        "Notification",
        "",
    ];
    let shown: Vec<_> =
        names.map(|name| event(json!({"hook_event_name": name})).to_string()).into();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    {"session_id":"","type":"session_start"}
    {"tool_input":{},"tool_name":"unknown","tool_use_id":"call-1","type":"pre_tool_use"}
    {"tool_response":"","tool_use_id":"","type":"post_tool_use"}
    {"error":"Unknown error","tool_name":"unknown","tool_use_id":"","type":"post_tool_use_failure"}
    null
    {"success":true,"type":"session_end"}
    {"message":"","type":"user_prompt"}
    {"level":"task","message":"SubagentStart: agent","type":"log"}
    {"level":"task","message":"SubagentStop: agent","type":"log"}
    null
    null
    "#);
}

#[test]
fn a_tools_own_result_object_becomes_its_text() {
    let text = |response: Value| {
        let body = json!({"hook_event_name": "PostToolUse", "tool_response": response});
        event(body)["tool_response"].as_str().unwrap().to_owned()
    };
    assert_eq!(text(json!("plain")), "plain");
    assert_eq!(text(json!({"stdout": "out", "stderr": ""})), "out");
    assert_eq!(text(json!({"stdout": "out", "stderr": "err"})), "out\nerr");
    assert_eq!(text(json!({"stdout": "", "stderr": "err"})), "err");
    assert_eq!(text(json!({"content": [{"type": "text", "text": "a"}]})), "a");
    assert_eq!(text(json!({"file": {"content": "a"}})), "a");
    assert_eq!(text(json!({"other": [1]})), r#"{"other":[1]}"#);
    assert_eq!(text(json!(null)), "");
}

#[test]
fn totals_are_taken_only_where_they_are_numbers() {
    let session = json!({"cost_usd": 0.5, "num_turns": "3", "duration_ms": 12.0});
    let body = HookBody::from(json!({"hook_event_name": "SessionEnd", "session": session}));
    let totals =
        SessionTotals { cost_usd: Some(0.5), duration_ms: Some(12), ..SessionTotals::default() };
    assert_eq!(body.totals(), totals);
    assert_eq!(HookBody::from(json!([1])).totals(), SessionTotals::default());
}

#[test]
fn a_question_is_told_apart_from_other_calls() {
    let body = |hook: &str, tool: &str| {
        let input = json!({"questions": [{"question": "Colour?"}]});
        HookBody::from(json!({
            "hook_event_name": hook, "tool_name": tool, "tool_use_id": "q", "tool_input": input,
        }))
    };
    let question = body("PreToolUse", "AskUserQuestion");
    assert!(question.is_question());
    assert!(!body("PostToolUse", "AskUserQuestion").is_question());
    assert!(!body("PreToolUse", "Bash").is_question());
    insta::assert_snapshot!(serde_json::to_string(&question.event("c")).unwrap(), @r#"{"type":"ask_user_question","tool_use_id":"q","question":"Colour?","questions":[{"question":"Colour?"}]}"#);
}

#[test]
fn answers_are_what_the_real_agent_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/claude-hooks");
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
    };
    let accepted = read("answers/PreToolUse-answer-question.json");
    let answers = &accepted["hookSpecificOutput"]["updatedInput"]["answers"];
    let answers = serde_json::from_value(answers.clone()).unwrap();
    let body = HookBody::from(read("PreToolUse-AskUserQuestion.json"));
    assert_eq!(body.answered(&answers), accepted);
}
