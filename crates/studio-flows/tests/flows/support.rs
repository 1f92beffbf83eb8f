//! A whole studio in this process: memory store, a jail of this machine, the real agent against
//! the scripted model.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use serde_json::Value;
use studio_agent_codec::Claude;
use studio_assets::git::GitOrigin;
use studio_events::{SessionInfo, Timestamp};
use studio_flows::{AgentSettings, GitHubAccess, Mode, Parts, Settings, Studio, words::NewSession};
use studio_github::{AppId, AppKey, AppOptions, GitHubOptions, RestGitHub};
use studio_ids::SessionId;
use studio_sandbox::{Command, ExecOutput, Output, Sandbox, SandboxProvider, Secret};
use studio_sandbox_local::{LocalOptions, LocalProvider};
use studio_streams::{Follow, MemoryStreams, Offset, StreamStore};
use studio_testkit::{GitHubServer, ModelServer, needs};
use tempfile::TempDir;

/// Longest wait for one event.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) streams: Arc<dyn StreamStore>,
    pub(crate) provider: Arc<dyn SandboxProvider>,
    pub(crate) settings: Settings,
    pub(crate) model: ModelServer,
    pub(crate) github: Option<GitHubAccess>,
    _dir: TempDir,
}

impl World {
    /// A world whose model follows `script`.
    pub(crate) async fn of(script: &str) -> Self {
        let model = ModelServer::start();
        let dir = TempDir::new().unwrap();
        let mut options = LocalOptions::default();
        let agent = needs::claude_cli();
        options.path_dirs.push(agent.parent().unwrap().to_owned());
        let provider = LocalProvider::open(dir.path().join("boxes"), options).await.unwrap();
        let env =
            [("ANTHROPIC_BASE_URL", model.url(script)), ("CLAUDE_CODE_MAX_RETRIES", "1".into())];
        let agent = AgentSettings {
            credentials: BTreeMap::from([("ANTHROPIC_API_KEY".to_owned(), Secret::new("dummy"))]),
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            ..AgentSettings::default()
        };
        let settings = Settings { mode: Mode::Dev, agent, ..Settings::default() };
        Self {
            streams: Arc::new(MemoryStreams::default()),
            provider: Arc::new(provider),
            settings,
            model,
            github: None,
            _dir: dir,
        }
    }

    /// A server over this world; the next one takes over from it.
    pub(crate) async fn studio(&self) -> Studio {
        let parts = Parts {
            streams: Arc::clone(&self.streams),
            provider: Arc::clone(&self.provider),
            github: self.github.clone(),
            databases: None,
            codec: Arc::new(|conversation| Box::new(Claude::of(conversation))),
            settings: self.settings.clone(),
            clock: Arc::new(|| Timestamp::from(SystemTime::now())),
        };
        Studio::start(parts).await.unwrap()
    }

    /// A GitHub whose App makes repositories in `acme`.
    pub(crate) async fn with_github(&mut self) -> GitHubServer {
        let server = GitHubServer::start().await;
        let key = AppKey::from_pem(&Secret::new(server.key_pem())).unwrap();
        let id = AppId::new(&GitHubServer::APP_ID.to_string()).unwrap();
        let app = AppOptions::new(id, GitHubServer::INSTALLATION, key, "acme".parse().unwrap());
        self.github = Some(access(&server, Some(app)));
        server
    }

    /// The sandbox of a session.
    pub(crate) async fn sandbox(&self, session: &SessionInfo) -> Arc<dyn Sandbox> {
        let all = self.provider.list().await.unwrap();
        let (_, place) = all.into_iter().find(|(id, _)| *id == session.id).unwrap();
        self.provider.find(&place).await.unwrap().unwrap()
    }

    /// Whether anything of a session is left at the provider.
    pub(crate) async fn has_sandbox(&self, id: SessionId) -> bool {
        self.provider.list().await.unwrap().iter().any(|(session, _)| *session == id)
    }
}

/// A GitHub of a test's own, with this App.
pub(crate) fn access(server: &GitHubServer, app: Option<AppOptions>) -> GitHubAccess {
    let options = GitHubOptions { api: server.url(), app, ..GitHubOptions::default() };
    let port = server.url().rsplit_once(':').unwrap().1.parse().unwrap();
    let github = Arc::new(RestGitHub::new(options).unwrap());
    GitHubAccess { github, origin: GitOrigin::http_here(port) }
}

/// Runs a script in the project's directory.
pub(crate) async fn shell(sandbox: &dyn Sandbox, script: &str) -> ExecOutput {
    let words = [sandbox.project_dir().to_string(), script.to_owned()];
    let command = Command::script("cd -- \"$1\" && eval \"$2\"", words);
    sandbox.exec(command, Bytes::new(), Output::default()).await.unwrap()
}

pub(crate) fn freeform(description: &str) -> NewSession {
    NewSession { freeform: true, ..app(description) }
}

pub(crate) fn app(description: &str) -> NewSession {
    NewSession {
        description: description.to_owned(),
        freeform: false,
        credentials: studio_flows::words::Credentials::default(),
        model: None,
        permissions: None,
        budget_usd: None,
    }
}

/// A reader of a session's log.
pub(crate) struct Watch {
    follow: Follow,
    read: std::collections::VecDeque<Value>,
    pub(crate) at: Offset,
}

impl Watch {
    pub(crate) async fn open(studio: &Studio, session: &SessionInfo) -> Self {
        let follow = studio.watch(session.id, Offset::Start).await.unwrap();
        Self { follow, read: std::collections::VecDeque::new(), at: Offset::Start }
    }

    /// The same reader at another server: what it had read, then what comes after.
    pub(crate) async fn moved_to(self, studio: &Studio, session: &SessionInfo) -> Self {
        let follow = studio.watch(session.id, self.at.clone()).await.unwrap();
        Self { follow, ..self }
    }

    pub(crate) async fn next(&mut self) -> Value {
        while self.read.is_empty() {
            let frames = tokio::time::timeout(PATIENCE, self.follow.next()).await;
            for frame in frames.expect("an event in time").unwrap().expect("a live stream") {
                self.at = frame.offset().clone();
                self.read.push_back(serde_json::from_slice(frame.data()).unwrap());
            }
        }
        self.read.pop_front().unwrap()
    }

    /// The next event of this type.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next().await;
            if event["type"] == kind {
                return event;
            }
            assert_ne!(event["level"], "error", "while waiting for {kind}: {event}");
        }
    }
}
