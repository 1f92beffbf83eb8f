use std::{collections::VecDeque, sync::Arc};

use studio_events::{RegistryEntry, SessionUpdate};
use studio_ids::{HookProjectId, HookSecretId, SessionId};
use studio_streams::{Appended, Batch, SessionWriter, StreamError};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, JoinSet},
    time::{Duration, Instant, sleep_until},
};

use crate::{
    RegistryError, SessionRecord,
    load::Tail,
    registry::{Shared, TOUCH_WRITE_EVERY},
    snapshot,
    staged::Staged,
};

/// Most entries in one append.
const BATCH_ENTRIES_MAX: usize = 1_000;
/// Where a batch ends: what came so far is written first.
const BATCH_BYTES_SOFT_MAX: usize = 1024 * 1024;
/// Wait before an append without an answer is asked for again, when nobody writes meanwhile.
const SETTLE_EVERY: Duration = Duration::from_secs(1);

/// An answer to everybody who asked: the session as it is then, `None` if it is gone.
pub(crate) type Answer = Result<Option<Arc<SessionRecord>>, RegistryError>;

/// What a change makes of a session.
pub(crate) type Decide = Box<dyn FnOnce(&SessionRecord) -> Option<SessionUpdate> + Send>;

/// All that can be asked of the owner.
pub(crate) enum Request {
    Write {
        what: What,
        reply: oneshot::Sender<Answer>,
    },
    /// True = a snapshot of everything before this request is whole.
    Snapshot {
        reply: oneshot::Sender<bool>,
    },
    Stop,
}

/// All that can be written.
pub(crate) enum What {
    Register(Box<SessionRecord>),
    Change {
        id: SessionId,
        decide: Decide,
    },
    Delete(SessionId),
    Map {
        transcript_path: String,
        id: SessionId,
    },
    /// The session that one of these names belongs to, else this one; all of them belong to it.
    Claim {
        names: Vec<String>,
        record: Box<SessionRecord>,
    },
    /// A secret for the project in this directory, in place of the one it had.
    SetProject {
        directory: String,
        secret: HookSecretId,
    },
    /// Takes the project's secret away.
    RevokeProject(HookProjectId),
    /// Nothing new: that this server still may write.
    Lead,
}

/// The one task that writes the registry.
pub(crate) struct Owner {
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Request>,
    writer: SessionWriter,
    tail: Tail,
    /// Entries of an append without an answer: they become visible when it is found written.
    unsettled: Option<Vec<RegistryEntry>>,
    settle_at: Option<Instant>,
    touch_at: Option<Instant>,
    snapshot: Option<JoinHandle<Option<snapshot::Written>>>,
    snapshots_begun: u64,
    /// Who asked for a snapshot that has not begun.
    snapshot_asked: Vec<oneshot::Sender<bool>>,
    /// Who waits for the one that is being written.
    snapshot_awaited: Vec<oneshot::Sender<bool>>,
    /// Ends with the owner.
    _rival: JoinSet<()>,
}

impl Owner {
    pub(crate) fn new(
        shared: Arc<Shared>,
        inbox: mpsc::Receiver<Request>,
        writer: SessionWriter,
        tail: Tail,
        rival: JoinSet<()>,
    ) -> Self {
        Self {
            shared,
            inbox,
            writer,
            tail,
            unsettled: None,
            settle_at: None,
            touch_at: None,
            snapshot: None,
            snapshots_begun: 0,
            snapshot_asked: Vec::new(),
            snapshot_awaited: Vec::new(),
            _rival: rival,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut waiting = Vec::with_capacity(BATCH_ENTRIES_MAX);
        loop {
            self.begin_snapshot();
            tokio::select! {
                got = self.inbox.recv_many(&mut waiting, BATCH_ENTRIES_MAX) => {
                    if got == 0 {
                        break;
                    }
                    self.serve(waiting.drain(..).collect()).await;
                }
                () = self.shared.touching.notified(), if self.touch_at.is_none() => {
                    self.touch_at = Some(Instant::now() + TOUCH_WRITE_EVERY);
                }
                () = at(self.touch_at) => self.write_touched().await,
                () = at(self.settle_at) => {
                    // What failed is logged and tried again.
                    self.settle().await.ok();
                }
                written = ended(&mut self.snapshot) => self.snapshot_ended(written),
            }
        }
        self.write_touched().await;
        if let Some(snapshot) = self.snapshot.take() {
            snapshot.abort();
            // Aborted is how it is meant to end; a half snapshot is recognised as one.
            snapshot.await.ok();
        }
    }

    /// Writes what all these ask for, in their order, in as few appends as the limits allow.
    async fn serve(&mut self, mut requests: VecDeque<Request>) {
        while !requests.is_empty() {
            if let Err(error) = self.may_write().await {
                for request in requests.drain(..) {
                    match request {
                        Request::Write { reply, what: _ } => answer(reply, Err(error.clone())),
                        Request::Snapshot { reply } => self.snapshot_asked.push(reply),
                        Request::Stop => self.inbox.close(),
                    }
                }
                return;
            }
            let shared = self.shared.clone();
            let mut staged = Staged::new(&shared, self.writer.epoch());
            let mut replies = Vec::new();
            while staged.entries.len() < BATCH_ENTRIES_MAX && staged.bytes < BATCH_BYTES_SOFT_MAX {
                match requests.pop_front() {
                    // What stands in the queue behind it is still written.
                    Some(Request::Stop) => self.inbox.close(),
                    Some(Request::Write { what, reply }) => match staged.add(what) {
                        Ok(record) => replies.push((reply, record)),
                        Err(error) => answer(reply, Err(error)),
                    },
                    // Begun after this batch, which is more than was asked for.
                    Some(Request::Snapshot { reply }) => self.snapshot_asked.push(reply),
                    None => break,
                }
            }
            let written = self.write(staged).await;
            for (reply, record) in replies {
                answer(reply, written.clone().map(|()| record));
            }
        }
    }

    /// Whether a batch can be written: nobody took over and no earlier one is in doubt.
    async fn may_write(&mut self) -> Result<(), RegistryError> {
        if self.shared.is_fenced() {
            return Err(RegistryError::Fenced { lease: self.writer.epoch() });
        }
        self.settle().await
    }

    async fn write(&mut self, staged: Staged<'_>) -> Result<(), RegistryError> {
        let Staged { entries, records, bytes, .. } = staged;
        if records.is_empty() {
            return Ok(());
        }
        let batch = Batch::new(records).map_err(|source| RegistryError::Write {
            source: Arc::new(StreamError::Failed {
                path: self.writer.path().clone(),
                tried: "appended to",
                source: Box::new(source),
            }),
        })?;
        self.tail.entries += entries.len();
        self.tail.bytes += bytes;
        match self.writer.append(batch).await {
            Ok(appended) => {
                self.show(entries, &appended);
                Ok(())
            }
            Err(error) => {
                if matches!(error, StreamError::Failed { .. }) {
                    self.unsettled = Some(entries);
                    self.settle_at = Some(Instant::now() + SETTLE_EVERY);
                }
                Err(self.failed(error))
            }
        }
    }

    /// Brings an append without an answer to its end.
    async fn settle(&mut self) -> Result<(), RegistryError> {
        self.settle_at = None;
        let Some(entries) = self.unsettled.take() else { return Ok(()) };
        match self.writer.settle().await {
            Ok(Some(appended)) => {
                self.show(entries, &appended);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => {
                let still_open = matches!(
                    error,
                    StreamError::Failed { .. } | StreamError::Busy | StreamError::ReadOnly { .. }
                );
                if still_open {
                    self.unsettled = Some(entries);
                    self.settle_at = Some(Instant::now() + SETTLE_EVERY);
                }
                Err(self.failed(error))
            }
        }
    }

    /// Makes visible what is durable.
    fn show(&mut self, entries: Vec<RegistryEntry>, appended: &Appended) {
        self.tail.covered = match appended {
            Appended::Written { next } => Some(next.clone()),
            // The tail of now, which may lie behind entries of a server that took over.
            Appended::Duplicate { .. } => None,
        };
        let of_hooks = entries.iter().any(is_of_hooks);
        let mut table = self.shared.table_mut();
        for entry in entries {
            table.apply(entry);
        }
        drop(table);
        if of_hooks {
            self.shared.hooks_changed.send_replace(());
        }
    }

    fn failed(&mut self, error: StreamError) -> RegistryError {
        let lease = self.writer.epoch();
        if matches!(error, StreamError::Fenced { .. }) {
            self.shared.fence(lease, &error.to_string());
            return RegistryError::Fenced { lease };
        }
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the registry could not be written"
        );
        RegistryError::Write { source: Arc::new(error) }
    }

    /// Writes when each touched session was last active.
    async fn write_touched(&mut self) {
        self.touch_at = None;
        let touched = std::mem::take(&mut *self.shared.touched());
        if touched.is_empty() {
            return;
        }
        let requests = touched.into_iter().map(|(id, ts)| {
            let decide = Box::new(move |before: &SessionRecord| {
                // A change that came after the touch has told a later moment.
                (before.info.last_active_at < ts)
                    .then(|| SessionUpdate { last_active_at: Some(ts), ..SessionUpdate::default() })
            });
            // Nobody waits: a session that is gone meanwhile is not missed.
            let (reply, _) = oneshot::channel();
            Request::Write { what: What::Change { id, decide }, reply }
        });
        self.serve(requests.collect()).await;
    }

    /// Begins to write a snapshot in the background, if one is due or asked for.
    fn begin_snapshot(&mut self) {
        let asked = !self.snapshot_asked.is_empty();
        if self.snapshot.is_some() || !(asked || snapshot::is_due(&self.tail)) {
            return;
        }
        let fenced = self.shared.is_fenced();
        let Some(covered) = self.tail.covered.clone().filter(|_| !fenced) else {
            // Not known just now: the next entry tells the place again.
            self.snapshot_asked.drain(..).for_each(|reply| tell(reply, false));
            return;
        };
        self.snapshot_awaited.append(&mut self.snapshot_asked);
        let taken = snapshot::Taken::new(&self.shared.table(), covered);
        let place = snapshot::Place { lease: self.writer.epoch(), number: self.snapshots_begun };
        self.snapshots_begun += 1;
        // What is written from now on stands behind this snapshot.
        self.tail.entries = 0;
        self.tail.bytes = 0;
        let store = self.writer.store().clone();
        self.snapshot = Some(tokio::spawn(snapshot::write(store, place, taken)));
    }

    fn snapshot_ended(&mut self, written: Option<snapshot::Written>) {
        self.snapshot = None;
        let whole = written.is_some();
        self.snapshot_awaited.drain(..).for_each(|reply| tell(reply, whole));
        if let Some(written) = written {
            self.tail.snapshot_bytes = written.bytes;
        }
    }
}

fn is_of_hooks(entry: &RegistryEntry) -> bool {
    use RegistryEntry::{HookProjectForgotten, HookProjectSet};
    matches!(entry, HookProjectSet { .. } | HookProjectForgotten { .. })
}

/// The other end may have gone away: the write stands all the same.
fn answer(reply: oneshot::Sender<Answer>, answer: Answer) {
    reply.send(answer).ok();
}

/// The other end may have gone away, which harms nobody.
fn tell(reply: oneshot::Sender<bool>, whole: bool) {
    reply.send(whole).ok();
}

/// Ends at this moment; never without one.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Ends with the task; never without one.
async fn ended(
    task: &mut Option<JoinHandle<Option<snapshot::Written>>>,
) -> Option<snapshot::Written> {
    match task {
        Some(task) => match task.await {
            Ok(written) => written,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the task that writes a snapshot of the registry did not end well"
                );
                None
            }
        },
        None => std::future::pending().await,
    }
}
