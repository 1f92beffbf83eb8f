use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest project name, in bytes: it becomes a directory name and part of a host name.
const PROJECT_NAME_BYTES_MAX: usize = 100;
/// Longest id that an agent may give to a gate or a tool call, in bytes.
const AGENT_ID_BYTES_MAX: usize = 200;

/// Why a text is not the name it was to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing was given.
    #[error("a name must not be empty")]
    Empty,
    /// More than fits.
    #[error("a name must have at most {max} bytes")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// A character that could be read as something else by a shell, a path or a header.
    #[error("a name must not contain {found:?} at byte {at}")]
    Character {
        /// The offending character.
        found: char,
        /// Where it stands.
        at: usize,
    },
    /// Good characters in an order that means something else.
    #[error("a name {rule}")]
    Shape {
        /// What it must be or must not be.
        rule: &'static str,
    },
}

pub(crate) fn check(
    text: &str,
    max: usize,
    good: impl Fn(usize, char) -> bool,
) -> Result<(), BadName> {
    if text.is_empty() {
        return Err(BadName::Empty);
    }
    if max < text.len() {
        return Err(BadName::TooLong { max });
    }
    match text.char_indices().find(|&(at, c)| !good(at, c)) {
        Some((at, found)) => Err(BadName::Character { found, at }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:expr, $good:expr) => {
        name! { $(#[$doc])* $name, $max, $good, |_: &str| Ok(()) }
    };
    ($(#[$doc:meta])* $name:ident, $max:expr, $good:expr, $whole:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "minLength": 1, "maxLength": $max })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                check(&text, $max, $good)?;
                let whole: fn(&str) -> Result<(), BadName> = $whole;
                whole(&text)?;
                Ok(Self(text))
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}
pub(crate) use name;

name! {
    /// A project's directory name: ASCII letters, digits, `.`, `_` and `-`, beginning with a
    /// letter or digit, so it is never an option, a hidden file or a path.
    ProjectName, PROJECT_NAME_BYTES_MAX, |at, c: char| {
        c.is_ascii_alphanumeric() || (0 < at && matches!(c, '.' | '_' | '-'))
    }
}
name! {
    /// What names a gate within its session: `infra_config`, or the agent's own id of the
    /// question. Visible ASCII without blanks.
    GateId, AGENT_ID_BYTES_MAX, |_, c: char| c.is_ascii_graphic()
}
name! {
    /// An agent's id of one tool call. Visible ASCII without blanks.
    ToolUseId, AGENT_ID_BYTES_MAX, |_, c: char| c.is_ascii_graphic()
}

impl GateId {
    /// A session's one infrastructure gate, named like its kind.
    pub fn infra_config() -> Self {
        Self("infra_config".to_owned())
    }
}

impl From<ToolUseId> for GateId {
    fn from(id: ToolUseId) -> Self {
        Self(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_project_names_are_refused() {
        for bad in ["", "'; rm -rf /", "../up", "-rf", ".hidden", "a/b", "a b", "a\nb", "ü", "a\0b"]
        {
            assert!(bad.parse::<ProjectName>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(101).parse::<ProjectName>().is_err());
        for good in ["electric-1a2b3c4d-5e6f", "app", "A_b.c-1"] {
            assert_eq!(good.parse::<ProjectName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_bad_character_is_named_with_its_place() {
        let error = "ab/c".parse::<ProjectName>().unwrap_err();
        assert_eq!(error.to_string(), "a name must not contain '/' at byte 2");
    }
}
