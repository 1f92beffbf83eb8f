use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use studio_agent_codec::AgentCodec;
use studio_electric::Databases;
use studio_events::{Phase, SessionInfo, Timestamp};
use studio_ids::{InstanceId, SessionId};
use studio_limits::Subject;
use studio_registry::Registry;
use studio_sandbox::SandboxProvider;
use studio_streams::{Follow, Offset, StreamError, StreamPath, StreamStore};

use crate::{FlowError, GitHubAccess, Settings, inner::Inner, recover::is_at_work, words::Health};

/// Longest wait for one answer in a health check.
const HEALTH_PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait of who asks about a session for its being taken up.
const TAKE_UP_PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait for the studio's tasks to end when it stops.
const STOP_PATIENCE: Duration = Duration::from_millis(800);

/// Makes an agent's language, with nothing heard yet; given the id of the conversation that the
/// process goes on with, if it does.
pub type Language = Arc<dyn Fn(Option<&str>) -> Box<dyn AgentCodec> + Send + Sync>;

/// What a studio is made of. Adapters come from outside: an app, a test, another host.
pub struct Parts {
    /// Where everything is written.
    pub streams: Arc<dyn StreamStore>,
    /// Where agents work.
    pub provider: Arc<dyn SandboxProvider>,
    /// Where repositories are; without it none is made and none is pushed to.
    pub github: Option<GitHubAccess>,
    /// Who makes databases; without it none is.
    pub databases: Option<Arc<dyn Databases>>,
    /// The agents' language.
    pub codec: Language,
    /// How it behaves.
    pub settings: Settings,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// The application object. Cheap to clone; all state hangs on it.
#[derive(Clone)]
pub struct Studio {
    inner: Arc<Inner>,
    /// Whom what is made counts against.
    pub(crate) subject: Option<Subject>,
}

impl Studio {
    /// Loads the registry and the list of tokens, takes the lease and begins to pick up what an earlier server left (in
    /// the background: see [`Health::recovered`]).
    pub async fn start(parts: Parts) -> Result<Self, FlowError> {
        let instance = InstanceId::random();
        let registry =
            Registry::open(Arc::clone(&parts.streams), instance, Arc::clone(&parts.clock))
                .await
                .map_err(FlowError::registry)?;
        let tokens = crate::tokens::open(&parts).await?;
        let make = |weak: &Weak<Inner>| Inner::new(parts, instance, registry, tokens, weak.clone());
        let inner = Arc::new_cyclic(make);
        inner.tasks.spawn(Arc::clone(&inner).write_notes());
        inner.tasks.spawn(Arc::clone(&inner).keep_deadlines());
        inner.tasks.spawn(Arc::clone(&inner).recover());
        inner.tasks.spawn(Arc::clone(&inner).put_down_idle());
        inner.tasks.spawn(Arc::clone(&inner).end_unheard_sessions());
        inner.tasks.spawn(Arc::clone(&inner).stand_down_when_taken_over());
        Ok(Self { inner, subject: None })
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Runs a flow to its end, also when who asked for it goes away in the middle: a client that
    /// hangs up leaves nothing half done.
    pub(crate) async fn whole<T, F>(
        &self,
        flow: impl FnOnce(Arc<Inner>) -> F,
    ) -> Result<T, FlowError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, FlowError>> + Send + 'static,
    {
        if self.inner.stop.is_cancelled() {
            return Err(self.inner.stopping());
        }
        let task = self.inner.tasks.spawn(flow(Arc::clone(&self.inner)));
        match task.await {
            Ok(outcome) => outcome,
            // A fault of ours stays one for who asked; see the HTTP layer for what becomes of it.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => Err(self.inner.stopping()),
            },
        }
    }

    /// How it was set up.
    pub fn settings(&self) -> &Settings {
        &self.inner.parts.settings
    }

    /// The store that every fact is kept in.
    pub fn streams(&self) -> &Arc<dyn StreamStore> {
        &self.inner.parts.streams
    }

    /// Whether it can work: real questions to the store and the provider, with a deadline.
    pub async fn health(&self) -> Health {
        let parts = &self.inner.parts;
        let streams = tokio::time::timeout(HEALTH_PATIENCE, parts.streams.ready());
        let sandbox = tokio::time::timeout(HEALTH_PATIENCE, parts.provider.ready());
        let (streams, sandbox) = tokio::join!(streams, sandbox);
        Health {
            streams: told(streams),
            sandbox: told(sandbox),
            runtime: parts.provider.name(),
            recovered: self.inner.recovered.load(Ordering::Acquire),
            taken_over: self.inner.registry.is_fenced(),
        }
    }

    /// One session, as far as it is known now: after a restart its gates may not be read yet (see
    /// [`Self::session_with_gates`]).
    pub fn session(&self, id: SessionId) -> Result<SessionInfo, FlowError> {
        self.inner.record(id).map(|record| self.inner.shown(&record.info))
    }

    /// One session, once its gates are known: one that an earlier server left at work is taken up
    /// first, if that takes no longer than a moment.
    pub async fn session_with_gates(&self, id: SessionId) -> Result<SessionInfo, FlowError> {
        self.gates_known(id).await;
        self.session(id)
    }

    /// Waits for a moment until a session is taken up that an earlier server left at work.
    pub(crate) async fn gates_known(&self, id: SessionId) {
        let inner = &self.inner;
        let known = inner.recovered.load(Ordering::Acquire) || inner.live_now(id).is_some();
        if known || !inner.record(id).is_ok_and(|record| is_at_work(&record)) {
            return;
        }
        let taking = self.whole(move |inner| async move { inner.live(id).await.map(drop) });
        // Recovery tells of what fails and tries again; whoever asks gets what is known by then.
        drop(tokio::time::timeout(TAKE_UP_PATIENCE, taking).await);
    }

    /// The session's events from a place on, then live. They come from the stream, so they are
    /// told also by a studio that has stood down.
    pub async fn watch(&self, id: SessionId, from: Offset) -> Result<Follow, FlowError> {
        self.inner.registry.get(id).ok_or(FlowError::NoSession(id))?;
        let followed = self.inner.parts.streams.follow(&StreamPath::session(id), from).await;
        followed.map_err(|source| {
            if matches!(source, StreamError::NotFound { .. }) {
                return FlowError::NoSession(id);
            }
            FlowError::Read { session: id, source: Arc::new(source) }
        })
    }

    /// Detaches from all agents (they go on) and ends every task.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        if tokio::time::timeout(STOP_PATIENCE, self.inner.tasks.wait()).await.is_err() {
            let left = self.inner.tasks.len();
            tracing::warn!(tasks.left = left, "gave up waiting for {left} tasks");
        }
        self.inner.registry.stop().await;
    }
}

impl Inner {
    /// A session as clients see it: whether it waits for a person is known from its gates.
    pub(crate) fn shown(&self, info: &SessionInfo) -> SessionInfo {
        let mut info = info.clone();
        info.needs_input = Some(self.gates.has_pending(info.id));
        info
    }

    /// Whether nothing of a session needs this server right now.
    pub(crate) fn is_quiet(&self, id: SessionId) -> bool {
        let quiet = |phase| matches!(phase, Phase::Hosted | Phase::Started | Phase::Ended);
        !self.gates.has_pending(id)
            && self.registry.get(id).is_none_or(|record| {
                quiet(record.internal.phase)
                    && (record.info.status != studio_events::SessionStatus::Running
                        || record.internal.phase == Phase::Hosted)
            })
    }
}

fn told<E: std::error::Error>(
    answer: Result<Result<(), E>, tokio::time::error::Elapsed>,
) -> Result<(), String> {
    match answer {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(crate::error::causes(&error)),
        Err(_elapsed) => Err(format!("no answer within {HEALTH_PATIENCE:?}")),
    }
}
