use std::fmt::Debug;

use studio_api::{
    AppendEvent, Body, BodyError, Respond, RespondAnswer,
    limits::{ANSWERS_MAX, TEXT_UNITS_MAX, units},
};

/// Reads a body; what is refused says why, in lines that a log can take.
fn read<T: Body + Debug>(bytes: &[u8]) -> Option<T> {
    match T::from_bytes(bytes) {
        Ok(body) => Some(body),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            if let BodyError::Invalid { details } = &error {
                assert!(!details.is_empty() && details.iter().all(|line| !line.is_empty()));
            }
            None
        }
    }
}

/// The body of an append: nothing is taken that opens, answers or ends a gate, ends a turn or
/// counts money; what is taken is read back as the same event.
pub fn appends(bytes: &[u8]) {
    let Some(AppendEvent { event }) = read(bytes) else { return };
    let told = serde_json::to_value(&event).expect("an event is JSON");
    let kind = told["type"].as_str().expect("an event has a type");
    for never in ["gate", "ask_", "permission", "session_", "budget", "run_", "writer_", "infra"] {
        assert!(!kind.starts_with(never) && !kind.contains("_gate"), "{kind}");
    }
    let again: AppendEvent = read(told.to_string().as_bytes()).expect("what was taken is taken");
    assert_eq!(again.event, event);
}

/// An answer to a gate: names one gate of one kind, and is no larger than answers may be.
pub fn answers(bytes: &[u8]) {
    let Some(Respond { answer, summary }) = read(bytes) else { return };
    assert!(summary.is_none_or(|text| !text.is_empty() && units(&text) <= TEXT_UNITS_MAX));
    match answer {
        RespondAnswer::Question { answers, .. } => {
            assert!(answers.len() <= ANSWERS_MAX);
            assert!(answers.values().all(|text| units(text) <= TEXT_UNITS_MAX));
        }
        RespondAnswer::Legacy { gate, text } => {
            assert!(["approval", "clarification", "continue", "revision"].contains(&&*gate));
            assert!(!text.is_empty() && units(&text) <= TEXT_UNITS_MAX * (ANSWERS_MAX + 1));
        }
        RespondAnswer::Infra(_)
        | RespondAnswer::Permission { .. }
        | RespondAnswer::Outbound { .. } => {}
    }
}
