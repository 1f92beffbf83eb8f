//! Durable questions to people: open, answer once, expire.
//!
//! A gate's opening, answer and end are events in its session's stream, written by whoever owns
//! the stream. [`Gates`] is the fold of those events in memory, together with what no stream
//! holds: who is answering right now, who waits for the answer, and which deadline is next. It
//! reads no clock and does no I/O: `now` is an argument.
//!
//! Reading order: [`Gate`] and [`GateKind`] (what is asked), [`Gates`] (the service),
//! [`Claim`] and [`ClaimTicket`] (why an answer is taken in two steps), [`GateOutcome`] (the one
//! way a gate ends), [`GateLog`] (the fold after a restart).

mod claim;
mod gate;
mod gates;
mod log;
mod table;

pub use claim::{Attempt, Claim, ClaimTicket};
pub use gate::{Gate, GateKind, GateOutcome, Opened, infra_gate_id};
pub use gates::Gates;
pub use log::{GateLog, Redeliver};
pub use studio_events::GateClosed;
pub use table::{ENDED_REMEMBERED_MAX, PENDING_MAX};
