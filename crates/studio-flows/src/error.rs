use std::sync::Arc;

use studio_ids::SessionId;
use studio_sandbox::SandboxError;
use studio_streams::StreamError;

/// Why a flow could not do what was asked. What it means for a client is decided in one table,
/// in `studio-http`.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// No such session.
    #[error("session {0} does not exist")]
    NoSession(SessionId),
    /// Freeform sessions are for development mode.
    #[error("freeform sessions are not available")]
    FreeformNotAvailable,
    /// The session's stream could not be made.
    #[error("the event stream of a new session could not be created")]
    CreateStream {
        /// Why.
        source: Arc<StreamError>,
    },
    /// An event could not be written.
    #[error("an event of session {session} could not be written")]
    Write {
        /// Whose.
        session: SessionId,
        /// Why.
        source: Arc<StreamError>,
    },
    /// The list of sessions could not be written.
    #[error("the registry could not be written: {reason}")]
    Registry {
        /// Why.
        reason: String,
    },
    /// A stream could not be read.
    #[error("the events of session {session} could not be read")]
    Read {
        /// Whose.
        session: SessionId,
        /// Why.
        source: Arc<StreamError>,
    },
    /// There is no sandbox, or it is gone or not ready yet.
    #[error("the sandbox of session {0} is not running")]
    NoSandbox(SessionId),
    /// A sandbox could not be used.
    #[error("the sandbox of session {session} could not be used")]
    Sandbox {
        /// Whose.
        session: SessionId,
        /// Why.
        source: Arc<SandboxError>,
    },
    /// The agent did not take what was to be delivered.
    #[error("session {session}'s agent could not be reached: {reason}")]
    Undelivered {
        /// Whose.
        session: SessionId,
        /// Why.
        reason: String,
    },
    /// More messages wait for the agent than may.
    #[error("too many messages wait for session {0}'s agent")]
    QueueFull(SessionId),
    /// No gate of this kind and id waits.
    #[error("no pending gate found")]
    GateUnknown,
    /// The gate was answered differently before.
    #[error("gate {0} was answered differently before")]
    GateConflict(String),
    /// The gate closed without an answer: expired, taken back or rejected.
    #[error("gate {gate} is closed: {outcome}")]
    GateClosed {
        /// Which.
        gate: String,
        /// How it ended.
        outcome: String,
    },
    /// The session was cancelled or deleted while this went on.
    #[error("session {0} was cancelled")]
    Cancelled(SessionId),
    /// The session spent what it may.
    #[error("session {session} has spent {spent_usd} of {budget_usd} US dollars")]
    OverBudget {
        /// Whose.
        session: SessionId,
        /// The limit.
        budget_usd: f64,
        /// What was spent.
        spent_usd: f64,
    },
    /// The studio is stopping.
    #[error("the studio is stopping")]
    Stopping,
}
