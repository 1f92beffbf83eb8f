//! GitHub as a person sees it with their own token.

use std::sync::Arc;

use studio_assets::git::GitOrigin;
use studio_github::{
    Accounts, Branch, GitHub, GitHubError, Listing, REPOS_RECENT, Repo, UserToken,
};
use studio_ids::Repository;

use crate::{FlowError, Studio};

/// GitHub, and where git finds its repositories.
#[derive(Clone, Debug)]
pub struct GitHubAccess {
    /// The API.
    pub github: Arc<dyn GitHub>,
    /// `https://github.com`: the one place that a sandbox's git gets tokens for.
    pub origin: GitOrigin,
}

impl GitHubAccess {
    /// Where git finds a repository.
    pub(crate) fn clone_url(&self, repository: &Repository) -> String {
        format!("{}/{repository}.git", self.origin.url())
    }

    /// The repository at an address as people copy it, if it is one of this GitHub. Nothing else
    /// is ever cloned, so no address leads the studio or a sandbox elsewhere.
    pub(crate) fn repository_at(&self, address: &str) -> Option<Repository> {
        let here = self.origin.url();
        let host = here.split_once("://").map_or("", |(_, host)| host);
        if let Ok(found) = Repository::from_url(address, host) {
            return here.starts_with("https:").then_some(found);
        }
        let path = address.strip_prefix(&here)?.strip_prefix('/')?;
        path.strip_suffix(".git").unwrap_or(path).parse().ok()
    }
}

impl Studio {
    /// Where the token's user may have repositories.
    pub async fn accounts(&self, token: &UserToken) -> Result<Accounts, FlowError> {
        self.github()?.accounts(token).await.map_err(FlowError::GitHub)
    }

    /// The repositories that the token's user sees, the latest updated first.
    pub async fn repos(&self, token: &UserToken) -> Result<Listing<Repo>, FlowError> {
        self.github()?.repos(token, REPOS_RECENT).await.map_err(FlowError::GitHub)
    }

    /// The branches of a repository.
    pub async fn branches(
        &self,
        token: &UserToken,
        repository: &Repository,
    ) -> Result<Listing<Branch>, FlowError> {
        self.github()?.branches(token, repository).await.map_err(FlowError::GitHub)
    }

    fn github(&self) -> Result<&Arc<dyn GitHub>, FlowError> {
        let access = self.inner().parts.github.as_ref();
        access.map(|access| &access.github).ok_or(FlowError::GitHub(GitHubError::NoApp))
    }
}
