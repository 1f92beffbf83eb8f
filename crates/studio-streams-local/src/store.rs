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
    Appended, Batch, CreateOptions, Created, Follow, Head, Offset, Page, ProducerStamp, Record,
    StreamError, StreamPath, StreamStore,
};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::{
    OpenError, Options,
    committer::{Command, Committer, Reply, What},
    engine::{Answer, Ask, DiskEngine, EngineError, LogEngine, Place, StreamRow, Way},
    follow::LocalFollow,
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
    reads: Reads,
    /// Whether the committer has ended.
    ended: watch::Receiver<bool>,
}

impl LocalStreams {
    /// Opens the streams in this directory, which is made if need be, and locks it. Blocks for
    /// some milliseconds, after a crash for up to some tens more.
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
        let committer =
            Committer::new(engine.clone(), hub.clone(), refusal.clone(), queued_bytes.clone())?;
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
            reads: Reads { engine, at_once },
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

    async fn read_either_way(
        &self,
        path: &StreamPath,
        from: Offset,
        way: Way,
        max: usize,
    ) -> Result<Page, StreamError> {
        let (row, records, next) = self.chunk(path, from, way, max.max(1)).await?;
        let up_to_date = match way {
            Way::On => next == row.tail,
            Way::Back => next == 0,
        };
        let record = |(end, data)| Record { offset: Offset::Position(end), data };
        let records = records.into_iter().map(record).collect();
        Ok(Page { records, next: Offset::Position(next), up_to_date })
    }

    async fn chunk(
        &self,
        path: &StreamPath,
        from: Offset,
        way: Way,
        max: usize,
    ) -> Result<(StreamRow, Vec<(u64, bytes::Bytes)>, u64), StreamError> {
        let place = match from {
            Offset::Start => Place::Start,
            Offset::Now => Place::End,
            Offset::Position(at) => Place::At(at),
            // An unknown stream is told before an unknown place, so the engine is asked anyway.
            Offset::Opaque(_) => Place::At(u64::MAX),
        };
        let asked = path.clone();
        let read = move |engine: &dyn LogEngine| {
            engine.read(Ask { path: asked.as_str(), id: None, place, way, max })
        };
        match self.0.reads.run(path, "read", read).await? {
            Answer::NoStream => Err(not_found(path)),
            Answer::NoPlace => Err(StreamError::BadOffset { path: path.clone(), offset: from }),
            Answer::Chunk { row, records, next } => Ok((row, records, next)),
        }
    }
}

#[async_trait]
impl StreamStore for LocalStreams {
    async fn create(
        &self,
        path: &StreamPath,
        options: CreateOptions,
    ) -> Result<Created, StreamError> {
        let initial = options.initial;
        self.command(path, |reply| What::Create { initial, reply }).await
    }

    async fn append(
        &self,
        path: &StreamPath,
        batch: Batch,
        by: Option<ProducerStamp>,
    ) -> Result<Appended, StreamError> {
        self.command(path, |reply| What::Append { batch, by, reply }).await
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
        let (row, _none, place) = self.chunk(path, from, Way::On, 0).await?;
        let seat = self.0.hub.join(row.id);
        let (reads, path, id) = (self.0.reads.clone(), path.clone(), row.id);
        Ok(Follow::new(LocalFollow { reads, path, id, seat, place }))
    }

    async fn head(&self, path: &StreamPath) -> Result<Head, StreamError> {
        let (row, ..) = self.chunk(path, Offset::Now, Way::On, 0).await?;
        Ok(Head { tail: Offset::Position(row.tail), closed: row.closed })
    }

    async fn close(&self, path: &StreamPath) -> Result<(), StreamError> {
        self.command(path, |reply| What::Close { reply }).await
    }

    async fn delete(&self, path: &StreamPath) -> Result<(), StreamError> {
        self.command(path, |reply| What::Delete { reply }).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&StreamPath>,
        max: usize,
    ) -> Result<Vec<StreamPath>, StreamError> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        let list = move |engine: &dyn LogEngine| {
            let found = engine.list(&prefix, after.as_ref().map(StreamPath::as_str), max)?;
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

fn stopped() -> StreamError {
    StreamError::ReadOnly { reason: "the store was stopped".to_owned() }
}
