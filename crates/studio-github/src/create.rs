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
        if let Some(description) = &new.description {
            let text = description.chars().filter(|c| !c.is_control());
            body["description"] = json!(text.take(DESCRIPTION_CHARS_MAX).collect::<String>());
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
        let made: wire::MadeRepo = answer.json(what)?;
        let strange =
            |why: &str| GitHubError::Strange { what: what.to_owned(), why: why.to_owned() };
        let repository: Repository =
            made.full_name.parse().map_err(|_bad| strange("with a name that is none"))?;
        if !repository.owner.as_str().eq_ignore_ascii_case(owner.as_str()) {
            return Err(strange("that the repository is somebody else's"));
        }
        if new.visibility != Visibility::Public && !made.private {
            return Err(GitHubError::MadePublic { repository });
        }
        let is_plain = |url: &str| {
            let good = reqwest::Url::parse(url).ok().filter(|url| {
                matches!(url.scheme(), "http" | "https") && url.username().is_empty()
            });
            good.is_some()
        };
        if !is_plain(&made.clone_url) || !is_plain(&made.html_url) {
            return Err(strange("with an address that is none"));
        }
        tracing::info!(%repository, "created a repository");
        Ok(CreatedRepo { repository, clone_url: made.clone_url, url: made.html_url })
    }
}

fn creating(owner: &OwnerName, new: &NewRepo) -> String {
    format!("creating {owner}/{}", new.name)
}

fn is_taken(failure: &Failure) -> bool {
    let refused = matches!(failure.error, GitHubError::Refused { status: 422, .. });
    let errors = &failure.complaint.errors;
    refused && errors.iter().any(|error| error.contains("name already exists"))
}
