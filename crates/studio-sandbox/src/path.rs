use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is not an absolute, normalised path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a path in a sandbox is absolute, at most 4096 bytes, without `.` and `..` parts, without NUL and line breaks"
)]
pub struct BadSandboxPath;

/// A path inside a sandbox: absolute and lexically normal. Symlinks are the sandbox's business.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SandboxPath(String);

impl SandboxPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of `relative` below this one. `relative` may have several parts.
    pub fn join(&self, relative: &str) -> Result<Self, BadSandboxPath> {
        if relative.starts_with('/') {
            return Err(BadSandboxPath);
        }
        format!("{}/{relative}", self.0.trim_end_matches('/')).parse()
    }

    /// The directory it lies in; `/` for `/`.
    pub fn parent(&self) -> Self {
        match self.0.rsplit_once('/') {
            Some(("", _)) | None => Self("/".to_owned()),
            Some((parent, _)) => Self(parent.to_owned()),
        }
    }

    /// Whether it is `ancestor` or lies below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        match self.0.strip_prefix(ancestor.0.trim_end_matches('/')) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl fmt::Display for SandboxPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SandboxPath {
    type Err = BadSandboxPath;

    fn from_str(text: &str) -> Result<Self, BadSandboxPath> {
        let normal = text == "/"
            || text
                .strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
        if normal && text.len() <= 4096 && !text.contains(['\0', '\n', '\r']) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadSandboxPath)
        }
    }
}

impl TryFrom<String> for SandboxPath {
    type Error = BadSandboxPath;

    fn try_from(text: String) -> Result<Self, BadSandboxPath> {
        text.parse()
    }
}

impl From<SandboxPath> for String {
    fn from(path: SandboxPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_where_it_is_put() {
        let dir: SandboxPath = "/home/agent/workspace/app".parse().unwrap();
        assert_eq!(
            dir.join("src/a b.txt").unwrap().as_str(),
            "/home/agent/workspace/app/src/a b.txt"
        );
        for bad in ["../x", "/etc/passwd", "a//b", "a/./b", "", "a\nb", "a/"] {
            assert!(dir.join(bad).is_err(), "{bad:?}");
        }
        let sibling: SandboxPath = "/home/agent/workspace/app2".parse().unwrap();
        assert!(!sibling.is_within(&dir));
        assert!(dir.join("x").unwrap().is_within(&dir));
        assert_eq!(dir.parent().as_str(), "/home/agent/workspace");
    }
}
