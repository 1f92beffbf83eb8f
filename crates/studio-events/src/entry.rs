use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use studio_ids::{GateId, InstanceId, RunId};

use crate::{EngineEvent, Timestamp};

/// Who wrote an entry. The server sets it; a writer never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The studio.
    Server,
    /// The agent.
    Agent,
}

/// An event and its time: what a browser gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stamped<E = EngineEvent> {
    /// What happened.
    #[serde(flatten)]
    pub event: E,
    /// When.
    pub ts: Timestamp,
}

/// How far an agent's journal has been recorded.
///
/// Stands on the last entry of the batch that a journal line became, so that the entry and the
/// position are durable together. Never sent to a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalMark {
    /// Which process's journal.
    pub run: RunId,
    /// Bytes of its stdout that are recorded, this line included.
    pub at: u64,
}

/// What only servers and hosted agents read; never sent to a browser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InternalEvent {
    /// A server took the session over; what an older one still writes is refused from here on.
    WriterStarted {
        /// Which server.
        instance: InstanceId,
        /// Its epoch.
        epoch: u64,
    },
    /// An agent process was started.
    RunStarted {
        /// Its id.
        run: RunId,
    },
    /// A person's answer as it goes to the agent, beside the `gate_resolved` that browsers see.
    GateResponse {
        /// The gate's kind.
        gate: String,
        /// Which gate.
        gate_id: GateId,
        /// The answer.
        value: Value,
    },
    /// How far a journal is recorded, when its lines became no event.
    Recorded,
}

/// One entry of a session's stream.
///
/// Wire shape: `{"source":"agent","type":…,…,"ts":…,"journal"?:{"run":…,"at":…}}`.
/// Serialises only: what is read back from a stream may be newer than this program, so readers
/// look at the fields that they know (see `studio-registry` and `studio-bridge`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionEntry<E = EngineEvent> {
    /// Who wrote it.
    pub source: Source,
    /// The event and its time.
    #[serde(flatten)]
    pub stamped: Stamped<E>,
    /// The journal position after this batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalMark>,
}

impl<E: Serialize> SessionEntry<E> {
    /// An entry of the studio's own.
    pub fn server(event: E, ts: Timestamp) -> Self {
        Self { source: Source::Server, stamped: Stamped { event, ts }, journal: None }
    }

    /// An entry of the agent's.
    pub fn agent(event: E, ts: Timestamp) -> Self {
        Self { source: Source::Agent, stamped: Stamped { event, ts }, journal: None }
    }

    /// The entry as the stream keeps it: one line of JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // A value made of strings, numbers and maps with string keys always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionTotals;

    #[test]
    fn an_entry_is_one_flat_object() {
        let event = EngineEvent::SessionEnd {
            success: true,
            totals: SessionTotals { cost_usd: Some(0.25), ..SessionTotals::default() },
            reason: None,
        };
        let entry = SessionEntry::agent(event, Timestamp::from_unix_millis(0));
        let text = String::from_utf8(entry.to_json()).unwrap();
        assert_eq!(
            text,
            r#"{"source":"agent","type":"session_end","success":true,"cost_usd":0.25,"ts":"1970-01-01T00:00:00.000Z"}"#
        );
        assert_eq!(serde_json::from_str::<SessionEntry>(&text).unwrap(), entry);
    }
}
