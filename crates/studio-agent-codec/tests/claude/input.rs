//! What is written to the agent: argument vector and input lines, byte by byte.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use studio_agent_codec::{
    AgentCodec, Answer, Ask, AskKind, Claude, DEFAULT_TOOLS, LaunchOptions, PermissionPolicy,
};
use studio_ids::MessageId;

const MESSAGE: MessageId = MessageId::from_bytes([1; 16]);

fn text(line: Vec<u8>) -> String {
    String::from_utf8(line).unwrap()
}

fn ask(kind: AskKind, input: Value, suggestions: Value) -> Ask {
    Ask {
        request_id: "r-1".into(),
        gate: "toolu_1".parse().unwrap(),
        kind,
        tool_name: "Bash".into(),
        input,
        suggestions,
    }
}

fn launch(options: LaunchOptions) -> Vec<String> {
    Claude::new().launch(&options).argv
}

#[test]
fn a_session_starts_both_ways_with_its_tools_allowed() {
    let launch = Claude::new().launch(&LaunchOptions {
        model: Some("claude-sonnet-4-6".into()),
        tools: DEFAULT_TOOLS.map(str::to_owned).into(),
        permissions: PermissionPolicy::AllowListed,
        resume: Some("beecfebd-e41f-4fc1-93c1-e27222ff6dad".into()),
        budget_usd: Some(2.5),
    });
    insta::assert_snapshot!(launch.argv.join("\n"), @r"
    claude
    -p
    --input-format=stream-json
    --output-format=stream-json
    --verbose
    --permission-prompt-tool=stdio
    --replay-user-messages
    --allowedTools=Read,Write,Edit,Bash,Glob,Grep,WebSearch,TodoWrite,AskUserQuestion,Skill
    --model=claude-sonnet-4-6
    --resume=beecfebd-e41f-4fc1-93c1-e27222ff6dad
    --max-budget-usd=2.5
    ");
    insta::assert_json_snapshot!(launch.env, @r#"
    {
      "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
      "CLAUDE_CODE_ENABLE_TASKS": "0",
      "DISABLE_AUTOUPDATER": "1",
      "DISABLE_ERROR_REPORTING": "1",
      "DISABLE_TELEMETRY": "1",
      "ENABLE_TOOL_SEARCH": "false"
    }
    "#);
}

#[test]
fn with_ask_only_tools_that_change_nothing_run_unasked() {
    let argv = launch(LaunchOptions {
        tools: DEFAULT_TOOLS.map(str::to_owned).into(),
        permissions: PermissionPolicy::Ask,
        ..LaunchOptions::default()
    });
    let allowed = argv.iter().find(|arg| arg.starts_with("--allowedTools"));
    assert_eq!(allowed.unwrap(), "--allowedTools=Read,Glob,Grep,TodoWrite,AskUserQuestion");
}

#[test]
fn no_value_is_read_as_an_option_or_as_another_tool() {
    let argv = launch(LaunchOptions {
        model: Some("--dangerously-skip-permissions".into()),
        tools: ["--model", "Read,Bash", "Read Bash", "", "Read\nBash", "Bash(git:*)"]
            .map(str::to_owned)
            .into(),
        resume: Some("a\u{0}b".into()),
        budget_usd: Some(f64::NAN),
        ..LaunchOptions::default()
    });
    insta::assert_snapshot!(argv[7..].join("\n"), @r"
    --allowedTools=--model,Bash(git:*)
    --model=--dangerously-skip-permissions
    ");
}

#[test]
fn words_travel_with_their_id_in_one_line() {
    let line = text(Claude::new().say(MESSAGE, "- \"fix\"\nthe\u{2028}header\u{1F642}\u{0}"));
    insta::assert_snapshot!(line, @r#"{"message":{"content":"- \"fix\"\nthe\u2028header🙂\u0000","role":"user"},"type":"user","uuid":"01010101-0101-0101-0101-010101010101"}"#);
    assert_eq!(line.matches(['\n', '\u{2028}', '\u{2029}']).count(), 1);
    let back: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(back["message"]["content"], "- \"fix\"\nthe\u{2028}header\u{1F642}\u{0}");
}

#[test]
fn answers_are_the_questions_input_with_answers() {
    let input = json!({"questions": [{"question": "Colour?"}]});
    let answers = BTreeMap::from([("Colour?".to_owned(), "Red, Blue".to_owned())]);
    let ask = ask(AskKind::Question, input, Value::Null);
    insta::assert_snapshot!(text(Claude::new().answer(&ask, &Answer::Answers(answers.clone()))), @r#"{"response":{"request_id":"r-1","response":{"behavior":"allow","updatedInput":{"answers":{"Colour?":"Red, Blue"},"questions":[{"question":"Colour?"}]}},"subtype":"success"},"type":"control_response"}"#);
    let odd = Ask { input: json!("?"), ..ask };
    insta::assert_snapshot!(text(Claude::new().answer(&odd, &Answer::Answers(answers))), @r#"{"response":{"request_id":"r-1","response":{"behavior":"allow","updatedInput":{"answers":{"Colour?":"Red, Blue"}}},"subtype":"success"},"type":"control_response"}"#);
}

#[test]
fn a_call_is_allowed_as_it_was_asked_and_always_in_the_agents_own_words() {
    let suggestions = json!([{"type": "setMode", "mode": "acceptEdits", "destination": "session"}]);
    let ask = ask(AskKind::Permission, json!({"command": "rm a"}), suggestions);
    let claude = Claude::new();
    insta::assert_snapshot!(text(claude.answer(&ask, &Answer::Allow { always: false })), @r#"{"response":{"request_id":"r-1","response":{"behavior":"allow","updatedInput":{"command":"rm a"}},"subtype":"success"},"type":"control_response"}"#);
    insta::assert_snapshot!(text(claude.answer(&ask, &Answer::Allow { always: true })), @r#"{"response":{"request_id":"r-1","response":{"behavior":"allow","updatedInput":{"command":"rm a"},"updatedPermissions":[{"destination":"session","mode":"acceptEdits","type":"setMode"}]},"subtype":"success"},"type":"control_response"}"#);
    let bare = Ask { suggestions: Value::Null, ..ask };
    assert!(!text(claude.answer(&bare, &Answer::Allow { always: true })).contains("Permissions"));
}

#[test]
fn a_call_is_refused_with_words_or_with_the_turn() {
    let ask = ask(AskKind::Permission, json!({}), Value::Null);
    let deny = |message: &str, interrupt| Answer::Deny { message: message.into(), interrupt };
    let claude = Claude::new();
    insta::assert_snapshot!(text(claude.answer(&ask, &deny("Not today.", false))), @r#"{"response":{"request_id":"r-1","response":{"behavior":"deny","interrupt":false,"message":"Not today."},"subtype":"success"},"type":"control_response"}"#);
    insta::assert_snapshot!(text(claude.answer(&ask, &deny("", true))), @r#"{"response":{"request_id":"r-1","response":{"behavior":"deny","interrupt":true,"message":"The person did not allow this call."},"subtype":"success"},"type":"control_response"}"#);
    let words = Answer::Answers(BTreeMap::from([("May it?".into(), "yes".into())]));
    insta::assert_snapshot!(text(claude.answer(&ask, &words)), @r#"{"response":{"request_id":"r-1","response":{"behavior":"deny","message":"The person did not allow this call."},"subtype":"success"},"type":"control_response"}"#);
}

#[test]
fn requests_to_the_agent_are_control_lines() {
    let claude = Claude::new();
    insta::assert_snapshot!(text(claude.interrupt("i-1")), @r#"{"request":{"subtype":"interrupt"},"request_id":"i-1","type":"control_request"}"#);
    insta::assert_snapshot!(text(claude.take_back("t-1", MESSAGE).unwrap()), @r#"{"request":{"message_uuid":"01010101-0101-0101-0101-010101010101","subtype":"cancel_async_message"},"request_id":"t-1","type":"control_request"}"#);
    insta::assert_snapshot!(text(claude.end("e-1").unwrap()), @r#"{"request":{"subtype":"end_session"},"request_id":"e-1","type":"control_request"}"#);
}
