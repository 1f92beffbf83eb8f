use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not a lower-case hyphenated UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a lower-case hyphenated UUID")]
pub struct BadId;

/// Accepts exactly what this project prints: 36 characters, lower case, hyphenated. One id has
/// one spelling, so an id can be a key, a path component and a signed message.
fn parse(text: &str) -> Result<Uuid, BadId> {
    if text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(BadId);
    }
    Uuid::try_parse(text).map_err(|_malformed| BadId)
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// A new random id (UUID v4).
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// The id of these 16 bytes: for tests and for ids derived from a digest.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": "uuid" })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                parse(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;

            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

uuid_id! {
    /// One run of one agent for one person. The server picks it; a client never does.
    SessionId
}
uuid_id! {
    /// One conversation shared by several agents and people.
    RoomId
}
uuid_id! {
    /// One agent process: from its start to its exit. A session has one at a time.
    RunId
}
uuid_id! {
    /// One thing said to an agent; travels to the agent and back, so a message is told apart.
    MessageId
}
uuid_id! {
    /// One running studio server, from start to stop.
    InstanceId
}
uuid_id! {
    /// One token that was given out. Says nothing of what the token opens.
    TokenId
}

uuid_id! {
    /// One directory on somebody's machine whose agents tell the studio what they do.
    HookProjectId
}
uuid_id! {
    /// One secret of such a project; the next one that is made takes its place.
    HookSecretId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let text = "00000000-0000-4000-8000-00000000000a";
        assert_eq!(text.parse::<SessionId>().unwrap().to_string(), text);
        for bad in [
            "",
            "local",
            "00000000-0000-4000-8000-00000000000A",
            "000000000000400080000000000000a0",
            "{00000000-0000-4000-8000-00000000000a}",
            "../../etc/passwd",
            "00000000-0000-4000-8000-00000000000\u{e9}",
        ] {
            assert_eq!(bad.parse::<SessionId>(), Err(BadId), "{bad}");
        }
    }

    #[test]
    fn an_id_travels_as_a_string() {
        let id = SessionId::random();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<SessionId>(&json).unwrap(), id);
        assert!(serde_json::from_str::<SessionId>("\"nope\"").is_err());
    }
}
