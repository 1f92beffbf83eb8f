use serde_json::Value;
use studio_agent_codec::hook::HookBody;

/// A hook's body: whatever it is, it comes to one event of its own kind or to none, the event is
/// JSON, and a call without an id gets the one that stands in.
pub fn hooks(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let body = HookBody::from(value);
    let event = body.event("stand-in");
    let told = serde_json::to_value(&event).unwrap();
    let kind = told["type"].as_str();
    let known = match body.name() {
        "SessionStart" => Some("session_start"),
        "PreToolUse" if body.is_question() => Some("ask_user_question"),
        "PreToolUse" if body.tool_name() == Some("TodoWrite") => Some("todo_write"),
        "PreToolUse" => Some("pre_tool_use"),
        "PostToolUse" => Some("post_tool_use"),
        "PostToolUseFailure" => Some("post_tool_use_failure"),
        "SessionEnd" => Some("session_end"),
        "UserPromptSubmit" => Some("user_prompt"),
        "SubagentStart" | "SubagentStop" => Some("log"),
        // Nothing is told of a turn that ended without words.
        "Stop" => kind.map(|_| "assistant_message"),
        _ => None,
    };
    assert_eq!(kind, known, "{}", body.name());
    if body.name() == "PreToolUse" && body.tool_use_id().is_none() {
        assert_eq!(told["tool_use_id"], "stand-in");
    }
    assert!(body.tool_use_id().is_none_or(|id| !id.is_empty()));
}
