use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt,
};

use studio_events::{GateClosed, Timestamp};
use studio_ids::{GateId, SessionId};
use tokio::sync::watch;

use crate::{Gate, GateKind, GateOutcome};

/// Ended gates that a session remembers, so that a late or repeated answer is told what became
/// of the gate; an older one is unknown.
pub const ENDED_REMEMBERED_MAX: usize = 64;
/// Gates of one session that may wait at once; the next one is not taken. An agent asks a
/// handful at a time: a session that comes here floods.
pub const PENDING_MAX: usize = 256;

/// Where a pending gate stands; who waits for it watches this.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// Waits for a person.
    Pending,
    /// Somebody holds the ticket of this number.
    Claimed(u64),
    /// The last word; the gate leaves the table with it.
    Ended(GateOutcome),
}

/// A gate that has no outcome yet.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) gate: Gate,
    pub(crate) stage: watch::Sender<Stage>,
    /// A close that came while a ticket was out: takes effect if the ticket is given back.
    pub(crate) close_next: Option<GateClosed>,
}

impl Slot {
    fn new(gate: Gate) -> Self {
        Self { gate, stage: watch::Sender::new(Stage::Pending), close_next: None }
    }

    /// The number of the ticket that is out, if one is.
    pub(crate) fn claimed(&self) -> Option<u64> {
        match &*self.stage.borrow() {
            Stage::Claimed(number) => Some(*number),
            Stage::Pending | Stage::Ended(_) => None,
        }
    }
}

/// What is left of a gate that ended. The answer lies as text: a tenth of a tree's memory.
#[derive(Clone)]
struct Ended {
    id: GateId,
    kind: GateKind,
    outcome: Result<Box<str>, GateClosed>,
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The outcome knows not to print an answer.
        write!(f, "Ended({}, {:?})", self.id, self.outcome())
    }
}

impl Ended {
    fn new(id: GateId, kind: GateKind, outcome: &GateOutcome) -> Self {
        let outcome = match outcome {
            GateOutcome::Answered(answer) => Ok(answer.to_string().into_boxed_str()),
            GateOutcome::Closed(outcome) => Err(*outcome),
        };
        Self { id, kind, outcome }
    }

    fn outcome(&self) -> GateOutcome {
        match &self.outcome {
            // It was written by us, so it parses.
            Ok(answer) => GateOutcome::Answered(serde_json::from_str(answer).unwrap_or_default()),
            Err(outcome) => GateOutcome::Closed(*outcome),
        }
    }
}

/// The gates of one session.
#[derive(Debug, Default)]
pub(crate) struct SessionGates {
    pub(crate) pending: Vec<Slot>,
    ended: VecDeque<Ended>,
}

impl SessionGates {
    pub(crate) fn slot(&mut self, gate: &GateId) -> Option<&mut Slot> {
        self.pending.iter_mut().find(|slot| slot.gate.id == *gate)
    }

    /// How a gate ended, and of which kind it was.
    pub(crate) fn ended(&self, gate: &GateId) -> Option<(GateKind, GateOutcome)> {
        // The newest first: an id may come back after it was forgotten by the agent.
        let found = self.ended.iter().rev().find(|ended| ended.id == *gate)?;
        Some((found.kind, found.outcome()))
    }
}

/// Everything in memory; one lock around it, never held across an await.
#[derive(Debug, Default)]
pub(crate) struct Table {
    sessions: HashMap<SessionId, SessionGates>,
    /// Exactly the pending, unclaimed gates with a deadline.
    deadlines: BTreeSet<(Timestamp, SessionId, GateId)>,
    last_ticket: u64,
}

impl Table {
    pub(crate) fn session(&mut self, session: SessionId) -> Option<&mut SessionGates> {
        self.sessions.get_mut(&session)
    }

    pub(crate) fn slot(&mut self, session: SessionId, gate: &GateId) -> Option<&mut Slot> {
        self.session(session)?.slot(gate)
    }

    /// Adds a pending gate. True = its deadline is now the nearest one.
    pub(crate) fn insert(&mut self, session: SessionId, gate: Gate) -> bool {
        let nearer = self.watch_deadline(session, &gate.id, gate.deadline);
        self.sessions.entry(session).or_default().pending.push(Slot::new(gate));
        nearer
    }

    /// Gives out the right to end this gate; the number of the ticket, `None` without the gate.
    pub(crate) fn take(&mut self, session: SessionId, gate: &GateId) -> Option<u64> {
        self.last_ticket += 1;
        let number = self.last_ticket;
        let slot = self.slot(session, gate)?;
        let deadline = slot.gate.deadline;
        slot.stage.send_replace(Stage::Claimed(number));
        self.forget_deadline(session, gate, deadline);
        Some(number)
    }

    /// Takes the right back unused. True = its deadline is now the nearest one.
    pub(crate) fn give_back(&mut self, session: SessionId, gate: &GateId) -> bool {
        let Some(slot) = self.slot(session, gate) else { return false };
        let deadline = slot.gate.deadline;
        slot.stage.send_replace(Stage::Pending);
        self.watch_deadline(session, gate, deadline)
    }

    /// The only place where a gate gets its outcome.
    pub(crate) fn end(
        &mut self,
        session: SessionId,
        gate: &GateId,
        outcome: GateOutcome,
    ) -> Option<Gate> {
        let gates = self.sessions.get_mut(&session)?;
        let at = gates.pending.iter().position(|slot| slot.gate.id == *gate)?;
        let slot = gates.pending.remove(at);
        gates.remember(slot.gate.id.clone(), slot.gate.kind, &outcome);
        slot.stage.send_replace(Stage::Ended(outcome));
        self.forget_deadline(session, gate, slot.gate.deadline);
        Some(slot.gate)
    }

    /// Remembers a gate that ended before this server started.
    pub(crate) fn remember(
        &mut self,
        session: SessionId,
        gate: GateId,
        kind: GateKind,
        outcome: &GateOutcome,
    ) {
        self.sessions.entry(session).or_default().remember(gate, kind, outcome);
    }

    /// Forgets the session; the gates that were pending.
    pub(crate) fn remove(&mut self, session: SessionId) -> Vec<Slot> {
        let Some(gates) = self.sessions.remove(&session) else { return Vec::new() };
        for slot in &gates.pending {
            self.forget_deadline(session, &slot.gate.id, slot.gate.deadline);
        }
        gates.pending
    }

    /// The gates whose deadline passed, and the next deadline after those.
    pub(crate) fn due(&mut self, now: Timestamp) -> (Vec<(SessionId, Gate)>, Option<Timestamp>) {
        let past = self.deadlines.iter().take_while(|(at, ..)| *at <= now);
        let past: Vec<_> = past.map(|(_, session, gate)| (*session, gate.clone())).collect();
        let next = self.deadlines.iter().map(|(at, ..)| *at).find(|at| now < *at);
        let gates = past.into_iter().filter_map(|(session, gate)| {
            let slot = self.slot(session, &gate)?;
            Some((session, slot.gate.clone()))
        });
        (gates.collect(), next)
    }

    fn watch_deadline(
        &mut self,
        session: SessionId,
        gate: &GateId,
        deadline: Option<Timestamp>,
    ) -> bool {
        let Some(at) = deadline else { return false };
        let nearer = self.deadlines.first().is_none_or(|(first, ..)| at < *first);
        self.deadlines.insert((at, session, gate.clone()));
        nearer
    }

    fn forget_deadline(&mut self, session: SessionId, gate: &GateId, deadline: Option<Timestamp>) {
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, session, gate.clone()));
        }
    }
}

impl SessionGates {
    fn remember(&mut self, gate: GateId, kind: GateKind, outcome: &GateOutcome) {
        if self.ended.len() == ENDED_REMEMBERED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(Ended::new(gate, kind, outcome));
    }
}
