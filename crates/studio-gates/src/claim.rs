use std::fmt;

use serde_json::Value;
use studio_events::GateClosed;
use studio_ids::{GateId, SessionId};
use tokio::sync::watch;

use crate::{GateOutcome, Gates, table::Stage};

/// What became of an answer.
#[derive(Debug)]
pub enum Claim {
    /// It is the first: deliver it, write it down, then [`Gates::settle`].
    Granted(ClaimTicket),
    /// It was given before, the very same: nothing is left to do, and that is a success.
    SameAgain,
    /// Somebody else's answer (or an expiry) is being written down right now. Wait, then claim
    /// again; [`Gates::claim_in_turn`] does both.
    InProgress(Attempt),
    /// Another answer was given before.
    Conflict,
    /// It closed without an answer.
    Closed(GateClosed),
    /// No gate of this id and kind is known.
    Unknown,
}

/// The right to end one gate, held while the end is delivered and written down.
///
/// As long as it is held nobody else can end the gate, so the log gets one outcome. Dropping it
/// gives it back: the gate is pending again (or closed, if [`Gates::close`] came meanwhile).
pub struct ClaimTicket {
    pub(crate) gates: Gates,
    pub(crate) session: SessionId,
    pub(crate) gate: GateId,
    /// Tells this claim from every other one, of this gate or of a later one of the same id.
    pub(crate) number: u64,
    /// What the gate becomes when the ticket is settled; `None` once it was used.
    pub(crate) outcome: Option<GateOutcome>,
}

impl ClaimTicket {
    /// Whose gate it is.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Which gate.
    pub fn gate(&self) -> &GateId {
        &self.gate
    }

    /// How the gate will have ended.
    pub fn outcome(&self) -> Option<&GateOutcome> {
        self.outcome.as_ref()
    }

    /// The answer to deliver; `None` for a ticket that closes the gate.
    pub fn answer(&self) -> Option<&Value> {
        match &self.outcome {
            Some(GateOutcome::Answered(answer)) => Some(answer),
            Some(GateOutcome::Closed(_)) | None => None,
        }
    }
}

impl Drop for ClaimTicket {
    fn drop(&mut self) {
        if self.outcome.is_some() {
            self.gates.give_back(self);
        }
    }
}

impl fmt::Debug for ClaimTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimTicket")
            .field("session", &self.session)
            .field("gate", &self.gate)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// Somebody else's claim that has not come to its end.
pub struct Attempt {
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) number: u64,
}

impl Attempt {
    /// Waits until that claim was settled or given back. Ends with the claim, whose owner must
    /// not hold it without a limit.
    pub async fn over(mut self) {
        let number = self.number;
        let still = |stage: &Stage| matches!(stage, Stage::Claimed(held) if *held == number);
        // An error means that the gate is gone with its session: that claim is over too.
        self.stage.wait_for(|stage| !still(stage)).await.ok();
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attempt({})", self.number)
    }
}
