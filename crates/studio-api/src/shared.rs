//! Shared sessions: the bodies that ask, and what is answered. Each body is refused in one
//! sentence, the reference's (spec 01 section 10.1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use studio_events::Participant;
use studio_ids::{RoomId, SessionId};

use crate::{
    Body, BodyError, Described,
    limits::{SHORT_UNITS_MAX, TEXT_UNITS_MAX, units},
};

/// `POST /api/shared-sessions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateSharedSession {
    /// What it is called.
    pub name: String,
    /// Who makes it.
    pub participant: Participant,
}

/// `POST /api/shared-sessions/{id}/join`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinSharedSession {
    /// Who comes.
    pub participant: Participant,
}

/// `POST /api/shared-sessions/{id}/leave`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveSharedSession {
    /// Who goes.
    pub participant_id: String,
}

/// `POST /api/shared-sessions/{id}/ping`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingSharedSession {
    /// Who looks at it; without a name the beginning of the id is theirs.
    pub participant: Participant,
}

/// `POST /api/shared-sessions/{id}/sessions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSession {
    /// Which.
    pub session_id: SessionId,
    /// Who links it.
    pub linked_by: String,
    /// What it is called.
    pub session_name: Option<String>,
    /// What it is about.
    pub session_description: Option<String>,
}

/// Text without control characters.
const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// How much of an id is a name in place of one.
const NAME_CHARS: usize = 8;

fn rule<T>(read: Option<T>, told: &str) -> Result<T, BodyError> {
    read.ok_or_else(|| BodyError::Rule(told.to_owned()))
}

/// A short text that shows as one line.
fn line(value: &Value, name: &str) -> Option<String> {
    let text = value.get(name)?.as_str()?;
    let good = (1..=SHORT_UNITS_MAX).contains(&units(text)) && !text.chars().any(char::is_control);
    good.then(|| text.to_owned())
}

/// A text that may be absent or null, and is good otherwise.
fn maybe(value: &Value, name: &str) -> Option<Option<String>> {
    match value.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(told) => {
            let text = told.as_str().filter(|text| units(text) <= TEXT_UNITS_MAX)?;
            Some(Some(text.to_owned()))
        }
    }
}

fn participant(value: &Value) -> Option<Participant> {
    let told = value.get("participant")?;
    Some(Participant { id: line(told, "id")?, display_name: line(told, "displayName")? })
}

impl Body for CreateSharedSession {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        let read = || Some(Self { name: line(value, "name")?, participant: participant(value)? });
        rule(read(), "name and participant (id, displayName) are required")
    }
}

impl Body for JoinSharedSession {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        let read = participant(value).map(|participant| Self { participant });
        rule(read, "participant (id, displayName) is required")
    }
}

impl Body for LeaveSharedSession {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        let read = line(value, "participantId").map(|participant_id| Self { participant_id });
        rule(read, "participantId is required")
    }
}

impl Body for PingSharedSession {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        let id = rule(line(value, "participantId"), "participantId is required")?;
        let display_name = match value.get("displayName") {
            None | Some(Value::Null) => id.chars().take(NAME_CHARS).collect(),
            Some(name) if name == "" => id.chars().take(NAME_CHARS).collect(),
            Some(_) => rule(line(value, "displayName"), "displayName is not valid")?,
        };
        Ok(Self { participant: Participant { id, display_name } })
    }
}

impl Body for LinkSession {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        let read = || {
            Some(Self {
                session_id: line(value, "sessionId")?.parse().ok()?,
                linked_by: line(value, "linkedBy")?,
                session_name: maybe(value, "sessionName")?,
                session_description: maybe(value, "sessionDescription")?,
            })
        };
        rule(read(), "sessionId and linkedBy are required")
    }
}

/// `POST /api/shared-sessions`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedSessionMade {
    /// Its id.
    pub id: RoomId,
    /// What others join with.
    pub code: String,
    /// What opens it.
    pub room_token: String,
}

/// `GET /api/shared-sessions/join/{code}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedSessionFound {
    /// Its id.
    pub id: RoomId,
    /// The code that was asked for.
    pub code: String,
    /// Whether nobody joins with it any more.
    pub revoked: bool,
    /// What opens it; absent when the code is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_token: Option<String>,
}

/// `GET /api/shared-sessions/{id}/presence`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Presence {
    /// Who looks at it, in the order of their ids.
    pub participants: Vec<Participant>,
}

/// `GET /api/shared-sessions/{id}/sessions/{session}/token`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedSessionToken {
    /// What opens the session.
    pub session_token: String,
}

fn line_schema(about: &str) -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": SHORT_UNITS_MAX,
        "pattern": PLAIN, "description": about,
    })
}

fn participant_schema() -> Value {
    json!({
        "type": "object", "required": ["id", "displayName"],
        "properties": {
            "id": line_schema("Theirs by their own word."),
            "displayName": line_schema("What they call themselves."),
        },
    })
}

impl Described for CreateSharedSession {
    const NAME: &'static str = "CreateSharedSession";

    fn schema() -> Value {
        json!({
            "type": "object", "required": ["name", "participant"],
            "properties": {
                "name": line_schema("What it is called."),
                "participant": participant_schema(),
            },
        })
    }

    fn example() -> Value {
        json!({ "name": "Kites", "participant": { "id": "p1", "displayName": "Ada" } })
    }
}

impl Described for JoinSharedSession {
    const NAME: &'static str = "JoinSharedSession";

    fn schema() -> Value {
        json!({
            "type": "object", "required": ["participant"],
            "properties": { "participant": participant_schema() },
        })
    }

    fn example() -> Value {
        json!({ "participant": { "id": "p2", "displayName": "Grace" } })
    }
}

impl Described for LeaveSharedSession {
    const NAME: &'static str = "LeaveSharedSession";

    fn schema() -> Value {
        json!({
            "type": "object", "required": ["participantId"],
            "properties": { "participantId": line_schema("Who goes.") },
        })
    }

    fn example() -> Value {
        json!({ "participantId": "p2" })
    }
}

impl Described for PingSharedSession {
    const NAME: &'static str = "PingSharedSession";

    fn schema() -> Value {
        json!({
            "type": "object", "required": ["participantId"],
            "properties": {
                "participantId": line_schema("Who looks at it."),
                "displayName": {
                    "type": ["string", "null"], "maxLength": SHORT_UNITS_MAX, "pattern": PLAIN,
                    "description": "The beginning of the id when absent or empty.",
                },
            },
        })
    }

    fn example() -> Value {
        json!({ "participantId": "p2", "displayName": "Grace" })
    }
}

impl Described for LinkSession {
    const NAME: &'static str = "LinkSession";

    fn schema() -> Value {
        let text = |about: &str| json!({ "type": ["string", "null"], "maxLength": TEXT_UNITS_MAX, "description": about });
        json!({
            "type": "object", "required": ["sessionId", "linkedBy"],
            "properties": {
                "sessionId": {
                    "type": "string",
                    "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
                    "description": "Which.",
                },
                "linkedBy": line_schema("Who links it."),
                "sessionName": text("What it is called; kept to 500 characters."),
                "sessionDescription": text("What it is about; kept to 500 characters."),
            },
        })
    }

    fn example() -> Value {
        json!({
            "sessionId": "6f9a1c4e-2b7d-4f38-9c05-1a2b3c4d5e6f", "linkedBy": "p1",
            "sessionName": "The kite shop",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<T: Body>(value: &Value) -> Option<String> {
        T::decode(value).err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_missing_or_no_line_is_told_in_the_references_sentence() {
        let ada = json!({ "id": "p1", "displayName": "Ada" });
        for bad in [
            json!({}),
            json!([]),
            json!({ "name": "x" }),
            json!({ "name": "", "participant": ada }),
            json!({ "name": "a\nb", "participant": ada }),
            json!({ "name": "x".repeat(501), "participant": ada }),
            json!({ "name": "x", "participant": { "id": "p1" } }),
            json!({ "name": "x", "participant": { "id": 7, "displayName": "Ada" } }),
        ] {
            let sentence = "name and participant (id, displayName) are required";
            assert_eq!(told::<CreateSharedSession>(&bad).as_deref(), Some(sentence), "{bad}");
        }
        let joins = told::<JoinSharedSession>(&json!({ "participant": null }));
        assert_eq!(joins.as_deref(), Some("participant (id, displayName) is required"));
        for bad in [json!({}), json!({ "participantId": "" }), json!({ "participantId": [] })] {
            let sentence = Some("participantId is required");
            assert_eq!(told::<LeaveSharedSession>(&bad).as_deref(), sentence);
            assert_eq!(told::<PingSharedSession>(&bad).as_deref(), sentence);
        }
        for bad in [json!({ "linkedBy": "p1" }), json!({ "sessionId": "x", "linkedBy": "p1" })] {
            let sentence = Some("sessionId and linkedBy are required");
            assert_eq!(told::<LinkSession>(&bad).as_deref(), sentence);
        }
    }

    #[test]
    fn a_ping_without_a_name_has_the_beginning_of_its_id() {
        for body in [
            json!({ "participantId": "0123456789" }),
            json!({ "participantId": "0123456789", "displayName": null }),
            json!({ "participantId": "0123456789", "displayName": "" }),
        ] {
            let ping = PingSharedSession::decode(&body).unwrap();
            assert_eq!(ping.participant.display_name, "01234567");
        }
        for bad in [json!({}), json!("a\nb"), json!("x".repeat(501))] {
            let body = json!({ "participantId": "p1", "displayName": bad });
            let sentence = Some("displayName is not valid");
            assert_eq!(told::<PingSharedSession>(&body).as_deref(), sentence);
        }
    }

    #[test]
    fn every_example_is_a_body_that_is_taken() {
        assert_eq!(told::<CreateSharedSession>(&CreateSharedSession::example()), None);
        assert_eq!(told::<JoinSharedSession>(&JoinSharedSession::example()), None);
        assert_eq!(told::<LeaveSharedSession>(&LeaveSharedSession::example()), None);
        assert_eq!(told::<PingSharedSession>(&PingSharedSession::example()), None);
        assert_eq!(told::<LinkSession>(&LinkSession::example()), None);
    }
}
