//! What agents and sessions do, as wire data.
//!
//! Reading order: [`EngineEvent`] (what a browser sees of a session), [`Stamped`] (an event and
//! its time), [`SessionEntry`] (how it lies in the session's stream), [`SessionInfo`] and
//! [`RegistryEntry`] (the list of sessions as a stream), [`SharedEvent`] (what people do who watch
//! sessions together).

mod engine;
mod entry;
mod registry;
mod shared;
mod time;

pub use engine::{
    AppState, AskedOption, AskedQuestion, EngineEvent, GateClosed, GhAccount, LogLevel, ResolvedBy,
    SessionTotals, TodoItem,
};
pub use entry::{InternalEvent, JournalMark, SessionEntry, Source, Stamped};
pub use registry::{
    Cloned, GitInfo, HookProject, Imported, Phase, RegistryEntry, SandboxRecord, SessionInfo,
    SessionPrivate, SessionStatus, SessionUpdate,
};
pub use shared::{Participant, SharedEvent};
pub use time::Timestamp;
