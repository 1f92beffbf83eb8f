//! What the stream remembers of a session's last run: read backwards, so that a long history
//! costs nothing.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;
use studio_events::JournalMark;
use studio_ids::{GateId, MessageId, RunId};
use studio_streams::{Offset, SessionWriter, StreamError};

use crate::talk::{Message, Place};

/// Records read at once.
const PAGE_RECORDS: usize = 500;

/// The fields of an entry that matter here. An entry may be newer than this program: what is not
/// known is passed over.
#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    journal: Option<JournalMark>,
    #[serde(default)]
    run: Option<RunId>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    message_id: Option<MessageId>,
    #[serde(default)]
    message_ids: Vec<MessageId>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    gate_id: Option<GateId>,
    #[serde(default)]
    value: Option<Value>,
    #[serde(default)]
    session_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    RunStarted,
    AgentExit,
    UserPrompt,
    MessageState,
    GateResponse,
    GateResolved,
    GateClosed,
    SessionStart,
    SessionEnd,
    /// Something the agent does or says: a turn runs.
    #[serde(
        alias = "pre_tool_use",
        alias = "post_tool_use",
        alias = "assistant_message",
        alias = "assistant_thinking",
        alias = "todo_write",
        alias = "ask_user_question",
        alias = "permission_request"
    )]
    Work,
    #[serde(other)]
    Other,
}

/// The last run as the stream tells it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Memory {
    /// The run, if there ever was one.
    pub(crate) run: Option<RunId>,
    /// Its end is recorded.
    pub(crate) exited: bool,
    /// Bytes of its journal that are recorded.
    pub(crate) mark: u64,
    /// What was said and not read, in order. Places: held, or not known to be delivered.
    pub(crate) waiting: Vec<Message>,
    /// Read, their turn not over.
    pub(crate) reading: Vec<Message>,
    /// Read, or not to be read any more.
    pub(crate) read: HashSet<MessageId>,
    /// Responses to gates of this run that were recorded and not resolved.
    pub(crate) responses: HashMap<GateId, Value>,
    /// Gates that are over.
    pub(crate) closed: HashSet<GateId>,
    /// A turn ran, as far as events tell.
    pub(crate) turn: bool,
    /// The agent's conversation.
    pub(crate) conversation: Option<String>,
}

/// Reads the stream back to the start of `run` (`None` = of the last run) and a little further,
/// where something older still waits.
pub(crate) async fn read(
    writer: &SessionWriter,
    run: Option<RunId>,
) -> Result<Memory, StreamError> {
    let mut before = Offset::Now;
    let mut memory = Reading::new(run);
    loop {
        let page = writer.store().read_back(writer.path(), before, PAGE_RECORDS).await?;
        for record in page.records.iter().rev() {
            // What is no entry of this shape cannot be one of those that matter.
            if let Ok(entry) = serde_json::from_slice(&record.data) {
                memory.older(entry);
            }
            if memory.is_complete() {
                return Ok(memory.finish());
            }
        }
        if page.up_to_date || page.records.is_empty() {
            return Ok(memory.finish());
        }
        before = page.next;
    }
}

/// The fold, newest entry first.
struct Reading {
    wanted: Option<RunId>,
    started: bool,
    memory: Memory,
    turn: Option<bool>,
    /// The newest state of each message.
    states: HashMap<MessageId, String>,
    holds: HashMap<MessageId, u32>,
    /// Newest first.
    said: Vec<(MessageId, String)>,
}

impl Reading {
    fn new(wanted: Option<RunId>) -> Self {
        Self {
            wanted,
            started: false,
            memory: Memory::default(),
            turn: None,
            states: HashMap::new(),
            holds: HashMap::new(),
            said: Vec::new(),
        }
    }

    fn older(&mut self, entry: Entry) {
        let memory = &mut self.memory;
        if self.started {
            // Only the words of what still waits are wanted from before the run.
            if let (Kind::UserPrompt, Some(id), Some(text)) =
                (entry.kind, entry.message_id, entry.message)
                && self.states.contains_key(&id)
            {
                self.said.push((id, text));
            }
            return;
        }
        if let Some(mark) = entry.journal
            && self.wanted.is_none_or(|run| run == mark.run)
        {
            memory.mark = memory.mark.max(mark.at);
        }
        match entry.kind {
            Kind::RunStarted => {
                if self.wanted.is_none() || self.wanted == entry.run {
                    memory.run = entry.run;
                    self.started = true;
                }
            }
            Kind::AgentExit => memory.exited = true,
            Kind::UserPrompt => {
                if let (Some(id), Some(text)) = (entry.message_id, entry.message) {
                    self.said.push((id, text));
                }
                self.turn.get_or_insert(true);
            }
            Kind::MessageState => {
                let state = entry.state.unwrap_or_default();
                for id in entry.message_ids {
                    if state == "held" {
                        *self.holds.entry(id).or_default() += 1;
                    }
                    self.states.entry(id).or_insert_with(|| state.clone());
                }
            }
            Kind::GateResponse => {
                if let (Some(gate), Some(value)) = (entry.gate_id, entry.value)
                    && !memory.closed.contains(&gate)
                {
                    memory.responses.entry(gate).or_insert(value);
                }
            }
            Kind::GateResolved | Kind::GateClosed => {
                memory.closed.extend(entry.gate_id);
            }
            Kind::SessionStart => {
                if memory.conversation.is_none() {
                    memory.conversation = entry.session_id;
                }
                self.turn.get_or_insert(true);
            }
            Kind::SessionEnd => {
                self.turn.get_or_insert(false);
            }
            Kind::Work => {
                self.turn.get_or_insert(true);
            }
            Kind::Other => {}
        }
    }

    /// Whether what is older can add nothing.
    fn is_complete(&self) -> bool {
        self.started
            && self.states.iter().all(|(id, state)| {
                matches!(state.as_str(), "started" | "completed" | "cancelled")
                    || self.said.iter().any(|(said, _)| said == id)
            })
    }

    fn finish(self) -> Memory {
        let Self { mut memory, turn, states, holds, said, .. } = self;
        memory.turn = turn.unwrap_or(false);
        let read = |state: &String| matches!(state.as_str(), "started" | "completed" | "cancelled");
        memory.read = states.iter().filter(|(_, state)| read(state)).map(|(id, _)| *id).collect();
        for (id, text) in said.into_iter().rev() {
            let holds = holds.get(&id).copied().unwrap_or(0);
            let place = match states.get(&id).map(String::as_str) {
                Some("completed" | "cancelled") => continue,
                Some("started") => {
                    let place = Place::Delivered;
                    memory.reading.push(Message { id, text, place, holds });
                    continue;
                }
                Some("held") => Place::Held,
                // Said before there ever was an agent: who said it will deliver it.
                None if memory.run.is_none() => continue,
                Some(_) | None => Place::Undelivered,
            };
            memory.waiting.push(Message { id, text, place, holds });
        }
        memory
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RUN: &str = "00000000-0000-4000-8000-0000000000aa";
    const ONE: &str = "00000000-0000-4000-8000-000000000001";
    const TWO: &str = "00000000-0000-4000-8000-000000000002";

    fn fold(entries: &[Value]) -> Memory {
        let mut reading = Reading::new(None);
        for entry in entries.iter().rev() {
            reading.older(serde_json::from_value(entry.clone()).unwrap());
            if reading.is_complete() {
                break;
            }
        }
        reading.finish()
    }

    #[test]
    fn what_was_held_before_the_run_is_found_with_its_words() {
        let memory = fold(&[
            json!({"type": "run_started", "run": "00000000-0000-4000-8000-0000000000bb"}),
            json!({"type": "user_prompt", "message": "one", "message_id": ONE}),
            json!({"type": "message_state", "message_ids": [ONE], "state": "held"}),
            json!({"type": "agent_exit"}),
            json!({"type": "run_started", "run": RUN}),
            json!({"type": "message_state", "message_ids": [ONE], "state": "held"}),
            json!({"type": "user_prompt", "message": "two", "message_id": TWO}),
            json!({"type": "message_state", "message_ids": [ONE], "state": "queued"}),
            json!({"type": "raw", "kind": "x", "journal": {"run": RUN, "at": 70}}),
        ]);
        assert_eq!(memory.run, Some(RUN.parse().unwrap()));
        assert!(!memory.exited);
        assert_eq!(memory.mark, 70);
        let waiting: Vec<_> =
            memory.waiting.iter().map(|m| (m.text.as_str(), m.place, m.holds)).collect();
        assert_eq!(waiting, [("one", Place::Undelivered, 1), ("two", Place::Undelivered, 0)]);
    }

    #[test]
    fn a_response_without_a_resolution_is_remembered() {
        let memory = fold(&[
            json!({"type": "run_started", "run": RUN}),
            json!({"type": "gate_response", "gate": "permission", "gate_id": "a", "value": 1}),
            json!({"type": "gate_resolved", "gate": "permission", "gate_id": "a"}),
            json!({"type": "gate_response", "gate": "permission", "gate_id": "b", "value": 2}),
        ]);
        assert_eq!(memory.responses, HashMap::from([("b".parse().unwrap(), json!(2))]));
        assert!(memory.closed.contains(&"a".parse().unwrap()));
    }

    #[test]
    fn a_turn_runs_until_its_end_is_told() {
        let start = json!({"type": "run_started", "run": RUN});
        let prompt = json!({"type": "user_prompt", "message": "one", "message_id": ONE});
        let work = json!({"type": "pre_tool_use", "tool_use_id": "x"});
        let end = json!({"type": "session_end", "success": true});
        assert!(!fold(std::slice::from_ref(&start)).turn);
        assert!(fold(&[start.clone(), prompt.clone()]).turn);
        assert!(!fold(&[start.clone(), prompt.clone(), work.clone(), end.clone()]).turn);
        assert!(fold(&[start, prompt, end, work]).turn);
    }
}
