use studio_ids::{RoomId, SessionId};

/// What a token opens. One token, one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A person's control of one session: everything below `/api/sessions/{id}` but hooks.
    Session(SessionId),
    /// An agent's hooks: may tell what happened in one session, never answer for a person.
    Hook(SessionId),
    /// A sandbox's way back to the studio: as [`Scope::Hook`], given out by the relay.
    Relay(SessionId),
    /// A person's control of one room.
    Room(RoomId),
    /// The operator: lists sessions, and stands in for any session's token.
    Operator,
    /// A client that is a service of its own, another studio for example: reads and writes
    /// streams, all of them, and nothing else.
    Streams,
}

impl Scope {
    /// The letter in a token that tells people what it is for. Not trusted: the signature is.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Session(_) => 's',
            Self::Hook(_) => 'h',
            Self::Relay(_) => 'y',
            Self::Room(_) => 'r',
            Self::Operator => 'o',
            Self::Streams => 't',
        }
    }

    /// What is signed for this scope: each purpose begins differently (`D30-20`).
    pub(crate) fn message(self) -> String {
        match self {
            Self::Session(id) => format!("session:{id}"),
            Self::Hook(id) => format!("hook:{id}"),
            Self::Relay(id) => format!("relay:{id}"),
            Self::Room(id) => format!("room:{id}"),
            Self::Operator => "operator:".to_owned(),
            Self::Streams => "streams:".to_owned(),
        }
    }

    /// What the reference signs for this scope, if it has it. A session's is its bare id; ids
    /// are UUIDs here, so none is another purpose's message.
    pub(crate) fn reference_message(self) -> Option<String> {
        match self {
            Self::Session(id) => Some(id.to_string()),
            Self::Hook(_) | Self::Room(_) => Some(self.message()),
            Self::Relay(_) | Self::Operator | Self::Streams => None,
        }
    }
}
