//! A session out of a repository: its project is a clone, and its agent looks at it first.

use std::time::Duration;

use bytes::Bytes;
use studio_assets::{Data, Git, Place, ProjectInfo, Scaffold, existing_files};
use studio_events::{Cloned, EngineEvent, GitInfo, LogLevel, Phase, SessionInfo, SessionPrivate};
use studio_ids::{BranchName, ProjectName, SessionId};
use studio_limits::Subject;
use studio_registry::SessionRecord;
use studio_sandbox::{Command, NewFile, Output, Sandbox, SandboxError};

use crate::{
    FlowError, Mode, Studio,
    create::info,
    inner::Inner,
    live::Live,
    prepare::{APP_PORT, log},
    repository::install_helper,
    words::{Credentials, Infra},
};

/// What the agent of such a session is told first. Source: spec 04, flow E.
pub(crate) const PROMPT: &str = "You are resuming work on an existing project. Explore the \
                                 codebase to understand its structure, then wait for instructions \
                                 from the user.";
/// How long a clone may take.
const CLONE_PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Where projects lie in a sandbox, until it is there and says so itself.
const WORKSPACE: &str = "/home/agent/workspace";
/// A project whose repository's name cannot be a directory's here.
const UNNAMED: &str = "resumed-project";

/// What an agent reads about its project, and what it reads beside that.
const INSTRUCTIONS: &str = "CLAUDE.md";
const INSTRUCTIONS_BESIDE: &str = "CLAUDE.local.md";

const CLONE: &str = include_str!("repository/clone.sh");
const EXCLUDE: &str = include_str!("repository/exclude.sh");

/// `POST /api/sessions/resume`.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The repository's address, as the person gave it.
    pub address: String,
    /// Which branch; the repository's own choice when absent.
    pub branch: Option<BranchName>,
    /// The caller's credentials.
    pub credentials: Credentials,
}

impl Studio {
    /// Creates a session whose project is a clone, and begins to work on it in the background.
    ///
    /// Errors: [`FlowError::ResumeNotAvailable`], [`FlowError::BadRepository`].
    pub async fn resume_session(&self, resume: Resume) -> Result<SessionInfo, FlowError> {
        let subject = self.subject.clone();
        self.whole(|inner| async move { inner.resume_session(resume, subject).await }).await
    }
}

impl Inner {
    async fn resume_session(
        &self,
        resume: Resume,
        subject: Option<Subject>,
    ) -> Result<SessionInfo, FlowError> {
        if self.parts.settings.mode == Mode::Production {
            return Err(FlowError::ResumeNotAvailable);
        }
        let access = self.parts.github.as_ref().ok_or(FlowError::NoGitHubApp)?;
        let Resume { address, branch, credentials } = resume;
        let repository = access.repository_at(&address);
        let repository = repository.ok_or_else(|| FlowError::BadRepository(access.origin.url()))?;
        let id = SessionId::random();
        let mut name = repository.name.to_string();
        let project = project(&name);
        if let Some(branch) = &branch {
            name = format!("{name}/{branch}");
        }
        let mut info = info(id, name, format!("Resumed from {address}"), self.now());
        info.sandbox_project_dir = format!("{WORKSPACE}/{project}");
        let private = SessionPrivate {
            phase: Phase::CreatingSandbox,
            project: Some(project),
            cloned: Some(Box::new(Cloned { repository, branch })),
            subject: subject.map(String::from),
            ..SessionPrivate::default()
        };
        let message = format!("Resume from {address}");
        let prompt = EngineEvent::UserPrompt { message, sender: None, message_id: None };
        self.create(&info, private, vec![prompt]).await?;
        self.begin(id, credentials).await?;
        Ok(self.shown(&info))
    }

    /// Clones the project into the sandbox, with what its agent is told about it.
    pub(crate) async fn clone_project(
        &self,
        live: &Live,
        record: &SessionRecord,
        cloned: &Cloned,
        sandbox: &dyn Sandbox,
    ) -> Result<(), FlowError> {
        let failed = |source| FlowError::sandbox(live.id, source);
        let access = self.parts.github.as_ref().ok_or(FlowError::NoGitHubApp)?;
        self.tell(live, log(LogLevel::Build, "Cloning repository...")).await?;
        install_helper(access, sandbox).await.map_err(failed)?;
        let url = access.clone_url(&cloned.repository);
        let branch = cloned.branch.as_ref().map_or("", BranchName::as_str);
        let (home, dir) = (sandbox.home().to_string(), sandbox.project_dir().to_string());
        let words = [home, dir, url.clone(), branch.to_owned()];
        let output = Output { bytes_max: 16 * 1024, deadline: CLONE_PATIENCE };
        let said = sandbox.exec(Command::script(CLONE, words), Bytes::new(), output).await;
        said.and_then(|said| said.success("git clone")).map_err(failed)?;
        let stands = self.git_in(sandbox).await.map_err(failed)?;
        let git = GitInfo {
            branch: stands.branch.unwrap_or_default(),
            remote_url: Some(url),
            repo_name: Some(cloned.repository.to_string()),
            last_commit_hash: stands.last_commit_hash,
            last_commit_message: stands.last_commit_message,
            ..GitInfo::default()
        };
        self.update(live.id, |u| u.git = Some(git)).await?;
        self.put_instructions(live, record, cloned, sandbox).await.map_err(failed)?;
        self.tell(live, log(LogLevel::System, "Repository cloned")).await
    }

    /// Puts the agent's instructions beside the project's own files: none is replaced, and git
    /// takes none in.
    async fn put_instructions(
        &self,
        live: &Live,
        record: &SessionRecord,
        cloned: &Cloned,
        sandbox: &dyn Sandbox,
    ) -> Result<(), SandboxError> {
        let name = record.internal.project.clone().unwrap_or_else(|| project(UNNAMED));
        let info = ProjectInfo {
            name: &name,
            description: &record.info.description,
            place: Place::Container,
            app_port: APP_PORT,
            scaffold: Scaffold::Small,
            data: match live.infra() {
                Some((Infra::Cloud { .. }, _)) => Data::Cloud,
                Some((Infra::Local, _)) | None => Data::None,
            },
            git: Git::Existing { repository: &cloned.repository, branch: cloned.branch.as_ref() },
            room: false,
            iteration: true,
            production: false,
        };
        let mut files = existing_files(&info);
        // Where a project has instructions of its own, ours stand beside them.
        let ours =
            files.iter().find(|(path, _)| path == INSTRUCTIONS).map(|(_, text)| text.clone());
        files.extend(ours.map(|text| (INSTRUCTIONS_BESIDE.to_owned(), text)));
        let mut words = vec![sandbox.project_dir().to_string()];
        words.extend(files.iter().map(|(path, _)| path.clone()));
        let output = Output { bytes_max: 16 * 1024, deadline: CLONE_PATIENCE };
        let free = sandbox.exec(Command::script(EXCLUDE, words), Bytes::new(), output).await?;
        let free = free.success("looking at the project's files")?.text();
        let free: Vec<&str> = free.lines().collect();
        let (dir, mut new) = (sandbox.project_dir(), Vec::new());
        let is_in_place = free.contains(&INSTRUCTIONS);
        let is_wanted =
            |path: &str| free.contains(&path) && !(is_in_place && path == INSTRUCTIONS_BESIDE);
        for (path, data) in files.into_iter().filter(|(path, _)| is_wanted(path)) {
            let place = dir.join(&path);
            let path = place.map_err(|bad| SandboxError::File { path, reason: bad.to_string() })?;
            new.push(NewFile { path, data: data.into(), mode: 0o644 });
        }
        sandbox.put_files(new).await
    }
}

/// The directory of a repository's clone.
fn project(repository: &str) -> ProjectName {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = repository.chars().map(plain).collect();
    name.trim_matches('-').parse().unwrap_or_else(|_bad| unnamed())
}

fn unnamed() -> ProjectName {
    #[expect(clippy::expect_used, reason = "a constant that is a project name")]
    UNNAMED.parse().expect("a project name")
}
