use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use studio_ids::SessionId;

/// A person in a shared session, as they call themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    /// Theirs by their own word.
    pub id: String,
    /// For people.
    pub display_name: String,
}

/// What happens in a shared session. Source: spec 03 section 9.
///
/// Wire shape, with its time: `{"type":"participant_left","participantId":"p1","ts":"…"}`. It has
/// no `Debug`, because one of them carries the invite code.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum SharedEvent {
    /// It begins.
    SharedSessionCreated {
        /// What it is called.
        name: String,
        /// What others join with.
        code: String,
        /// Who made it.
        created_by: Participant,
    },
    /// Somebody is there.
    ParticipantJoined {
        /// Who.
        participant: Participant,
    },
    /// Somebody is there no more.
    ParticipantLeft {
        /// Who.
        participant_id: String,
    },
    /// A session can be watched by all.
    SessionLinked {
        /// Which.
        session_id: SessionId,
        /// What it is called.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_name: Option<String>,
        /// What it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_description: Option<String>,
        /// Who linked it.
        linked_by: String,
    },
    /// A session is linked no more.
    SessionUnlinked {
        /// Which.
        session_id: SessionId,
    },
    /// Nobody joins with the code any more.
    CodeRevoked,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stamped, Timestamp};

    #[test]
    fn an_event_of_a_shared_session_is_one_flat_object() {
        let event = SharedEvent::ParticipantLeft { participant_id: "p1".into() };
        let told = Stamped { event, ts: Timestamp::from_unix_millis(0) };
        let text = serde_json::to_string(&told).unwrap();
        let flat =
            r#"{"type":"participant_left","participantId":"p1","ts":"1970-01-01T00:00:00.000Z"}"#;
        assert_eq!(text, flat);
        let back: Stamped<SharedEvent> = serde_json::from_str(flat).unwrap();
        assert!(back == told);
        let revoked: Stamped<SharedEvent> =
            serde_json::from_str(r#"{"type":"code_revoked","ts":"1970-01-01T00:00:00.000Z"}"#)
                .unwrap();
        assert!(revoked.event == SharedEvent::CodeRevoked);
    }
}
