use std::time::Duration;

use crate::{json::BadArray, sse::EventTooLarge};

/// Why a service could not be connected to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Not the URL of a service.
    #[error("not the URL of a service: {0}")]
    BadUrl(&'static str),
    /// Not a service id.
    #[error("a service id is letters, digits, `.`, `_` and `-`")]
    BadService,
    /// Not a secret.
    #[error("a secret is visible ASCII without blanks")]
    BadSecret,
    /// No connection could be prepared at all (no TLS, no certificates).
    #[error("no client for the service could be made")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It does not answer.
    #[error("the service could not be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It refuses the secret.
    #[error("the service refuses the secret (it answered {status})")]
    NotLetIn {
        /// The answer's status.
        status: u16,
    },
    /// It answers, and does not do what the protocol says.
    #[error("the service does not keep the Durable Streams protocol: {0}")]
    NotDurableStreams(String),
}

/// Why a request got no answer that the protocol knows. Never says what the service wrote: that
/// may be anything, the secret too.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("no connection to the service could be made")]
    NoConnection(#[source] reqwest::Error),
    #[error("the connection to the service broke")]
    Broken(#[source] reqwest::Error),
    #[error("the service did not answer within {0:?}")]
    Timeout(Duration),
    #[error("the service has no time now (it answered {status})")]
    Busy { status: u16, retry_after: Option<Duration> },
    #[error("the service failed (it answered {status})")]
    Failed { status: u16 },
    #[error("the service does not let this studio in (it answered {status})")]
    NotLetIn { status: u16 },
    #[error("the service answered what the protocol does not know: {0}")]
    Strange(String),
    #[error("the service sent a bad page: {0}")]
    BadPage(#[from] BadArray),
    #[error("the service sent {0}")]
    TooLarge(#[from] EventTooLarge),
    #[error("the connection to the service was stopped")]
    Stopped,
}

impl Trouble {
    pub(crate) fn strange(status: u16) -> Self {
        Self::Strange(format!("status {status}"))
    }

    /// Whether the request may have been done all the same.
    pub(crate) fn is_in_doubt(&self) -> bool {
        match self {
            Self::NoConnection(_) | Self::NotLetIn { .. } => false,
            // A gate before the service may give up after it has passed a request on; only a
            // service that says when to come back says that it did nothing.
            Self::Busy { status, retry_after } => *status != 429 && retry_after.is_none(),
            Self::Broken(_)
            | Self::Timeout(_)
            | Self::Failed { .. }
            | Self::Strange(_)
            | Self::BadPage(_)
            | Self::TooLarge(_)
            | Self::Stopped => true,
        }
    }

    /// Whether the same request may come to something else after a moment.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::NoConnection(_)
            | Self::Broken(_)
            | Self::Timeout(_)
            | Self::Busy { .. }
            | Self::Failed { .. }
            | Self::BadPage(BadArray::BrokenOff) => true,
            Self::NotLetIn { .. }
            | Self::Strange(_)
            | Self::BadPage(_)
            | Self::TooLarge(_)
            | Self::Stopped => false,
        }
    }

    /// The service's wish when to come back.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            Self::NoConnection(_)
            | Self::Broken(_)
            | Self::Timeout(_)
            | Self::Failed { .. }
            | Self::NotLetIn { .. }
            | Self::Strange(_)
            | Self::BadPage(_)
            | Self::TooLarge(_)
            | Self::Stopped => None,
        }
    }
}
