use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use studio_events::{SessionUpdate, Timestamp};
use studio_gates::Gates;
use studio_ids::{InstanceId, SessionId};
use studio_limits::{Subject, Windows};
use studio_registry::{Registry, SessionRecord};
use studio_tokens::Tokens;
use tokio::sync::{Mutex as AsyncMutex, Notify, OnceCell, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    FlowError, Parts, git_token::TokenLimits, live::Live, look::LOOKS_AT_ONCE_MAX,
    presence::Presence, unheard::HookLimit,
};

/// Epochs that one server may use under its lease: each time it takes a session up anew costs
/// one. The registry's lease stands above these bits, so a later server's are always larger.
const EPOCHS_PER_LEASE_BITS: u32 = 28;

/// A slot for a session that is in use: filled once, by whoever comes first.
type Slot = Arc<OnceCell<Arc<Live>>>;

/// All state of a studio.
pub(crate) struct Inner {
    pub(crate) parts: Parts,
    pub(crate) instance: InstanceId,
    pub(crate) registry: Registry,
    pub(crate) tokens: Tokens,
    pub(crate) gates: Gates,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) recovered: AtomicBool,
    pub(crate) started_at: Timestamp,
    /// Ourselves, for what outlives a call: listeners and tasks hold no owning reference.
    pub(crate) weak: Weak<Inner>,
    /// Creations of the last hour; `None` = not limited.
    pub(crate) creations: Mutex<Option<Windows<Subject>>>,
    /// What is being made and is not in the registry yet, and for whom.
    pub(crate) places: Mutex<HashMap<SessionId, Option<Subject>>>,
    /// Turns of those who look into sandboxes.
    pub(crate) looks: Semaphore,
    /// Held while a conversation's session is made, so that many hooks at once make one stream
    /// and not many. A waiter waits for two appends.
    pub(crate) opening: AsyncMutex<()>,
    /// How many sessions hooks made.
    pub(crate) hook_limit: HookLimit,
    /// How many tokens for git sessions got.
    pub(crate) git_tokens: Mutex<TokenLimits>,
    /// Who looks at shared sessions.
    pub(crate) presence: Mutex<Presence>,
    epochs: AtomicU64,
    live: Mutex<HashMap<SessionId, Slot>>,
    /// Sessions that this server made: their flows are in its memory, so nothing of them is to be
    /// taken up from the log. Not told by the clock: another server's may go differently.
    made_here: Mutex<HashSet<SessionId>>,
    /// Changes of sessions that agents caused and that are not in the registry yet; merged per
    /// session, so at most one entry for each.
    dirty: Mutex<BTreeMap<SessionId, SessionUpdate>>,
    dirtied: Notify,
}

/// Locks a map that is never locked across an await; a panic elsewhere cannot leave it half
/// changed, since every change is a single call.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(crate) fn new(
        parts: Parts,
        instance: InstanceId,
        registry: Registry,
        tokens: Tokens,
        weak: Weak<Self>,
    ) -> Self {
        let first_epoch = registry.lease() << EPOCHS_PER_LEASE_BITS;
        let started_at = (parts.clock)();
        let creations = crate::admit::creations(&parts.settings, &registry, started_at);
        Self {
            parts,
            started_at,
            creations: Mutex::new(creations),
            places: Mutex::default(),
            instance,
            registry,
            tokens,
            gates: Gates::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            recovered: AtomicBool::new(false),
            weak,
            looks: Semaphore::new(LOOKS_AT_ONCE_MAX),
            opening: AsyncMutex::default(),
            hook_limit: HookLimit::default(),
            git_tokens: Mutex::default(),
            presence: Mutex::default(),
            epochs: AtomicU64::new(first_epoch),
            live: Mutex::default(),
            made_here: Mutex::default(),
            dirty: Mutex::default(),
            dirtied: Notify::new(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.parts.clock)()
    }

    /// The moment `after` from now.
    pub(crate) fn deadline(&self, after: std::time::Duration) -> Timestamp {
        let millis = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_unix_millis(self.now().unix_millis().saturating_add(millis))
    }

    pub(crate) fn next_epoch(&self) -> u64 {
        self.epochs.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn record(&self, id: SessionId) -> Result<Arc<SessionRecord>, FlowError> {
        self.is_ours()?;
        self.registry.get(id).ok_or(FlowError::NoSession(id))
    }

    /// The session in use: taken up when it was not.
    pub(crate) async fn live(&self, id: SessionId) -> Result<Arc<Live>, FlowError> {
        if self.stop.is_cancelled() {
            return Err(self.stopping());
        }
        let record = self.record(id)?;
        let slot = {
            let mut slots = lock(&self.live);
            // One that is being put down is of no use any more.
            if slots.get(&id).and_then(|slot| slot.get()).is_some_and(|l| l.bridge.is_ended()) {
                slots.remove(&id);
            }
            Arc::clone(slots.entry(id).or_default())
        };
        let live = slot.get_or_try_init(|| self.take_up(record)).await.cloned();
        match &live {
            Ok(live) => live.used(),
            Err(_) => self.put_down(id),
        }
        live
    }

    /// Notes that this server makes the session; `false` when it has noted that before.
    pub(crate) fn make_here(&self, id: SessionId) -> bool {
        lock(&self.made_here).insert(id)
    }

    pub(crate) fn is_made_here(&self, id: SessionId) -> bool {
        lock(&self.made_here).contains(&id)
    }

    /// Sandboxes that were asked for without a session.
    pub(crate) fn sandboxes_by_themselves(&self) -> Vec<SessionId> {
        let made = lock(&self.made_here);
        made.iter().copied().filter(|id| self.registry.get(*id).is_none()).collect()
    }

    /// Forgets that the session was made here: there is no such session any more.
    pub(crate) fn forget_making(&self, id: SessionId) {
        lock(&self.made_here).remove(&id);
    }

    /// The session if it is in use now.
    pub(crate) fn live_now(&self, id: SessionId) -> Option<Arc<Live>> {
        lock(&self.live).get(&id).and_then(|slot| slot.get().cloned())
    }

    /// All sessions in use.
    pub(crate) fn all_live(&self) -> Vec<Arc<Live>> {
        lock(&self.live).values().filter_map(|slot| slot.get().cloned()).collect()
    }

    /// Forgets that the session is in use (its bridge has ended or is about to).
    pub(crate) fn put_down(&self, id: SessionId) {
        lock(&self.live).remove(&id);
    }

    /// As [`Self::put_down`], unless the session was taken up anew meanwhile.
    pub(crate) fn put_down_this(&self, live: &Arc<Live>) {
        let mut slots = lock(&self.live);
        let same = |slot: &Slot| slot.get().is_some_and(|there| Arc::ptr_eq(there, live));
        if slots.get(&live.id).is_some_and(same) {
            slots.remove(&live.id);
        }
    }

    /// Notes a change that an agent caused; the registry gets it soon.
    pub(crate) fn note(&self, id: SessionId, change: impl FnOnce(&mut SessionUpdate)) {
        change(lock(&self.dirty).entry(id).or_default());
        self.dirtied.notify_one();
    }

    /// Takes back what was noted of a session: the caller writes it together with its own.
    pub(crate) fn take_note(&self, id: SessionId) -> SessionUpdate {
        lock(&self.dirty).remove(&id).unwrap_or_default()
    }

    /// Writes noted changes to the registry until the studio stops.
    pub(crate) async fn write_notes(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.dirtied.notified() => self.flush_notes().await,
            }
        }
        self.flush_notes().await;
    }

    async fn flush_notes(&self) {
        let noted: Vec<SessionId> = lock(&self.dirty).keys().copied().collect();
        let writes = noted.into_iter().map(|id| async move {
            // Taken when its turn to be written has come: what a flow decides meanwhile (that an
            // interrupted session is complete) takes it along and stands after it, not before.
            let weak = self.weak.clone();
            let taken = move |_before: &SessionRecord| {
                weak.upgrade().and_then(|inner| lock(&inner.dirty).remove(&id))
            };
            if let Err(error) = self.registry.update_with(id, taken).await {
                lock(&self.dirty).remove(&id);
                let error: &dyn std::error::Error = &error;
                tracing::warn!(session.id = %id, error, "a change of session {id} is not in the registry");
            }
        });
        futures::future::join_all(writes).await;
    }
}
