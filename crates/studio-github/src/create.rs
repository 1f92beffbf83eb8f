use reqwest::Method;
use serde_json::json;
use studio_ids::{OwnerName, Repository, Secret};
use tokio::time::Instant;

use crate::{
    By, CreatedRepo, GitHubError, NewRepo, Visibility, client::Failure, rest::Inner, wire,
};

/// Longest description that GitHub takes, in characters.
const DESCRIPTION_CHARS_MAX: usize = 350;

impl Inner {
    pub(crate) async fn create_repo(
        &self,
        by: By<'_>,
        new: &NewRepo,
    ) -> Result<CreatedRepo, GitHubError> {
        let until = self.client.until();
        match by {
            By::App => {
                let app = self.app.as_ref().ok_or(GitHubError::NoApp)?;
                let what = creating(&app.organisation, new);
                let token = self.token_to_create(app, &what, until).await?;
                let parts = ["orgs", app.organisation.as_str(), "repos"];
                let made =
                    self.create(&what, &app.organisation, new, &parts, &token.token, until).await;
                // It could make more.
                self.revoke(&token).await;
                made
            }
            By::User { token, owner } => {
                let user = self.user(token, until).await?.login;
                let own = user.as_str().eq_ignore_ascii_case(owner.as_str());
                let in_org = ["orgs", owner.as_str(), "repos"];
                let parts = if own { &["user", "repos"][..] } else { &in_org[..] };
                let what = creating(owner, new);
                self.create(&what, owner, new, parts, token.secret(), until).await
            }
        }
    }

    async fn create(
        &self,
        what: &str,
        owner: &OwnerName,
        new: &NewRepo,
        parts: &[&str],
        secret: &Secret,
        until: Instant,
    ) -> Result<CreatedRepo, GitHubError> {
        let mut body = json!({
            "name": new.name,
            "private": new.visibility != Visibility::Public,
            "auto_init": false,
        });
        // A person's own repositories know no other word than `private`.
        if parts.first() == Some(&"orgs") {
            body["visibility"] = json!(new.visibility);
        }
        if let Some(description) = described(new) {
            body["description"] = json!(description);
        }
        let mut ask = self.get(what, parts, &[], secret, until);
        (ask.method, ask.body, ask.once) = (Method::POST, Some(body), true);
        let wanted = Repository { owner: owner.clone(), name: new.name.clone() };
        let answer = match self.client.ask(ask).await {
            Ok(answer) => answer,
            Err(failure) if is_taken(&failure) => {
                return Err(GitHubError::NameTaken { repository: wanted });
            }
            Err(failure) => return Err(failure.into()),
        };
        let made = made(what, owner, new, answer.json(what)?)?;
        tracing::info!(repository = %made.repository, "created a repository");
        Ok(made)
    }

    pub(crate) async fn find_made(
        &self,
        by: By<'_>,
        new: &NewRepo,
    ) -> Result<Option<CreatedRepo>, GitHubError> {
        let until = self.client.until();
        match by {
            By::App => {
                let app = self.app.as_ref().ok_or(GitHubError::NoApp)?;
                let (owner, name) = (app.organisation.clone(), new.name.clone());
                let token = match self.token_for(&Repository { owner, name }).await {
                    Ok(token) => token,
                    // Not there, or not for this App: then it did not make it.
                    Err(
                        GitHubError::NotFound { .. } | GitHubError::Refused { status: 422, .. },
                    ) => {
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                };
                let found = self.find(&app.organisation, new, &token.token, until).await;
                self.revoke(&token).await;
                found
            }
            By::User { token, owner } => self.find(owner, new, token.secret(), until).await,
        }
    }

    async fn find(
        &self,
        owner: &OwnerName,
        new: &NewRepo,
        secret: &Secret,
        until: Instant,
    ) -> Result<Option<CreatedRepo>, GitHubError> {
        let what = format!("looking for {owner}/{}", new.name);
        let parts = ["repos", owner.as_str(), new.name.as_str()];
        let ask = self.get(&what, &parts, &[], secret, until);
        let found: wire::MadeRepo = match self.client.ask(ask).await {
            Ok(answer) => answer.json(&what)?,
            Err(Failure { error: GitHubError::NotFound { .. }, .. }) => return Ok(None),
            Err(failure) => return Err(failure.into()),
        };
        // Without words of its own nothing tells it from another.
        let same = described(new).is_some_and(|ours| found.description.as_ref() == Some(&ours));
        if same { made(&what, owner, new, found).map(Some) } else { Ok(None) }
    }
}

/// A description as GitHub takes it.
fn described(new: &NewRepo) -> Option<String> {
    let text = new.description.as_ref()?.chars().filter(|c| !c.is_control());
    Some(text.take(DESCRIPTION_CHARS_MAX).collect())
}

/// What GitHub tells of a repository, held against what was wanted.
fn made(
    what: &str,
    owner: &OwnerName,
    new: &NewRepo,
    told: wire::MadeRepo,
) -> Result<CreatedRepo, GitHubError> {
    let strange = |why: &str| GitHubError::Strange { what: what.to_owned(), why: why.to_owned() };
    let repository: Repository =
        told.full_name.parse().map_err(|_bad| strange("with a name that is none"))?;
    if !repository.owner.as_str().eq_ignore_ascii_case(owner.as_str()) {
        return Err(strange("that the repository is somebody else's"));
    }
    if new.visibility != Visibility::Public && !told.private {
        return Err(GitHubError::MadePublic { repository });
    }
    let is_plain = |url: &str| {
        let good = reqwest::Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty());
        good.is_some()
    };
    if !is_plain(&told.clone_url) || !is_plain(&told.html_url) {
        return Err(strange("with an address that is none"));
    }
    Ok(CreatedRepo { repository, clone_url: told.clone_url, url: told.html_url })
}

fn creating(owner: &OwnerName, new: &NewRepo) -> String {
    format!("creating {owner}/{}", new.name)
}

fn is_taken(failure: &Failure) -> bool {
    let refused = matches!(failure.error, GitHubError::Refused { status: 422, .. });
    let errors = &failure.complaint.errors;
    refused && errors.iter().any(|error| error.contains("name already exists"))
}
