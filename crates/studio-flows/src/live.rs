use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use studio_bridge::Bridge;
use studio_events::AppState;
use studio_ids::{GateId, SessionId};
use studio_sandbox::Sandbox;
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    inner::lock,
    words::{Credentials, Infra, RepoChoice},
};

/// A session that is in use: its one writer, and what belongs to it while it is.
pub(crate) struct Live {
    pub(crate) id: SessionId,
    /// The owner of the session's stream and agent.
    pub(crate) bridge: Bridge,
    /// Ends the session's jobs (its preparation, its relay).
    pub(crate) token: CancellationToken,
    /// The session's jobs.
    pub(crate) jobs: TaskTracker,
    /// Held while an agent is started, so that two messages do not start two. A waiter waits for
    /// a bounded launch, not for a turn.
    pub(crate) launching: AsyncMutex<()>,
    /// Held while a hook's question is written down, so that a hook that is tried again before
    /// that is done asks no second time (`D30-44`). A waiter waits for an append.
    pub(crate) asking: AsyncMutex<()>,
    /// What readers were told last of the app. Held while it is started or stopped, so that two
    /// do not meet; a waiter waits for that bounded time.
    pub(crate) app: AsyncMutex<Option<AppState>>,
    sandbox: Mutex<Option<Arc<dyn Sandbox>>>,
    /// What callers brought for this session; memory only.
    credentials: Mutex<Credentials>,
    /// The infrastructure choice with its secrets; memory only.
    infra: Mutex<Option<(Infra, Option<RepoChoice>)>>,
    /// Its agent was started with settings that were changed since.
    outdated: AtomicBool,
    last_used: Mutex<Instant>,
    /// Questions that hooks hold open right now, and how many hold each.
    hooks: Mutex<HashMap<GateId, usize>>,
}

/// A hook's request that is held open; an answer to its question has somewhere to go as long.
pub(crate) struct HookHold<'a> {
    live: &'a Live,
    gate: GateId,
}

impl Drop for HookHold<'_> {
    fn drop(&mut self) {
        let mut hooks = lock(&self.live.hooks);
        match hooks.get_mut(&self.gate) {
            Some(more) if 1 < *more => *more -= 1,
            _ => drop(hooks.remove(&self.gate)),
        }
    }
}

impl Live {
    pub(crate) fn new(id: SessionId, bridge: Bridge, token: CancellationToken) -> Self {
        Self {
            id,
            bridge,
            token,
            jobs: TaskTracker::new(),
            launching: AsyncMutex::default(),
            asking: AsyncMutex::default(),
            app: AsyncMutex::default(),
            sandbox: Mutex::default(),
            credentials: Mutex::default(),
            infra: Mutex::default(),
            outdated: AtomicBool::new(false),
            last_used: Mutex::new(Instant::now()),
            hooks: Mutex::default(),
        }
    }

    /// Notes that a hook holds this question open.
    pub(crate) fn hold_hook(&self, gate: GateId) -> HookHold<'_> {
        *lock(&self.hooks).entry(gate.clone()).or_default() += 1;
        HookHold { live: self, gate }
    }

    /// Whether a hook holds this question open.
    pub(crate) fn is_held_by_hook(&self, gate: &GateId) -> bool {
        lock(&self.hooks).contains_key(gate)
    }

    /// Notes that its agent is to be started anew before it is told something.
    pub(crate) fn set_outdated(&self) {
        self.outdated.store(true, Ordering::Release);
    }

    pub(crate) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Acquire)
    }

    /// Somebody wants something of it now.
    pub(crate) fn used(&self) {
        *lock(&self.last_used) = Instant::now();
    }

    /// How long nobody wanted anything of it.
    pub(crate) fn idle_for(&self) -> Duration {
        lock(&self.last_used).elapsed()
    }

    pub(crate) fn sandbox(&self) -> Option<Arc<dyn Sandbox>> {
        lock(&self.sandbox).clone()
    }

    pub(crate) fn set_sandbox(&self, sandbox: Option<Arc<dyn Sandbox>>) {
        *lock(&self.sandbox) = sandbox;
    }

    pub(crate) fn credentials(&self) -> Credentials {
        lock(&self.credentials).clone()
    }

    pub(crate) fn set_credentials(&self, credentials: Credentials) {
        *lock(&self.credentials) = credentials;
    }

    pub(crate) fn infra(&self) -> Option<(Infra, Option<RepoChoice>)> {
        lock(&self.infra).clone()
    }

    pub(crate) fn set_infra(&self, infra: Infra, repo: Option<RepoChoice>) {
        *lock(&self.infra) = Some((infra, repo));
    }
}

/// Sums where "absent" is not zero: nothing plus nothing stays nothing.
pub(crate) fn add<T: Copy + std::ops::Add<Output = T>>(sum: &mut Option<T>, more: Option<T>) {
    *sum = match (*sum, more) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    };
}
