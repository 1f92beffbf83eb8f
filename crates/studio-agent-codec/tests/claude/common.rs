//! Recorded sessions, and what is heard as a line for people.

use std::path::{Path, PathBuf};

use serde_json::Value;
use studio_agent_codec::lines::Lines;
use studio_agent_codec::{AgentCodec, Claude, Heard};

/// Longest line of a snapshot: the fixtures hold texts of megabytes.
const SHOWN_CHARS_MAX: usize = 400;

pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(path)
}

/// The recordings in a folder of fixtures, what the host wrote left out.
pub(crate) fn recordings(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(fixture(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .filter(|path| !path.to_str().unwrap().ends_with(".stdin.jsonl"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no recordings in fixtures/{folder}");
    paths
}

pub(crate) fn lines(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    Lines::starting_at(0).push(&bytes).into_iter().map(|line| line.bytes).collect()
}

pub(crate) fn heard(claude: &mut Claude, lines: &[impl AsRef<[u8]>]) -> Vec<Heard> {
    lines.iter().flat_map(|line| claude.read_line(line.as_ref())).collect()
}

/// One line for each thing heard.
pub(crate) fn shown(heard: &[Heard]) -> String {
    heard.iter().map(|heard| cut(&one(heard)) + "\n").collect()
}

fn one(heard: &Heard) -> String {
    match heard {
        Heard::Event(event) => {
            let Value::Object(mut event) = serde_json::to_value(event).unwrap() else {
                panic!("an event is an object: {event:?}")
            };
            let kind = event.remove("type").unwrap();
            format!("{} {}", kind.as_str().unwrap(), Value::Object(event))
        }
        Heard::Asks(ask) => format!(
            "= asks {:?} {} gate {} request {} input {} suggestions {}",
            ask.kind, ask.tool_name, ask.gate, ask.request_id, ask.input, ask.suggestions
        ),
        Heard::Replied { request_id, result: Ok(result) } => {
            format!("= reply {request_id} {result}")
        }
        Heard::TurnStarted
        | Heard::TurnEnded { .. }
        | Heard::Conversation { .. }
        | Heard::ConversationLost
        | Heard::Unasks { .. }
        | Heard::Replied { .. }
        | Heard::Message { .. } => format!("= {heard:?}"),
    }
}

fn cut(line: &str) -> String {
    let shown: String = line.chars().take(SHOWN_CHARS_MAX).collect();
    match line.chars().count() - shown.chars().count() {
        0 => shown,
        more => format!("{shown}… and {more} more characters"),
    }
}
