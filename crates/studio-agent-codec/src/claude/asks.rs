use serde_json::Value;
use studio_events::{EngineEvent, LogLevel};
use studio_ids::GateId;

use super::read::raw;
use super::{Claude, log};
use crate::json::{Object, object, some_text};
use crate::{Ask, AskKind, Heard, questions};

impl Claude {
    /// The agent asks the host. It waits for the answer as long as it takes.
    pub(super) fn read_request(&mut self, line: &Object, heard: &mut Vec<Heard>) {
        let request = object(line, "request").filter(|request| {
            request.get("subtype").and_then(Value::as_str) == Some("can_use_tool")
        });
        match request.and_then(|request| asked(line, request)) {
            Some((event, ask)) => heard.extend([Heard::Event(event), Heard::Asks(ask)]),
            None => {
                // Only what was registered at `initialize` asks otherwise, and nothing is.
                heard.push(raw(line));
                let message = "claude asked something that the studio cannot answer";
                heard.push(log(LogLevel::Error, message));
            }
        }
    }
}

fn asked(line: &Object, request: &Object) -> Option<(EngineEvent, Ask)> {
    let request_id = some_text(line, "request_id")?;
    let tool_name = some_text(request, "tool_name")?;
    let call = some_text(request, "tool_use_id");
    // Without an id of the call, or with one that is no name, the request's own id serves.
    let gate = call.iter().chain([&request_id]).find_map(|id| id.parse::<GateId>().ok())?;
    let tool_use_id = call.unwrap_or_else(|| gate.to_string());
    let input = request.get("input").cloned().unwrap_or(Value::Null);
    let suggestions = request.get("permission_suggestions").cloned().unwrap_or(Value::Null);
    let (kind, event) = if tool_name == "AskUserQuestion" {
        (AskKind::Question, questions::event(tool_use_id, &input, Some(gate.clone())))
    } else {
        let reason = some_text(request, "decision_reason")
            .or_else(|| some_text(request, "decision_reason_type"));
        let event = EngineEvent::PermissionRequest {
            gate_id: gate.clone(),
            tool_use_id,
            tool_name: tool_name.clone(),
            tool_input: input.clone(),
            description: some_text(request, "description"),
            reason,
            deadline: None,
        };
        (AskKind::Permission, event)
    };
    Some((event, Ask { request_id, gate, kind, tool_name, input, suggestions }))
}
