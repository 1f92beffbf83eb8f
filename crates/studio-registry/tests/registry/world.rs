//! What the tests share: a store that can be disturbed, sessions, a clock.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use studio_events::{SessionInfo, SessionStatus, Timestamp};
use studio_ids::{InstanceId, SessionId};
use studio_registry::{Registry, RegistryError, SessionRecord};
use studio_streams::{
    Batch, CreateOptions, Deleted, Disturb, Follow, MemoryStreams, Offset, Page, Record,
    StreamError, StreamPath, StreamStore, Write, Written,
};
use tokio::sync::{Semaphore, watch};

/// What happens to the next appends to the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Fair,
    /// Written, and the answer is lost.
    AnswerLost,
    /// Neither written nor answered.
    Unreachable,
    /// Refused.
    Full,
}

/// The memory store, with a door at each place where a test wants to stand.
pub(crate) struct Disturbed {
    pub(crate) inner: MemoryStreams,
    weather: Mutex<Weather>,
    /// Appends pass one by one as permits are added; `None` = open.
    door: Mutex<Option<Arc<Semaphore>>>,
    /// Appends that came to the door.
    pub(crate) came: watch::Sender<usize>,
    /// Appends to the registry that were taken.
    pub(crate) appends: AtomicUsize,
    /// Records of the registry that were read.
    pub(crate) reads: AtomicUsize,
    /// Most records that one page holds.
    pub(crate) page_max: AtomicUsize,
    /// Snapshots that were removed.
    pub(crate) deleted: watch::Sender<usize>,
    /// Whether streams can be followed.
    pub(crate) follows: AtomicBool,
}

impl Disturbed {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStreams::new(),
            weather: Mutex::new(Weather::Fair),
            door: Mutex::new(None),
            came: watch::Sender::new(0),
            appends: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            page_max: AtomicUsize::new(usize::MAX),
            deleted: watch::Sender::new(0),
            follows: AtomicBool::new(true),
        })
    }

    pub(crate) fn weather(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    pub(crate) fn shut(&self) -> Arc<Semaphore> {
        let door = Arc::new(Semaphore::new(0));
        *self.door.lock().unwrap() = Some(door.clone());
        door
    }

    /// Waits until this many appends have come to the door since the store was made.
    pub(crate) async fn until_came(&self, appends: usize) {
        self.came.subscribe().wait_for(|came| appends <= *came).await.unwrap();
    }

    /// The registry's records, as they lie in the stream.
    pub(crate) async fn entries(&self) -> Vec<serde_json::Value> {
        let records = self.records(&StreamPath::registry()).await;
        records.iter().map(|record| serde_json::from_slice(&record.data).unwrap()).collect()
    }

    pub(crate) async fn records(&self, path: &StreamPath) -> Vec<Record> {
        let mut records = Vec::new();
        let mut next = Offset::Start;
        loop {
            let page = self.inner.read(path, next, usize::MAX).await.unwrap();
            records.extend(page.records);
            if page.up_to_date {
                return records;
            }
            next = page.next;
        }
    }

    /// Appends as somebody who keeps no rules.
    pub(crate) async fn scribble(&self, path: &StreamPath, lines: &[&str]) {
        self.inner.create(path, CreateOptions::default()).await.unwrap();
        let records = lines.iter().map(|line| line.to_string().into()).collect();
        self.inner.append(path, Batch::new(records).unwrap(), None).await.unwrap();
    }

    pub(crate) async fn snapshots(&self) -> Vec<StreamPath> {
        self.inner.list("registry-snapshots/", None, 100).await.unwrap()
    }
}

#[async_trait]
impl Disturb for Disturbed {
    fn inner(&self) -> &dyn StreamStore {
        &self.inner
    }

    async fn on_write(&self, path: &StreamPath, write: Write) -> Result<Written, StreamError> {
        if *path != StreamPath::registry() {
            return self.inner.write(path, write).await;
        }
        self.came.send_modify(|came| *came += 1);
        let door = self.door.lock().unwrap().clone();
        if let Some(door) = door {
            door.acquire().await.unwrap().forget();
        }
        let weather = *self.weather.lock().unwrap();
        let failed = || StreamError::Failed {
            path: path.clone(),
            tried: "appended to",
            source: "the line is cut".into(),
        };
        match weather {
            Weather::Fair => {
                self.appends.fetch_add(1, Ordering::SeqCst);
                self.inner.write(path, write).await
            }
            Weather::AnswerLost => {
                self.inner.write(path, write).await?;
                Err(failed())
            }
            Weather::Unreachable => Err(failed()),
            Weather::Full => Err(StreamError::ReadOnly { reason: "no room".to_owned() }),
        }
    }

    async fn on_read(
        &self,
        path: &StreamPath,
        from: Offset,
        max: usize,
    ) -> Result<Page, StreamError> {
        let max = max.min(self.page_max.load(Ordering::SeqCst));
        let page = self.inner.read(path, from, max).await?;
        if *path == StreamPath::registry() {
            self.reads.fetch_add(page.records.len(), Ordering::SeqCst);
        }
        Ok(page)
    }

    async fn on_follow(&self, path: &StreamPath, from: Offset) -> Result<Follow, StreamError> {
        if !self.follows.load(Ordering::SeqCst) {
            let source = "it cannot be followed".into();
            return Err(StreamError::Failed { path: path.clone(), tried: "followed", source });
        }
        self.inner.follow(path, from).await
    }

    async fn on_delete(&self, path: &StreamPath) -> Result<Deleted, StreamError> {
        let deleted = self.inner.delete(path).await?;
        self.deleted.send_modify(|deleted| *deleted += 1);
        Ok(deleted)
    }
}

/// A clock that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hand(Arc<AtomicI64>);

impl Hand {
    pub(crate) fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
        let hand = self.0.clone();
        Arc::new(move || Timestamp::from_unix_millis(hand.load(Ordering::SeqCst)))
    }
}

/// The only place that starts a registry: when its API moves, one function moves.
pub(crate) async fn try_open(
    store: &Arc<Disturbed>,
    hand: &Hand,
) -> Result<Registry, RegistryError> {
    Registry::open(store.clone(), InstanceId::random(), hand.clock()).await
}

pub(crate) async fn open(store: &Arc<Disturbed>) -> Registry {
    try_open(store, &Hand::default()).await.unwrap()
}

pub(crate) fn id(n: u16) -> SessionId {
    let mut bytes = [0; 16];
    bytes[14..].copy_from_slice(&n.to_be_bytes());
    SessionId::from_bytes(bytes)
}

/// Session `n`, created `n` milliseconds after the beginning.
pub(crate) fn info(n: u16) -> SessionInfo {
    let created_at = Timestamp::from_unix_millis(i64::from(n));
    SessionInfo {
        id: id(n),
        project_name: format!("electric-{n}"),
        sandbox_project_dir: String::new(),
        description: "a shop for kites".to_owned(),
        created_at,
        last_active_at: created_at,
        status: SessionStatus::Running,
        needs_input: None,
        last_coder_session_id: None,
        app_port: None,
        preview_url: None,
        claim_id: None,
        claude_session_id: None,
        total_cost_usd: None,
        total_turns: None,
        total_duration_ms: None,
        git: None,
        name: None,
        archived: None,
        imported: None,
    }
}

/// Everything that the registry shows, newest first.
pub(crate) fn all(registry: &Registry) -> Vec<SessionRecord> {
    let page = registry.page(None, usize::MAX, |_| true);
    assert_eq!(page.next, None);
    assert_eq!(page.records.len(), registry.len());
    page.records.iter().map(|record| SessionRecord::clone(record)).collect()
}
