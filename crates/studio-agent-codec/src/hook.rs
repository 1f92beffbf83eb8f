//! Hook bodies to events: what an agent's own hooks tell a studio that does not run it.
//!
//! Total, as the codecs are: a body of any shape is read, what is missing gets its default, and
//! what this studio has no word for comes to no event. Mapping: spec 03 section 7; where the
//! reference passed objects on as text, they become text here.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use studio_events::{EngineEvent, LogLevel, SessionTotals, TodoItem};

use crate::json::{Object, clipped, object, some_text, text, whole};
use crate::{TOOL_RESPONSE_BYTES_MAX, claude, questions};

/// A hook's body as it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HookBody {
    fields: Object,
}

impl From<Value> for HookBody {
    /// What is no object has no fields.
    fn from(body: Value) -> Self {
        match body {
            Value::Object(fields) => Self { fields },
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Self::default(),
        }
    }
}

impl HookBody {
    /// Which hook: `PreToolUse`, `Stop`, …; empty if the body does not say.
    pub fn name(&self) -> &str {
        text(&self.fields, "hook_event_name").unwrap_or_default()
    }

    /// The agent's own id of its conversation.
    pub fn session_id(&self) -> Option<&str> {
        text(&self.fields, "session_id")
    }

    /// Where the agent keeps its transcript; names a local agent's conversation.
    pub fn transcript_path(&self) -> Option<&str> {
        text(&self.fields, "transcript_path")
    }

    /// Where the agent works.
    pub fn cwd(&self) -> Option<&str> {
        text(&self.fields, "cwd")
    }

    /// The tool that is called.
    pub fn tool_name(&self) -> Option<&str> {
        text(&self.fields, "tool_name")
    }

    /// The call's id.
    pub fn tool_use_id(&self) -> Option<&str> {
        text(&self.fields, "tool_use_id").filter(|id| !id.is_empty())
    }

    /// The call's arguments; `null` if there are none.
    pub fn tool_input(&self) -> &Value {
        self.fields.get("tool_input").unwrap_or(&Value::Null)
    }

    /// Whether the agent waits in this request for a person's answers to its questions.
    pub fn is_question(&self) -> bool {
        self.name() == "PreToolUse" && self.tool_name() == Some("AskUserQuestion")
    }

    /// What the session took, as a `SessionEnd` body may tell it.
    pub fn totals(&self) -> SessionTotals {
        let Some(session) = object(&self.fields, "session") else {
            return SessionTotals::default();
        };
        SessionTotals {
            cost_usd: session.get("cost_usd").and_then(Value::as_f64),
            num_turns: whole(session, "num_turns"),
            duration_ms: whole(session, "duration_ms"),
            duration_api_ms: whole(session, "duration_api_ms"),
        }
    }

    /// What the body comes to; none for hooks that are not told.
    ///
    /// `call_id` stands in where a call has no id of its own; this crate has no clock to make
    /// one of.
    pub fn event(&self, call_id: &str) -> Option<EngineEvent> {
        let field = |key| some_text(&self.fields, key);
        let id = || self.tool_use_id().unwrap_or_default().to_owned();
        Some(match self.name() {
            "SessionStart" => EngineEvent::SessionStart {
                session_id: self.session_id().unwrap_or_default().to_owned(),
                cwd: field("cwd"),
                agent: None,
                agent_version: None,
                model: field("model"),
            },
            "PreToolUse" => self.call(self.tool_use_id().unwrap_or(call_id).to_owned()),
            "PostToolUse" => EngineEvent::PostToolUse {
                tool_use_id: id(),
                tool_name: field("tool_name"),
                tool_response: response(self.fields.get("tool_response").unwrap_or(&Value::Null)),
                error: None,
                agent: None,
                parent_tool_use_id: None,
            },
            "PostToolUseFailure" => EngineEvent::PostToolUseFailure {
                tool_use_id: id(),
                tool_name: field("tool_name").unwrap_or_else(|| "unknown".into()),
                error: clipped(
                    &field("error").unwrap_or_else(|| "Unknown error".into()),
                    TOOL_RESPONSE_BYTES_MAX,
                ),
                agent: None,
            },
            "Stop" => EngineEvent::AssistantMessage {
                text: field("last_assistant_message")?,
                agent: None,
                parent_tool_use_id: None,
            },
            "SessionEnd" => EngineEvent::SessionEnd {
                success: true,
                totals: self.totals(),
                reason: field("reason"),
            },
            "UserPromptSubmit" => EngineEvent::UserPrompt {
                message: field("prompt").unwrap_or_default(),
                sender: None,
                message_id: None,
            },
            name @ ("SubagentStart" | "SubagentStop") => {
                let kind = field("agent_type").unwrap_or_else(|| "agent".into());
                EngineEvent::Log { level: LogLevel::Task, message: format!("{name}: {kind}") }
            }
            _ => return None,
        })
    }

    /// What the agent that waits in this request is answered: question → label or free text.
    pub fn answered(&self, answers: &BTreeMap<String, String>) -> Value {
        let mut input = self.tool_input().as_object().cloned().unwrap_or_default();
        input.insert("answers".into(), json!(answers));
        json!({"hookSpecificOutput": {
            "hookEventName": "PreToolUse", "permissionDecision": "allow", "updatedInput": input,
        }})
    }

    fn call(&self, tool_use_id: String) -> EngineEvent {
        let input = self.tool_input();
        match self.tool_name() {
            Some("TodoWrite") => {
                let todos = input.get("todos").and_then(Value::as_array).cloned();
                let todos = todos.unwrap_or_default().into_iter().map(TodoItem).collect();
                EngineEvent::TodoWrite { tool_use_id, todos }
            }
            // The gate's id is the flow's to give: it opens the gate.
            Some("AskUserQuestion") => questions::event(tool_use_id, input, None),
            name => EngineEvent::PreToolUse {
                tool_name: name.unwrap_or("unknown").to_owned(),
                tool_use_id,
                tool_input: if input.is_null() { Object::new().into() } else { input.clone() },
                agent: None,
                parent_tool_use_id: None,
            },
        }
    }
}

/// A tool's result as text. Hooks bring each tool's own object; the readable part of the common
/// ones is its text, of any other the JSON.
fn response(value: &Value) -> String {
    let Value::Object(fields) = value else { return claude::flat(value) };
    let file = object(fields, "file").and_then(|file| text(file, "content"));
    let readable = ["stdout", "content", "text"].into_iter().find_map(|key| fields.get(key));
    if let (Some(out), Some(err)) = (text(fields, "stdout"), some_text(fields, "stderr")) {
        return clipped(format!("{out}\n{err}").trim_start(), TOOL_RESPONSE_BYTES_MAX);
    }
    match (readable, file) {
        (Some(readable), _) => claude::flat(readable),
        (None, Some(content)) => clipped(content, TOOL_RESPONSE_BYTES_MAX),
        (None, None) => clipped(&value.to_string(), TOOL_RESPONSE_BYTES_MAX),
    }
}
