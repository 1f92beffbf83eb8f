use serde_json::Value;
use studio_events::EngineEvent;

use crate::{Body, BodyError, body::decode_with, decode::Units, limits::SHORT_UNITS_MAX};

/// What may be told about an agent from outside. Nothing that opens, answers or closes a gate,
/// begins or ends a turn, counts money, or is between servers (`D30-17`).
const TOLD_BY_AGENTS: &[&str] = &[
    "log",
    "assistant_message",
    "assistant_thinking",
    "pre_tool_use",
    "post_tool_use",
    "post_tool_use_failure",
    "todo_write",
    "git_checkpoint",
];

/// `POST /api/sessions/{id}/stream/append`: one event, in the shape in which it is read again.
/// `source` and `ts` are the studio's to set; what is sent of them is dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct AppendEvent {
    /// The event.
    pub event: EngineEvent,
}

impl Body for AppendEvent {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        decode_with(value, |fields| {
            let name = fields.text("type", Units::some_up_to(SHORT_UNITS_MAX))?;
            if !TOLD_BY_AGENTS.contains(&name.as_str()) {
                fields.fail("type", format!("Must be one of {}", TOLD_BY_AGENTS.join(", ")));
                return None;
            }
            match serde_json::from_value::<EngineEvent>(value.clone()) {
                Ok(event) => Some(Self { event }),
                Err(error) => {
                    fields.fail("", error.to_string());
                    None
                }
            }
        })
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, BodyError> {
        if bytes.is_empty() {
            return Err(BodyError::Rule("Request body is required".to_owned()));
        }
        let value = serde_json::from_slice(bytes).map_err(|_malformed| BodyError::NotJson)?;
        Self::decode(&value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::decode::kind;

    use super::*;

    fn told(value: Value) -> String {
        match AppendEvent::decode(&value) {
            Ok(body) => serde_json::to_string(&body.event).unwrap(),
            Err(error) => error.details().join("; "),
        }
    }

    #[test]
    fn d30_17_only_what_an_agent_tells_is_taken() {
        let message = json!({"type": "assistant_message", "text": "hi", "source": "server", "ts": "x", "journal": {}});
        assert_eq!(told(message), r#"{"type":"assistant_message","text":"hi"}"#);
        for value in [Value::Null, json!([]), json!("text"), json!(7), json!(true)] {
            let expected = format!(": Expected object, received {}", kind(&value));
            assert_eq!(told(value), expected);
        }
        assert_eq!(told(json!({})), "type: Required");
        assert_eq!(told(json!({"type": 7})), "type: Expected string, received number");
        assert_eq!(told(json!({"type": "assistant_message"})), ": missing field `text`");
        for forged in [
            "gate_resolved",
            "gate_closed",
            "ask_user_question",
            "permission_request",
            "infra_config_prompt",
            "session_end",
            "session_start",
            "user_prompt",
            "budget_exceeded",
            "app_status",
            "command",
            "gate_response",
            "writer_started",
            "run_started",
            "recorded",
            "raw",
            "unheard_of",
        ] {
            assert!(told(json!({"type": forged})).starts_with("type: Must be one of"), "{forged}");
        }
    }
}
