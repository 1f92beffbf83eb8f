use std::{sync::Arc, time::Duration};

use studio_bridge::BridgeError;
use studio_electric::ElectricError;
use studio_github::GitHubError;
use studio_ids::{MessageId, RoomId, SessionId};
use studio_limits::Full;
use studio_registry::RegistryError;
use studio_sandbox::SandboxError;
use studio_streams::{BadBatch, StreamError};
use studio_tokens::TokensError;

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
    /// The list of sessions could not be read or written.
    #[error("the list of sessions could not be used")]
    Registry {
        /// Why.
        source: Arc<RegistryError>,
    },
    /// The owner of the session's agent and log could not do it.
    #[error("session {session} could not be worked on")]
    Bridge {
        /// Whose.
        session: SessionId,
        /// Why.
        source: Arc<BridgeError>,
    },
    /// A fault in the studio's own work on the session; it is taken up again.
    #[error("the work on session {0} failed and is taken up again")]
    BridgeFailed(SessionId),
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
    /// There is no sandbox to look into, or it does not run.
    #[error("the sandbox of session {0} cannot be looked into")]
    SandboxAway(SessionId),
    /// A path that no file can have.
    #[error("a path has at most 4096 bytes and no NUL")]
    BadPath,
    /// The path, or what it leads to, is not in the project's directory.
    #[error("the path leads outside of the project")]
    OutsideProject,
    /// There is no such regular file, or it may not be read.
    #[error("there is no such file that can be read")]
    NoFile,
    /// There is no sandbox under this id.
    #[error("there is no sandbox {0}")]
    NoSuchSandbox(SessionId),
    /// There is a session or a sandbox under this id already.
    #[error("there is a session or a sandbox {0} already")]
    SandboxExists(SessionId),
    /// What sandboxes there are is not known.
    #[error("the sandboxes are not known")]
    Sandboxes {
        /// Why.
        source: Arc<SandboxError>,
    },
    /// Whoever brought a session stopped before its end.
    #[error("the import broke off")]
    ImportBrokeOff,
    /// What a session is brought with cannot be kept as it is.
    #[error("the import has events that cannot be kept")]
    BadImport(#[source] BadBatch),
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
    /// Whoever it is for has created as much as they may; the next time is after this.
    #[error("too many sessions were created; the next one in {} s", .0.as_secs())]
    RateLimited(Duration),
    /// The studio has as many sandboxes as it may.
    #[error("the studio is at its capacity")]
    AtCapacity(#[source] Full),
    /// Whoever it is for has as many running sessions as they may.
    #[error("too many sessions of one caller run")]
    TooManyRunning(#[source] Full),
    /// No message of this id waits.
    #[error("no message {0} waits")]
    NoMessage(MessageId),
    /// The agent has the message already.
    #[error("message {0} is with the agent already: interrupt it first")]
    MessageHandedOver(MessageId),
    /// There is nothing to authenticate the agent with.
    #[error(
        "no credentials for the agent: set ANTHROPIC_API_KEY (or CLAUDE_CODE_OAUTH_TOKEN) where the studio runs, or send apiKey or oauthToken with the session"
    )]
    NoCredentials,
    /// A hook that names neither a transcript nor a conversation.
    #[error("transcript_path or session_id is required")]
    NoConversation,
    /// A hook's field that cannot be what it should be.
    #[error("{0} is not valid")]
    BadHook(&'static str),
    /// Only `SessionStart` hooks make a session by themselves.
    #[error("only SessionStart events can auto-register a session")]
    NotASessionStart,
    /// The hooks of one source made as many sessions as they may in an hour.
    #[error("hooks made too many sessions")]
    TooManyHookSessions,
    /// As many projects as may have hooks.
    #[error("too many projects have hooks: revoke some")]
    TooManyHookProjects,
    /// There is no such project with hooks.
    #[error("there is no such project with hooks")]
    NoHookProject,
    /// The list of tokens could not be read or written.
    #[error("the list of tokens could not be used")]
    Tokens {
        /// Why.
        source: Arc<TokensError>,
    },
    /// No such token was given out, or it is void already.
    #[error("there is no such token")]
    NoToken,
    /// As many tokens as may be good at a time.
    #[error("{0} tokens are good, which is the most: revoke some")]
    TooManyTokens(usize),
    /// Nobody asks for tokens in development mode, unless an App is configured.
    #[error("tokens for git are not available in development mode without a GitHub App")]
    NoTokensHere,
    /// No App that could give tokens.
    #[error("no GitHub App is configured")]
    NoGitHubApp,
    /// The session has no repository on GitHub.
    #[error("session {0} has no repository")]
    NoRepository(SessionId),
    /// The session got as many tokens as it may; the next one is there after this.
    #[error("too many tokens for git; the next one in {} s", .0.as_secs())]
    TooManyTokenRequests(Duration),
    /// GitHub did not do it.
    #[error("GitHub could not be used")]
    GitHub(#[source] GitHubError),
    /// Nobody makes databases for this studio.
    #[error("nobody makes databases here")]
    NoDatabases,
    /// No database was made.
    #[error("no database was made")]
    Database(#[source] ElectricError),
    /// Sessions out of repositories are for development mode.
    #[error("sessions out of repositories are not available")]
    ResumeNotAvailable,
    /// Not the address of a repository that sessions may be made of.
    #[error("the repository must be one of {0}")]
    BadRepository(String),
    /// No such shared session.
    #[error("shared session {0} does not exist")]
    NoShared(RoomId),
    /// Nobody joins with its code any more.
    #[error("the invite code of shared session {0} was revoked")]
    InviteRevoked(RoomId),
    /// As much has happened in it as may.
    #[error("shared session {0} is full")]
    SharedFull(RoomId),
    /// The stream of a new shared session could not be made.
    #[error("the stream of a new shared session could not be created")]
    CreateShared {
        /// Why.
        source: Arc<StreamError>,
    },
    /// The stream of a shared session could not be read or written.
    #[error("the stream of shared session {room} could not be used")]
    Shared {
        /// Whose.
        room: RoomId,
        /// Why.
        source: Arc<StreamError>,
    },
    /// A newer server owns the session.
    #[error("session {0} was taken over by another server")]
    Fenced(SessionId),
    /// Another server has taken over the whole studio; this one has stood down.
    #[error("another server has taken over this studio")]
    StoodDown,
    /// The studio is stopping.
    #[error("the studio is stopping")]
    Stopping,
}

impl FlowError {
    pub(crate) fn registry(source: RegistryError) -> Self {
        if let RegistryError::NotFound { session } = source {
            return Self::NoSession(session);
        }
        if let RegistryError::TooManyProjects = source {
            return Self::TooManyHookProjects;
        }
        if let RegistryError::Fenced { .. } = source {
            return Self::StoodDown;
        }
        Self::Registry { source: Arc::new(source) }
    }

    pub(crate) fn tokens(source: TokensError) -> Self {
        if let TokensError::Unknown { .. } = source {
            return Self::NoToken;
        }
        if let TokensError::TooMany { max } = source {
            return Self::TooManyTokens(max);
        }
        Self::Tokens { source: Arc::new(source) }
    }

    pub(crate) fn shared(room: RoomId, source: StreamError) -> Self {
        if let StreamError::NotFound { .. } | StreamError::Gone { .. } = source {
            return Self::NoShared(room);
        }
        Self::Shared { room, source: Arc::new(source) }
    }

    /// Whether it only says that another server owns what this one wanted to work on.
    pub(crate) fn is_anothers(&self) -> bool {
        matches!(self, Self::Fenced(_) | Self::StoodDown)
    }

    pub(crate) fn sandbox(session: SessionId, source: SandboxError) -> Self {
        Self::Sandbox { session, source: Arc::new(source) }
    }

    /// What a bridge's failure means for who asked.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else a bridge says is told as it is"
    )]
    pub(crate) fn bridge(session: SessionId, error: &BridgeError) -> Self {
        match error {
            BridgeError::QueueFull { .. } => Self::QueueFull(session),
            BridgeError::NoAgent(_) => Self::NoSandbox(session),
            BridgeError::Fenced(_) => Self::Fenced(session),
            BridgeError::NotAsked { .. } => Self::GateUnknown,
            BridgeError::NotWaiting { message, .. } => Self::NoMessage(*message),
            BridgeError::HandedOver { message, .. } => Self::MessageHandedOver(*message),
            BridgeError::NotRecorded { source, .. } | BridgeError::InDoubt { source, .. } => {
                Self::Write { session, source: Arc::clone(source) }
            }
            BridgeError::Read { source, .. } => Self::Read { session, source: Arc::clone(source) },
            BridgeError::Sandbox { source, .. } => {
                Self::Sandbox { session, source: Arc::clone(source) }
            }
            BridgeError::Undelivered { reason, .. } => {
                Self::Undelivered { session, reason: reason.clone() }
            }
            error => Self::Bridge { session, source: Arc::new(error.clone()) },
        }
    }
}

/// `outer: inner: innermost`: each error prints itself only, so nothing is said twice.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
