use std::{error::Error, sync::Arc, time::Duration};

use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use studio_api::{BodyError, ErrorCode, ProblemBody};
use studio_flows::FlowError;
use studio_sandbox::SandboxError;
use studio_streams::StreamError;

/// A failure on its way to a client: a code, a sentence, and for the log the cause.
#[derive(Debug)]
pub(crate) struct Problem {
    code: ErrorCode,
    told: String,
    details: Vec<String>,
    wait: Option<Duration>,
    cause: Option<Cause>,
}

/// What the log is told of a failure; travels in the response's extensions.
#[derive(Clone, Debug)]
pub(crate) struct Cause(pub(crate) Arc<dyn Error + Send + Sync>);

impl Problem {
    /// In the code's own words.
    pub(crate) fn of(code: ErrorCode) -> Self {
        Self::told(code, code.title())
    }

    pub(crate) fn told(code: ErrorCode, told: impl Into<String>) -> Self {
        Self { code, told: told.into(), details: Vec::new(), wait: None, cause: None }
    }

    /// What validation found.
    pub(crate) fn invalid(details: Vec<String>) -> Self {
        Self { details, ..Self::of(ErrorCode::ValidationFailed) }
    }

    /// The same failure in other words, unless it says that the session is gone.
    pub(crate) fn unless_gone_saying(self, told: &str) -> Self {
        if self.code == ErrorCode::SessionNotFound { self } else { self.saying(told) }
    }

    /// The same failure in other words.
    pub(crate) fn saying(self, told: &str) -> Self {
        Self { told: told.to_owned(), ..self }
    }

    /// `kind`: `session`, `hook`, …
    pub(crate) fn unauthenticated(kind: &str) -> Self {
        Self::told(ErrorCode::Unauthenticated, format!("Invalid or missing {kind} token"))
    }

    pub(crate) fn rate_limited(wait: Duration) -> Self {
        Self { wait: Some(wait), ..Self::of(ErrorCode::RateLimited) }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let details = error.details().to_vec();
        Self { details, ..Self::told(error.code(), error.to_string()) }
    }
}

/// The one table: what each failure of a flow means to a client.
impl From<FlowError> for Problem {
    fn from(error: FlowError) -> Self {
        let (code, told) = match &error {
            FlowError::NoSession(_) => (ErrorCode::SessionNotFound, None),
            FlowError::FreeformNotAvailable => (ErrorCode::FreeformNotAvailable, None),
            FlowError::CreateStream { .. } => {
                (ErrorCode::StreamsUnavailable, Some("Failed to create event stream".to_owned()))
            }
            FlowError::Write { source, .. } if is_gone(source) => {
                (ErrorCode::SessionNotFound, None)
            }
            FlowError::Write { .. } => {
                (ErrorCode::StreamsUnavailable, Some("Failed to write event".to_owned()))
            }
            FlowError::Registry { .. } => (ErrorCode::StreamsUnavailable, None),
            FlowError::Read { source, .. } if is_gone(source) => (ErrorCode::SessionNotFound, None),
            FlowError::Read { source, .. }
                if matches!(source.as_ref(), StreamError::BadOffset { .. }) =>
            {
                (ErrorCode::BadOffset, None)
            }
            FlowError::Read { .. } => (ErrorCode::StreamsUnavailable, None),
            FlowError::NoSandbox(_) => (ErrorCode::SandboxNotRunning, None),
            FlowError::NoSuchSandbox(_) => (ErrorCode::SandboxNotFound, None),
            FlowError::SandboxExists(_) => (ErrorCode::SandboxExists, None),
            FlowError::Sandboxes { source } => (ErrorCode::SandboxFailed, what_to_do(source)),
            FlowError::ImportBrokeOff => {
                (ErrorCode::BadRequest, Some("The body broke off".to_owned()))
            }
            FlowError::BadImport(why) => (ErrorCode::BadRequest, Some(why.to_string())),
            FlowError::SandboxAway(_) => (ErrorCode::SandboxAway, None),
            FlowError::BadPath => (ErrorCode::BadRequest, Some("path is not valid".to_owned())),
            FlowError::OutsideProject => (ErrorCode::PathOutside, None),
            FlowError::NoFile => (ErrorCode::FileNotFound, None),
            FlowError::Sandbox { source, .. } => (ErrorCode::SandboxFailed, what_to_do(source)),
            FlowError::Bridge { .. } | FlowError::BridgeFailed(_) => {
                (ErrorCode::AgentUnreachable, None)
            }
            FlowError::NoCredentials => (ErrorCode::NoCredentials, Some(error.to_string())),
            FlowError::Fenced(_) | FlowError::StoodDown => (ErrorCode::TakenOver, None),
            FlowError::Undelivered { reason, .. } => {
                let told = format!("The agent could not be reached: {reason}");
                (ErrorCode::AgentUnreachable, Some(told))
            }
            FlowError::QueueFull(_) => (ErrorCode::QueueFull, None),
            FlowError::GateUnknown => (ErrorCode::GateNotPending, None),
            FlowError::GateConflict(_) => (ErrorCode::GateConflict, Some(error.to_string())),
            FlowError::GateClosed { .. } => (ErrorCode::GateClosed, Some(error.to_string())),
            FlowError::Cancelled(_) => (ErrorCode::SessionEnded, None),
            FlowError::OverBudget { .. } => (ErrorCode::BudgetExceeded, Some(error.to_string())),
            FlowError::NoConversation | FlowError::BadHook(_) => {
                (ErrorCode::BadRequest, Some(error.to_string()))
            }
            FlowError::NotASessionStart => {
                let told = "Only SessionStart events can auto-register a session";
                (ErrorCode::BadRequest, Some(told.to_owned()))
            }
            FlowError::TooManyHookSessions => (ErrorCode::RateLimited, None),
            FlowError::TooManyHookProjects => (ErrorCode::TooManyHookProjects, None),
            FlowError::NoHookProject => (ErrorCode::HookProjectNotFound, None),
            FlowError::AtCapacity(_) => (ErrorCode::AtCapacity, None),
            FlowError::TooManyRunning(_) => (ErrorCode::TooManyRunning, None),
            FlowError::NoMessage(_) => (ErrorCode::MessageNotFound, None),
            FlowError::MessageHandedOver(_) => {
                (ErrorCode::MessageHandedOver, Some(error.to_string()))
            }
            FlowError::Tokens { .. } => (ErrorCode::StreamsUnavailable, None),
            FlowError::NoToken => (ErrorCode::TokenNotFound, None),
            FlowError::TooManyTokens(_) => (ErrorCode::TooManyTokens, None),
            FlowError::NoTokensHere => (ErrorCode::GithubNotAvailable, None),
            FlowError::NoGitHubApp => (ErrorCode::GithubNotConfigured, None),
            FlowError::NoRepository(_) => (ErrorCode::NoRepository, None),
            FlowError::GitHub(_) => (ErrorCode::GithubFailed, None),
            FlowError::ResumeNotAvailable => (ErrorCode::ResumeNotAvailable, None),
            FlowError::BadRepository(place) => {
                let told = format!("Invalid repo URL: it must be a repository at {place}");
                (ErrorCode::BadRequest, Some(told))
            }
            FlowError::NoDatabases => (ErrorCode::ProvisioningFailed, None),
            FlowError::Database(why) => (ErrorCode::ProvisioningFailed, Some(why.to_string())),
            FlowError::NoShared(_) => (ErrorCode::SharedSessionNotFound, None),
            FlowError::InviteRevoked(_) => (ErrorCode::InviteRevoked, None),
            FlowError::SharedFull(_) => (ErrorCode::SharedSessionFull, None),
            FlowError::CreateShared { .. } => {
                let told = "Failed to create shared session stream".to_owned();
                (ErrorCode::StreamsUnavailable, Some(told))
            }
            FlowError::Shared { source, .. }
                if matches!(source.as_ref(), StreamError::BadOffset { .. }) =>
            {
                (ErrorCode::BadOffset, None)
            }
            FlowError::Shared { .. } => (ErrorCode::StreamsUnavailable, None),
            FlowError::TooManyTokenRequests(wait) => {
                return Self { wait: Some(*wait), ..Self::of(ErrorCode::TooManyTokenRequests) };
            }
            FlowError::RateLimited(wait) => return Self::rate_limited(*wait),
            FlowError::Stopping => (ErrorCode::Stopping, None),
            _ => (ErrorCode::Internal, None),
        };
        let told = told.unwrap_or_else(|| code.title().to_owned());
        Self { cause: Some(Cause(Arc::new(error))), ..Self::told(code, told) }
    }
}

fn is_gone(error: &StreamError) -> bool {
    matches!(error, StreamError::NotFound { .. })
}

/// The sentence of failures that were written for whoever can do something about them.
fn what_to_do(error: &SandboxError) -> Option<String> {
    let helpful = matches!(error, SandboxError::NotSetUp { .. } | SandboxError::Unavailable { .. });
    helpful.then(|| error.to_string())
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { code, told, details, wait, cause } = self;
        let status =
            StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(ProblemBody::new(code, told, details))).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(ProblemBody::CONTENT_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let asked = wait.map(|wait| wait.as_secs().max(1));
        if let Some(seconds) = asked.or(code.retry_after_seconds().map(u64::from)) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(cause) = cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}
