//! GitHub as the studio uses it. An App gives tokens for one repository with few permissions, and
//! makes repositories; a person's own token lists accounts, repositories and branches.
//!
//! Reading order: [`GitHub`] (what flows need of it), [`GitHubError`] (what can go wrong),
//! [`RestGitHub`] (the same over GitHub's REST API) with its [`GitHubOptions`], [`AppOptions`] and
//! [`Permissions`]. Inside: `client` makes one request until it is answered or out of time, `rate`
//! reads its limits, `link` its pages, `jwt` signs for the App, `tokens` keeps what it got.
//!
//! A call ends with its deadline, or when its future is dropped; nothing goes on behind it.

mod client;
mod create;
mod error;
mod jwt;
mod link;
mod listings;
mod options;
mod permissions;
mod port;
mod rate;
mod rest;
mod tokens;
mod wire;

pub use error::{GitHubError, RateLimit, SetupError};
pub use jwt::AppKey;
pub use options::{AppId, AppOptions, GitHubOptions};
pub use permissions::{Access, Permission, Permissions};
pub use port::{
    Account, AccountKind, Accounts, AppFacts, Branch, By, CreatedRepo, GitHub, InstallationToken,
    Listing, NewRepo, Repo, UserToken, Visibility,
};
pub use rest::{BRANCHES_MAX, REPOS_RECENT, RestGitHub};
