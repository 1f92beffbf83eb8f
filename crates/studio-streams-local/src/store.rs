use std::{
    path::Path,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
};

use async_trait::async_trait;
use studio_streams::{
    CreateOptions, Created, Deleted, Follow, Head, Offset, Page, Record, StreamError, StreamPath,
    StreamStore, Write, Written,
};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::{
    OpenError, Options,
    command::{Command, Reply, What},
    committer::{Committer, Common},
    engine::{
        Answer, Ask, Compacted, DiskEngine, EngineError, LogEngine, Place, StreamId, StreamInfo,
        StreamRow, Way,
    },
    expiry::Expiries,
    follow::{Held, LocalFollow},
    live::Hub,
};

/// The embedded store. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct LocalStreams(Arc<Shared>);

struct Shared {
    /// To the committer; taken away by [`LocalStreams::stop`].
    commands: RwLock<Option<SyncSender<Command>>>,
    queued_bytes: Arc<AtomicUsize>,
    queued_bytes_max: usize,
    refusal: Arc<Refusal>,
    hub: Arc<Hub>,
    expiries: Arc<Expiries>,
    reads: Reads,
    page_bytes: usize,
    /// Whether the committer has ended.
    ended: watch::Receiver<bool>,
}

impl LocalStreams {
    /// Opens the streams in this directory, which is made if need be, and locks it. Blocks for
    /// some milliseconds, after a crash for up to some tens more; when much was deleted it compacts
    /// first, which takes as long as writing what is left.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let dir = dir.as_ref();
        let engine = DiskEngine::open(dir, &options)?;
        Self::over(Arc::new(engine), &options)
            .map_err(|source| OpenError::Engine { dir: dir.to_owned(), source })
    }

    /// The store's rules over an engine of your own.
    pub fn over(engine: Arc<dyn LogEngine>, options: &Options) -> Result<Self, EngineError> {
        let hub = Arc::new(Hub::new(options));
        let refusal = Arc::new(Refusal::default());
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let expiries = Arc::new(Expiries::new(options.clock.clone()));
        let common = Common {
            hub: hub.clone(),
            refusal: refusal.clone(),
            expiries: expiries.clone(),
            queued_bytes: queued_bytes.clone(),
        };
        let committer = Committer::new(engine.clone(), common, options)?;
        let (commands, waiting) = sync_channel(options.queued_commands_max.max(1));
        let (has_ended, ended) = watch::channel(false);
        // A thread and no task: it spends its life in system calls that block.
        std::thread::Builder::new()
            .name("streams-commit".to_owned())
            .spawn(move || {
                // Dropped when the committer panics too.
                let has_ended = EndsWith(has_ended);
                committer.run(&waiting);
                drop(has_ended);
            })
            .map_err(|source| EngineError::Failed {
                tried: "start the committer's thread",
                source: Box::new(source),
            })?;
        let at_once = Arc::new(Semaphore::new(options.reads_at_once_max.max(1)));
        Ok(Self(Arc::new(Shared {
            commands: RwLock::new(Some(commands)),
            queued_bytes,
            queued_bytes_max: options.queued_bytes_max,
            refusal,
            hub,
            expiries,
            reads: Reads { engine, at_once },
            page_bytes: options.page_bytes.max(1),
            ended,
        })))
    }

    /// Writes everything that was taken, closes the files and frees the directory. Appends are
    /// refused from the call on; reads fail and followers end once it returns. Calling it again
    /// waits too.
    pub async fn stop(&self) {
        // The committer ends when the last sender is gone and its queue is empty.
        drop(self.0.commands.write().unwrap_or_else(PoisonError::into_inner).take());
        // An error means that the thread is gone, which is as good.
        self.0.ended.clone().wait_for(|ended| *ended).await.ok();
    }

    /// Sends a command to the committer and waits until it is done.
    async fn command<T>(
        &self,
        path: &StreamPath,
        what: impl FnOnce(Reply<T>) -> What,
    ) -> Result<T, StreamError> {
        let (reply, answer) = oneshot::channel();
        self.submit(Command { path: path.clone(), what: what(reply) })?;
        answer.await.unwrap_or_else(|_committer_is_gone| {
            Err(StreamError::Failed {
                path: path.clone(),
                tried: "written to",
                source: "the store ended before it answered".into(),
            })
        })
    }

    fn submit(&self, command: Command) -> Result<(), StreamError> {
        let shared = &*self.0;
        if let Some(reason) = shared.refusal.reason() {
            return Err(StreamError::ReadOnly { reason });
        }
        let size = command.size_bytes();
        let before = shared.queued_bytes.fetch_add(size, Ordering::Relaxed);
        let sent = if 0 < before && shared.queued_bytes_max < before.saturating_add(size) {
            Err(StreamError::Busy)
        } else {
            match &*shared.commands.read().unwrap_or_else(PoisonError::into_inner) {
                Some(commands) => commands.try_send(command).map_err(|error| match error {
                    TrySendError::Full(_) => StreamError::Busy,
                    TrySendError::Disconnected(_) => stopped(),
                }),
                None => Err(stopped()),
            }
        };
        if sent.is_err() {
            shared.queued_bytes.fetch_sub(size, Ordering::Relaxed);
        }
        sent
    }

    /// Tells the committer that the stream is in use. Nobody waits for that; it is dropped if too
    /// much else waits.
    pub(crate) fn tell_of_use(&self, path: &StreamPath, id: StreamId) {
        let what = What::Touch { id, at: self.0.expiries.now() };
        self.submit(Command { path: path.clone(), what }).ok();
    }

    /// Gives room in the store's files that is not used any more back to the disk; everything
    /// else waits meanwhile, so it is for quiet hours. What it came to is logged too.
    pub async fn compact(&self) -> Result<Compacted, StreamError> {
        self.command(&StreamPath::registry(), |reply| What::Compact { reply }).await
    }

    pub(crate) fn reads(&self) -> &Reads {
        &self.0.reads
    }

    pub(crate) fn page_bytes(&self) -> usize {
        self.0.page_bytes
    }

    async fn read_either_way(
        &self,
        path: &StreamPath,
        from: Offset,
        way: Way,
        max: usize,
    ) -> Result<Page, StreamError> {
        let (row, records, next) = self.chunk(path, from, way, max.max(1), Use::Yes).await?;
        let up_to_date = match way {
            Way::On => next == row.tail,
            Way::Back => next == 0,
        };
        let record = |(end, data)| Record { offset: Offset::Position(end), data };
        let records = records.into_iter().map(record).collect();
        Ok(Page { records, next: Offset::Position(next), up_to_date, head: head(&row) })
    }

    async fn chunk(
        &self,
        path: &StreamPath,
        from: Offset,
        way: Way,
        max: usize,
        is_use: Use,
    ) -> Result<(StreamRow, Vec<(u64, bytes::Bytes)>, u64), StreamError> {
        let (place, bytes_max) = (place_of(&from), self.0.page_bytes);
        let asked = path.clone();
        let read = move |engine: &dyn LogEngine| {
            engine.read(Ask { path: asked.as_str(), id: None, place, way, max, bytes_max })
        };
        match self.0.reads.run(path, "read", read).await? {
            Answer::NoStream => Err(not_found(path)),
            Answer::NoPlace { row } => {
                self.check(path, &row, is_use)?;
                Err(StreamError::BadOffset { path: path.clone(), offset: from })
            }
            Answer::Chunk { row, records, next } => {
                self.check(path, &row, is_use)?;
                Ok((row, records, next))
            }
        }
    }

    /// Whether the stream may still be read; notes that it is.
    fn check(&self, path: &StreamPath, row: &StreamRow, is_use: Use) -> Result<(), StreamError> {
        if row.info.deleted {
            return Err(gone(path));
        }
        if self.0.expiries.is_over(row.id, &row.info) {
            let kept = 0 < row.info.forks;
            return Err(if kept { gone(path) } else { not_found(path) });
        }
        if is_use == Use::Yes && self.0.expiries.touch(row.id, &row.info) {
            self.tell_of_use(path, row.id);
        }
        Ok(())
    }
}

/// Whether a look at a stream puts off its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Yes,
    No,
}

/// The stream of this row as callers see it.
pub(crate) fn head(row: &StreamRow) -> Head {
    let facts = &row.info.facts;
    Head {
        tail: Offset::Position(row.tail),
        closed: facts.closed,
        content_type: facts.content_type.clone(),
        expiry: facts.expiry,
        incarnation: row.id.0,
    }
}

/// The place that the engine is asked for.
pub(crate) fn place_of(offset: &Offset) -> Place {
    match offset {
        Offset::Start => Place::Start,
        Offset::Now => Place::End,
        Offset::Position(at) => Place::At(*at),
        // An unknown stream is told before an unknown place, so the engine is asked anyway.
        Offset::Opaque(_) => Place::At(u64::MAX),
    }
}

#[async_trait]
impl StreamStore for LocalStreams {
    async fn create(
        &self,
        path: &StreamPath,
        options: CreateOptions,
    ) -> Result<Created, StreamError> {
        self.command(path, |reply| What::Create { options, reply }).await
    }

    async fn write(&self, path: &StreamPath, write: Write) -> Result<Written, StreamError> {
        self.command(path, |reply| What::Write { write, reply }).await
    }

    async fn read(&self, path: &StreamPath, from: Offset, max: usize) -> Result<Page, StreamError> {
        self.read_either_way(path, from, Way::On, max).await
    }

    async fn read_back(
        &self,
        path: &StreamPath,
        before: Offset,
        max: usize,
    ) -> Result<Page, StreamError> {
        self.read_either_way(path, before, Way::Back, max).await
    }

    async fn follow(&self, path: &StreamPath, from: Offset) -> Result<Follow, StreamError> {
        // No records yet: only which stream it is and whether `from` is a place of it.
        let (row, _none, place) = self.chunk(path, from, Way::On, 0, Use::Yes).await?;
        let seat = self.0.hub.join(row.id);
        let hold = self.0.expiries.hold(row.id, &row.info).map(|hold| {
            let touched = tokio::time::Instant::now();
            Held { hold, info: row.info, touched }
        });
        let (store, path, id) = (self.clone(), path.clone(), row.id);
        Ok(Follow::new(LocalFollow { store, path, id, seat, place, hold }))
    }

    async fn head(&self, path: &StreamPath) -> Result<Head, StreamError> {
        let (row, ..) = self.chunk(path, Offset::Now, Way::On, 0, Use::No).await?;
        Ok(head(&row))
    }

    async fn delete(&self, path: &StreamPath) -> Result<Deleted, StreamError> {
        self.command(path, |reply| What::Delete { reply }).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&StreamPath>,
        max: usize,
    ) -> Result<Vec<StreamPath>, StreamError> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        let expiries = self.0.expiries.clone();
        let list = move |engine: &dyn LogEngine| {
            let wanted =
                |id: StreamId, info: &StreamInfo| !info.deleted && !expiries.is_over(id, info);
            let after = after.as_ref().map(StreamPath::as_str);
            let found = engine.list(&prefix, after, max, &wanted)?;
            let parse = |path: String| {
                path.parse().map_err(|_not_a_path| EngineError::Damaged {
                    what: format!("a stream has the path {path:?}"),
                })
            };
            found.into_iter().map(parse).collect()
        };
        self.0.reads.run(&StreamPath::registry(), "listed", list).await
    }

    async fn ready(&self) -> Result<(), StreamError> {
        self.command(&StreamPath::registry(), |reply| What::Probe { reply }).await
    }
}

impl std::fmt::Debug for LocalStreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalStreams(..)")
    }
}

/// Reads of the engine, off the runtime's threads, a bounded number at the same time.
#[derive(Clone)]
pub(crate) struct Reads {
    engine: Arc<dyn LogEngine>,
    at_once: Arc<Semaphore>,
}

impl Reads {
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        path: &StreamPath,
        tried: &'static str,
        read: impl FnOnce(&dyn LogEngine) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, StreamError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| StreamError::Failed {
            path: path.clone(),
            tried,
            source,
        };
        let turn = self.at_once.clone().acquire_owned().await.map_err(|e| failed(Box::new(e)))?;
        let engine = self.engine.clone();
        let reading = tokio::task::spawn_blocking(move || {
            // Kept for as long as the thread is busy, also when nobody waits for it any more.
            let _turn = turn;
            read(&*engine)
        });
        match reading.await {
            Ok(result) => result.map_err(|error| failed(Box::new(error))),
            Err(panicked) => Err(failed(Box::new(panicked))),
        }
    }
}

/// Why nothing more is written; once closed it stays so.
#[derive(Debug, Default)]
pub(crate) struct Refusal(OnceLock<String>);

impl Refusal {
    pub(crate) fn is_open(&self) -> bool {
        self.0.get().is_none()
    }

    pub(crate) fn reason(&self) -> Option<String> {
        self.0.get().cloned()
    }

    /// The first reason stays.
    pub(crate) fn close(&self, reason: &str) {
        self.0.get_or_init(|| reason.to_owned());
    }
}

/// Says `true` at the end of its life.
struct EndsWith(watch::Sender<bool>);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

pub(crate) fn not_found(path: &StreamPath) -> StreamError {
    StreamError::NotFound { path: path.clone() }
}

pub(crate) fn gone(path: &StreamPath) -> StreamError {
    StreamError::Gone { path: path.clone() }
}

fn stopped() -> StreamError {
    StreamError::ReadOnly { reason: "the store was stopped".to_owned() }
}
