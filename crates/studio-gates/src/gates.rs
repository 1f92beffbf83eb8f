use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use studio_events::{GateClosed, Timestamp};
use studio_ids::{GateId, SessionId};
use tokio::sync::Notify;

use crate::{
    Attempt, Claim, ClaimTicket, Gate, GateKind, GateLog, GateOutcome, Opened, PENDING_MAX,
    Redeliver,
    table::{Stage, Table},
};

/// The questions that wait for people, of all sessions. Cheap to clone: all clones are one.
///
/// The order is always the same: the event is written first, then this service is told. An end
/// that takes time to deliver and to write (an answer, an expiry) is reserved first, by a
/// [`ClaimTicket`], so that the log never gets two ends of one gate.
#[derive(Clone, Debug, Default)]
pub struct Gates {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Never locked across an await.
    table: Mutex<Table>,
    /// A nearer deadline was added.
    nearer: Notify,
}

impl Gates {
    /// No gates.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a gate whose opening is in the log.
    pub fn open(&self, session: SessionId, gate: Gate) -> Opened {
        let mut table = self.table();
        if let Some(gates) = table.session(session) {
            if gates.slot(&gate.id).is_some() {
                return Opened::Joined;
            }
            if let Some((_kind, outcome)) = gates.ended(&gate.id) {
                return Opened::Ended(outcome);
            }
            if PENDING_MAX <= gates.pending.len() {
                return Opened::Full;
            }
        }
        let nearer = table.insert(session, gate);
        drop(table);
        self.tell_if(nearer);
        Opened::New
    }

    /// Asks for the right to answer. The first answer gets it; see [`Claim`] for the others.
    ///
    /// Two answers are the same when their JSON values are equal. A gate of another kind is
    /// [`Claim::Unknown`]: an answer never reaches a question that it was not made for.
    pub fn claim(
        &self,
        session: SessionId,
        gate: &GateId,
        kind: GateKind,
        answer: &Value,
    ) -> Claim {
        let mut table = self.table();
        let Some(gates) = table.session(session) else { return Claim::Unknown };
        if let Some(slot) = gates.slot(gate) {
            if slot.gate.kind != kind {
                return Claim::Unknown;
            }
            if let Some(number) = slot.claimed() {
                return Claim::InProgress(Attempt { stage: slot.stage.subscribe(), number });
            }
            return match table.take(session, gate) {
                Some(number) => Claim::Granted(self.ticket(
                    session,
                    gate,
                    number,
                    GateOutcome::Answered(answer.clone()),
                )),
                None => Claim::Unknown,
            };
        }
        match gates.ended(gate) {
            Some((ended, _)) if ended != kind => Claim::Unknown,
            Some((_, GateOutcome::Answered(given))) if given == *answer => Claim::SameAgain,
            Some((_, GateOutcome::Answered(_))) => Claim::Conflict,
            Some((_, GateOutcome::Closed(outcome))) => Claim::Closed(outcome),
            None => Claim::Unknown,
        }
    }

    /// As [`Self::claim`], but waits while somebody else's claim is in progress: never
    /// [`Claim::InProgress`]. Dropping the future changes nothing.
    pub async fn claim_in_turn(
        &self,
        session: SessionId,
        gate: &GateId,
        kind: GateKind,
        answer: &Value,
    ) -> Claim {
        loop {
            match self.claim(session, gate, kind, answer) {
                Claim::InProgress(attempt) => attempt.over().await,
                claim @ (Claim::Granted(_)
                | Claim::SameAgain
                | Claim::Conflict
                | Claim::Closed(_)
                | Claim::Unknown) => return claim,
            }
        }
    }

    /// Asks for the right to close a pending gate, for who writes the event first (a deadline
    /// that passed). `None`: it ended, or somebody is ending it.
    pub fn claim_close(
        &self,
        session: SessionId,
        gate: &GateId,
        outcome: GateClosed,
    ) -> Option<ClaimTicket> {
        let mut table = self.table();
        if table.slot(session, gate)?.claimed().is_some() {
            return None;
        }
        let number = table.take(session, gate)?;
        Some(self.ticket(session, gate, number, GateOutcome::Closed(outcome)))
    }

    /// The end is delivered and in the log: the gate has its outcome and who waits is told.
    ///
    /// Returns the outcome: the ticket's, unless the log told another one meanwhile
    /// ([`Self::resolved`], [`Self::closed`]) or the session was forgotten (`Rejected`).
    pub fn settle(&self, mut ticket: ClaimTicket) -> GateOutcome {
        let Some(outcome) = ticket.outcome.take() else {
            return GateOutcome::Closed(GateClosed::Rejected);
        };
        let (session, gate) = (ticket.session, &ticket.gate);
        let mut table = self.table();
        if table.slot(session, gate).and_then(|slot| slot.claimed()) == Some(ticket.number) {
            table.end(session, gate, outcome.clone());
            return outcome;
        }
        let told = table.session(session).and_then(|gates| gates.ended(gate));
        told.map_or(GateOutcome::Closed(GateClosed::Rejected), |(_, outcome)| outcome)
    }

    /// The answer could not be delivered: the gate is pending again.
    ///
    /// `Some`: a [`Self::close`] came meanwhile, so now it is closed, and `gate_closed` is for
    /// the caller to write.
    pub fn release(&self, mut ticket: ClaimTicket) -> Option<GateClosed> {
        let closed = self.give_back(&ticket);
        ticket.outcome = None;
        closed
    }

    /// The log says that the gate was answered (told by another server, or read back). First
    /// outcome wins; true = this was it.
    pub fn resolved(&self, session: SessionId, gate: &GateId, answer: &Value) -> bool {
        let outcome = GateOutcome::Answered(answer.clone());
        self.table().end(session, gate, outcome).is_some()
    }

    /// The log says that the gate closed without an answer (the agent took it back, and the
    /// bridge has written that down). First outcome wins, also over a ticket that is out; true =
    /// this was it.
    pub fn closed(&self, session: SessionId, gate: &GateId, outcome: GateClosed) -> bool {
        self.table().end(session, gate, GateOutcome::Closed(outcome)).is_some()
    }

    /// Decides that the gate closes. True: it was pending and is closed; `gate_closed` is for
    /// the caller to write. False: it had ended; or a ticket is out, whose settling wins and
    /// whose release closes the gate ([`Self::release`]).
    pub fn close(&self, session: SessionId, gate: &GateId, outcome: GateClosed) -> bool {
        close(&mut self.table(), session, gate, outcome).is_some()
    }

    /// [`Self::close`] for all gates of a session. Returns those that closed now: `gate_closed`
    /// is for the caller to write.
    pub fn close_all(&self, session: SessionId, outcome: GateClosed) -> Vec<Gate> {
        let mut table = self.table();
        let Some(gates) = table.session(session) else { return Vec::new() };
        let ids: Vec<GateId> = gates.pending.iter().map(|slot| slot.gate.id.clone()).collect();
        ids.iter().filter_map(|gate| close(&mut table, session, gate, outcome)).collect()
    }

    /// Forgets a session that was deleted. Who waits is told `Rejected`; tickets are worthless.
    pub fn forget(&self, session: SessionId) {
        let pending = self.table().remove(session);
        for slot in pending {
            let rejected = GateOutcome::Closed(GateClosed::Rejected);
            slot.stage.send_replace(Stage::Ended(rejected));
        }
    }

    /// The gates that wait for a person, in the order of their opening; claimed ones too, as
    /// long as they are not settled.
    pub fn pending(&self, session: SessionId) -> Vec<Gate> {
        let mut table = self.table();
        let gates = table.session(session).map(|gates| &gates.pending);
        gates.into_iter().flatten().map(|slot| slot.gate.clone()).collect()
    }

    /// Whether a gate of the session waits for a person.
    pub fn has_pending(&self, session: SessionId) -> bool {
        self.table().session(session).is_some_and(|gates| !gates.pending.is_empty())
    }

    /// One pending gate.
    pub fn get(&self, session: SessionId, gate: &GateId) -> Option<Gate> {
        self.table().slot(session, gate).map(|slot| slot.gate.clone())
    }

    /// How a gate ended; `None` while it is pending, and for one that is not known.
    pub fn outcome(&self, session: SessionId, gate: &GateId) -> Option<GateOutcome> {
        self.table().session(session)?.ended(gate).map(|(_kind, outcome)| outcome)
    }

    /// Whether somebody [waits](Self::wait) for this gate: a hook that holds its request open,
    /// so that an answer has somewhere to go.
    pub fn is_awaited(&self, session: SessionId, gate: &GateId) -> bool {
        self.table().slot(session, gate).is_some_and(|slot| 0 < slot.stage.receiver_count())
    }

    /// Waits until the gate ends. `None`: no such gate is known. Ends at the latest with the
    /// gate's deadline (which [`Self::due`] tells to who closes it) or its session. Dropping the
    /// future changes nothing.
    pub async fn wait(&self, session: SessionId, gate: &GateId) -> Option<GateOutcome> {
        let mut stage = {
            let mut table = self.table();
            let gates = table.session(session)?;
            match gates.slot(gate) {
                Some(slot) => slot.stage.subscribe(),
                None => return gates.ended(gate).map(|(_kind, outcome)| outcome),
            }
        };
        let ended = stage.wait_for(|stage| matches!(stage, Stage::Ended(_))).await;
        match ended.as_deref() {
            Ok(Stage::Ended(outcome)) => Some(outcome.clone()),
            // A gate leaves the table with its last word, so the sender never goes without one.
            Ok(Stage::Pending | Stage::Claimed(_)) | Err(_) => None,
        }
    }

    /// The gates whose deadline is `now` or earlier (pending and not claimed), and the next
    /// deadline after `now`. For each, [`Self::claim_close`] `Expired`, write the event, settle;
    /// a gate whose event could not be written is due again.
    pub fn due(&self, now: Timestamp) -> (Vec<(SessionId, Gate)>, Option<Timestamp>) {
        self.table().due(now)
    }

    /// Returns when a deadline nearer than all others was added since the last call. For the one
    /// task that sleeps until the next deadline; a change between two calls is not lost.
    pub async fn changed(&self) {
        self.shared.nearer.notified().await;
    }

    /// Takes over what the log of a session told (see [`GateLog`]). For a session that has no
    /// gates here yet: right after a start.
    ///
    /// Returns the answers that were written but perhaps not delivered, each with its ticket, so
    /// that nobody else answers meanwhile: deliver, write `gate_resolved`, settle. Dropped
    /// tickets leave their gates pending.
    pub fn restore(&self, session: SessionId, log: GateLog) -> Vec<Redeliver> {
        let mut table = self.table();
        let mut nearer = false;
        let (pending, ended) = log.into_parts();
        for (gate, kind, outcome) in ended {
            table.remember(session, gate, kind, &outcome);
        }
        let mut again = Vec::new();
        for (gate, written) in pending {
            if table.slot(session, &gate.id).is_some() {
                continue;
            }
            nearer |= table.insert(session, gate.clone());
            let Some(answer) = written else { continue };
            if let Some(number) = table.take(session, &gate.id) {
                let outcome = GateOutcome::Answered(answer);
                let ticket = self.ticket(session, &gate.id, number, outcome);
                again.push(Redeliver { gate, ticket });
            }
        }
        drop(table);
        self.tell_if(nearer);
        again
    }

    /// Takes an unused ticket back.
    pub(crate) fn give_back(&self, ticket: &ClaimTicket) -> Option<GateClosed> {
        let (session, gate) = (ticket.session, &ticket.gate);
        let mut table = self.table();
        let slot = table.slot(session, gate)?;
        if slot.claimed() != Some(ticket.number) {
            return None;
        }
        if let Some(outcome) = slot.close_next {
            table.end(session, gate, GateOutcome::Closed(outcome));
            return Some(outcome);
        }
        // Its deadline may have passed meanwhile, so the deadline task always looks again.
        let nearer = table.give_back(session, gate);
        drop(table);
        self.tell_if(nearer);
        None
    }

    fn ticket(
        &self,
        session: SessionId,
        gate: &GateId,
        number: u64,
        outcome: GateOutcome,
    ) -> ClaimTicket {
        let (gates, gate) = (self.clone(), gate.clone());
        ClaimTicket { gates, session, gate, number, outcome: Some(outcome) }
    }

    fn tell_if(&self, nearer: bool) {
        if nearer {
            self.shared.nearer.notify_one();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change is made whole before anything that could panic.
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn close(
    table: &mut Table,
    session: SessionId,
    gate: &GateId,
    outcome: GateClosed,
) -> Option<Gate> {
    let slot = table.slot(session, gate)?;
    if slot.claimed().is_some() {
        slot.close_next.get_or_insert(outcome);
        return None;
    }
    table.end(session, gate, GateOutcome::Closed(outcome))
}
