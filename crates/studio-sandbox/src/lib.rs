//! The port to sandboxes: where an agent works.
//!
//! Reading order: [`SandboxProvider`] and [`Sandbox`] (the few verbs a vendor offers),
//! [`Command`], [`Process`] (something running inside), [`Abilities`] (what a vendor can do),
//! [`JournaledProcess`] (an agent that outlives the server, on top of the verbs),
//! [`Relay`] (a way from inside to the studio without a network), `contract` (behind the feature
//! of that name: the tests that every provider passes), `NoSandboxes` (a provider that makes none,
//! for tests of what needs none; the feature `testing`).

mod abilities;
mod command;
#[cfg(feature = "contract")]
pub mod contract;
mod error;
mod journal;
#[cfg(feature = "testing")]
mod none;
mod path;
mod provider;
mod relay;

pub use abilities::{Abilities, Enforced, Isolation};
pub use command::{
    Command, ExecOutput, Exit, Output, OutputChunk, Process, ProcessInput, ProcessOutput,
};
pub use error::SandboxError;
pub use journal::{
    JournalLine, JournalLines, JournalState, JournaledProcess, LINE_BYTES_MAX, RUN_MARKER, Signal,
    WRITE_PATIENCE,
};
#[cfg(feature = "testing")]
pub use none::NoSandboxes;
pub use path::{BadSandboxPath, SandboxPath};
pub use provider::{
    DirEntry, Limits, NewFile, Progress, ProgressSink, Sandbox, SandboxProvider, SandboxRef,
    SandboxSpec, SandboxState,
};
pub use relay::{RELAY_BODY_BYTES_MAX, Relay, RelayHandler};
pub use studio_ids::Secret;
