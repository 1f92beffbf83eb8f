//! What repositories, their owners and their branches are called.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::name::{BadName, check, name};

/// Longest login of a person or an organisation on GitHub, in bytes.
const OWNER_BYTES_MAX: usize = 39;
/// Longest name of a repository on GitHub, in bytes.
const REPOSITORY_BYTES_MAX: usize = 100;
/// Longest name of a branch, in bytes: GitHub's 255 for a reference without `refs/heads/`.
const BRANCH_BYTES_MAX: usize = 244;

name! {
    /// A person or an organisation on GitHub: ASCII letters, digits, `-` and `_` (in the logins
    /// of managed users), beginning with a letter or digit.
    OwnerName, OWNER_BYTES_MAX, |at, c: char| {
        c.is_ascii_alphanumeric() || (0 < at && matches!(c, '-' | '_'))
    }
}
name! {
    /// A repository's name without its owner: ASCII letters, digits, `.`, `_` and `-`; never an
    /// option, never `.` or `..`, and without the `.git` that belongs to addresses.
    RepositoryName, REPOSITORY_BYTES_MAX, |at, c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || (0 < at && c == '-')
    }, |text: &str| {
        if text.bytes().all(|b| b == b'.') {
            return Err(BadName::Shape { rule: "must not consist of dots" });
        }
        let end = text.len().checked_sub(4).and_then(|at| text.get(at..));
        if end.is_some_and(|end| end.eq_ignore_ascii_case(".git")) {
            return Err(BadName::Shape { rule: "must not end with .git" });
        }
        Ok(())
    }
}
name! {
    /// A branch without `refs/heads/`: what git accepts as one (`git check-ref-format --branch`),
    /// and no white space or control character of any alphabet.
    BranchName, BRANCH_BYTES_MAX, |_, c: char| {
        !c.is_control() && !c.is_whitespace()
            && !matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\')
    }, |text: &str| {
        let part_is_bad = |part: &str| {
            part.is_empty() || part.starts_with('.') || part.ends_with(".lock")
        };
        let rule = if text.starts_with('-') {
            "must not begin with -"
        } else if text.contains("..") || text.ends_with('.') {
            "must not contain .. or end with a dot"
        } else if text.contains("@{") || text == "@" || text == "HEAD" {
            "must not be a word of git"
        } else if text.split('/').any(part_is_bad) {
            "must not have a part that is empty, begins with a dot or ends with .lock"
        } else {
            return Ok(());
        };
        Err(BadName::Shape { rule })
    }
}

/// A repository: `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository {
    /// Whose it is.
    pub owner: OwnerName,
    /// What it is called there.
    pub name: RepositoryName,
}

impl Repository {
    /// The repository at an address as people copy it: `https://<host>/owner/name`, with or
    /// without `.git` and a slash at the end, or `git@<host>:owner/name.git`. Nothing else: no
    /// user, no port, no query, no other host.
    pub fn from_url(url: &str, host: &str) -> Result<Self, BadName> {
        let path = url
            .strip_prefix("https://")
            .and_then(|rest| rest.strip_prefix(host)?.strip_prefix('/'))
            .or_else(|| url.strip_prefix("git@")?.strip_prefix(host)?.strip_prefix(':'))
            .ok_or(BadName::Shape { rule: "must be the https address of a repository" })?;
        let path = path.strip_suffix('/').unwrap_or(path);
        path.strip_suffix(".git").unwrap_or(path).parse()
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for Repository {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let (owner, name) =
            text.split_once('/').ok_or(BadName::Shape { rule: "must be like owner/repository" })?;
        Ok(Self { owner: owner.parse()?, name: name.parse()? })
    }
}

impl TryFrom<String> for Repository {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<Repository> for String {
    fn from(repository: Repository) -> Self {
        repository.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_owners_and_repositories_are_refused() {
        for bad in ["", "-x", "a/b", "a.b", "a b", "a\n", "ä", "..", "a\0", "a?b", "a%2fb", "_a"] {
            assert!(bad.parse::<OwnerName>().is_err(), "{bad:?}");
        }
        for bad in ["", "-x", ".", "..", "...", "a/b", "a b", "a\n", "ä", "a.git", "A.GIT", ".git"]
        {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad:?}");
        }
        for bad in ["", "a", "/b", "a/", "a/b/c", "a/..", "../b", "-a/b", "a/-b", "a/b\n"] {
            assert!(bad.parse::<Repository>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(40).parse::<OwnerName>().is_err());
        assert!("x".repeat(101).parse::<RepositoryName>().is_err());
        for good in ["octocat/Hello-World", "a/.github", "acme_corp/a..b", "a/b_c.d-e"] {
            assert_eq!(good.parse::<Repository>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn a_branch_is_what_git_takes_for_one() {
        for bad in [
            "",
            "-b",
            "--force",
            "a..b",
            "a b",
            "a\tb",
            "a\n",
            "a\u{7f}",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "*",
            "[a",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.",
            "a.lock",
            "a.lock/b",
            "a@{1}",
            "@",
            "HEAD",
            "a\u{2028}b",
            "a\u{a0}b",
        ] {
            assert!(bad.parse::<BranchName>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(245).parse::<BranchName>().is_err());
        for good in ["main", "feature/a-b_c.d", "user@place", "ünïcode", "a@b", "dependabot/npm/x"]
        {
            assert_eq!(good.parse::<BranchName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn an_address_leads_to_a_repository_of_its_host_only() {
        let from = |url| Repository::from_url(url, "github.com").map(|repo| repo.to_string());
        for good in [
            "https://github.com/a/b",
            "https://github.com/a/b.git",
            "https://github.com/a/b/",
            "git@github.com:a/b.git",
        ] {
            assert_eq!(from(good).unwrap(), "a/b", "{good}");
        }
        for bad in [
            "https://github.com.evil.example/a/b",
            "https://user:pass@github.com/a/b",
            "https://github.com:8443/a/b",
            "https://github.com/a/b?c",
            "https://github.com/a/../b",
            "http://github.com/a/b",
            "ext::sh -c id",
            "--upload-pack=id",
            "file:///etc",
            "https://github.com/a/b\n",
        ] {
            assert!(from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_repository_travels_as_a_string() {
        let repository: Repository = serde_json::from_str("\"a/b\"").unwrap();
        assert_eq!(serde_json::to_string(&repository).unwrap(), "\"a/b\"");
        assert!(serde_json::from_str::<Repository>("\"a/../b\"").is_err());
    }
}
