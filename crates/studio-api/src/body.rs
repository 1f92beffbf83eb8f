use serde_json::Value;

use crate::{ErrorCode, decode::Fields};

/// Why a body was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON at all.
    #[error("Invalid JSON body")]
    NotJson,
    /// JSON, but not what the route takes. One line for each failure: `<dotted.path>: <reason>`.
    #[error("Validation failed")]
    Invalid {
        /// Every failure, in the order of the fields.
        details: Vec<String>,
    },
    /// A rule of the route that is told in a sentence of its own: `gate is required`.
    #[error("{0}")]
    Rule(String),
}

impl BodyError {
    /// The code a client gets.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotJson => ErrorCode::InvalidJson,
            Self::Invalid { .. } => ErrorCode::ValidationFailed,
            Self::Rule(_) => ErrorCode::BadRequest,
        }
    }

    /// The failures one by one; empty unless validation failed.
    pub fn details(&self) -> &[String] {
        match self {
            Self::Invalid { details } => details,
            Self::NotJson | Self::Rule(_) => &[],
        }
    }
}

/// A request body that is checked when it is read. Unknown fields are dropped.
pub trait Body: Sized {
    /// Reads the body out of any JSON value.
    fn decode(value: &Value) -> Result<Self, BodyError>;

    /// Reads the body out of bytes.
    fn from_bytes(bytes: &[u8]) -> Result<Self, BodyError> {
        let value = serde_json::from_slice(bytes).map_err(|_malformed| BodyError::NotJson)?;
        Self::decode(&value)
    }
}

/// Reads with `read` and succeeds only if nothing was complained about.
pub(crate) fn decode_with<T>(
    value: &Value,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, BodyError> {
    let mut fields = Fields::of(value);
    match (read(&mut fields), fields.into_failures()) {
        (Some(body), failures) if failures.is_empty() => Ok(body),
        (_, details) => Err(BodyError::Invalid { details }),
    }
}

/// A JSON object as it came; for routes whose body is somebody else's format (hooks).
impl Body for Value {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        decode_with(value, |_fields| Some(value.clone()))
    }
}
