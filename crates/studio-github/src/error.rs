use std::{error::Error, sync::Arc, time::Duration};

use studio_ids::Repository;

/// What happened below, for the log.
pub(crate) type Source = Arc<dyn Error + Send + Sync>;

/// Which of GitHub's limits was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimit {
    /// So many requests an hour.
    Primary,
    /// Too many at once, or too much work in a short time.
    Secondary,
}

/// Why GitHub did not do what was asked of it.
///
/// `what` is the deed, as `listing branches of acme/app`; `message` is GitHub's own, shortened,
/// without control characters and without the credential that was used. Cheap to clone, because
/// everybody who waits for the same token is told the same.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitHubError {
    /// Only an App can do this, and none is configured.
    #[error("no GitHub App is configured")]
    NoApp,
    /// The token or the App's signature is not known to GitHub (401).
    #[error("{what}: GitHub does not know this credential: {message}")]
    NotLetIn {
        /// What was asked.
        what: String,
        /// What GitHub says.
        message: String,
    },
    /// The credential is known and may not do this (403).
    #[error("{what}: GitHub does not allow it: {message}")]
    Forbidden {
        /// What was asked.
        what: String,
        /// What GitHub says.
        message: String,
    },
    /// It is not there, or the credential may not see it (404): GitHub does not say which.
    #[error("{what}: not found, or not visible with this credential")]
    NotFound {
        /// What was asked.
        what: String,
    },
    /// The owner has a repository of that name already; nothing was changed.
    #[error("{repository} exists already")]
    NameTaken {
        /// Which one.
        repository: Repository,
    },
    /// GitHub refuses what was sent (another 4xx, mostly 422); nothing was done.
    #[error("{what}: GitHub refuses it ({status}): {message}")]
    Refused {
        /// What was asked.
        what: String,
        /// The answer's status.
        status: u16,
        /// What GitHub says.
        message: String,
    },
    /// A limit was met that does not lift before the call's deadline; nothing was done.
    #[error(
        "{what}: GitHub's {} is used up; it lifts in {} s",
        limit.name(),
        retry_after.as_secs()
    )]
    RateLimited {
        /// What was asked.
        what: String,
        /// Which limit.
        limit: RateLimit,
        /// When it is of use to come back.
        retry_after: Duration,
    },
    /// GitHub could not be reached, or failed (5xx), until the deadline.
    #[error("{what}: no answer from GitHub after {attempts} attempts")]
    Unreachable {
        /// What was asked.
        what: String,
        /// How often.
        attempts: u32,
        /// What happened last.
        #[source]
        source: Source,
    },
    /// It was asked, and no answer came: it may have been done. It was not asked again.
    #[error("{what}: GitHub did not answer; it may have been done all the same")]
    InDoubt {
        /// What was asked.
        what: String,
        /// What happened.
        #[source]
        source: Source,
    },
    /// An answer that GitHub's documentation does not know.
    #[error("{what}: GitHub answered {why}")]
    Strange {
        /// What was asked.
        what: String,
        /// What is odd about it.
        why: String,
    },
    /// The token that came is for more or for something else than was asked; it was not handed
    /// out.
    #[error("the token for {repository} was not used: {why}")]
    NotNarrow {
        /// For what it was to be.
        repository: Repository,
        /// What it is for.
        why: String,
    },
    /// The repository was made, and others can read it who should not.
    #[error("{repository} was created, but as a public repository")]
    MadePublic {
        /// Which one.
        repository: Repository,
    },
}

impl GitHubError {
    /// Whether the same may succeed later without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Unreachable { .. })
    }

    /// When it is of use to try again, if GitHub said so.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::RateLimited { retry_after, .. } = self { Some(*retry_after) } else { None }
    }
}

impl RateLimit {
    fn name(self) -> &'static str {
        match self {
            Self::Primary => "hourly limit",
            Self::Secondary => "secondary limit",
        }
    }
}

/// Settings that cannot be used. None of these prints a key or a token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Not where an API is.
    #[error("not the address of GitHub's API: {0}")]
    BadUrl(&'static str),
    /// Not an App's id.
    #[error("a GitHub App's id is its number or its client id")]
    BadAppId,
    /// Not a key that an App can sign with.
    #[error("the GitHub App's private key cannot be used: {0}")]
    BadKey(&'static str),
    /// Not a token.
    #[error("a GitHub token is visible ASCII without blanks, at most 1000 bytes")]
    BadToken,
    /// No connection could be prepared at all (no TLS, no certificates).
    #[error("no client for GitHub could be made")]
    Client(#[source] Source),
}
