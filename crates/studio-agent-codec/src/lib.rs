//! The agents' languages: output lines to events, words and answers to input lines, argument
//! vectors. Pure: no clock, no process, no stream; a codec's state is a function of the lines it
//! has read, so a restarted server reads the journal again and stands where it stood.
//!
//! Reading order: [`AgentCodec`] (the port), [`Heard`] (what a line comes to), [`Launch`] (how a
//! program is started), [`Claude`] (the one language so far), [`lines`] (bytes to lines),
//! [`hook`] (hook bodies to events).

mod agent;
mod claude;
pub mod hook;
mod json;
pub mod lines;
mod questions;

pub use agent::{
    AgentCodec, Answer, Ask, AskKind, Heard, Launch, LaunchOptions, MessageState, PermissionPolicy,
};
pub use claude::{Claude, DEFAULT_TOOLS, SILENT_KINDS, TOOL_RESPONSE_BYTES_MAX};
