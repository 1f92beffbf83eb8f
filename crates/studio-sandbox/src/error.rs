/// Why a sandbox could not be used. Says what was tried; the cause is in `source`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The provider itself does not answer: nothing is known of any sandbox. Worth a retry.
    #[error("the {provider} sandbox provider does not answer")]
    Unavailable {
        /// Which provider.
        provider: &'static str,
        /// What its client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The provider lacks something that a person has to supply.
    #[error("the {provider} sandbox provider is not set up: {what_to_do}")]
    NotSetUp {
        /// Which provider.
        provider: &'static str,
        /// What is missing and what to do about it.
        what_to_do: String,
    },
    /// It was here and is not any more. Definite.
    #[error("sandbox {id} is gone")]
    Gone {
        /// Which.
        id: String,
    },
    /// There is one already for the same session.
    #[error("sandbox {id} exists already")]
    Exists {
        /// Which.
        id: String,
    },
    /// A program could not be started inside.
    #[error("{program} could not be started in the sandbox: {reason}")]
    NotStarted {
        /// The program.
        program: String,
        /// Why.
        reason: String,
    },
    /// A program that had to succeed did not.
    #[error("{program} failed in the sandbox ({exit}): {stderr}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        exit: crate::Exit,
        /// The end of what it said on stderr.
        stderr: String,
    },
    /// A file that was to be read or written is not there or not a file.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// It took longer than it may.
    #[error("{tried} took longer than {limit:?}")]
    TimedOut {
        /// What was tried.
        tried: String,
        /// How long it was waited for.
        limit: std::time::Duration,
    },
    /// Anything else the vendor's client said.
    #[error("{tried} failed")]
    Vendor {
        /// What was tried.
        tried: String,
        /// What the vendor's client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
