use std::{error::Error, sync::Arc};

/// Why there is no database. The sentences are those of the reference, which clients show; the
/// last three are for what it let crash.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElectricError {
    /// The API refuses or fails.
    #[error("Electric API error: {status} {text}")]
    Refused {
        /// The answer's status.
        status: u16,
        /// The status in words: `Bad Gateway`.
        text: &'static str,
    },
    /// No claim was begun.
    #[error("Invalid response from Electric API — missing claimId")]
    NoClaim,
    /// The database is said to be ready, and one of its credentials is missing or holds what no
    /// credential has: a control character, or more than a thousand bytes.
    #[error("Invalid response from Electric API — missing required credentials")]
    NoCredentials,
    /// The API gave up.
    #[error("Resource provisioning failed{}", reason.as_ref().map(|reason| format!(": {reason}"))
        .unwrap_or_default())]
    Failed {
        /// Its reason, fit to be shown.
        reason: Option<String>,
    },
    /// It was not ready in time.
    #[error("Timeout waiting for resources to be provisioned after {attempts} attempts")]
    TimedOut {
        /// How often it was looked at.
        attempts: u32,
    },
    /// No answer.
    #[error("Electric API could not be reached")]
    Unreachable(#[source] Arc<dyn Error + Send + Sync>),
    /// An answer that is no answer: not JSON, or far too long.
    #[error("Invalid response from Electric API — {0}")]
    Strange(&'static str),
    /// The caller has given up. What was begun goes by itself after three days.
    #[error("Provisioning was cancelled")]
    Cancelled,
}

/// Settings that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Not where a claim API is.
    #[error("the claim API's address is not one like https://host/api: {0}")]
    Api(&'static str),
    /// Not where people claim.
    #[error("the dashboard's address is not one like https://host: {0}")]
    Dashboard(&'static str),
    /// Not where a sync service is.
    #[error("the sync service's address is not one like https://host: {0}")]
    Electric(&'static str),
    /// No connection could be prepared at all (no TLS, no certificates).
    #[error("no client for Electric Cloud could be made")]
    Client(#[source] Arc<dyn Error + Send + Sync>),
}
