//! Tokens for git: each opens the one repository of its session, and nothing of the studio's.

use std::time::Duration;

use studio_assets::git::{credential_answer, credential_refusal, credential_request};
use studio_events::Phase;
use studio_github::InstallationToken;
use studio_ids::{Repository, SessionId};
use studio_limits::Windows;
use studio_registry::SessionRecord;

use crate::{
    FlowError, Mode, Studio,
    inner::{Inner, lock},
    repository,
    words::GitToken,
};

/// Tokens that a session gets in an hour when it asks over HTTP. Source: spec 04, limits.
const ASKED_PER_HOUR_MAX: u32 = 10;
/// The same for git inside its sandbox, which asks for each fetch and push; most get a token that
/// is there already.
const GIT_PER_HOUR_MAX: u32 = 120;
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Sessions that are counted; who was quiet longest is forgotten first.
const SESSIONS_MAX: usize = 10_000;
/// How long git may go on with a token of the user's, whose end is not known.
const USERS_TOKEN_SECONDS: i64 = 10 * 60;

/// How somebody comes by a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Http,
    Relay,
}

/// How many tokens each session got. What failed does not count (`D30-98`).
pub(crate) struct TokenLimits {
    asked: Windows<SessionId>,
    git: Windows<SessionId>,
}

impl Default for TokenLimits {
    fn default() -> Self {
        let windows = |max| Windows::new(max, HOUR, SESSIONS_MAX);
        Self { asked: windows(ASKED_PER_HOUR_MAX), git: windows(GIT_PER_HOUR_MAX) }
    }
}

impl TokenLimits {
    fn of(&mut self, door: Door) -> &mut Windows<SessionId> {
        match door {
            Door::Http => &mut self.asked,
            Door::Relay => &mut self.git,
        }
    }
}

impl Studio {
    /// A token for the one repository of a session, with the App's permissions, for an hour at
    /// most.
    ///
    /// Errors: [`FlowError::NoTokensHere`], [`FlowError::NoGitHubApp`],
    /// [`FlowError::NoRepository`], [`FlowError::Cancelled`], [`FlowError::TooManyTokenRequests`],
    /// [`FlowError::GitHub`].
    pub async fn git_token(&self, id: SessionId) -> Result<GitToken, FlowError> {
        let InstallationToken { token, expires_at } = self.inner().token(id, Door::Http).await?;
        Ok(GitToken { token, expires_at: expires_at.to_string() })
    }
}

impl Inner {
    /// What git in a session's sandbox is answered that asks for a password.
    pub(crate) async fn git_credential(&self, id: SessionId, body: &[u8]) -> String {
        match self.credential(id, body).await {
            Ok(answer) => answer,
            Err(error) => credential_refusal(&crate::error::causes(&error)),
        }
    }

    async fn credential(&self, id: SessionId, body: &[u8]) -> Result<String, FlowError> {
        let access = self.parts.github.as_ref().ok_or(FlowError::NoGitHubApp)?;
        let record = self.record(id)?;
        let own = repository::of(&record).ok_or(FlowError::NoRepository(id))?;
        let asked = credential_request(&access.origin, body);
        if !asked.is_some_and(|asked| is_same(&asked, &own)) {
            return Err(FlowError::NoRepository(id));
        }
        let brought = self.live_now(id).and_then(|live| live.credentials().gh_token);
        match brought.filter(|_| !self.is_the_apps(&own)) {
            // Theirs is in the agent's environment already; the App's opens less.
            Some(token) => {
                let end = self.now().unix_millis() / 1_000 + USERS_TOKEN_SECONDS;
                Ok(credential_answer(token.expose(), end))
            }
            None => {
                let token = self.token(id, Door::Relay).await?;
                Ok(credential_answer(token.token.expose(), token.expires_at.as_second()))
            }
        }
    }

    async fn token(&self, id: SessionId, door: Door) -> Result<InstallationToken, FlowError> {
        let record = self.record(id)?;
        let access = self.parts.github.as_ref().filter(|access| access.github.app().is_some());
        let Some(access) = access else {
            return Err(match self.parts.settings.mode {
                Mode::Dev => FlowError::NoTokensHere,
                Mode::Production => FlowError::NoGitHubApp,
            });
        };
        if record.internal.phase == Phase::Ended {
            return Err(FlowError::Cancelled(id));
        }
        let own = repository::of(&record).ok_or(FlowError::NoRepository(id))?;
        let counted = lock(&self.git_tokens).of(door).take(id, self.now());
        let counted = counted.map_err(FlowError::TooManyTokenRequests)?;
        let token = access.github.installation_token(&own).await.map_err(|source| {
            lock(&self.git_tokens).of(door).give_back(&counted);
            FlowError::GitHub(source)
        })?;
        // The session may have ended meanwhile, and its token with it.
        match self.registry.get(id) {
            Some(record) if record.internal.phase != Phase::Ended => Ok(token),
            Some(_) | None => {
                self.end_git_token(&record).await;
                Err(FlowError::Cancelled(id))
            }
        }
    }

    /// Whether the App can give tokens for a repository of this owner.
    pub(crate) fn is_the_apps(&self, repository: &Repository) -> bool {
        let app = self.parts.github.as_ref().and_then(|access| access.github.app());
        let owner = repository.owner.as_str();
        app.is_some_and(|app| app.organisation.as_str().eq_ignore_ascii_case(owner))
    }

    /// Ends the token of a session that is over, unless another session works on the same
    /// repository. One that an earlier server got ends by itself, within the hour.
    pub(crate) async fn end_git_token(&self, record: &SessionRecord) {
        let (Some(access), Some(own)) = (&self.parts.github, repository::of(record)) else {
            return;
        };
        let shares = |other: &SessionRecord| {
            other.info.id != record.info.id
                && other.internal.phase != Phase::Ended
                && repository::of(other).is_some_and(|theirs| is_same(&theirs, &own))
        };
        if self.registry.ids_where(shares).is_empty() {
            access.github.end_token(&own).await;
        }
    }
}

/// GitHub's names are the same in upper and lower case.
fn is_same(one: &Repository, other: &Repository) -> bool {
    one.to_string().eq_ignore_ascii_case(&other.to_string())
}
