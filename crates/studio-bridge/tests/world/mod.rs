//! A session with real parts for a bridge: a store, a jailed sandbox of this machine, a listener
//! that keeps what it is told.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "for tests, each of which uses its part"
)]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use serde_json::Value;
use studio_agent_codec::{Claude, LaunchOptions};
use studio_bridge::{AgentParts, Bridge, BridgeSettings, CodecFactory, Listener, Parts, Told};
use studio_events::{InternalEvent, SessionEntry, Timestamp};
use studio_ids::{InstanceId, SessionId};
use studio_sandbox::{Sandbox, SandboxProvider, SandboxSpec, Secret};
use studio_sandbox_local::{LocalOptions, LocalProvider};
use studio_streams::{
    CreateOptions, MemoryStreams, Offset, SessionWriter, StreamPath, StreamStore,
};
use studio_testkit::ModelServer;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long anything in these tests may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps what it is told.
#[derive(Debug)]
pub struct Ears {
    told: Mutex<Vec<Told>>,
    count: watch::Sender<usize>,
}

impl Default for Ears {
    fn default() -> Self {
        Self { told: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Listener for Ears {
    fn told(&self, _session: SessionId, told: &Told) {
        let mut all = self.told.lock().unwrap();
        all.push(told.clone());
        self.count.send_replace(all.len());
    }
}

impl Ears {
    pub fn all(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// Waits until something like this was told, after the first `skip` things; where it stands.
    pub async fn hear_after(&self, skip: usize, what: &str, is: impl Fn(&Told) -> bool) -> usize {
        let mut count = self.count.subscribe();
        let found = async {
            loop {
                let found = self.told.lock().unwrap().iter().skip(skip).position(&is);
                if let Some(found) = found {
                    return skip + found;
                }
                count.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => panic!("never heard {what}; only {:#?}", self.all()),
        }
    }

    pub async fn hear(&self, what: &str, is: impl Fn(&Told) -> bool) -> usize {
        self.hear_after(0, what, is).await
    }

    pub async fn turn_end(&self, skip: usize) -> usize {
        self.hear_after(skip, "the end of a turn", |told| matches!(told, Told::TurnEnded { .. }))
            .await
    }

    pub fn len(&self) -> usize {
        self.told.lock().unwrap().len()
    }
}

pub struct World {
    pub session: SessionId,
    pub store: Arc<dyn StreamStore>,
    pub path: StreamPath,
    pub provider: LocalProvider,
    pub sandbox: Arc<dyn Sandbox>,
    pub ears: Arc<Ears>,
    pub root: tempfile::TempDir,
    pub epoch: u64,
    pub settings: BridgeSettings,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

impl Drop for World {
    /// Agents outlive their server, and these tests too if nobody ends them.
    fn drop(&mut self) {
        for _ in 0..5 {
            let left = studio_testkit::processes_under(self.root.path());
            if left.is_empty() {
                return;
            }
            let pids = left.iter().map(ToString::to_string);
            // One that has ended meanwhile is what is wanted.
            let _ = std::process::Command::new("kill").arg("-9").args(pids).output();
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub async fn world() -> World {
    world_in(Arc::new(MemoryStreams::new())).await
}

pub async fn world_in(store: Arc<dyn StreamStore>) -> World {
    let root = tempfile::tempdir().unwrap();
    let claude = studio_testkit::needs::claude_cli();
    let options = LocalOptions {
        path_dirs: vec![claude.parent().unwrap().to_owned()],
        readable: vec![std::fs::canonicalize(&claude).unwrap().parent().unwrap().to_owned()],
        ..LocalOptions::default()
    };
    let provider = LocalProvider::open(root.path().to_owned(), options).await.unwrap();
    let session = SessionId::random();
    let spec = SandboxSpec {
        session,
        project: "app".parse().unwrap(),
        env: BTreeMap::new(),
        limits: studio_sandbox::Limits::default(),
        ports: Vec::new(),
        lease: 0,
    };
    let sandbox = provider.create(&spec, Arc::new(|_| {})).await.unwrap();
    let path = StreamPath::session(session);
    store.create(&path, CreateOptions::default()).await.unwrap();
    World {
        session,
        store,
        path,
        provider,
        sandbox,
        ears: Arc::default(),
        root,
        epoch: 0,
        settings: BridgeSettings::default(),
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    }
}

pub fn now() -> Timestamp {
    SystemTime::now().into()
}

impl World {
    pub async fn parts(&mut self) -> Parts {
        self.epoch += 1;
        let instance = InstanceId::random();
        let first = InternalEvent::WriterStarted { instance, epoch: self.epoch };
        let first = Bytes::from(SessionEntry::server(first, now()).to_json());
        let producer = format!("studio:{}", self.session).parse().unwrap();
        let writer = SessionWriter::take_over(
            Arc::clone(&self.store),
            self.path.clone(),
            producer,
            self.epoch,
            first,
        )
        .await
        .unwrap();
        Parts {
            session: self.session,
            writer,
            clock: Arc::new(now),
            listener: Arc::clone(&self.ears) as Arc<dyn Listener>,
            settings: self.settings,
        }
    }

    /// A bridge under a new epoch.
    pub async fn bridge(&mut self) -> Bridge {
        let parts = self.parts().await;
        Bridge::start(parts, &self.tasks, self.stop.clone())
    }

    /// The real agent, with a script of the model server.
    pub fn claude(&self, model: &ModelServer, script: &str) -> AgentParts {
        self.claude_with(
            model,
            script,
            LaunchOptions {
                tools: ["Read", "Write", "Edit", "Bash", "AskUserQuestion"]
                    .map(str::to_owned)
                    .into(),
                ..LaunchOptions::default()
            },
        )
    }

    pub fn claude_with(
        &self,
        model: &ModelServer,
        script: &str,
        launch: LaunchOptions,
    ) -> AgentParts {
        let resume = launch.resume.clone();
        let codec: CodecFactory = Arc::new(move || match &resume {
            Some(id) => Box::new(Claude::resuming(id)),
            None => Box::new(Claude::new()),
        });
        let env = [
            ("ANTHROPIC_BASE_URL", model.url(script)),
            ("IS_SANDBOX", "1".to_owned()),
            ("CLAUDE_CODE_MAX_RETRIES", "2".to_owned()),
        ];
        AgentParts {
            sandbox: Arc::clone(&self.sandbox),
            codec,
            launch,
            credentials: [("ANTHROPIC_API_KEY".to_owned(), Secret::new("dummy"))].into(),
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            cwd: self.sandbox.project_dir(),
        }
    }

    /// Everything in the stream.
    pub async fn entries(&self) -> Vec<Value> {
        let mut from = Offset::Start;
        let mut all = Vec::new();
        loop {
            let page = self.store.read(&self.path, from, 1_000).await.unwrap();
            all.extend(
                page.records.iter().map(|r| serde_json::from_slice::<Value>(&r.data).unwrap()),
            );
            if page.up_to_date {
                return all;
            }
            from = page.next;
        }
    }

    pub async fn destroy_sandbox(&self) {
        self.provider.destroy(self.sandbox.reference()).await.unwrap();
    }

    /// Entries of this type.
    pub async fn of_type(&self, kind: &str) -> Vec<Value> {
        let mut all = self.entries().await;
        all.retain(|entry| entry["type"] == kind);
        all
    }

    /// What the agent said, in order.
    pub async fn words(&self) -> Vec<String> {
        let all = self.of_type("assistant_message").await;
        all.iter().map(|entry| entry["text"].as_str().unwrap().to_owned()).collect()
    }

    pub fn project(&self) -> PathBuf {
        let found = find(self.root.path(), "app");
        found.unwrap_or_else(|| panic!("no project below {}", self.root.path().display()))
    }
}

fn find(dir: &std::path::Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if entry.file_name() == name {
                return Some(path);
            }
            if let Some(found) = find(&path, name) {
                return Some(found);
            }
        }
    }
    None
}
