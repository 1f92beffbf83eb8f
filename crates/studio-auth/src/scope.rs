use serde::{Deserialize, Serialize};
use studio_ids::{HookSecretId, RoomId, SessionId};

/// What a token opens. One token, one purpose.
///
/// Kept (for the list of tokens) as `{"kind":"session","id":"…"}`, `{"kind":"operator"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Scope {
    /// A person's control of one session: everything below `/api/sessions/{id}` but hooks.
    Session(SessionId),
    /// Looking at one session: what it said, asks and cost, and its files; changes nothing.
    Read(SessionId),
    /// An agent's hooks: may tell what happened in one session, never answer for a person.
    Hook(SessionId),
    /// The hooks of one project on somebody's machine: as [`Scope::Hook`] for the sessions of that
    /// project alone. Named by the secret, so that the next one takes its place.
    ProjectHooks(HookSecretId),
    /// The reference's one secret for hooks: as [`Scope::ProjectHooks`] for the sessions of no
    /// project. Accepted in the reference's form only, and given out by nothing.
    AllHooks,
    /// A sandbox's way back to the studio: as [`Scope::Hook`], given out by the relay.
    Relay(SessionId),
    /// git's way to the one repository of a session: asks for tokens that open it, nothing else.
    Git(SessionId),
    /// A person's control of one room.
    Room(RoomId),
    /// The operator: lists sessions, and stands in for any session's token.
    Operator,
    /// A program that may create sessions, and gets the token of each that it creates.
    Create,
    /// A browser in which the operator has logged in: what its cookie holds. As
    /// [`Scope::Operator`], and only where a page of the studio's own asks.
    Login,
    /// A client that is a service of its own, another studio for example: reads and writes
    /// streams, all of them, and nothing else.
    Streams,
}

impl Scope {
    /// What it is called: on the wire, and in front of the id that is signed. Each purpose has
    /// its own word, so no token fits two (`D30-20`).
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Session(_) => "session",
            Self::Read(_) => "read",
            Self::Hook(_) => "hook",
            Self::ProjectHooks(_) => "project-hooks",
            Self::AllHooks => "global-hook",
            Self::Relay(_) => "relay",
            Self::Git(_) => "git",
            Self::Room(_) => "room",
            Self::Operator => "operator",
            Self::Create => "create",
            Self::Login => "login",
            Self::Streams => "streams",
        }
    }

    /// The session that it is for: rotating that session's tokens makes it void.
    pub const fn session(self) -> Option<SessionId> {
        match self {
            Self::Session(id)
            | Self::Read(id)
            | Self::Hook(id)
            | Self::Relay(id)
            | Self::Git(id) => Some(id),
            Self::ProjectHooks(_)
            | Self::AllHooks
            | Self::Room(_)
            | Self::Operator
            | Self::Create
            | Self::Login
            | Self::Streams => None,
        }
    }

    /// Whether a holder of this may be given `wanted`: never more than it opens itself.
    pub fn covers(self, wanted: Self) -> bool {
        match self {
            Self::Operator | Self::Login => true,
            Self::Session(id) => [self, Self::Read(id), Self::Git(id)].contains(&wanted),
            Self::Read(_)
            | Self::Hook(_)
            | Self::ProjectHooks(_)
            | Self::AllHooks
            | Self::Relay(_)
            | Self::Git(_)
            | Self::Room(_)
            | Self::Create
            | Self::Streams => wanted == self,
        }
    }

    /// The letter in a token that tells people what it is for. Not trusted: the signature is.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Session(_) => 's',
            Self::Read(_) => 'v',
            Self::Hook(_) => 'h',
            Self::ProjectHooks(_) => 'p',
            Self::AllHooks => 'a',
            Self::Relay(_) => 'y',
            Self::Git(_) => 'g',
            Self::Room(_) => 'r',
            Self::Operator => 'o',
            Self::Create => 'c',
            Self::Login => 'l',
            Self::Streams => 't',
        }
    }

    /// What is signed for this scope: `hook:<id>`, `operator:`.
    pub(crate) fn message(self) -> String {
        let kind = self.kind();
        match self {
            Self::Room(id) => format!("{kind}:{id}"),
            Self::Session(id)
            | Self::Read(id)
            | Self::Hook(id)
            | Self::Relay(id)
            | Self::Git(id) => {
                format!("{kind}:{id}")
            }
            Self::ProjectHooks(id) => format!("{kind}:{id}"),
            Self::AllHooks => kind.to_owned(),
            Self::Operator | Self::Create | Self::Login | Self::Streams => format!("{kind}:"),
        }
    }

    /// What the reference signs for this scope, if it has it. A session's is its bare id; ids
    /// are UUIDs here, so none is another purpose's message.
    pub(crate) fn reference_message(self) -> Option<String> {
        match self {
            Self::Session(id) => Some(id.to_string()),
            Self::Hook(_) | Self::Room(_) | Self::AllHooks => Some(self.message()),
            Self::Read(_)
            | Self::ProjectHooks(_)
            | Self::Relay(_)
            | Self::Git(_)
            | Self::Operator
            | Self::Create
            | Self::Login
            | Self::Streams => None,
        }
    }
}
