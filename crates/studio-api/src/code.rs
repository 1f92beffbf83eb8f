/// What went wrong, as a word that never changes its meaning.
///
/// Clients match on codes, never on sentences. Append only: a code may be retired, not reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The body is not JSON.
    InvalidJson,
    /// The body is JSON, but not what the route takes; `details` lists why.
    ValidationFailed,
    /// A rule of the route was broken; the sentence says which.
    BadRequest,
    /// The place to go on from is not one of this stream.
    BadOffset,
    /// No token, or not the right one.
    Unauthenticated,
    /// The `Host` is not one under which this studio is known.
    ForeignHost,
    /// The request comes from a page of somebody else.
    ForeignOrigin,
    /// Not in this mode.
    FreeformNotAvailable,
    /// No such route.
    NotFound,
    /// No such session.
    SessionNotFound,
    /// No gate of this kind and id waits.
    GateNotPending,
    /// The route does not take this method.
    MethodNotAllowed,
    /// The gate was answered differently before.
    GateConflict,
    /// The session was cancelled or deleted.
    SessionEnded,
    /// The gate closed without an answer.
    GateClosed,
    /// The body is larger than the route takes.
    BodyTooLarge,
    /// The body is not declared as JSON.
    UnsupportedMediaType,
    /// Too many sessions from this address.
    RateLimited,
    /// Too many messages wait for the agent.
    QueueFull,
    /// The session has spent what it may.
    BudgetExceeded,
    /// There is no running sandbox.
    SandboxNotRunning,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The agent did not take what was to be delivered.
    AgentUnreachable,
    /// A sandbox could not be used.
    SandboxFailed,
    /// The event streams take no appends or cannot be read now.
    StreamsUnavailable,
    /// The studio is stopping.
    Stopping,
    /// Our fault; the log says more.
    Internal,
    /// There is nothing to authenticate the agent with.
    NoCredentials,
    /// A newer server owns the session.
    TakenOver,
    /// There is no sandbox to look into.
    SandboxAway,
    /// The path does not lie in the project.
    PathOutside,
    /// No such file, or it may not be read.
    FileNotFound,
    /// The file is larger than one answer may be.
    FileTooLarge,
    /// The range lies behind the file's end.
    BadRange,
    /// There is no such sandbox.
    SandboxNotFound,
    /// There is a session or a sandbox under this id already.
    SandboxExists,
    /// Only for who asks from the studio's own machine.
    NotLocal,
    /// No such project with hooks.
    HookProjectNotFound,
    /// As many projects as may have hooks.
    TooManyHookProjects,
    /// The studio has as many sandboxes as it may.
    AtCapacity,
    /// The caller has as many running sessions as they may.
    TooManyRunning,
    /// No such message waits.
    MessageNotFound,
    /// The agent has the message already.
    MessageHandedOver,
    /// No such token was given out, or it is void already.
    TokenNotFound,
    /// As many tokens as may be good at a time.
    TooManyTokens,
    /// Tokens for git are for production, or for who has a GitHub App.
    GithubNotAvailable,
    /// There is no App that gives tokens for git.
    GithubNotConfigured,
    /// GitHub did not do what was asked of it.
    GithubFailed,
    /// The session has no repository on GitHub.
    NoRepository,
    /// The session got as many tokens for git as it may.
    TooManyTokenRequests,
    /// Sessions out of repositories are for development mode.
    ResumeNotAvailable,
    /// No database was made; the sentence says why.
    ProvisioningFailed,
    /// No such shared session.
    SharedSessionNotFound,
    /// Nobody joins the shared session with its code any more.
    InviteRevoked,
    /// As much has happened in the shared session as may.
    SharedSessionFull,
}

impl ErrorCode {
    /// Every code, for tables and tests.
    pub const ALL: &[Self] = &[
        Self::InvalidJson,
        Self::ValidationFailed,
        Self::BadRequest,
        Self::BadOffset,
        Self::Unauthenticated,
        Self::ForeignHost,
        Self::ForeignOrigin,
        Self::FreeformNotAvailable,
        Self::NotFound,
        Self::SessionNotFound,
        Self::GateNotPending,
        Self::MethodNotAllowed,
        Self::GateConflict,
        Self::SessionEnded,
        Self::GateClosed,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::RateLimited,
        Self::QueueFull,
        Self::BudgetExceeded,
        Self::SandboxNotRunning,
        Self::RequestTimeout,
        Self::AgentUnreachable,
        Self::SandboxFailed,
        Self::StreamsUnavailable,
        Self::Stopping,
        Self::Internal,
        Self::NoCredentials,
        Self::TakenOver,
        Self::SandboxAway,
        Self::PathOutside,
        Self::FileNotFound,
        Self::FileTooLarge,
        Self::BadRange,
        Self::SandboxNotFound,
        Self::SandboxExists,
        Self::NotLocal,
        Self::HookProjectNotFound,
        Self::TooManyHookProjects,
        Self::AtCapacity,
        Self::TooManyRunning,
        Self::MessageNotFound,
        Self::MessageHandedOver,
        Self::TokenNotFound,
        Self::TooManyTokens,
        Self::GithubNotAvailable,
        Self::GithubNotConfigured,
        Self::GithubFailed,
        Self::NoRepository,
        Self::TooManyTokenRequests,
        Self::ResumeNotAvailable,
        Self::ProvisioningFailed,
        Self::SharedSessionNotFound,
        Self::InviteRevoked,
        Self::SharedSessionFull,
    ];

    /// The one table: code on the wire, HTTP status, and what it means in general.
    const fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::InvalidJson => ("invalid_json", 400, "Invalid JSON body"),
            Self::ValidationFailed => ("validation_failed", 400, "Validation failed"),
            Self::BadRequest => ("bad_request", 400, "Bad request"),
            Self::BadOffset => ("bad_offset", 400, "Bad offset"),
            Self::SandboxNotRunning => ("sandbox_not_running", 400, "Container is not running"),
            Self::NoCredentials => ("no_credentials", 400, "No credentials for the agent"),
            Self::Unauthenticated => ("unauthenticated", 401, "Invalid or missing token"),
            Self::BudgetExceeded => ("budget_exceeded", 402, "Budget exceeded"),
            Self::ForeignHost => ("foreign_host", 403, "Host not allowed"),
            Self::ForeignOrigin => ("foreign_origin", 403, "Origin not allowed"),
            Self::FreeformNotAvailable => {
                ("freeform_not_available", 403, "Freeform sessions are not available")
            }
            Self::NotFound => ("not_found", 404, "Not found"),
            Self::SessionNotFound => ("session_not_found", 404, "Session not found"),
            Self::GateNotPending => ("gate_not_pending", 404, "No pending gate found"),
            Self::MethodNotAllowed => ("method_not_allowed", 405, "Method not allowed"),
            Self::RequestTimeout => ("request_timeout", 408, "Request timed out"),
            Self::GateConflict => ("gate_conflict", 409, "Gate was answered differently"),
            Self::SessionEnded => ("session_ended", 409, "Session was cancelled"),
            Self::GateClosed => ("gate_closed", 410, "Gate is closed"),
            Self::BodyTooLarge => ("body_too_large", 413, "Payload too large"),
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", 415, "Content-Type must be application/json")
            }
            Self::RateLimited => {
                ("rate_limited", 429, "Too many sessions. Please try again later.")
            }
            Self::QueueFull => ("queue_full", 429, "Too many messages wait for the agent"),
            Self::Internal => ("internal", 500, "Internal server error"),
            Self::AgentUnreachable => ("agent_unreachable", 502, "The agent could not be reached"),
            Self::SandboxFailed => ("sandbox_failed", 502, "The sandbox could not be used"),
            Self::StreamsUnavailable => {
                ("streams_unavailable", 503, "The event streams are not available")
            }
            Self::TakenOver => ("taken_over", 503, "Another server owns the session"),
            Self::SandboxAway => ("sandbox_away", 404, "Container not available"),
            Self::PathOutside => ("path_outside", 403, "Path outside project directory"),
            Self::FileNotFound => ("file_not_found", 404, "File not found or unreadable"),
            Self::FileTooLarge => ("file_too_large", 413, "File too large"),
            Self::BadRange => ("bad_range", 416, "Range not satisfiable"),
            Self::SandboxNotFound => ("sandbox_not_found", 404, "Sandbox not found"),
            Self::SandboxExists => ("sandbox_exists", 409, "Sandbox exists already"),
            Self::NotLocal => ("not_local", 403, "Only from the studio's own machine"),
            Self::HookProjectNotFound => {
                ("hook_project_not_found", 404, "Project with hooks not found")
            }
            Self::TooManyHookProjects => {
                ("too_many_hook_projects", 409, "Too many projects have hooks: revoke some")
            }
            Self::AtCapacity => ("at_capacity", 503, "Service at capacity, please try again later"),
            Self::TooManyRunning => {
                ("too_many_running", 429, "Too many running sessions. Please try again later.")
            }
            Self::MessageNotFound => ("message_not_found", 404, "No such message waits"),
            Self::MessageHandedOver => {
                ("message_handed_over", 409, "The agent has the message already")
            }
            Self::TokenNotFound => ("token_not_found", 404, "No such token"),
            Self::TooManyTokens => {
                ("too_many_tokens", 409, "Too many tokens are good: revoke some")
            }
            Self::GithubNotAvailable => ("github_not_available", 403, "Not available in dev mode"),
            Self::GithubNotConfigured => {
                ("github_not_configured", 500, "GitHub App not configured")
            }
            Self::GithubFailed => ("github_failed", 500, "Failed to generate GitHub token"),
            Self::NoRepository => ("no_repository", 409, "The session has no repository"),
            Self::TooManyTokenRequests => {
                ("too_many_token_requests", 429, "Too many token requests")
            }
            Self::ResumeNotAvailable => {
                ("resume_not_available", 403, "Resume from repo not available")
            }
            Self::ProvisioningFailed => ("provisioning_failed", 500, "Provisioning failed"),
            Self::SharedSessionNotFound => {
                ("shared_session_not_found", 404, "Shared session not found")
            }
            Self::InviteRevoked => ("invite_revoked", 403, "Invite code has been revoked"),
            Self::SharedSessionFull => {
                ("shared_session_full", 409, "The shared session is full: make another")
            }
            Self::Stopping => ("stopping", 503, "The studio is stopping"),
        }
    }

    /// The code on the wire: `session_not_found`.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// What it means in general.
    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// When it is worth another try, in seconds; absent when it is not.
    pub const fn retry_after_seconds(self) -> Option<u32> {
        match self {
            Self::RateLimited | Self::TooManyTokenRequests => Some(3_600),
            Self::QueueFull => Some(5),
            Self::AtCapacity | Self::TooManyRunning => Some(60),
            Self::StreamsUnavailable | Self::Stopping | Self::TakenOver => Some(1),
            Self::InvalidJson
            | Self::ValidationFailed
            | Self::BadRequest
            | Self::BadOffset
            | Self::SandboxNotRunning
            | Self::Unauthenticated
            | Self::BudgetExceeded
            | Self::ForeignHost
            | Self::ForeignOrigin
            | Self::FreeformNotAvailable
            | Self::NotFound
            | Self::SessionNotFound
            | Self::GateNotPending
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::GateConflict
            | Self::SessionEnded
            | Self::GateClosed
            | Self::BodyTooLarge
            | Self::UnsupportedMediaType
            | Self::Internal
            | Self::NoCredentials
            | Self::AgentUnreachable
            | Self::SandboxFailed
            | Self::SandboxAway
            | Self::PathOutside
            | Self::FileNotFound
            | Self::FileTooLarge
            | Self::BadRange
            | Self::SandboxNotFound
            | Self::SandboxExists
            | Self::NotLocal
            | Self::HookProjectNotFound
            | Self::TooManyHookProjects
            | Self::MessageNotFound
            | Self::MessageHandedOver
            | Self::TokenNotFound
            | Self::TooManyTokens
            | Self::GithubNotAvailable
            | Self::GithubNotConfigured
            | Self::GithubFailed
            | Self::NoRepository
            | Self::ResumeNotAvailable
            | Self::ProvisioningFailed
            | Self::SharedSessionNotFound
            | Self::InviteRevoked
            | Self::SharedSessionFull => None,
        }
    }
}
