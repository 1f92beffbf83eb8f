//! HTTP bodies, their limits, error codes and the problem body; no server code.
//!
//! Reading order: [`limits`] (how much of what), [`Body`] (how a body is read: all failures, not
//! only the first), [`CreateSession`], [`CreateLocalSession`], [`ResumeSession`], [`Iterate`] and [`Respond`] (the
//! bodies), [`CreateSharedSession`] and its siblings (those of shared sessions), [`Described`] (what they look like), the answers in [`answers`], [`ErrorCode`] and [`ProblemBody`] (how a failure is told).

pub mod answers;
mod append;
mod body;
mod change;
mod code;
mod database;
mod decode;
mod described;
mod hooks;
mod infra;
pub mod limits;
mod private_text;
mod problem;
mod respond;
mod resume;
mod sandbox;
mod sessions;
mod shared;
mod tokens;

pub use append::AppendEvent;
pub use body::{Body, BodyError};
pub use change::ChangeSession;
pub use code::ErrorCode;
pub use described::Described;
pub use hooks::SetUpHooks;
pub use infra::{InfraChoice, InfraConfig, RepoConfig};
pub use private_text::PrivateText;
pub use problem::ProblemBody;
pub use respond::{OutboundAction, Respond, RespondAnswer};
pub use resume::ResumeSession;
pub use sandbox::CreateSandbox;
pub use sessions::{CreateLocalSession, CreateSession, Iterate, Permissions};
pub use shared::{
    CreateSharedSession, JoinSharedSession, LeaveSharedSession, LinkSession, PingSharedSession,
};
pub use tokens::{MintProgramToken, MintSessionToken, ProgramPurpose, SessionPurpose};
