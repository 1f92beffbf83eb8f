//! The repository of a new session: made on GitHub when its person chose one, and its project's
//! remote from then on.
//!
//! Nothing is made twice: GitHub refuses a name that is taken, and whether an earlier attempt took
//! it (an answer that was lost, a server that died) stands in the repository's description.

use std::time::Duration;

use bytes::Bytes;
use studio_assets::git::{CREDENTIAL_HELPER, credential_config, credential_helper};
use studio_events::{EngineEvent, GitInfo, LogLevel};
use studio_github::{By, CreatedRepo, GitHubError, NewRepo, UserToken, Visibility};
use studio_ids::Repository;
use studio_registry::SessionRecord;
use studio_sandbox::{Command, NewFile, Output, Sandbox, SandboxError};

use crate::{FlowError, GitHubAccess, inner::Inner, live::Live, prepare::log, words::RepoChoice};

/// How long a command of git may take that asks nobody.
const GIT_PATIENCE: Duration = Duration::from_secs(30);
/// The branch of a new project.
const BRANCH: &str = "main";

const IDENTITY: &str = include_str!("repository/identity.sh");
const REMOTE: &str = include_str!("repository/remote.sh");

/// What is known of a repository that was chosen and is not there yet: no address.
pub(crate) fn wanted(choice: &RepoChoice) -> GitInfo {
    GitInfo {
        branch: BRANCH.to_owned(),
        repo_name: Some(format!("{}/{}", choice.account, choice.name)),
        repo_visibility: Some(choice.visibility.clone()),
        ..GitInfo::default()
    }
}

/// The repository that a session works on: the one that was made for it or that it is a clone of.
pub(crate) fn of(record: &SessionRecord) -> Option<Repository> {
    if let Some(cloned) = &record.internal.cloned {
        return Some(cloned.repository.clone());
    }
    record.info.git.as_ref().filter(|git| git.remote_url.is_some()).and_then(named)
}

fn named(git: &GitInfo) -> Option<Repository> {
    // Checked at the door; a name of an older server that was not is none.
    git.repo_name.as_ref()?.parse().ok()
}

impl Inner {
    /// Makes the repository that was chosen and connects the project with it. A session whose
    /// repository cannot be made goes on without; its log says why (`D30-91`).
    pub(crate) async fn make_repository(
        &self,
        live: &Live,
        record: &SessionRecord,
        sandbox: &dyn Sandbox,
    ) -> Result<(), FlowError> {
        let Some(git) = &record.info.git else { return Ok(()) };
        let Some(repository) = named(git) else { return Ok(()) };
        let url = match &git.remote_url {
            // An earlier server made it.
            Some(url) => url.clone(),
            None => {
                self.tell(live, log(LogLevel::Build, "Creating GitHub repository...")).await?;
                match self.create_chosen(live, record, git, &repository).await {
                    Ok(made) => self.repository_is_made(live, git, made).await?,
                    Err(error) => return self.goes_on_without(live, &repository, &error).await,
                }
            }
        };
        match self.connect_project(sandbox, &url).await {
            Ok(()) => Ok(()),
            Err(error) => self.goes_on_without(live, &repository, &error).await,
        }
    }

    async fn create_chosen(
        &self,
        live: &Live,
        record: &SessionRecord,
        git: &GitInfo,
        repository: &Repository,
    ) -> Result<CreatedRepo, GitHubError> {
        let access = self.parts.github.as_ref().ok_or(GitHubError::NoApp)?;
        let is_public = git.repo_visibility.as_deref() == Some("public");
        let new = NewRepo {
            name: repository.name.clone(),
            visibility: if is_public { Visibility::Public } else { Visibility::Private },
            // By the project's random name it is known again.
            description: Some(format!("Built with Agent Studio ({})", record.info.project_name)),
        };
        let brought = live.credentials().gh_token;
        let brought = brought.and_then(|token| UserToken::new(token.expose()).ok());
        let by = match &brought {
            _ if self.is_the_apps(repository) => By::App,
            Some(token) => By::User { token, owner: &repository.owner },
            None => return Err(GitHubError::NoApp),
        };
        match access.github.create_repo(by, &new).await {
            Err(error @ (GitHubError::NameTaken { .. } | GitHubError::InDoubt { .. })) => {
                access.github.find_made(by, &new).await?.ok_or(error)
            }
            made => made,
        }
    }

    /// Writes down that it is there, before anybody is told; gives its address.
    async fn repository_is_made(
        &self,
        live: &Live,
        git: &GitInfo,
        made: CreatedRepo,
    ) -> Result<String, FlowError> {
        let known = GitInfo {
            remote_url: Some(made.clone_url.clone()),
            repo_name: Some(made.repository.to_string()),
            ..git.clone()
        };
        self.update(live.id, |u| u.git = Some(known)).await?;
        let line = format!("GitHub repo created: {}", made.url);
        self.tell(live, log(LogLevel::System, line)).await?;
        Ok(made.clone_url)
    }

    async fn goes_on_without(
        &self,
        live: &Live,
        repository: &Repository,
        error: &(dyn std::error::Error + Sync),
    ) -> Result<(), FlowError> {
        let why = crate::error::causes(error);
        let line = format!("The session goes on without the GitHub repo {repository}: {why}");
        self.tell(live, log(LogLevel::Error, line)).await
    }

    /// Makes the project a repository of git's whose remote this is, and lets git there ask the
    /// studio for tokens.
    async fn connect_project(&self, sandbox: &dyn Sandbox, url: &str) -> Result<(), SandboxError> {
        if let Some(access) = &self.parts.github {
            install_helper(access, sandbox).await?;
        }
        let words = [sandbox.project_dir().to_string(), url.to_owned()];
        run(sandbox, Command::script(REMOTE, words), "connecting the project").await
    }

    pub(crate) async fn tell(&self, live: &Live, event: EngineEvent) -> Result<(), FlowError> {
        let told = live.bridge.record(vec![event]).await;
        told.map(drop).map_err(|error| FlowError::bridge(live.id, &error))
    }
}

/// Puts the helper beside the relay, tells git of it and whose commits are made here. Again is no
/// harm.
pub(crate) async fn install_helper(
    access: &GitHubAccess,
    sandbox: &dyn Sandbox,
) -> Result<(), SandboxError> {
    let path = format!(".studio/bin/{CREDENTIAL_HELPER}");
    let path = sandbox
        .home()
        .join(&path)
        .map_err(|bad| SandboxError::File { path: path.clone(), reason: bad.to_string() })?;
    let place = path.to_string();
    let data = Bytes::from(credential_helper(&access.origin));
    sandbox.put_files(vec![NewFile { path, data, mode: 0o755 }]).await?;
    for command in credential_config(&access.origin, &place) {
        run(sandbox, Command::new(command), "configuring git").await?;
    }
    run(sandbox, Command::script(IDENTITY, [""; 0]), "configuring git").await
}

async fn run(sandbox: &dyn Sandbox, command: Command, what: &str) -> Result<(), SandboxError> {
    let output = Output { bytes_max: 16 * 1024, deadline: GIT_PATIENCE };
    sandbox.exec(command, Bytes::new(), output).await?.success(what).map(drop)
}
