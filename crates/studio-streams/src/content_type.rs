use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Longest content type, in bytes.
const BYTES_MAX: usize = 256;

/// A text that is not a content type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a content type is like application/json, at most {BYTES_MAX} bytes of visible ASCII")]
pub struct BadContentType;

/// What the records of a stream are; fixed when it is made. Kept as it was given; compared with
/// [`Self::is_like`].
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentType(Arc<str>);

impl ContentType {
    /// `application/json`: each record is one JSON value. What the studio's own streams are.
    pub fn json() -> Self {
        Self("application/json".into())
    }

    /// `application/octet-stream`: what a stream is if nobody says.
    pub fn octets() -> Self {
        Self("application/octet-stream".into())
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without parameters.
    fn essence(&self) -> &str {
        self.0.split(';').next().unwrap_or_default().trim()
    }

    /// Whether records are JSON values.
    pub fn is_json(&self) -> bool {
        self.essence().eq_ignore_ascii_case("application/json")
    }

    /// Whether records are text that an event stream can carry as it is.
    pub fn is_text(&self) -> bool {
        let kind = self.essence().split('/').next().unwrap_or_default();
        kind.eq_ignore_ascii_case("text")
    }

    /// The same but for case and parameters.
    pub fn is_like(&self, other: &Self) -> bool {
        self.essence().eq_ignore_ascii_case(other.essence())
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentType({self})")
    }
}

impl FromStr for ContentType {
    type Err = BadContentType;

    fn from_str(text: &str) -> Result<Self, BadContentType> {
        let visible = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        let given = Self(text.trim().into());
        let token = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&b))
        };
        let has_form = given.essence().split_once('/').is_some_and(|(a, b)| token(a) && token(b));
        if visible && has_form && text.len() <= BYTES_MAX { Ok(given) } else { Err(BadContentType) }
    }
}

impl TryFrom<String> for ContentType {
    type Error = BadContentType;

    fn try_from(text: String) -> Result<Self, BadContentType> {
        text.parse()
    }
}

impl From<ContentType> for String {
    fn from(content_type: ContentType) -> Self {
        content_type.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_parameters_make_no_difference() {
        let like = |a: &str, b: &str| {
            a.parse::<ContentType>().unwrap().is_like(&b.parse::<ContentType>().unwrap())
        };
        assert!(like("application/json", "Application/JSON; charset=utf-8"));
        assert!(!like("text/plain", "text/html"));
        assert!("application/json;charset=utf-8".parse::<ContentType>().unwrap().is_json());
        assert!("TEXT/csv".parse::<ContentType>().unwrap().is_text());
    }

    #[test]
    fn what_could_break_a_header_is_refused() {
        let long = format!("text/{}", "x".repeat(BYTES_MAX));
        for bad in ["", "text", "/", "text/", "a/b\r\nx: y", "a b/c", "text/plain\0", &long, "é/x"]
        {
            assert_eq!(bad.parse::<ContentType>(), Err(BadContentType), "{bad:?}");
        }
    }
}
