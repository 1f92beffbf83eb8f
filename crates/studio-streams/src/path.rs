use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use studio_ids::{RoomId, SessionId};

/// Longest path of a stream, in bytes.
const PATH_BYTES_MAX: usize = 512;
/// What the streams of shared sessions begin with.
const SHARED: &str = "shared/";

/// A text that cannot be the path of a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a stream path is 1 to {PATH_BYTES_MAX} bytes of letters, digits, `.`, `_`, `-` in parts joined by `/`, no part empty, `.` or `..`"
)]
pub struct BadPath;

/// Which stream: `session/<id>`, `room/<id>`, `registry`, … Never a path of a file system.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamPath(Arc<str>);

impl StreamPath {
    /// The stream of one session's events.
    pub fn session(id: SessionId) -> Self {
        Self(format!("session/{id}").into())
    }

    /// The stream of one room's events.
    pub fn room(id: RoomId) -> Self {
        Self(format!("room/{id}").into())
    }

    /// The stream of what happens in one shared session.
    pub fn shared(id: RoomId) -> Self {
        Self(format!("{SHARED}{id}").into())
    }

    /// Whether it is some shared session's. What lies deeper is not: a service may be named so,
    /// and then all streams of another studio begin with this.
    pub fn is_shared(&self) -> bool {
        self.0.strip_prefix(SHARED).is_some_and(|id| id.parse::<RoomId>().is_ok())
    }

    /// The stream that the list of sessions is a fold of.
    pub fn registry() -> Self {
        Self("registry".into())
    }

    /// The stream that says which tokens were given out and which are void.
    pub fn tokens() -> Self {
        Self("tokens".into())
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamPath({self})")
    }
}

impl FromStr for StreamPath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let parts_are_good =
            text.split('/').all(|part| !matches!(part, "" | "." | "..") && part.bytes().all(good));
        if text.len() <= PATH_BYTES_MAX && parts_are_good {
            Ok(Self(text.into()))
        } else {
            Err(BadPath)
        }
    }
}

impl TryFrom<String> for StreamPath {
    type Error = BadPath;

    fn try_from(text: String) -> Result<Self, BadPath> {
        text.parse()
    }
}

impl From<StreamPath> for String {
    fn from(path: StreamPath) -> Self {
        path.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_never_a_way_out() {
        for bad in ["", "/", "a//b", "../x", "a/../b", "a/./b", "a b", "a\n", "é", "a?b", "a%2fb"]
        {
            assert!(bad.parse::<StreamPath>().is_err(), "{bad:?}");
        }
        assert!("registry/snapshot/00000000000000000012".parse::<StreamPath>().is_ok());
    }

    #[test]
    fn a_shared_sessions_stream_is_told_from_those_of_a_service_of_that_name() {
        let id = RoomId::from_bytes([7; 16]);
        assert!(StreamPath::shared(id).is_shared());
        let of_a_service = ["shared/registry", "shared/tokens", &format!("shared/session/{id}")]
            .map(|path| path.parse::<StreamPath>().unwrap());
        assert!(!of_a_service.iter().any(StreamPath::is_shared));
    }
}
