use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ErrorCode;

/// The content type of [`ProblemBody`].
const CONTENT_TYPE: &str = "application/problem+json";

/// How a failure is told (RFC 9457), with two more members for clients of the reference system:
/// `error` (the sentence) and `details` (what validation found).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemBody {
    /// `urn:studio:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means in general.
    pub title: String,
    /// The HTTP status again.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The same sentence, where the reference's clients look for it.
    pub error: String,
    /// The [`ErrorCode`] on the wire.
    pub code: String,
    /// What validation found, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

impl ProblemBody {
    /// The content type that goes with it.
    pub const CONTENT_TYPE: &str = CONTENT_TYPE;

    /// A failure of this kind, in these words.
    pub fn new(code: ErrorCode, told: impl Into<String>, details: Vec<String>) -> Self {
        let told = told.into();
        Self {
            kind: format!("urn:studio:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: told.clone(),
            error: told,
            code: code.as_str().to_owned(),
            details,
        }
    }
}
