use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use studio_auth::{Grant, Ledger, LedgerEntry, Minted, Refused, Scope};
use studio_ids::{SessionId, TokenId};
use studio_streams::{Batch, CreateOptions, Offset, StreamError, StreamPath, StreamStore};
use tokio::{sync::Mutex, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    TokensError, Watched,
    follow::{expire, follow},
    watched::Watches,
};

/// Most tokens of one session that may be good at a time and were asked for by somebody.
pub const TOKENS_OF_SESSION_MAX: usize = 100;
/// Most tokens that may be good at a time and are for no session.
pub const TOKENS_MAX: usize = 1_000;
/// Most records that are read at once.
const PAGE_RECORDS_MAX: usize = 1_000;
/// How often a fact without an answer is written again: twice is as good as once.
const ATTEMPTS_MAX: u32 = 4;
const AGAIN_FIRST: Duration = Duration::from_millis(20);

/// What time it is, in Unix seconds.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Which tokens were given out and which are void. Asking is a look into a table; a fact is
/// durable before it counts.
///
/// Cheap to clone: all clones are one. The task that follows the stream ends with the last.
#[derive(Clone)]
pub struct Tokens {
    shared: Arc<Shared>,
    _tasks: Arc<JoinSet<()>>,
}

/// What the handles and the tasks both see.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn StreamStore>,
    ledger: RwLock<Ledger>,
    watches: Arc<Watches>,
    clock: Clock,
    /// Held while a fact is written, so that limits hold. A waiter waits for appends before its
    /// own.
    writing: Mutex<()>,
}

impl Tokens {
    /// Reads everything that is there (until up to date, however long that takes).
    ///
    /// Fails with [`TokensError::Read`]; then nothing runs.
    pub async fn open(
        store: Arc<dyn StreamStore>,
        clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Result<Self, TokensError> {
        let failed = |source| TokensError::Read { source: Arc::new(source) };
        let (ledger, read_to) = load(&store, clock()).await.map_err(failed)?;
        let (ledger, writing) = (RwLock::new(ledger), Mutex::default());
        let shared = Arc::new(Shared { store, ledger, watches: Arc::default(), clock, writing });
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(Arc::clone(&shared), read_to));
        tasks.spawn(expire(Arc::clone(&shared)));
        Ok(Self { shared, _tasks: Arc::new(tasks) })
    }

    /// Whether a token that fits was made void since.
    pub fn check(&self, scope: Scope, grant: &Grant) -> Result<(), Refused> {
        self.shared.ledger().check(scope, grant)
    }

    /// Watches a token that something is open with: [`Watched::over`] tells when it is void or
    /// expired, or `stop` is cancelled. At once, if it is void already.
    pub fn watch(&self, scope: Scope, grant: Grant, stop: &CancellationToken) -> Watched {
        let over = stop.child_token();
        let id = self.shared.watches.add(scope, grant.clone(), over.clone());
        // After it is among those that are told, so that nothing falls between.
        if self.check(scope, &grant).is_err() {
            over.cancel();
        }
        Watched { id, over, all: Arc::downgrade(&self.shared.watches) }
    }

    /// Whether a session's tokens were rotated at this time (Unix seconds) or since.
    pub fn rotated_since(&self, session: SessionId, at: u64) -> bool {
        self.shared.ledger().rotated_since(session, at)
    }

    /// The time to write into a token of this scope that is made `now`, in Unix seconds.
    pub fn issue_time(&self, scope: Scope, now: u64) -> u64 {
        self.shared.ledger().issue_time(scope, now)
    }

    /// What was given out and is good, of one session or (`None`) of none; the newest first.
    pub fn given(&self, session: Option<SessionId>) -> Vec<Minted> {
        let now = (self.shared.clock)();
        let ledger = self.shared.ledger();
        let good = ledger.of(session).filter(|minted| now < minted.expires);
        let mut all: Vec<_> = good.cloned().collect();
        all.sort_by_key(|minted| std::cmp::Reverse((minted.issued, minted.id)));
        all
    }

    /// Notes that a token is given out. It is to be told after this only.
    ///
    /// Like every write: fails with [`TokensError::Write`]; dropping the future does not take it
    /// back. Fails with [`TokensError::TooMany`] too.
    pub async fn give(&self, minted: Minted) -> Result<(), TokensError> {
        let _turn = self.shared.writing.lock().await;
        let session = minted.scope.session();
        let max = if session.is_some() { TOKENS_OF_SESSION_MAX } else { TOKENS_MAX };
        if max <= self.given(session).len() {
            return Err(TokensError::TooMany { max });
        }
        self.shared.write(LedgerEntry::TokenMinted(minted)).await
    }

    /// Makes a token void that was given out for this session or (`None`) for none.
    ///
    /// Fails with [`TokensError::Unknown`] for any other.
    pub async fn revoke(&self, session: Option<SessionId>, id: TokenId) -> Result<(), TokensError> {
        let found = self.shared.ledger().find(id).cloned();
        let minted = found.filter(|minted| minted.scope.session() == session);
        let Minted { expires, .. } = minted.ok_or(TokensError::Unknown { id })?;
        self.shared.write(LedgerEntry::TokenRevoked { id, expires }).await
    }

    /// Makes all tokens of a session void that were given out until now.
    pub async fn rotate(&self, session: SessionId) -> Result<(), TokensError> {
        let _turn = self.shared.writing.lock().await;
        let rotation = self.shared.ledger().rotation(session, (self.shared.clock)());
        self.shared.write(rotation).await
    }
}

impl Shared {
    fn ledger(&self) -> RwLockReadGuard<'_, Ledger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Durable first, then it counts.
    async fn write(&self, entry: LedgerEntry) -> Result<(), TokensError> {
        let failed = |source| TokensError::Write { source: Arc::new(source) };
        // Made of strings and numbers, which always serialise.
        let record = serde_json::to_vec(&entry).unwrap_or_default();
        let (mut attempt, mut again) = (1, AGAIN_FIRST);
        loop {
            let batch = Batch::new(vec![record.clone().into()]).map_err(|source| {
                failed(StreamError::Failed {
                    path: StreamPath::tokens(),
                    tried: "appended to",
                    source: Box::new(source),
                })
            })?;
            match self.store.append(&StreamPath::tokens(), batch, None).await {
                Ok(_) => break,
                Err(StreamError::Failed { .. }) if attempt < ATTEMPTS_MAX => {}
                Err(error) => return Err(failed(error)),
            }
            tokio::time::sleep(again).await;
            again *= 2;
            attempt += 1;
        }
        self.take_in([entry].into_iter());
        Ok(())
    }

    /// The only place where the table changes: for what this server wrote, and for what it hears
    /// of the stream (its own once more).
    pub(crate) fn take_in(&self, entries: impl Iterator<Item = LedgerEntry>) {
        let mut ledger = self.ledger.write().unwrap_or_else(PoisonError::into_inner);
        entries.for_each(|entry| ledger.apply(&entry));
        ledger.purge((self.clock)());
        drop(ledger);
        self.sweep();
    }

    pub(crate) fn sweep(&self) {
        self.watches.sweep(&self.ledger(), (self.clock)());
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// The table as the stream tells it, without what has expired, and the place that was read up to.
async fn load(store: &Arc<dyn StreamStore>, now: u64) -> Result<(Ledger, Offset), StreamError> {
    let path = StreamPath::tokens();
    store.create(&path, CreateOptions::default()).await?;
    let (mut ledger, mut next) = (Ledger::default(), Offset::Start);
    loop {
        let page = store.read(&path, next, PAGE_RECORDS_MAX).await?;
        let entries = page.records.iter().filter_map(|record| entry(&record.data));
        entries.for_each(|entry| ledger.apply(&entry));
        next = page.next;
        if page.up_to_date {
            ledger.purge(now);
            return Ok((ledger, next));
        }
    }
}

/// One bad record never keeps the others away. Its text may be anything, so it is not told.
pub(crate) fn entry(data: &[u8]) -> Option<LedgerEntry> {
    let entry = serde_json::from_slice(data);
    if entry.is_err() {
        tracing::warn!("an entry of the list of tokens cannot be read and is skipped");
    }
    entry.ok()
}
