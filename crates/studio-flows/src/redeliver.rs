//! An answer as the log has it, made into what the agent's channel takes.

use std::collections::BTreeMap;

use serde_json::Value;
use studio_agent_codec::{Answer, Ask, AskKind};
use studio_bridge::AnswerRecord;
use studio_events::{EngineEvent, InternalEvent};
use studio_gates::GateKind;

/// `None` = what is written is no answer to this question.
pub(crate) fn answer_of(ask: &Ask, value: &Value) -> Option<(Answer, AnswerRecord)> {
    let (kind, answer) = match ask.kind {
        AskKind::Question => (GateKind::AskUserQuestion, Answer::Answers(answers(value)?)),
        AskKind::Permission => (GateKind::Permission, permission(value)?),
    };
    let response = InternalEvent::GateResponse {
        gate: kind.as_str().to_owned(),
        gate_id: ask.gate.clone(),
        value: value.clone(),
    };
    let resolved = EngineEvent::GateResolved {
        gate: kind.as_str().to_owned(),
        summary: None,
        details: None,
        resolved_by: None,
        gate_id: Some(ask.gate.clone()),
        tool_use_id: Some(ask.gate.to_string()),
    };
    Some((answer, AnswerRecord { response, resolved }))
}

fn answers(value: &Value) -> Option<BTreeMap<String, String>> {
    serde_json::from_value(value.get("answers")?.clone()).ok()
}

fn permission(value: &Value) -> Option<Answer> {
    let always = value.get("always").and_then(Value::as_bool).unwrap_or(false);
    if value.get("allow")?.as_bool()? {
        return Some(Answer::Allow { always });
    }
    let message = value.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(Answer::Deny { message, interrupt: false })
}
