use std::{collections::VecDeque, fmt};

use serde_json::Value;
use studio_events::{GateClosed, Timestamp};
use studio_ids::GateId;

use crate::{
    ClaimTicket, ENDED_REMEMBERED_MAX, Gate, GateKind, GateOutcome, PENDING_MAX, infra_gate_id,
};

/// An answer that was written down and perhaps never reached the agent: the server ended between.
#[derive(Debug)]
pub struct Redeliver {
    /// The gate that it answers.
    pub gate: Gate,
    /// The right to settle it; [`ClaimTicket::answer`] is the answer.
    pub ticket: ClaimTicket,
}

/// The gates of one session as its stream tells them: feed it every entry, in order.
///
/// Looks only at the fields that it knows, so entries of a newer program, of another writer and
/// malformed ones do no harm. What counts:
/// * `infra_config_prompt`, `ask_user_question`, `permission_request`, `outbound_message_gate` open
///   a gate;
/// * `gate_response` of the studio's own is the answer's value;
/// * `gate_resolved` and `outbound_message_gate_resolved` of the studio's own end it as answered
///   (an agent cannot answer its gates);
/// * `gate_closed` ends it without an answer.
///
/// The first end counts; a later one, and one of a gate that was never opened, changes nothing.
#[derive(Clone, Default)]
pub struct GateLog {
    pending: Vec<(Gate, Option<Value>)>,
    ended: VecDeque<(GateId, GateKind, GateOutcome)>,
}

impl fmt::Debug for GateLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An answer is never printed: it may hold a connection string.
        f.debug_struct("GateLog")
            .field("pending", &self.pending().map(|gate| &gate.id).collect::<Vec<_>>())
            .field("ended", &self.ended)
            .finish()
    }
}

/// Pending gates with the answer that was written for them, and ended ones.
type LogParts = (Vec<(Gate, Option<Value>)>, VecDeque<(GateId, GateKind, GateOutcome)>);

impl GateLog {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// All entries of a stream, in order.
    pub fn fold<'a>(entries: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut log = Self::new();
        for entry in entries {
            log.apply(entry);
        }
        log
    }

    /// The next entry of the stream.
    pub fn apply(&mut self, entry: &Value) {
        let own = text(entry, "source") == Some("server");
        match text(entry, "type") {
            Some("infra_config_prompt") => self.open(GateKind::InfraConfig, entry),
            Some("ask_user_question") => self.open(GateKind::AskUserQuestion, entry),
            Some("permission_request") => self.open(GateKind::Permission, entry),
            Some("outbound_message_gate") => self.open(GateKind::OutboundMessage, entry),
            Some("outbound_message_gate_resolved") if own => {
                if let Some(at) = gate_id(entry, GateKind::OutboundMessage)
                    .and_then(|id| self.of_kind(&id, GateKind::OutboundMessage))
                {
                    self.resolve(at);
                }
            }
            Some("gate_response") if own => self.respond(entry),
            Some("gate_resolved") if own => {
                if let Some(at) = self.named(entry) {
                    self.resolve(at);
                }
            }
            Some("gate_closed") => self.close(entry),
            _ => {}
        }
    }

    /// The gates that wait for a person, in the order of their opening.
    pub fn pending(&self) -> impl Iterator<Item = &Gate> {
        self.pending.iter().map(|(gate, _)| gate)
    }

    /// Pending gates whose answer was written down but is not known to be delivered.
    pub fn undelivered(&self) -> impl Iterator<Item = (&Gate, &Value)> {
        self.pending.iter().filter_map(|(gate, answer)| Some((gate, answer.as_ref()?)))
    }

    /// The gates that ended last, oldest first.
    pub fn ended(&self) -> impl Iterator<Item = (&GateId, GateKind, &GateOutcome)> {
        self.ended.iter().map(|(gate, kind, outcome)| (gate, *kind, outcome))
    }

    /// Whether an entry says anything about gates; cheap, for who skips the others.
    pub fn concerns(entry_type: &str) -> bool {
        matches!(
            entry_type,
            "infra_config_prompt"
                | "ask_user_question"
                | "permission_request"
                | "outbound_message_gate"
                | "outbound_message_gate_resolved"
                | "gate_response"
                | "gate_resolved"
                | "gate_closed"
        )
    }

    /// Gives a deadline to pending gates that were opened without one (by an older program).
    pub fn set_missing_deadlines(&mut self, deadline: impl Fn(GateKind) -> Timestamp) {
        for (gate, _) in &mut self.pending {
            gate.deadline.get_or_insert_with(|| deadline(gate.kind));
        }
    }

    pub(crate) fn into_parts(self) -> LogParts {
        (self.pending, self.ended)
    }

    fn open(&mut self, kind: GateKind, entry: &Value) {
        let Some(id) = gate_id(entry, kind) else { return };
        let known = self.at(&id).is_some() || self.ended.iter().any(|(ended, ..)| *ended == id);
        if known || PENDING_MAX <= self.pending.len() {
            return;
        }
        let deadline =
            text(entry, "deadline").and_then(|at| Timestamp::try_from(at.to_owned()).ok());
        self.pending.push((Gate { id, kind, deadline, asked: as_browsers_see_it(entry) }, None));
    }

    fn respond(&mut self, entry: &Value) {
        let value = entry.get("value").cloned();
        if let (Some(at), Some(value)) = (self.named(entry), value) {
            self.pending[at].1 = Some(value);
        }
    }

    fn resolve(&mut self, at: usize) {
        let (gate, answer) = self.pending.remove(at);
        self.end(gate, GateOutcome::Answered(answer.unwrap_or_default()));
    }

    fn close(&mut self, entry: &Value) {
        let outcome = entry.get("outcome").cloned().unwrap_or_default();
        // An outcome of a newer program is still an end.
        let outcome = serde_json::from_value(outcome).unwrap_or(GateClosed::Rejected);
        let Some(at) = self.named(entry) else { return };
        let (gate, _) = self.pending.remove(at);
        self.end(gate, GateOutcome::Closed(outcome));
    }

    fn end(&mut self, gate: Gate, outcome: GateOutcome) {
        if self.ended.len() == ENDED_REMEMBERED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back((gate.id, gate.kind, outcome));
    }

    /// Which pending gate an entry is about: the one it names, which must be of its kind.
    fn named(&self, entry: &Value) -> Option<usize> {
        let kind = GateKind::from_wire(text(entry, "gate")?)?;
        self.of_kind(&gate_id(entry, kind)?, kind)
    }

    fn of_kind(&self, id: &GateId, kind: GateKind) -> Option<usize> {
        self.at(id).filter(|&at| self.pending[at].0.kind == kind)
    }

    fn at(&self, id: &GateId) -> Option<usize> {
        self.pending.iter().position(|(gate, _)| gate.id == *id)
    }
}

/// The gate's id: its own field, else the tool call's, else the one infrastructure gate.
fn gate_id(entry: &Value, kind: GateKind) -> Option<GateId> {
    let named = ["gate_id", "tool_use_id", "gateId"].into_iter().find_map(|id| text(entry, id));
    match (named, kind) {
        (Some(id), _) => id.parse().ok(),
        (None, GateKind::InfraConfig) => Some(infra_gate_id()),
        (None, GateKind::AskUserQuestion | GateKind::Permission | GateKind::OutboundMessage) => {
            None
        }
    }
}

/// The entry without what stays between servers, and without its time: the same as who opened the
/// gate has it.
fn as_browsers_see_it(entry: &Value) -> Value {
    let mut asked = entry.clone();
    if let Some(fields) = asked.as_object_mut() {
        fields.remove("ts");
        fields.remove("source");
        fields.remove("journal");
    }
    asked
}

fn text<'a>(entry: &'a Value, field: &str) -> Option<&'a str> {
    entry.get(field).and_then(Value::as_str)
}
