//! The one owner of a session's stream and agent process: turns, recording, interrupt, re-attach.
//!
//! Reading order: [`Bridge`] (the handle), [`Parts`] and [`AgentParts`] (what it is made of),
//! [`Told`] (what its listener hears), [`BridgeError`].
//!
//! Inside: `owner` (everything that can happen), `talk` (what is known of the conversation, pure),
//! `log` (write down, then tell), `say` (words and answers on their way), `run` (start, find
//! again, end), `interrupt`, `restore` (what the stream remembers), `agent` (what is done to the
//! process), `exit` (an end explained).

mod agent;
mod bridge;
mod error;
mod exit;
mod interrupt;
mod log;
mod owner;
mod parts;
mod restore;
mod run;
mod say;
mod talk;

pub use bridge::{Bridge, COMMANDS_WAITING_MAX, MESSAGES_WAITING_MAX};
pub use error::BridgeError;
pub use parts::{
    Activity, AgentParts, AnswerRecord, Attached, BridgeSettings, BridgeState, CodecFactory,
    Listener, OpenAsk, Parts, Record, Told, Waiting, WaitingState,
};
