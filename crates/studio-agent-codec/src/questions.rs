//! The arguments of `AskUserQuestion`, however an agent writes them.

use serde_json::Value;
use studio_events::{AskedOption, AskedQuestion, EngineEvent};
use studio_ids::GateId;

use crate::json::{Object, some_text, text};

/// The event that shows the questions of `input` to a person.
pub(crate) fn event(tool_use_id: String, input: &Value, gate_id: Option<GateId>) -> EngineEvent {
    let empty = Object::new();
    let input = input.as_object().unwrap_or(&empty);
    let questions = input
        .get("questions")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_object).map(question).collect::<Vec<_>>());
    let first = questions.as_deref().and_then(<[_]>::first).cloned();
    let (question, options) = match first {
        Some(first) => (first.question, first.options),
        None => (some_text(input, "question").unwrap_or_default(), options(input)),
    };
    EngineEvent::AskUserQuestion {
        tool_use_id,
        question,
        options,
        questions,
        gate_id,
        deadline: None,
    }
}

fn question(object: &Object) -> AskedQuestion {
    AskedQuestion {
        question: some_text(object, "question").unwrap_or_default(),
        header: some_text(object, "header"),
        options: options(object),
        multi_select: object.get("multiSelect").and_then(Value::as_bool),
    }
}

fn options(object: &Object) -> Option<Vec<AskedOption>> {
    let list = object.get("options")?.as_array()?;
    let option = |value: &Value| match value {
        Value::String(label) => Some(AskedOption { label: label.clone(), description: None }),
        Value::Object(option) => Some(AskedOption {
            label: text(option, "label")?.to_owned(),
            description: some_text(option, "description"),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    Some(list.iter().filter_map(option).collect())
}
