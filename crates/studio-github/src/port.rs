use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use studio_ids::{BranchName, OwnerName, Repository, RepositoryName, Secret};

use crate::{GitHubError, SetupError};

/// Longest token, in bytes; GitHub's own have up to 255.
const TOKEN_BYTES_MAX: usize = 1_000;

/// GitHub, as flows use it. Kept as `Arc<dyn GitHub>`. Every call has a deadline of its own and
/// ends when its future is dropped.
#[async_trait]
pub trait GitHub: Send + Sync + fmt::Debug {
    /// The App that makes repositories and gives tokens for them; `None` = none is configured,
    /// and what needs one fails with [`GitHubError::NoApp`].
    fn app(&self) -> Option<AppFacts>;

    /// Where the token's user may have repositories: the user first, then organisations.
    ///
    /// Fails when the user cannot be told. Organisations that cannot be listed (a token without
    /// the scope `read:org`) are no failure: see [`Accounts::incomplete`].
    async fn accounts(&self, token: &UserToken) -> Result<Accounts, GitHubError>;

    /// The `most` repositories that the token's user owns, collaborates on or sees as a member
    /// of an organisation, the latest updated first.
    async fn repos(&self, token: &UserToken, most: usize) -> Result<Listing<Repo>, GitHubError>;

    /// The branches of a repository, up to [`crate::BRANCHES_MAX`]; the default one is always
    /// among them, if there is any branch.
    async fn branches(
        &self,
        token: &UserToken,
        repository: &Repository,
    ) -> Result<Listing<Branch>, GitHubError>;

    /// Makes an empty repository. Never repeated when in doubt: [`GitHubError::InDoubt`] says
    /// that it may be there.
    async fn create_repo(&self, by: By<'_>, new: &NewRepo) -> Result<CreatedRepo, GitHubError>;

    /// The repository that an earlier [`Self::create_repo`] of the same made, if it did: it has the
    /// name and the description. For one that was in doubt, or whose name is taken.
    async fn find_made(
        &self,
        by: By<'_>,
        new: &NewRepo,
    ) -> Result<Option<CreatedRepo>, GitHubError>;

    /// A token of the App for this repository alone, with the configured permissions, good for
    /// some minutes at least. Kept and handed out again until shortly before its end; callers
    /// that want the same one at once wait for the same request.
    async fn installation_token(
        &self,
        repository: &Repository,
    ) -> Result<InstallationToken, GitHubError>;

    /// Drops what is kept for a repository: its token was refused, or should not be used again.
    fn forget_token(&self, repository: &Repository);

    /// As [`Self::forget_token`], and gives the token back: it opens nothing any more. One that
    /// could not be given back ends within the hour.
    async fn end_token(&self, repository: &Repository);
}

/// What is known of the App without asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppFacts {
    /// Where it makes repositories.
    pub organisation: OwnerName,
    /// How they are seen when nobody says otherwise.
    pub visibility: Visibility,
}

/// A token that a person gave. It can be sent and not be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct UserToken(Secret);

impl UserToken {
    /// A token of visible ASCII, as it goes into a header.
    pub fn new(text: &str) -> Result<Self, SetupError> {
        let good = (1..=TOKEN_BYTES_MAX).contains(&text.len());
        if good && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(Secret::new(text)))
        } else {
            Err(SetupError::BadToken)
        }
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }
}

impl fmt::Debug for UserToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserToken(..)")
    }
}

/// What was found, and whether that is all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// In GitHub's order.
    pub items: Vec<T>,
    /// False when there is more than was asked for.
    pub is_complete: bool,
}

/// Where somebody may have repositories.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// The user first.
    pub accounts: Vec<Account>,
    /// Why organisations are missing.
    pub incomplete: Option<GitHubError>,
}

/// A person or an organisation. Wire shape: `{"login":"acme","type":"org"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The name.
    pub login: OwnerName,
    /// Which of the two.
    #[serde(rename = "type")]
    pub kind: AccountKind,
}

/// Whose account it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// One person's.
    User,
    /// An organisation's.
    Org,
}

/// A repository in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repo {
    /// Which one.
    pub repository: Repository,
    /// Its page: `http` or `https`.
    pub url: String,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Whether only some may see it.
    pub is_private: bool,
}

/// A branch. Wire shape: `{"name":"main","isDefault":true}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Branch {
    /// Which one.
    pub name: BranchName,
    /// Whether it is what a clone checks out.
    pub is_default: bool,
}

/// Who may see a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Who was let in.
    #[default]
    Private,
    /// All members of an enterprise.
    Internal,
    /// Everybody.
    Public,
}

/// With whose leave a repository is made.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// The App's, in its organisation.
    App,
    /// A person's, in this account: the person's own or an organisation's.
    User {
        /// The person's token.
        token: &'a UserToken,
        /// Where.
        owner: &'a OwnerName,
    },
}

/// A repository to be made: empty, without a first commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRepo {
    /// What it is to be called.
    pub name: RepositoryName,
    /// Who may see it.
    pub visibility: Visibility,
    /// One line on its page; control characters are left out, and what is longer than GitHub
    /// takes is cut.
    pub description: Option<String>,
}

/// A repository that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedRepo {
    /// Which one.
    pub repository: Repository,
    /// What git clones and pushes to, without credentials.
    pub clone_url: String,
    /// Its page.
    pub url: String,
}

/// A token of the App for one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallationToken {
    /// The token: a password for the user `x-access-token` of git, a bearer token of the API.
    pub token: Secret,
    /// When it ends, by GitHub's clock.
    pub expires_at: Timestamp,
}
