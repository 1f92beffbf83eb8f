use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use studio_events::{
    HookProject, SessionInfo, SessionPrivate, SessionTotals, SessionUpdate, Timestamp,
};
use studio_ids::{HookProjectId, HookSecretId, InstanceId, SessionId};
use studio_streams::StreamStore;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
};

use crate::{
    RegistryError, SessionRecord, load,
    owner::{Owner, Request, What},
    rival,
    table::Table,
};

/// Requests that may wait for the writer; the next caller waits its turn.
pub const REQUESTS_WAITING_MAX: usize = 1_024;
/// Sessions that a search takes from the table at a time.
const PIECE_RECORDS: usize = 256;
/// How often "it was active" is written, for all sessions that were touched meanwhile.
pub const TOUCH_WRITE_EVERY: Duration = Duration::from_secs(60);

/// What time it is.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The list of all sessions: a table in memory that is a fold over the registry's stream.
///
/// Reading is a look into the table. Writing goes through one owner task: durable before it is
/// visible, visible in the order of the stream, many requests in one append.
///
/// Cheap to clone: all clones are one. [`Self::stop`] ends the owner; so does dropping the last
/// clone.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    owner: Arc<Mutex<Option<JoinHandle<()>>>>,
    lease: u64,
}

/// What the handles and the owner both see.
pub(crate) struct Shared {
    table: RwLock<Table>,
    touched: Mutex<HashMap<SessionId, Timestamp>>,
    /// The first session was touched since the last write.
    pub(crate) touching: Notify,
    /// True once another server has taken over.
    pub(crate) fenced: watch::Sender<bool>,
    /// Told whenever a project with hooks is set, revoked or forgotten.
    pub(crate) hooks_changed: watch::Sender<()>,
    pub(crate) clock: Clock,
    pub(crate) instance: InstanceId,
}

/// Sessions, newest first.
#[derive(Clone, Debug)]
pub struct Page {
    /// At most as many as were asked for.
    pub records: Vec<Arc<SessionRecord>>,
    /// Where to go on: behind the last one; `None` at the end.
    pub next: Option<(Timestamp, SessionId)>,
}

impl Registry {
    /// Reads everything that is there (until up to date, however long that takes) and takes the
    /// lease: from here on whoever had it before is refused.
    ///
    /// Fails with [`RegistryError::Read`] or [`RegistryError::TakeOver`]; then nothing runs.
    pub async fn open(
        store: Arc<dyn StreamStore>,
        instance: InstanceId,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Result<Self, RegistryError> {
        let loaded = load::load(&store, instance, &clock).await?;
        let lease = loaded.writer.epoch();
        let shared = Arc::new(Shared {
            table: RwLock::new(loaded.table),
            touched: Mutex::default(),
            touching: Notify::new(),
            fenced: watch::Sender::new(false),
            hooks_changed: watch::Sender::new(()),
            clock,
            instance,
        });
        let (requests, inbox) = mpsc::channel(REQUESTS_WAITING_MAX);
        let mut rival = JoinSet::new();
        rival.spawn(rival::watch(shared.clone(), store, lease, loaded.read_to));
        let owner = Owner::new(shared.clone(), inbox, loaded.writer, loaded.tail, rival);
        let owner = Arc::new(Mutex::new(Some(tokio::spawn(owner.run()))));
        Ok(Self { shared, requests, owner, lease })
    }

    /// The number of this server's turn: larger than that of every server before. The epoch of
    /// everything that it writes.
    pub fn lease(&self) -> u64 {
        self.lease
    }

    /// Returns when another server has taken over: this one is to stand down. Every write fails
    /// with [`RegistryError::Fenced`] from then on. It is known at the latest with the next write,
    /// and mostly at once: the registry follows its own stream for that.
    pub async fn fenced(&self) {
        let mut fenced = self.shared.fenced.subscribe();
        // The sender lives in `self`.
        fenced.wait_for(|fenced| *fenced).await.ok();
    }

    /// Whether [`Self::fenced`] would return at once.
    pub fn is_fenced(&self) -> bool {
        self.shared.is_fenced()
    }

    /// Asks the stream whether this server still may write: before something is done that
    /// another server would not want. Writes an entry that changes nothing.
    ///
    /// Fails with [`RegistryError::Fenced`] when another server has taken over; with anything else
    /// nobody knows.
    pub async fn lead(&self) -> Result<(), RegistryError> {
        self.ask(What::Lead).await.map(drop)
    }

    /// One session.
    pub fn get(&self, id: SessionId) -> Option<Arc<SessionRecord>> {
        self.shared.table().get(id).cloned()
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.shared.table().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sessions of which `wanted` is true, newest first (by creation, then by id). `after` is
    /// [`Page::next`] of the page before, good also when that session is gone meanwhile.
    pub fn page(
        &self,
        after: Option<(Timestamp, SessionId)>,
        max: usize,
        wanted: impl Fn(&SessionRecord) -> bool,
    ) -> Page {
        let (mut place, mut records) = (after, Vec::new());
        while records.len() <= max {
            // Looked at without the table's lock: nobody waits for a search through all sessions.
            let piece: Vec<_> =
                self.shared.table().older_than(place).take(PIECE_RECORDS).cloned().collect();
            let Some(last) = piece.last() else { break };
            place = Some((last.info.created_at, last.info.id));
            records.extend(piece.into_iter().filter(|record| wanted(record)));
        }
        let more = max < records.len();
        records.truncate(max);
        let last = records.last().filter(|_| more);
        let next = last.map(|record| (record.info.created_at, record.info.id));
        Page { records, next }
    }

    /// The sessions of which this is true, oldest first: for what a restarted server goes on
    /// with. `wanted` runs under the table's lock, so it only looks.
    pub fn ids_where(&self, wanted: impl Fn(&SessionRecord) -> bool) -> Vec<SessionId> {
        let table = self.shared.table();
        let found = table.oldest_first().filter(|record| wanted(record));
        found.map(|record| record.info.id).collect()
    }

    /// Which session a local agent's transcript belongs to.
    pub fn session_of_transcript(&self, transcript_path: &str) -> Option<SessionId> {
        self.shared.table().transcript(transcript_path)
    }

    /// Adds a session (or replaces one of the same id). Durable and visible when it returns.
    ///
    /// Like every write: fails with [`RegistryError::Write`], [`RegistryError::Fenced`] or
    /// [`RegistryError::Stopped`]; dropping the future does not take it back.
    pub async fn register(
        &self,
        info: SessionInfo,
        internal: SessionPrivate,
    ) -> Result<Arc<SessionRecord>, RegistryError> {
        let session = info.id;
        let record = self.ask(What::Register(Box::new(SessionRecord { info, internal }))).await?;
        record.ok_or(RegistryError::NotFound { session })
    }

    /// Changes a session; returns it as it is then. `last_active_at` becomes the present unless
    /// the update names another moment.
    ///
    /// Fails with [`RegistryError::NotFound`] for an unknown one.
    pub async fn update(
        &self,
        id: SessionId,
        update: SessionUpdate,
    ) -> Result<Arc<SessionRecord>, RegistryError> {
        self.update_with(id, move |_before| Some(update)).await
    }

    /// As [`Self::update`], with an update that depends on what the session is at that moment:
    /// nobody else's change comes between. `decide` runs in the owner task, so it is quick;
    /// `None` changes nothing.
    pub async fn update_with(
        &self,
        id: SessionId,
        decide: impl FnOnce(&SessionRecord) -> Option<SessionUpdate> + Send + 'static,
    ) -> Result<Arc<SessionRecord>, RegistryError> {
        let record = self.ask(What::Change { id, decide: Box::new(decide) }).await?;
        record.ok_or(RegistryError::NotFound { session: id })
    }

    /// Adds what a turn cost to the session's totals.
    ///
    /// Fails with [`RegistryError::NotFound`] for an unknown session.
    pub async fn add_totals(
        &self,
        id: SessionId,
        totals: SessionTotals,
    ) -> Result<Arc<SessionRecord>, RegistryError> {
        self.update_with(id, move |before| Some(added(&before.info, totals))).await
    }

    /// Notes that the session was active. Cheap and never waits: written with all others at most
    /// once in [`TOUCH_WRITE_EVERY`], and when the registry stops. Nothing for an unknown one.
    pub fn touch(&self, id: SessionId) {
        if self.shared.table().get(id).is_none() {
            return;
        }
        let now = (self.shared.clock)();
        let mut touched = self.shared.touched();
        let first = touched.is_empty();
        touched.insert(id, now);
        drop(touched);
        if first {
            self.shared.touching.notify_one();
        }
    }

    /// Forgets a session.
    ///
    /// Fails with [`RegistryError::NotFound`] for an unknown one.
    pub async fn delete(&self, id: SessionId) -> Result<(), RegistryError> {
        self.ask(What::Delete(id)).await.map(drop)
    }

    /// Notes which session a local agent's transcript belongs to.
    ///
    /// Fails with [`RegistryError::NotFound`] for an unknown session.
    pub async fn map_transcript(
        &self,
        transcript_path: String,
        id: SessionId,
    ) -> Result<(), RegistryError> {
        self.ask(What::Map { transcript_path, id }).await.map(drop)
    }

    /// The session that one of these names (transcripts, an agent's own ids) belongs to, else a
    /// new one with this record; names that belonged to none belong to it then. Whoever asks at
    /// the same time gets the same session: the offered id tells whether it is the new one.
    pub async fn claim(
        &self,
        names: Vec<String>,
        info: SessionInfo,
        internal: SessionPrivate,
    ) -> Result<Arc<SessionRecord>, RegistryError> {
        let session = info.id;
        let record = Box::new(SessionRecord { info, internal });
        let record = self.ask(What::Claim { names, record }).await?;
        record.ok_or(RegistryError::NotFound { session })
    }

    /// Makes this the one good secret of the project in this directory, which becomes known if it
    /// was not.
    ///
    /// Fails with [`RegistryError::TooManyProjects`], beside what every write fails with.
    pub async fn set_hook_project(
        &self,
        directory: String,
        secret: HookSecretId,
    ) -> Result<(), RegistryError> {
        self.ask(What::SetProject { directory, secret }).await.map(drop)
    }

    /// Takes the project's secret away; success also when it had none.
    pub async fn revoke_hook_project(&self, id: HookProjectId) -> Result<(), RegistryError> {
        self.ask(What::RevokeProject(id)).await.map(drop)
    }

    /// All projects with hooks, in no order that means anything.
    pub fn hook_projects(&self) -> Vec<Arc<HookProject>> {
        self.shared.table().projects.all().cloned().collect()
    }

    /// One project.
    pub fn hook_project(&self, id: HookProjectId) -> Option<Arc<HookProject>> {
        self.shared.table().projects.get(id).cloned()
    }

    /// The project that this is the good secret of.
    pub fn hook_project_of(&self, secret: HookSecretId) -> Option<Arc<HookProject>> {
        self.shared.table().projects.of_secret(secret).cloned()
    }

    /// Returns when this is not the good secret of any project (any more).
    pub async fn hook_secret_over(&self, secret: HookSecretId) {
        let mut changed = self.shared.hooks_changed.subscribe();
        while self.hook_project_of(secret).is_some() {
            // The sender lives in `self`.
            changed.changed().await.ok();
        }
    }

    /// Writes a snapshot of everything that was written before, so that the next start reads no
    /// more than it; returns when it is whole. Not needed in the normal course: the registry
    /// writes one in the background whenever its tail has grown.
    ///
    /// Fails with [`RegistryError::Snapshot`] or [`RegistryError::Stopped`].
    pub async fn snapshot(&self) -> Result<(), RegistryError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Snapshot { reply };
        self.requests.send(request).await.map_err(|_gone| RegistryError::Stopped)?;
        match answer.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(RegistryError::Snapshot),
            Err(_gone) => Err(RegistryError::Stopped),
        }
    }

    /// Writes what still waits and ends the owner task. Writes that come later fail with
    /// [`RegistryError::Stopped`]; reading goes on.
    pub async fn stop(&self) {
        // An error means that it has stopped already.
        self.requests.send(Request::Stop).await.ok();
        let owner = lock(&self.owner).take();
        if let Some(Err(error)) = match owner {
            Some(owner) => Some(owner.await),
            None => None,
        } {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the registry's owner task did not end well"
            );
        }
    }

    async fn ask(&self, what: What) -> Result<Option<Arc<SessionRecord>>, RegistryError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Write { what, reply };
        self.requests.send(request).await.map_err(|_gone| RegistryError::Stopped)?;
        answer.await.map_err(|_gone| RegistryError::Stopped)?
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("lease", &self.lease).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn table(&self) -> RwLockReadGuard<'_, Table> {
        // Each change of the table is whole before anything that could panic.
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the owner alone.
    pub(crate) fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_fenced(&self) -> bool {
        *self.fenced.borrow()
    }

    /// Notes that another server has taken over from the one with this lease.
    pub(crate) fn fence(&self, lease: u64, why: &str) {
        if !self.fenced.send_replace(true) {
            tracing::error!(
                registry.lease = lease,
                "another server has taken over the registry, this one writes no more: {why}"
            );
        }
    }

    pub(crate) fn touched(&self) -> MutexGuard<'_, HashMap<SessionId, Timestamp>> {
        lock(&self.touched)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here leaves a value half changed when it panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The totals after one more turn; a figure that the agent did not tell stays.
fn added(before: &SessionInfo, turn: SessionTotals) -> SessionUpdate {
    let sum = |before: Option<u64>, more: Option<u64>| {
        more.map(|more| before.unwrap_or_default().saturating_add(more))
    };
    SessionUpdate {
        total_cost_usd: turn.cost_usd.map(|more| before.total_cost_usd.unwrap_or_default() + more),
        total_turns: sum(before.total_turns, turn.num_turns),
        total_duration_ms: sum(before.total_duration_ms, turn.duration_ms),
        ..SessionUpdate::default()
    }
}
