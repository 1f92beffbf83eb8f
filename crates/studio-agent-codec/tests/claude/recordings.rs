//! What every recorded session of the real agent comes to.

use crate::common::{heard, lines, recordings, shown};
use serde_json::Value;
use studio_agent_codec::{AgentCodec, Claude, Heard, SILENT_KINDS};
use studio_events::EngineEvent;

#[test]
fn every_recorded_session_comes_to_the_events_that_were_reviewed() {
    for folder in ["claude", "claude-older"] {
        for path in recordings(folder) {
            let heard = heard(&mut Claude::new(), &lines(&path));
            let name = format!("{folder}-{}", path.file_stem().unwrap().to_str().unwrap());
            insta::assert_snapshot!(name, shown(&heard));
        }
    }
}

#[test]
fn a_line_comes_to_nothing_only_if_its_kind_is_known_to_be_silent() {
    let silent: Vec<_> = SILENT_KINDS.iter().map(|(kind, _)| *kind).collect();
    for folder in ["claude", "claude-older"] {
        for path in recordings(folder) {
            let mut claude = Claude::new();
            for line in lines(&path) {
                if !claude.read_line(&line).is_empty() {
                    continue;
                }
                for kind in kinds(&line) {
                    assert!(silent.contains(&kind.as_str()), "{path:?}: {kind} was silent");
                }
            }
        }
    }
}

/// What a line is, as [`SILENT_KINDS`] calls it: one kind for each block of a message.
fn kinds(line: &[u8]) -> Vec<String> {
    let line: Value = serde_json::from_slice(line).unwrap();
    let kind = line["type"].as_str().unwrap();
    match (&line["message"]["content"], &line["subtype"]) {
        (Value::Array(blocks), _) => {
            blocks.iter().map(|b| format!("{kind}/{}", b["type"].as_str().unwrap())).collect()
        }
        (Value::String(_), _) => vec![format!("{kind}/text")],
        (_, Value::String(subtype)) => vec![format!("{kind}/{subtype}")],
        _ => vec![kind.to_owned()],
    }
}

#[test]
fn every_turn_of_a_recording_begins_and_ends_once() {
    for path in recordings("claude").into_iter().chain(recordings("claude-older")) {
        let mut open = false;
        for heard in heard(&mut Claude::new(), &lines(&path)) {
            match heard {
                Heard::TurnStarted => assert!(!std::mem::replace(&mut open, true), "{path:?}"),
                Heard::TurnEnded { .. } => assert!(std::mem::take(&mut open), "{path:?}"),
                Heard::Event(_)
                | Heard::Conversation { .. }
                | Heard::ConversationLost
                | Heard::Asks(_)
                | Heard::Unasks { .. }
                | Heard::Replied { .. }
                | Heard::Message { .. } => {}
            }
        }
    }
}

#[test]
fn no_recorded_line_is_unknown_but_those_that_the_studio_never_causes() {
    let mut raw = Vec::new();
    for path in recordings("claude").into_iter().chain(recordings("claude-older")) {
        for heard in heard(&mut Claude::new(), &lines(&path)) {
            if let Heard::Event(EngineEvent::Raw { kind, .. }) = heard {
                raw.push(kind);
            }
        }
    }
    raw.dedup();
    assert_eq!(raw, ["control_request/hook_callback"]);
}
