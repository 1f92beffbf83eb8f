use reqwest::Url;
use studio_ids::Repository;
use tokio::time::Instant;

use crate::{
    Account, AccountKind, Accounts, Branch, GitHubError, Listing, Repo, UserToken,
    rest::{BRANCHES_MAX, Inner, PAGE_MAX},
    wire,
};

/// Most organisations of one user that are listed.
const ORGS_MAX: usize = 1_000;

impl Inner {
    pub(crate) async fn accounts(&self, token: &UserToken) -> Result<Accounts, GitHubError> {
        let (secret, until) = (token.secret(), self.client.until());
        let what = "listing organisations";
        let orgs = self.get(what, &["user", "orgs"], &[("per_page", "100")], secret, until);
        let (user, orgs) =
            futures::join!(self.user(token, until), self.pages::<wire::Login>(orgs, ORGS_MAX));
        let (found, incomplete) = match orgs {
            Ok(listing) => (listing.items, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut accounts = vec![user?];
        accounts.extend(found.into_iter().filter_map(|one| account(&one.login, AccountKind::Org)));
        Ok(Accounts { accounts, incomplete })
    }

    /// Whose token it is.
    pub(crate) async fn user(
        &self,
        token: &UserToken,
        until: Instant,
    ) -> Result<Account, GitHubError> {
        let what = "asking whose token it is";
        let ask = self.get(what, &["user"], &[], token.secret(), until);
        let login: wire::Login = self.client.ask(ask).await?.json(what)?;
        account(&login.login, AccountKind::User).ok_or_else(|| GitHubError::Strange {
            what: what.to_owned(),
            why: "with a login that is none".to_owned(),
        })
    }

    pub(crate) async fn repos(
        &self,
        token: &UserToken,
        most: usize,
    ) -> Result<Listing<Repo>, GitHubError> {
        let size = most.clamp(1, PAGE_MAX).to_string();
        let query = [
            ("sort", "updated"),
            ("direction", "desc"),
            ("affiliation", "owner,collaborator,organization_member"),
            ("per_page", &size),
        ];
        let until = self.client.until();
        let ask =
            self.get("listing repositories", &["user", "repos"], &query, token.secret(), until);
        let found = self.pages::<wire::ListedRepo>(ask, most).await?;
        let items = found.items.into_iter().filter_map(repo).collect();
        Ok(Listing { items, is_complete: found.is_complete })
    }

    pub(crate) async fn branches(
        &self,
        token: &UserToken,
        repository: &Repository,
    ) -> Result<Listing<Branch>, GitHubError> {
        let (secret, until) = (token.secret(), self.client.until());
        let what = format!("listing branches of {repository}");
        let (owner, name) = (repository.owner.as_str(), repository.name.as_str());
        let default = async {
            let ask = self.get(&what, &["repos", owner, name], &[], secret, until);
            self.client.ask(ask).await?.json::<wire::DefaultBranch>(&what)
        };
        let parts = ["repos", owner, name, "branches"];
        let all = self.get(&what, &parts, &[("per_page", "100")], secret, until);
        let (default, all) =
            futures::try_join!(default, self.pages::<wire::ListedBranch>(all, BRANCHES_MAX))?;
        let default = default.default_branch;
        let branch = |one: wire::ListedBranch| {
            let is_default = one.name == default;
            let name = one.name.parse().map_err(|error| skipped("a branch", &error));
            Some(Branch { name: name.ok()?, is_default })
        };
        let mut items: Vec<Branch> = all.items.into_iter().filter_map(branch).collect();
        // An empty repository names a default branch too, and has none.
        if !all.is_complete
            && !items.iter().any(|branch| branch.is_default)
            && let Ok(name) = default.parse()
        {
            items.insert(0, Branch { name, is_default: true });
        }
        Ok(Listing { items, is_complete: all.is_complete })
    }
}

fn account(login: &str, kind: AccountKind) -> Option<Account> {
    let login = login.parse().map_err(|error| skipped("an account", &error)).ok()?;
    Some(Account { login, kind })
}

fn repo(one: wire::ListedRepo) -> Option<Repo> {
    let repository = one.full_name.parse().map_err(|error| skipped("a repository", &error)).ok()?;
    // It becomes a link.
    let url = Url::parse(&one.html_url).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let updated_at = one.updated_at.and_then(|at| at.parse().ok()).unwrap_or_default();
    Some(Repo { repository, url: url.into(), updated_at, is_private: one.private })
}

/// A name that would not be safe to hand on is left out of a listing.
fn skipped(what: &str, error: &studio_ids::BadName) {
    tracing::debug!(error = error as &dyn std::error::Error, "{what} of GitHub's is left out");
}
