use std::sync::Arc;

use studio_ids::{GateId, MessageId, SessionId};
use studio_sandbox::SandboxError;
use studio_streams::{BadBatch, StreamError};

/// Why a bridge could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// It was finished, detached, fenced or stopped with the studio: it takes no more commands.
    #[error("the bridge of session {0} has ended")]
    Ended(SessionId),
    /// More than [`crate::COMMANDS_WAITING_MAX`] commands wait for it, for too long.
    #[error("the bridge of session {0} is too busy")]
    Busy(SessionId),
    /// A newer server owns the session. The agent was left as it is.
    #[error("session {0} was taken over by another server")]
    Fenced(SessionId),
    /// There is no agent process to talk to: launch one. Nothing was recorded.
    #[error("session {0} has no running agent")]
    NoAgent(SessionId),
    /// There is an agent process already.
    #[error("session {0} has a running agent already")]
    AlreadyRunning(SessionId),
    /// More than [`crate::MESSAGES_WAITING_MAX`] messages would wait. Nothing was recorded.
    #[error("{max} messages wait for the agent of session {session}, no more are taken")]
    QueueFull {
        /// Whose.
        session: SessionId,
        /// The limit.
        max: usize,
    },
    /// No message of this id waits.
    #[error("no message {message} waits for the agent of session {session}")]
    NotWaiting {
        /// Whose.
        session: SessionId,
        /// Which.
        message: MessageId,
    },
    /// The agent's process has the message already: interrupt it first.
    #[error("the agent of session {session} was handed message {message} already")]
    HandedOver {
        /// Whose.
        session: SessionId,
        /// Which.
        message: MessageId,
    },
    /// The agent does not wait for an answer to this gate.
    #[error("the agent of session {session} does not wait for an answer to gate {gate}")]
    NotAsked {
        /// Whose.
        session: SessionId,
        /// Which gate.
        gate: GateId,
    },
    /// The agent's process did not take what was to be delivered. May be tried again.
    #[error("{what} did not reach the agent of session {session}: {reason}")]
    Undelivered {
        /// Whose.
        session: SessionId,
        /// What: `the answer to gate …`.
        what: String,
        /// Why.
        reason: String,
    },
    /// Nothing was written to the session's stream. May be tried again.
    #[error("an event of session {session} could not be written")]
    NotRecorded {
        /// Whose.
        session: SessionId,
        /// Why.
        source: Arc<StreamError>,
    },
    /// It may have been written; the bridge finds out before it writes anything else. Do not try
    /// again.
    #[error("it is not known whether an event of session {session} was written")]
    InDoubt {
        /// Whose.
        session: SessionId,
        /// Why.
        source: Arc<StreamError>,
    },
    /// The events do not make a batch that a store takes.
    #[error("the events of session {session} cannot be written as one batch")]
    BadBatch {
        /// Whose.
        session: SessionId,
        /// Why.
        source: BadBatch,
    },
    /// The session's stream could not be read.
    #[error("the events of session {session} could not be read")]
    Read {
        /// Whose.
        session: SessionId,
        /// Why.
        source: Arc<StreamError>,
    },
    /// The sandbox could not be used.
    #[error("{tried} failed for session {session}")]
    Sandbox {
        /// Whose.
        session: SessionId,
        /// What was tried.
        tried: &'static str,
        /// Why.
        source: Arc<SandboxError>,
    },
}
