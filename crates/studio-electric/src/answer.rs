//! What the claim API says.

use serde::Deserialize;
use serde_json::Value;

/// Longest reason that is shown, in characters.
const REASON_CHARS_MAX: usize = 300;

/// Wire shape: `{"claimId":"…"}`.
#[derive(Deserialize)]
pub(crate) struct Begun {
    #[serde(rename = "claimId")]
    pub claim_id: Option<Value>,
}

/// Wire shape: `{"state":"ready","source":{"source_id":"…","secret":"…"},"connection_uri":"…"}`,
/// `{"state":"failed","error":"…"}`, or any other state.
#[derive(Deserialize)]
pub(crate) struct Looked {
    state: Option<Value>,
    error: Option<Value>,
    source: Option<Value>,
    connection_uri: Option<Value>,
}

/// Where a claim stands.
pub(crate) enum Stand {
    Waiting,
    Ready { source_id: Option<String>, secret: Option<String>, database_url: Option<String> },
    Failed { reason: Option<String> },
}

impl Looked {
    pub(crate) fn stand(&self) -> Stand {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        // An error is one whatever the state says; an empty one is none.
        let error = self.error.as_ref().filter(|error| !is_nothing(error));
        match self.state.as_ref().and_then(Value::as_str) {
            Some("ready") => Stand::Ready {
                source_id: text(self.source.as_ref().and_then(|source| source.get("source_id"))),
                secret: text(self.source.as_ref().and_then(|source| source.get("secret"))),
                database_url: text(self.connection_uri.as_ref()),
            },
            Some("failed") => Stand::Failed { reason: error.map(reason) },
            _ => {
                error.map_or(Stand::Waiting, |error| Stand::Failed { reason: Some(reason(error)) })
            }
        }
    }
}

fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false)) || value.as_str() == Some("")
}

fn reason(error: &Value) -> String {
    let text = error.as_str().or_else(|| error.get("message")?.as_str());
    let text = text.map_or_else(|| error.to_string(), str::to_owned);
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    text.take(REASON_CHARS_MAX).collect()
}
