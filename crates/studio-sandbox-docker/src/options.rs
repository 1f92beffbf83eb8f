use std::{fmt, str::FromStr};

use bytes::Bytes;

/// Longest [`Owner`], in bytes: it becomes a part of a container's name.
const OWNER_BYTES_MAX: usize = 64;

/// A text that cannot name a studio on an engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an owner is 1 to 64 lower-case ASCII letters, digits and hyphens")]
pub struct BadOwner;

/// Which studio a container belongs to: one value per data directory, kept in it. Studios with
/// different owners share an engine without seeing each other's containers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner(String);

impl Owner {
    /// The owner as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Owner {
    type Err = BadOwner;

    fn from_str(text: &str) -> Result<Self, BadOwner> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || OWNER_BYTES_MAX < text.len() || !text.bytes().all(good) {
            return Err(BadOwner);
        }
        Ok(Self(text.to_owned()))
    }
}

/// What a provider needs to know.
#[derive(Clone, Debug)]
pub struct DockerOptions {
    /// The engine: `unix:///path/of.sock` or `tcp://host:port`; the engine of this machine
    /// (`/var/run/docker.sock`) when absent.
    pub engine: Option<String>,
    /// Whose containers these are.
    pub owner: Owner,
    /// What a sandbox is made from.
    pub image: ImageSource,
}

/// Where the image comes from. Any image will do that has a POSIX `sh`, `tar` and `head`, and a
/// home `/home/agent` that user 1000 may write to.
#[derive(Clone, Debug)]
pub enum ImageSource {
    /// The engine has it under this name.
    Tag(String),
    /// Built by the engine on first use, unless it has it already.
    Recipe(Recipe),
}

impl ImageSource {
    /// The name of the image.
    pub fn tag(&self) -> &str {
        match self {
            Self::Tag(tag) => tag,
            Self::Recipe(recipe) => &recipe.tag,
        }
    }
}

/// How an image is built. The tag has to name the content (a digest of the recipe): an image that
/// exists under it is taken as it is.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The name of the image.
    pub tag: String,
    /// The build context; one file of it is `Dockerfile`.
    pub files: Vec<ContextFile>,
}

/// A file of a build context.
#[derive(Clone, Debug)]
pub struct ContextFile {
    /// Where, relative to the root of the context.
    pub path: String,
    /// The content.
    pub data: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_fits_into_a_name_and_a_label() {
        for bad in ["", "A", "a/b", "a b", "a=b", "ü", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Owner>(), Err(BadOwner), "{bad:?}");
        }
        let id = "00000000-0000-4000-8000-00000000000a";
        assert_eq!(id.parse::<Owner>().unwrap().as_str(), id);
    }
}
