use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Longest offset of a remote service, in bytes.
const OPAQUE_BYTES_MAX: usize = 256;

/// A text that is not an offset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an offset of this stream")]
pub struct BadOffset;

/// A place between two records of one stream. Opaque to everybody but the store that made it.
///
/// As text: `-1` (before the first record), `now` (after the last one at the time of the call),
/// the local store's byte position as 20 digits, or a remote service's own word, kept untouched.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Offset {
    /// Before the first record.
    Start,
    /// After the last record, whichever that is when the call is made.
    Now,
    /// A byte position of the local store.
    Position(u64),
    /// What a remote service calls a place of its own.
    Opaque(Arc<str>),
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("-1"),
            Self::Now => f.write_str("now"),
            Self::Position(at) => write!(f, "{at:020}"),
            Self::Opaque(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offset({self})")
    }
}

impl FromStr for Offset {
    type Err = BadOffset;

    fn from_str(text: &str) -> Result<Self, BadOffset> {
        match text {
            "-1" => Ok(Self::Start),
            "now" => Ok(Self::Now),
            digits if digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map(Self::Position).map_err(|_too_large| BadOffset)
            }
            // What the protocol allows in an offset: visible, and safe in a query and a header.
            other
                if !other.is_empty()
                    && other.len() <= OPAQUE_BYTES_MAX
                    && other.bytes().all(|b| {
                        b.is_ascii_graphic() && !matches!(b, b',' | b'&' | b'=' | b'?' | b'/')
                    }) =>
            {
                Ok(Self::Opaque(other.into()))
            }
            _ => Err(BadOffset),
        }
    }
}

impl TryFrom<String> for Offset {
    type Error = BadOffset;

    fn try_from(text: String) -> Result<Self, BadOffset> {
        text.parse()
    }
}

impl From<Offset> for String {
    fn from(offset: Offset) -> Self {
        offset.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_survives_being_text() {
        for text in ["-1", "now", "00000000000000000042", "0000000000000000_0000000000000091"] {
            assert_eq!(text.parse::<Offset>().unwrap().to_string(), text);
        }
        for bad in ["", "a b", "a,b", "a\nb", "99999999999999999999", "é"] {
            assert_eq!(bad.parse::<Offset>(), Err(BadOffset), "{bad:?}");
        }
    }
}
