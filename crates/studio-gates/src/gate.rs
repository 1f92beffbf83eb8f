use std::fmt;

use serde_json::Value;
use studio_events::{GateClosed, Timestamp};
use studio_ids::GateId;

/// What kind of thing is asked; decides the shape of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GateKind {
    /// Where a project's data lives and which repository it gets. One per session.
    InfraConfig,
    /// A question of the agent.
    AskUserQuestion,
    /// Whether the agent may call a tool.
    Permission,
    /// Whether an agent's message may go to its room.
    OutboundMessage,
}

impl GateKind {
    /// Every kind.
    pub const ALL: [Self; 4] =
        [Self::InfraConfig, Self::AskUserQuestion, Self::Permission, Self::OutboundMessage];

    /// The kind's name on the wire, as in the `gate` field of `gate_resolved`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InfraConfig => "infra_config",
            Self::AskUserQuestion => "ask_user_question",
            Self::Permission => "permission",
            Self::OutboundMessage => "outbound_message_gate",
        }
    }

    /// The kind of this name; `None` for kinds that this service does not keep.
    pub fn from_wire(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for GateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The id of a session's infrastructure gate: it has one, named like its kind.
pub fn infra_gate_id() -> GateId {
    GateId::infra_config()
}

/// A question that waits for a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// Which, within its session.
    pub id: GateId,
    /// What kind of thing is asked.
    pub kind: GateKind,
    /// Until when an answer is taken; `None` = as long as the session waits.
    pub deadline: Option<Timestamp>,
    /// The exact thing asked: the event that opened it, as browsers see it.
    pub asked: Value,
}

/// The one way a gate ended.
#[derive(Clone, PartialEq)]
pub enum GateOutcome {
    /// A person answered. [`Value::Null`] when only the fact was found in the log, not the value.
    Answered(Value),
    /// It closed without an answer.
    Closed(GateClosed),
}

impl fmt::Debug for GateOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // An answer may hold a connection string: it is never printed.
            Self::Answered(_) => f.write_str("Answered(..)"),
            Self::Closed(outcome) => write!(f, "Closed({outcome:?})"),
        }
    }
}

/// What opening a gate came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// It waits for a person now.
    New,
    /// A gate of this id was waiting already (a hook asked again): this is the same one, with
    /// its first deadline.
    Joined,
    /// A gate of this id ended before (a hook asked again, late): this is how.
    Ended(GateOutcome),
    /// The session has [`crate::PENDING_MAX`] gates waiting: this one was not taken. Close it in
    /// the log.
    Full,
}
