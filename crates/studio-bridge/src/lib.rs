//! The one owner of a session's stream and agent process: turns, recording, interrupt, re-attach.
//!
//! Reading order: [`Bridge`] (the handle), [`Parts`] and [`AgentParts`] (what it is made of),
//! [`Told`] (what its listener hears), [`BridgeError`].

mod bridge;
mod error;
mod owner;
mod parts;

pub use bridge::{Bridge, COMMANDS_WAITING_MAX, MESSAGES_WAITING_MAX};
pub use error::BridgeError;
pub use parts::{
    Activity, AgentParts, AnswerRecord, Attached, BridgeSettings, BridgeState, CodecFactory,
    Listener, OpenAsk, Parts, Record, Told, Waiting, WaitingState,
};
