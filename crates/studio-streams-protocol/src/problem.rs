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
    /// `out_of_order`, `bad_offset`, `fenced`, `not_from_zero`, `gap`, `refused`, `busy`,
    /// `too_many_producers`, `read_only`, `failed`, `bad_request`, `too_large`, `too_slow`,
    /// `unsupported`, `method_not_allowed`.
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
        let after = HeaderValue::from_static;
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
            StreamError::Refused { .. } => new(StatusCode::BAD_REQUEST, "refused"),
            // In each of these three nothing was written, and a header says when to come again.
            StreamError::Busy => {
                new(StatusCode::TOO_MANY_REQUESTS, "busy").with(RETRY_AFTER, after("1"))
            }
            StreamError::TooManyProducers { .. } => {
                new(StatusCode::TOO_MANY_REQUESTS, "too_many_producers")
                    .with(RETRY_AFTER, after("60"))
            }
            StreamError::ReadOnly { .. } => {
                new(StatusCode::SERVICE_UNAVAILABLE, "read_only").with(RETRY_AFTER, after("5"))
            }
            // A failure, or one of a kind that is not known here. It may have been written all
            // the same, so nobody is asked to come again.
            error @ (StreamError::Failed { .. } | _) => {
                // What the engine said is for the log; it may tell of paths and machines.
                let why = causes(&error);
                tracing::warn!(error = why, "a stream could not be used: {why}");
                new(StatusCode::INTERNAL_SERVER_ERROR, "failed")
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

#[cfg(test)]
mod tests {
    use studio_streams::{ContentType, Offset, StreamPath};

    use super::*;

    fn path() -> StreamPath {
        "session/a".parse().unwrap()
    }

    /// Status, code and the headers that were added.
    fn told(error: StreamError) -> (u16, &'static str, Vec<String>) {
        let Problem { status, code, headers, .. } = error.into();
        let headers =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        (status.as_u16(), code, headers.collect())
    }

    #[test]
    fn every_failure_of_a_store_has_its_answer() {
        let path = path();
        let producer = || "p".to_owned();
        let plain = |status, code| (status, code, Vec::new());
        let with = |status, code, headers: &[&str]| {
            (status, code, headers.iter().map(|&h| h.to_owned()).collect())
        };
        let what = "";
        let holds = ContentType::json();
        let tail = Offset::Position(7);
        for (error, expected) in [
            (StreamError::NotFound { path: path.clone() }, plain(404, "not_found")),
            (StreamError::Gone { path: path.clone() }, plain(410, "gone")),
            (StreamError::Conflict { path: path.clone(), what }, plain(409, "conflict")),
            (StreamError::BadFork { path: path.clone(), what }, plain(400, "bad_fork")),
            (
                StreamError::Closed { path: path.clone(), tail },
                with(
                    409,
                    "closed",
                    &["stream-closed: true", "stream-next-offset: 00000000000000000007"],
                ),
            ),
            (
                StreamError::WrongContentType { path: path.clone(), holds },
                plain(409, "wrong_content_type"),
            ),
            (StreamError::OutOfOrder { path: path.clone() }, plain(409, "out_of_order")),
            (
                StreamError::BadOffset { path: path.clone(), offset: Offset::Position(9) },
                plain(400, "bad_offset"),
            ),
            (
                StreamError::Fenced { path: path.clone(), producer: producer(), current: 4 },
                with(403, "fenced", &["producer-epoch: 4"]),
            ),
            (
                StreamError::NotFromZero {
                    path: path.clone(),
                    producer: producer(),
                    epoch: 1,
                    got: 2,
                },
                plain(400, "not_from_zero"),
            ),
            (
                StreamError::Gap { path: path.clone(), producer: producer(), expected: 3, got: 5 },
                with(409, "gap", &["producer-expected-seq: 3", "producer-received-seq: 5"]),
            ),
            (
                StreamError::Refused { path: path.clone(), reason: String::new() },
                plain(400, "refused"),
            ),
            (StreamError::Busy, with(429, "busy", &["retry-after: 1"])),
            (
                StreamError::TooManyProducers { path: path.clone(), max: 9 },
                with(429, "too_many_producers", &["retry-after: 60"]),
            ),
            (
                StreamError::ReadOnly { reason: "the disk is full".to_owned() },
                with(503, "read_only", &["retry-after: 5"]),
            ),
            (
                StreamError::Failed { path, tried: "read", source: "/secret".into() },
                plain(500, "failed"),
            ),
        ] {
            assert_eq!(told(error), expected);
        }
    }

    #[test]
    fn what_an_engine_says_is_not_told() {
        let failed = StreamError::Failed { path: path(), tried: "read", source: "/secret".into() };
        assert!(!Problem::from(failed).told.contains("secret"));
    }

    #[test]
    fn a_path_that_is_taken_by_a_deleted_stream_is_a_conflict_for_a_create() {
        let problem = Problem::of_create(StreamError::Gone { path: path() });
        assert_eq!(problem.status, StatusCode::CONFLICT);
        let problem = Problem::of_create(StreamError::NotFound { path: path() });
        assert_eq!(problem.status, StatusCode::NOT_FOUND);
    }
}
