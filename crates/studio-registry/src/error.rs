use std::sync::Arc;

use studio_ids::SessionId;
use studio_streams::StreamError;

use crate::HOOK_PROJECTS_MAX;

/// Why the list of sessions could not be read or written. Cheap to clone: one failed append
/// answers everybody who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The stream could not be read to its end, so nothing is known: the start fails.
    #[error("the registry could not be read")]
    Read {
        /// Why.
        source: Arc<StreamError>,
    },
    /// The stream could not be taken over.
    #[error("the registry could not be taken over with lease {lease}")]
    TakeOver {
        /// The lease that was tried.
        lease: u64,
        /// Why.
        source: Arc<StreamError>,
    },
    /// No such session.
    #[error("session {session} does not exist")]
    NotFound {
        /// Which.
        session: SessionId,
    },
    /// The entry was not written, or (a [`StreamError::Failed`]) nobody knows: if it was, it
    /// will be seen by everybody, here too.
    #[error("the registry could not be written")]
    Write {
        /// Why.
        source: Arc<StreamError>,
    },
    /// The entry is too large for a stream.
    #[error("an entry of {bytes} bytes is too large for the registry")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// No more projects are taken, and none that could be forgotten is revoked.
    #[error("{HOOK_PROJECTS_MAX} projects have hooks, which is the most")]
    TooManyProjects,
    /// A snapshot could not be written (the log tells why). Nothing is lost by that.
    #[error("no snapshot of the registry could be written")]
    Snapshot,
    /// Another server has taken over: this one is to stand down.
    #[error("another server has taken over the registry from lease {lease}")]
    Fenced {
        /// The lease that is over.
        lease: u64,
    },
    /// The registry was stopped.
    #[error("the registry is stopped")]
    Stopped,
}
