//! Tokens that somebody asks for: the bodies that ask, and what is answered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use studio_events::Timestamp;
use studio_ids::{SessionId, TokenId};

use crate::{
    Body, BodyError, Described,
    body::decode_with,
    decode::{Fields, Units},
    limits::{SHORT_UNITS_MAX, TOKEN_SECONDS_MAX},
};

/// What a session's token that is asked for may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionPurpose {
    /// Everything that the session's first one may.
    Session,
    /// Looking.
    Read,
}

/// `POST /api/sessions/{id}/tokens`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintSessionToken {
    /// What for.
    pub scope: SessionPurpose,
    /// A name for people.
    pub label: Option<String>,
    /// How long it is to last; the server's own choice when absent.
    pub expires_in_seconds: Option<u64>,
}

/// What a program's key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramPurpose {
    /// Create sessions.
    Create,
    /// Everything.
    Operator,
    /// Read and write streams.
    Streams,
}

/// `POST /api/tokens`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintProgramToken {
    /// What for.
    pub scope: ProgramPurpose,
    /// A name for people.
    pub label: Option<String>,
    /// How long it is to last; the server's own choice when absent.
    pub expires_in_seconds: Option<u64>,
}

const SESSION_WORDS: [(&str, SessionPurpose); 2] =
    [("session", SessionPurpose::Session), ("read", SessionPurpose::Read)];
const PROGRAM_WORDS: [(&str, ProgramPurpose); 3] = [
    ("create", ProgramPurpose::Create),
    ("operator", ProgramPurpose::Operator),
    ("streams", ProgramPurpose::Streams),
];

impl Body for MintSessionToken {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        decode_with(value, |fields| {
            let (scope, label, expires_in_seconds) = wanted(fields, &SESSION_WORDS)?;
            Some(Self { scope, label, expires_in_seconds })
        })
    }
}

impl Body for MintProgramToken {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        decode_with(value, |fields| {
            let (scope, label, expires_in_seconds) = wanted(fields, &PROGRAM_WORDS)?;
            Some(Self { scope, label, expires_in_seconds })
        })
    }
}

type Wanted<T> = (T, Option<String>, Option<u64>);

/// What both have in common.
fn wanted<T: Copy>(fields: &mut Fields<'_>, words: &[(&str, T)]) -> Option<Wanted<T>> {
    if fields.all().is_some() && fields.get("scope").is_none() {
        fields.fail("scope", "Required");
    }
    let scope = fields.word_if_given("scope", words);
    let label = fields.plain_if_given("label", Units::some_up_to(SHORT_UNITS_MAX));
    let seconds = fields.get("expiresInSeconds").and_then(|value| {
        let seconds = value.as_u64().filter(|seconds| (1..=TOKEN_SECONDS_MAX).contains(seconds));
        if seconds.is_none() {
            let reason = format!("Expected a whole number from 1 to {TOKEN_SECONDS_MAX}");
            fields.fail("expiresInSeconds", reason);
        }
        seconds
    });
    Some((scope?, label, seconds))
}

fn schema(words: &[&str]) -> Value {
    json!({
        "type": "object", "required": ["scope"],
        "properties": {
            "scope": { "enum": words, "description": "What it opens." },
            "label": {
                "type": "string", "minLength": 1, "maxLength": SHORT_UNITS_MAX,
                "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
                "description": "A name for people.",
            },
            "expiresInSeconds": {
                "type": "integer", "minimum": 1, "maximum": TOKEN_SECONDS_MAX,
                "description": "How long it lasts; never longer than the token that asks, where that is the session's.",
            },
        },
    })
}

impl Described for MintSessionToken {
    const NAME: &'static str = "MintSessionToken";

    fn schema() -> Value {
        schema(&SESSION_WORDS.map(|(word, _)| word))
    }

    fn example() -> Value {
        json!({ "scope": "read", "label": "for Ada", "expiresInSeconds": 86_400 })
    }
}

impl Described for MintProgramToken {
    const NAME: &'static str = "MintProgramToken";

    fn schema() -> Value {
        schema(&PROGRAM_WORDS.map(|(word, _)| word))
    }

    fn example() -> Value {
        json!({ "scope": "create", "label": "the build server" })
    }
}

/// A token without what opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenTold {
    /// Its id, which revokes it.
    pub id: TokenId,
    /// What it opens: `session`, `read`, `create`, `operator`, `streams`, `login` (a browser).
    pub scope: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When it was given out.
    pub issued_at: Timestamp,
    /// From when on it opens nothing.
    pub expires_at: Timestamp,
}

/// `GET /api/sessions/{id}/tokens`, `GET /api/tokens` (added).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenList {
    /// The newest first.
    pub tokens: Vec<TokenTold>,
}

/// `POST /api/sessions/{id}/tokens`, `POST /api/tokens` (added).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenMade {
    /// The token itself. Told once.
    pub token: String,
    /// What it says of itself.
    #[serde(flatten)]
    pub told: TokenTold,
}

/// `POST /api/sessions/{id}/tokens/rotate` (added).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokensRotated {
    /// Whose.
    pub session_id: SessionId,
    /// What opens its routes now.
    pub session_token: String,
    /// What its hooks send now, where the studio does not run its agent.
    pub hook_token: String,
}

/// `POST /api/sessions/{id}/events-ticket` (added).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventsTicket {
    /// What opens the session's event stream once, as `?ticket=`.
    pub ticket: String,
    /// For how many seconds.
    pub expires_in: u64,
}

/// `POST /api/login-links` (added).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginLink {
    /// What a person opens in a browser, which is then logged in. Good once.
    pub url: String,
    /// For how many seconds.
    pub expires_in: u64,
}

/// `GET /api/me` (added).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// Always true: nobody else is answered.
    pub operator: bool,
    /// What tells so: `login` (a browser's cookie), `token`, or `machine` (a connection from the
    /// studio's own machine, in development mode).
    pub by: String,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_is_one_of_the_words_and_a_lifetime_is_bounded() {
        let read = |value: Value| MintSessionToken::decode(&value);
        let all = json!({ "scope": "read", "label": "x", "expiresInSeconds": 1, "more": 1 });
        let (scope, label) = (SessionPurpose::Read, Some("x".to_owned()));
        let told = MintSessionToken { scope, label, expires_in_seconds: Some(1) };
        assert_eq!(read(all).unwrap(), told);
        let least = MintProgramToken::decode(&json!({ "scope": "create" })).unwrap();
        assert_eq!(least.expires_in_seconds, None);
        for bad in [
            json!({}),
            json!({ "scope": "operator" }),
            json!({ "scope": "hook" }),
            json!({ "scope": 7 }),
            json!({ "scope": "read", "label": "" }),
            json!({ "scope": "read", "label": "a\nb" }),
            json!({ "scope": "read", "expiresInSeconds": 0 }),
            json!({ "scope": "read", "expiresInSeconds": TOKEN_SECONDS_MAX + 1 }),
            json!({ "scope": "read", "expiresInSeconds": 1.5 }),
            json!({ "scope": "read", "expiresInSeconds": "1" }),
        ] {
            assert_eq!(read(bad.clone()).unwrap_err().details().len(), 1, "{bad}");
        }
        assert!(MintProgramToken::decode(&json!({ "scope": "session" })).is_err());
        assert!(read(json!([])).is_err());
    }
}
