use serde_json::Value;
use studio_events::{EngineEvent, LogLevel};

use super::{AGENT_KIND, Claude, log};
use crate::json::{Object, clipped, object, some_text, text};
use crate::{Heard, MessageState};

/// Longest beginning of a line that is not JSON, as the log shows it, in bytes.
const STRAY_BYTES_MAX: usize = 500;
/// Most messages that wait for the end of a turn with an agent that does not tell their states.
const ECHOED_MAX: usize = 1_000;

/// Kinds of lines that come to nothing, and why. Everything else becomes an event, at least a
/// raw one; where only some lines of a kind are silent, the reason says which.
pub const SILENT_KINDS: &[(&str, &str)] = &[
    ("keep_alive", "says nothing"),
    ("stream_event", "a piece of a message that comes whole"),
    ("tool_progress", "a heartbeat while a tool runs"),
    ("system/status", "the state of one request; only a compaction is told"),
    ("system/thinking_tokens", "an estimate while the model thinks"),
    ("system/session_state_changed", "follows from the turn's beginning and end"),
    ("system/hook_started", "the hook's end is told if it failed"),
    ("system/hook_response", "when the hook ended well"),
    ("system/task_started", "when it is a command in the foreground: its call was told"),
    ("system/task_progress", "the sub-agent's calls are told one by one"),
    ("system/task_updated", "its end is told by task_notification"),
    ("system/task_notification", "when it is a command in the foreground: its result is told"),
    ("system/background_tasks_changed", "each task tells its own beginning and end"),
    ("system/init", "before every turn but the first of a conversation: only begins the turn"),
    ("assistant/redacted_thinking", "is not for reading"),
    ("assistant/thinking", "when it is empty"),
    ("assistant/text", "when it is empty"),
    ("user/text", "an echo of what the studio or a sub-agent's caller said"),
    ("user/tool_result", "when it is of `TodoWrite` and went well: the list was told"),
    ("rate_limit_event", "when all is well"),
];

/// How messages are acknowledged: by `command_lifecycle` lines, or, by older versions, by
/// echoing the message when it becomes part of a turn.
#[derive(Debug, Default)]
pub(super) struct Messages {
    tells_states: bool,
    echoed: Vec<studio_ids::MessageId>,
}

impl Claude {
    pub(super) fn read(&mut self, line: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        if line.trim_ascii().is_empty() {
            return heard;
        }
        let object = match serde_json::from_slice(line) {
            Ok(Value::Object(object)) => object,
            Ok(_) | Err(_) => {
                let text = String::from_utf8_lossy(line);
                let message = format!("claude: {}", clipped(text.trim(), STRAY_BYTES_MAX));
                heard.push(log(LogLevel::Error, message));
                return heard;
            }
        };
        match text(&object, "type").unwrap_or_default() {
            "system" => self.read_system(&object, &mut heard),
            "assistant" => self.read_assistant(&object, &mut heard),
            "user" => self.read_user(&object, &mut heard),
            "result" => self.read_result(&object, &mut heard),
            "control_request" => self.read_request(&object, &mut heard),
            "control_cancel_request" => read_cancel(&object, &mut heard),
            "control_response" => read_reply(&object, &mut heard),
            "command_lifecycle" => self.messages.read_state(&object, &mut heard),
            "rate_limit_event" => self.read_rate_limit(&object, &mut heard),
            "stream_event" | "tool_progress" | "keep_alive" => {}
            _ => heard.push(raw(&object)),
        }
        heard
    }
}

fn read_cancel(line: &Object, heard: &mut Vec<Heard>) {
    heard.push(match some_text(line, "request_id") {
        Some(request_id) => Heard::Unasks { request_id },
        None => raw(line),
    });
}

fn read_reply(line: &Object, heard: &mut Vec<Heard>) {
    let Some((response, request_id)) = object(line, "response")
        .and_then(|response| Some((response, some_text(response, "request_id")?)))
    else {
        heard.push(raw(line));
        return;
    };
    let result = if text(response, "subtype") == Some("success") {
        Ok(response.get("response").cloned().unwrap_or(Value::Null))
    } else {
        Err(some_text(response, "error").unwrap_or_else(|| "refused without a reason".into()))
    };
    heard.push(Heard::Replied { request_id, result });
}

impl Messages {
    fn read_state(&mut self, line: &Object, heard: &mut Vec<Heard>) {
        self.tells_states = true;
        let state = match text(line, "state") {
            Some("queued") => MessageState::Queued,
            Some("started") => MessageState::Started,
            Some("completed") => MessageState::Completed,
            Some("cancelled") => MessageState::Cancelled,
            _ => return heard.push(raw(line)),
        };
        // An id that is not ours: something that the agent says to itself.
        match text(line, "command_uuid").and_then(|id| id.parse().ok()) {
            Some(id) => heard.push(Heard::Message { id, state }),
            None => heard.push(raw(line)),
        }
    }

    /// A message came back: as part of the running turn; or, outside of a turn, because the
    /// conversation has it already.
    pub(super) fn echo(&mut self, line: &Object, in_turn: bool, heard: &mut Vec<Heard>) {
        let id = text(line, "uuid").and_then(|id| id.parse().ok());
        let Some(id) = id.filter(|_| !self.tells_states) else { return };
        if !in_turn {
            heard.push(Heard::Message { id, state: MessageState::Completed });
        } else if self.echoed.len() < ECHOED_MAX {
            self.echoed.push(id);
            heard.push(Heard::Message { id, state: MessageState::Started });
        }
    }

    pub(super) fn end_turn(&mut self, heard: &mut Vec<Heard>) {
        for id in self.echoed.drain(..) {
            heard.push(Heard::Message { id, state: MessageState::Completed });
        }
    }
}

/// A line that the studio has no word for.
pub(super) fn raw(line: &Object) -> Heard {
    let kind = text(line, "type").unwrap_or("?");
    let inner = text(line, "subtype")
        .or_else(|| object(line, "request").and_then(|request| text(request, "subtype")));
    let kind = match inner {
        Some(inner) => format!("{kind}/{inner}"),
        None => kind.to_owned(),
    };
    raw_of(clipped(&kind, crate::json::NAME_BYTES_MAX), line)
}

/// A part of a line that the studio has no word for.
pub(super) fn raw_of(kind: String, line: &Object) -> Heard {
    let agent_kind = AGENT_KIND.to_owned();
    Heard::Event(EngineEvent::Raw { agent_kind, kind, line: line.clone() })
}
