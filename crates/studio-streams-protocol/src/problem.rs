//! What a failure becomes on the wire: the one table.

use std::error::Error;

use axum::{
    Json,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{ALLOW, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use studio_streams::{BadBatch, StreamError};

use crate::headers::{
    CLOSED, METHODS, NEXT_OFFSET, PRODUCER_EPOCH, PRODUCER_EXPECTED_SEQ, PRODUCER_RECEIVED_SEQ,
    TRUE, value,
};

/// The body of every failure: a word for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemBody {
    /// `not_found`, `gone`, `conflict`, `bad_fork`, `closed`, `wrong_content_type`,
    /// `out_of_order`, `bad_offset`, `fenced`, `not_from_zero`, `gap`, `busy`, `read_only`,
    /// `failed`, `bad_request`, `too_large`, `too_slow`, `unsupported`, `method_not_allowed`.
    pub code: String,
    /// What is wrong, and where possible what to do.
    pub error: String,
}

/// A failure on its way to a client.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    told: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, told: impl Into<String>) -> Self {
        Self { status, code, told: told.into(), headers: Vec::new() }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn bad_request(told: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", told)
    }

    pub(crate) fn bad_offset() -> Self {
        let told = "an offset is -1, now, or what an earlier answer said; given once";
        Self::new(StatusCode::BAD_REQUEST, "bad_offset", told)
    }

    pub(crate) fn too_large(told: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", told)
    }

    pub(crate) fn too_slow() -> Self {
        let told = "the body did not arrive in time; send it again";
        Self::new(StatusCode::REQUEST_TIMEOUT, "too_slow", told)
    }

    pub(crate) fn encoded() -> Self {
        let told = "send the body as it is, without a content encoding";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported", told)
    }

    pub(crate) fn no_subscriptions() -> Self {
        let told = "subscriptions are not offered here, and the prefix __ds is kept for them";
        Self::new(StatusCode::NOT_IMPLEMENTED, "unsupported", told)
    }

    pub(crate) fn wrong_method() -> Self {
        let told = format!("a stream takes {METHODS}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", told)
            .with(ALLOW, HeaderValue::from_static(METHODS))
    }

    pub(crate) fn no_stream(told: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", told)
    }

    /// What a failed create becomes: its path may be taken by a deleted stream, which is a
    /// conflict for who wants to make it.
    pub(crate) fn of_create(error: StreamError) -> Self {
        let taken = matches!(error, StreamError::Gone { .. });
        let problem = Self::from(error);
        if taken { Self { status: StatusCode::CONFLICT, ..problem } } else { problem }
    }
}

fn causes(error: &dyn Error) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl From<StreamError> for Problem {
    fn from(error: StreamError) -> Self {
        let told = error.to_string();
        let new = |status, code| Self::new(status, code, told.clone());
        let again = HeaderValue::from_static("1");
        match error {
            StreamError::NotFound { .. } => new(StatusCode::NOT_FOUND, "not_found"),
            StreamError::Gone { .. } => new(StatusCode::GONE, "gone"),
            StreamError::Conflict { .. } => new(StatusCode::CONFLICT, "conflict"),
            StreamError::BadFork { .. } => new(StatusCode::BAD_REQUEST, "bad_fork"),
            StreamError::Closed { tail, .. } => new(StatusCode::CONFLICT, "closed")
                .with(CLOSED, TRUE)
                .with(NEXT_OFFSET, value(tail)),
            StreamError::WrongContentType { .. } => new(StatusCode::CONFLICT, "wrong_content_type"),
            StreamError::OutOfOrder { .. } => new(StatusCode::CONFLICT, "out_of_order"),
            StreamError::BadOffset { .. } => new(StatusCode::BAD_REQUEST, "bad_offset"),
            StreamError::Fenced { current, .. } => {
                new(StatusCode::FORBIDDEN, "fenced").with(PRODUCER_EPOCH, value(current))
            }
            StreamError::NotFromZero { .. } => new(StatusCode::BAD_REQUEST, "not_from_zero"),
            StreamError::Gap { expected, got, .. } => new(StatusCode::CONFLICT, "gap")
                .with(PRODUCER_EXPECTED_SEQ, value(expected))
                .with(PRODUCER_RECEIVED_SEQ, value(got)),
            // The two are told apart by their status too: one passes by itself, the other takes
            // somebody who looks after the store.
            StreamError::Busy => {
                new(StatusCode::TOO_MANY_REQUESTS, "busy").with(RETRY_AFTER, again)
            }
            StreamError::ReadOnly { .. } => new(StatusCode::SERVICE_UNAVAILABLE, "read_only")
                .with(RETRY_AFTER, HeaderValue::from_static("5")),
            // A failure, or one of a kind that is not known here.
            error @ (StreamError::Failed { .. } | _) => {
                // What the engine said is for the log; it may tell of paths and machines.
                let why = causes(&error);
                tracing::warn!(error = why, "a stream could not be used: {why}");
                new(StatusCode::SERVICE_UNAVAILABLE, "failed").with(RETRY_AFTER, again)
            }
        }
    }
}

impl From<BadBatch> for Problem {
    fn from(bad: BadBatch) -> Self {
        match bad {
            BadBatch::Empty | BadBatch::EmptyRecord => Self::bad_request(bad.to_string()),
            BadBatch::TooMany | BadBatch::TooLarge { .. } => Self::too_large(bad.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody { code: self.code.to_owned(), error: self.told };
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().extend(self.headers.into_iter().map(|(name, v)| (Some(name), v)));
        response
    }
}
