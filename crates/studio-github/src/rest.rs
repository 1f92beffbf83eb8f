use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt;
use jiff::Timestamp;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use studio_ids::{OwnerName, Repository, Secret};
use tokio::time::Instant;

use crate::{
    Accounts, AppFacts, Branch, By, CreatedRepo, GitHub, GitHubError, GitHubOptions,
    InstallationToken, Listing, NewRepo, Permissions, Repo, SetupError, UserToken, Visibility,
    client::{Answer, Ask, Client, Failure},
    jwt::Signer,
    link,
    tokens::Tokens,
    wire,
};

/// What a listing page without a wish shows: the most recent ones.
pub const REPOS_RECENT: usize = 50;
/// Most branches of one repository that are listed.
pub const BRANCHES_MAX: usize = 1_000;
/// GitHub's largest page.
pub(crate) const PAGE_MAX: usize = 100;
/// How long giving a token back may take; it ends by itself within the hour.
const REVOKE_PATIENCE: Duration = Duration::from_secs(5);

/// GitHub over its REST API.
#[derive(Clone)]
pub struct RestGitHub(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub client: Client,
    pub app: Option<App>,
    tokens: Tokens,
    token_margin: Duration,
}

#[derive(Debug)]
pub(crate) struct App {
    signer: Signer,
    installation: u64,
    pub organisation: OwnerName,
    visibility: Visibility,
    permissions: Permissions,
}

impl fmt::Debug for RestGitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestGitHub").field("app", &self.app()).finish_non_exhaustive()
    }
}

impl RestGitHub {
    /// Prepares; connects to nothing yet.
    pub fn new(options: GitHubOptions) -> Result<Self, SetupError> {
        let client = Client::new(&options)?;
        let app = options.app.map(|app| App {
            signer: Signer::new(app.id, app.key),
            installation: app.installation,
            organisation: app.organisation,
            visibility: app.visibility,
            permissions: app.permissions,
        });
        let (tokens, token_margin) = (Tokens::default(), options.token_margin);
        Ok(Self(Arc::new(Inner { client, app, tokens, token_margin })))
    }
}

#[async_trait]
impl GitHub for RestGitHub {
    fn app(&self) -> Option<AppFacts> {
        let app = self.0.app.as_ref()?;
        Some(AppFacts { organisation: app.organisation.clone(), visibility: app.visibility })
    }

    async fn accounts(&self, token: &UserToken) -> Result<Accounts, GitHubError> {
        self.0.accounts(token).await
    }

    async fn repos(&self, token: &UserToken, most: usize) -> Result<Listing<Repo>, GitHubError> {
        self.0.repos(token, most).await
    }

    async fn branches(
        &self,
        token: &UserToken,
        repository: &Repository,
    ) -> Result<Listing<Branch>, GitHubError> {
        self.0.branches(token, repository).await
    }

    async fn create_repo(&self, by: By<'_>, new: &NewRepo) -> Result<CreatedRepo, GitHubError> {
        self.0.create_repo(by, new).await
    }

    async fn find_made(
        &self,
        by: By<'_>,
        new: &NewRepo,
    ) -> Result<Option<CreatedRepo>, GitHubError> {
        self.0.find_made(by, new).await
    }

    async fn installation_token(
        &self,
        repository: &Repository,
    ) -> Result<InstallationToken, GitHubError> {
        let inner = &self.0;
        let app = inner.app.as_ref().ok_or(GitHubError::NoApp)?;
        let margin = i64::try_from(inner.token_margin.as_secs()).unwrap_or(i64::MAX);
        let is_fresh = |token: &InstallationToken| {
            app.signer.now().saturating_add(margin) < token.expires_at.as_second()
        };
        let (asked_of, of) = (inner.clone(), repository.clone());
        let ask = || async move { asked_of.token_for(&of).await }.boxed();
        inner.tokens.get(repository, is_fresh, ask).await
    }

    fn forget_token(&self, repository: &Repository) {
        drop(self.0.tokens.forget(repository));
    }

    async fn end_token(&self, repository: &Repository) {
        if let Some(token) = self.0.tokens.forget(repository) {
            self.0.revoke(&token).await;
        }
    }
}

impl Inner {
    /// Something to be read with `secret`.
    pub(crate) fn get<'a>(
        &self,
        what: &str,
        parts: &[&str],
        query: &[(&str, &str)],
        secret: &'a Secret,
        until: Instant,
    ) -> Ask<'a> {
        Ask {
            what: what.to_owned(),
            method: Method::GET,
            url: self.client.url(parts, query),
            secret,
            limited_as: secret.expose(),
            body: None,
            once: false,
            until,
        }
    }

    /// All pages from `ask` on, until there are `most` items.
    pub(crate) async fn pages<T: DeserializeOwned>(
        &self,
        ask: Ask<'_>,
        most: usize,
    ) -> Result<Listing<T>, GitHubError> {
        let mut items: Vec<T> = Vec::new();
        let Ask { what, method, mut url, secret, limited_as, until, .. } = ask;
        loop {
            let page = Ask {
                what: what.clone(),
                method: method.clone(),
                url: url.clone(),
                secret,
                limited_as,
                body: None,
                once: false,
                until,
            };
            let answer = self.client.ask(page).await?;
            items.extend(answer.json::<Vec<T>>(&what)?);
            let Some(target) = link::next(&answer.headers) else {
                let is_complete = items.len() <= most;
                items.truncate(most);
                return Ok(Listing { items, is_complete });
            };
            if most <= items.len() {
                items.truncate(most);
                return Ok(Listing { items, is_complete: false });
            }
            let next = self.client.own(&url, target).filter(|next| *next != url);
            url = next.ok_or_else(|| GitHubError::Strange {
                what: what.clone(),
                why: "with a next page on another server, or the same again".to_owned(),
            })?;
        }
    }

    /// Asks in the App's name. When GitHub does not take the signature and its clock is another
    /// one, once more by that clock.
    async fn as_app(
        &self,
        app: &App,
        what: &str,
        parts: &[&str],
        body: Value,
        until: Instant,
    ) -> Result<Answer, Failure> {
        let mut again = true;
        loop {
            let signature = app.signer.sign().ok_or_else(|| GitHubError::Strange {
                what: what.to_owned(),
                why: "nothing: this machine has no randomness to sign with".to_owned(),
            })?;
            let ask = Ask {
                what: what.to_owned(),
                method: Method::POST,
                url: self.client.url(parts, &[]),
                secret: &signature,
                limited_as: "the app",
                body: Some(body.clone()),
                // One token more, unused, ends by itself.
                once: false,
                until,
            };
            let failure = match self.client.ask(ask).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let unknown = matches!(failure.error, GitHubError::NotLetIn { .. });
            let corrected = unknown && failure.date.is_some_and(|now| app.signer.set_clock(now));
            if !(corrected && std::mem::take(&mut again)) {
                return Err(failure);
            }
        }
    }

    async fn installation(
        &self,
        app: &App,
        what: &str,
        body: Value,
        until: Instant,
    ) -> Result<(InstallationToken, wire::Token), GitHubError> {
        let installation = app.installation.to_string();
        let parts = ["app", "installations", &installation, "access_tokens"];
        let answer = self.as_app(app, what, &parts, body, until).await?;
        let mut wire: wire::Token = answer.json(what)?;
        let expires_at: Timestamp = wire.expires_at.parse().map_err(|_bad| {
            let why = "a token without a usable time".to_owned();
            GitHubError::Strange { what: what.to_owned(), why }
        })?;
        // It goes on in headers and in lines of git's.
        let token = UserToken::new(&std::mem::take(&mut wire.token)).map_err(|_bad| {
            let why = "a token that no header can hold".to_owned();
            GitHubError::Strange { what: what.to_owned(), why }
        })?;
        Ok((InstallationToken { token: token.secret().clone(), expires_at }, wire))
    }

    /// A new token for one repository; nothing wider is ever handed out.
    pub(crate) async fn token_for(
        &self,
        repository: &Repository,
    ) -> Result<InstallationToken, GitHubError> {
        let app = self.app.as_ref().ok_or(GitHubError::NoApp)?;
        let what = format!("asking for a token for {repository}");
        let body = json!({"repositories": [repository.name], "permissions": app.permissions});
        let (token, told) = self.installation(app, &what, body, self.client.until()).await?;
        let full: Vec<_> = told.repositories.iter().flatten().map(|one| &one.full_name).collect();
        let name = repository.to_string();
        // The request has no owner: the same name of the installation's own account may be meant.
        let why = if !matches!(full[..], [one] if one.eq_ignore_ascii_case(&name)) {
            let list = full.iter().take(3).map(|one| one.as_str()).collect::<Vec<_>>().join(", ");
            let list = if list.is_empty() { "all of the installation" } else { &list };
            format!("it is for {list}")
        } else if let Some(wider) = app.permissions.exceeded_by(&told.permissions) {
            format!("it allows {wider}")
        } else {
            return Ok(token);
        };
        self.revoke(&token).await;
        Err(GitHubError::NotNarrow { repository: repository.clone(), why })
    }

    /// A token that can make repositories, for who gives it back at once ([`Self::revoke`]).
    pub(crate) async fn token_to_create(
        &self,
        app: &App,
        what: &str,
        until: Instant,
    ) -> Result<InstallationToken, GitHubError> {
        let body = json!({"permissions": Permissions::to_create()});
        Ok(self.installation(app, what, body, until).await?.0)
    }

    /// Gives a token back. That it could not be is no failure: it ends within the hour.
    pub(crate) async fn revoke(&self, token: &InstallationToken) {
        let until = Instant::now() + REVOKE_PATIENCE;
        let mut ask =
            self.get("giving a token back", &["installation", "token"], &[], &token.token, until);
        ask.method = Method::DELETE;
        if let Err(failure) = self.client.ask(ask).await {
            tracing::warn!(error = &failure.error as &dyn std::error::Error, "a token lives on");
        }
    }
}
