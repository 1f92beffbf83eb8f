//! Whatever order people, deadlines, cancellations and restarts come in: one outcome each.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::HashMap;

use polling::poll_once;
use proptest::prelude::*;
use serde_json::{Value, json};
use studio_events::Timestamp;
use studio_gates::{
    Claim, ClaimTicket, Gate, GateClosed, GateKind, GateLog, GateOutcome, Gates, Opened,
};
use studio_ids::{GateId, SessionId};

const SESSION: SessionId = SessionId::from_bytes([7; 16]);
const GATES: usize = 3;

/// One step of somebody; tickets are named by their place among those that are out.
#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Claim(usize, u8),
    /// The answer is written down before it is delivered.
    WriteResponse(usize),
    /// The end is written down; only settling may follow.
    WriteEnd(usize),
    Settle(usize),
    Release(usize),
    Drop(usize),
    Due,
    Close(usize),
    CloseAll,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let (gate, ticket) = (0..GATES, 0..4_usize);
    prop_oneof![
        3 => gate.clone().prop_map(Step::Open),
        4 => (gate.clone(), 0..2_u8).prop_map(|(gate, answer)| Step::Claim(gate, answer)),
        2 => ticket.clone().prop_map(Step::WriteResponse),
        3 => ticket.clone().prop_map(Step::WriteEnd),
        3 => ticket.clone().prop_map(Step::Settle),
        1 => ticket.clone().prop_map(Step::Release),
        1 => ticket.prop_map(Step::Drop),
        1 => Just(Step::Due),
        1 => gate.prop_map(Step::Close),
        1 => Just(Step::CloseAll),
        1 => Just(Step::Restart),
    ]
}

struct Held {
    ticket: ClaimTicket,
    end_is_written: bool,
}

/// A studio in small: the log, the service, and who holds tickets.
#[derive(Default)]
struct World {
    gates: Gates,
    log: Vec<Value>,
    held: Vec<Held>,
    /// The first outcome that was seen of each gate.
    outcomes: HashMap<usize, GateOutcome>,
}

fn id(gate: usize) -> GateId {
    format!("g{gate}").parse().unwrap()
}

fn end_of(gate: &GateId, outcome: &GateOutcome) -> Value {
    match outcome {
        GateOutcome::Answered(_) => json!({
            "source": "server", "type": "gate_resolved", "gate": "permission", "gate_id": gate,
        }),
        GateOutcome::Closed(outcome) => json!({
            "source": "server", "type": "gate_closed", "gate": "permission", "gate_id": gate,
            "outcome": outcome,
        }),
    }
}

impl World {
    fn take(&mut self, at: usize) -> Option<Held> {
        (at < self.held.len()).then(|| self.held.remove(at))
    }

    fn write_closed(&mut self, gate: &GateId, outcome: GateClosed) {
        self.log.push(end_of(gate, &GateOutcome::Closed(outcome)));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Open(gate) => self.open(gate),
            Step::Claim(gate, answer) => self.claim(gate, &json!(answer)),
            Step::WriteResponse(at) => {
                let Some(held) = self.held.get(at).filter(|held| !held.end_is_written) else {
                    return;
                };
                if let Some(answer) = held.ticket.answer() {
                    self.log.push(json!({
                        "source": "server", "type": "gate_response", "gate": "permission",
                        "gate_id": held.ticket.gate(), "value": answer,
                    }));
                }
            }
            Step::WriteEnd(at) => {
                let Some(held) = self.held.get_mut(at).filter(|held| !held.end_is_written) else {
                    return;
                };
                held.end_is_written = true;
                if let Some(answer) = held.ticket.answer() {
                    self.log.push(json!({
                        "source": "server", "type": "gate_response", "gate": "permission",
                        "gate_id": held.ticket.gate(), "value": answer,
                    }));
                }
                let end = end_of(held.ticket.gate(), held.ticket.outcome().unwrap());
                self.log.push(end);
            }
            Step::Settle(at) => {
                if self.held.get(at).is_some_and(|held| held.end_is_written) {
                    let held = self.take(at).unwrap();
                    let meant = held.ticket.outcome().cloned().unwrap();
                    assert_eq!(self.gates.settle(held.ticket), meant);
                }
            }
            Step::Release(at) => {
                if self.held.get(at).is_some_and(|held| !held.end_is_written) {
                    let held = self.take(at).unwrap();
                    let gate = held.ticket.gate().clone();
                    if let Some(outcome) = self.gates.release(held.ticket) {
                        self.write_closed(&gate, outcome);
                    }
                }
            }
            Step::Drop(at) => {
                if self.held.get(at).is_some_and(|held| !held.end_is_written) {
                    drop(self.take(at));
                }
            }
            Step::Due => {
                let (due, _) = self.gates.due(Timestamp::from_unix_millis(1));
                for (session, gate) in due {
                    let ticket = self.gates.claim_close(session, &gate.id, GateClosed::Expired);
                    let Some(ticket) = ticket else { panic!("what is due is not claimed") };
                    self.held.push(Held { ticket, end_is_written: false });
                }
            }
            Step::Close(gate) => {
                if self.gates.close(SESSION, &id(gate), GateClosed::Withdrawn) {
                    self.write_closed(&id(gate), GateClosed::Withdrawn);
                }
            }
            Step::CloseAll => {
                for gate in self.gates.close_all(SESSION, GateClosed::Rejected) {
                    self.write_closed(&gate.id, GateClosed::Rejected);
                }
            }
            Step::Restart => self.restart(),
        }
    }

    fn open(&mut self, gate: usize) {
        let known = self.gates.get(SESSION, &id(gate)).is_some();
        let ended = self.gates.outcome(SESSION, &id(gate));
        let deadline = (gate == 0).then(|| Timestamp::from_unix_millis(1));
        self.log.push(json!({
            "source": "agent", "type": "permission_request", "gate_id": id(gate),
            "deadline": deadline,
        }));
        let asked =
            json!({"type": "permission_request", "gate_id": id(gate), "deadline": deadline});
        let opened = self
            .gates
            .open(SESSION, Gate { id: id(gate), kind: GateKind::Permission, deadline, asked });
        match (known, ended) {
            (true, _) => assert_eq!(opened, Opened::Joined),
            (false, Some(outcome)) => assert_eq!(opened, Opened::Ended(outcome)),
            (false, None) => assert_eq!(opened, Opened::New),
        }
    }

    fn claim(&mut self, gate: usize, answer: &Value) {
        let held = self.held.iter().any(|held| *held.ticket.gate() == id(gate));
        let pending = self.gates.get(SESSION, &id(gate)).is_some();
        let outcome = self.gates.outcome(SESSION, &id(gate));
        match self.gates.claim(SESSION, &id(gate), GateKind::Permission, answer) {
            Claim::Granted(ticket) => {
                assert!(pending && !held, "one ticket at a time");
                self.held.push(Held { ticket, end_is_written: false });
            }
            Claim::InProgress(attempt) => {
                assert!(held);
                assert!(poll_once(attempt.over()).is_none());
            }
            Claim::SameAgain => assert_eq!(outcome, Some(GateOutcome::Answered(answer.clone()))),
            Claim::Conflict => {
                assert!(matches!(outcome, Some(GateOutcome::Answered(given)) if given != *answer));
            }
            Claim::Closed(closed) => assert_eq!(outcome, Some(GateOutcome::Closed(closed))),
            Claim::Unknown => assert!(!pending && outcome.is_none()),
        }
    }

    /// The process ends: tickets, waiters and what was not in the log are gone.
    fn restart(&mut self) {
        self.gates = Gates::new();
        self.held.clear();
        // A close that nobody wrote down is forgotten with the process.
        self.outcomes.clear();
        let log = GateLog::fold(&self.log);
        for again in self.gates.restore(SESSION, log) {
            self.held.push(Held { ticket: again.ticket, end_is_written: false });
        }
    }

    fn check(&mut self) {
        for gate in 0..GATES {
            let ends = self.log.iter().filter(|entry| {
                matches!(entry["type"].as_str(), Some("gate_resolved" | "gate_closed"))
                    && entry["gate_id"] == json!(id(gate))
            });
            assert!(ends.count() <= 1, "the log tells one end of gate {gate}: {:#?}", self.log);

            let pending = self.gates.get(SESSION, &id(gate)).is_some();
            let outcome = self.gates.outcome(SESSION, &id(gate));
            assert!(!(pending && outcome.is_some()), "gate {gate} is open and ended");
            if let Some(seen) = self.outcomes.get(&gate) {
                assert_eq!(outcome.as_ref(), Some(seen), "an outcome never changes");
            }
            let told = poll_once(self.gates.wait(SESSION, &id(gate)));
            assert_eq!(told.is_none(), pending, "who waits for an open gate waits");
            if !pending {
                assert_eq!(told.flatten(), outcome);
            }
            if let Some(outcome) = outcome {
                self.outcomes.insert(gate, outcome);
            }
        }
    }

    /// The fold over the log tells the same as memory, once all that is out has come to an end.
    fn check_log(&mut self) {
        while let Some(held) = self.take(0) {
            if held.end_is_written {
                self.gates.settle(held.ticket);
            } else {
                let gate = held.ticket.gate().clone();
                if let Some(outcome) = self.gates.release(held.ticket) {
                    self.write_closed(&gate, outcome);
                }
            }
        }
        let log = GateLog::fold(&self.log);
        for (gate, _kind, outcome) in log.ended() {
            assert_eq!(self.gates.outcome(SESSION, gate).as_ref(), Some(outcome));
        }
        for gate in self.gates.pending(SESSION) {
            assert!(log.pending().any(|open| *open == gate), "{gate:?} is open in the log too");
        }
    }
}

mod polling {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    /// What a future says when it is asked once.
    pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_gate_has_one_outcome(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
            world.check();
        }
        world.check_log();
    }
}
