use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// What an App's token is for, in GitHub's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Permission {
    /// Making repositories.
    Administration,
    /// Files, branches, commits: what git fetches and pushes.
    Contents,
    /// Issues.
    Issues,
    /// What everybody who sees a repository sees; comes with every token.
    Metadata,
    /// Pull requests.
    PullRequests,
    /// Files below `.github/workflows`, which `Contents` alone does not let be pushed.
    Workflows,
}

/// How far a permission goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// To look.
    Read,
    /// To look and to change.
    Write,
}

/// What a token may do. Printed as `contents: write, pull_requests: write`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permissions(BTreeMap<Permission, Access>);

impl Permissions {
    /// What an agent needs to push its work and to propose it: contents and pull requests.
    pub fn to_push() -> Self {
        [(Permission::Contents, Access::Write), (Permission::PullRequests, Access::Write)].into()
    }

    /// What making a repository needs.
    pub(crate) fn to_create() -> Self {
        [(Permission::Administration, Access::Write)].into()
    }

    /// Adds a permission.
    #[must_use]
    pub fn and(mut self, permission: Permission, access: Access) -> Self {
        self.0.insert(permission, access);
        self
    }

    /// The first of `granted` (by GitHub's names) that goes further than this.
    pub(crate) fn exceeded_by(&self, granted: &BTreeMap<String, String>) -> Option<String> {
        let wider = granted.iter().find(|(name, access)| {
            let word = |word: &str| serde_json::Value::String(word.to_owned());
            let name = serde_json::from_value::<Permission>(word(name)).ok();
            let access = serde_json::from_value::<Access>(word(access)).ok();
            let (Some(name), Some(access)) = (name, access) else { return true };
            let free = name == Permission::Metadata && access == Access::Read;
            !free && self.0.get(&name).is_none_or(|asked| *asked < access)
        });
        wider.map(|(name, access)| format!("{name}: {access}"))
    }
}

impl<const N: usize> From<[(Permission, Access); N]> for Permissions {
    fn from(all: [(Permission, Access); N]) -> Self {
        Self(all.into())
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_value(self).unwrap_or_default();
        let all = json.as_object().into_iter().flatten();
        let all = all.map(|(name, access)| format!("{name}: {}", access.as_str().unwrap_or("")));
        f.write_str(&all.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_was_asked_for_is_noticed() {
        let granted = |all: &[(&str, &str)]| {
            let all = all.iter().map(|(name, access)| ((*name).to_owned(), (*access).to_owned()));
            Permissions::to_push().exceeded_by(&all.collect())
        };
        assert_eq!(granted(&[("contents", "write"), ("metadata", "read")]), None);
        assert_eq!(granted(&[("contents", "read")]), None, "less is no danger");
        assert_eq!(granted(&[("issues", "read")]).as_deref(), Some("issues: read"));
        assert_eq!(granted(&[("contents", "admin")]).as_deref(), Some("contents: admin"));
        assert_eq!(granted(&[("secrets", "read")]).as_deref(), Some("secrets: read"));
    }

    #[test]
    fn permissions_read_as_github_writes_them() {
        let all = Permissions::to_push().and(Permission::Workflows, Access::Write);
        let text = "contents: write, pull_requests: write, workflows: write";
        assert_eq!(all.to_string(), text);
    }
}
