//! Takes the place of `src/store.rs` and of the committer: a store around the real hub and the
//! real followers, over the engine for tests. It commits, publishes and ends in the committer's
//! order.

use std::sync::Arc;

use bytes::Bytes;
use studio_streams::{CreateOptions, StreamError, StreamFacts, StreamPath};
use studio_streams_local::engine::{
    Answer, Ask, Change, EngineError, LogEngine, MemoryEngine, Place, StreamId, StreamInfo, Way,
};

use crate::{
    Options,
    follow::LocalFollow,
    live::{End, Hub},
};

#[derive(Clone)]
pub(crate) struct LocalStreams {
    engine: Arc<MemoryEngine>,
    pub(crate) hub: Arc<Hub>,
    page_bytes: usize,
}

pub(crate) const ID: StreamId = StreamId(1);

pub(crate) fn path() -> StreamPath {
    "session/a".parse().unwrap()
}

fn info(closed: bool) -> Arc<StreamInfo> {
    let facts = StreamFacts::of(&CreateOptions { closed, ..CreateOptions::default() });
    Arc::new(StreamInfo { facts, lineage: Vec::new(), forks: 0, deleted: false, touched: 0 })
}

/// What the committer does to the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Adds so many records of one byte.
    Append(u64),
    /// Adds so many and closes it in the same commit.
    Close(u64),
    Delete,
    Stop,
    /// The committer has nothing to do for a while.
    Rest,
}

impl LocalStreams {
    /// A store with one stream, whose pages and rings hold this much.
    pub(crate) fn new(page_bytes: usize, ring_frames_max: usize) -> Self {
        let engine = Arc::new(MemoryEngine::new());
        let path = path().as_str().to_owned();
        engine.commit(&[Change::Put { path, id: ID, info: info(false) }]).unwrap();
        let hub = Arc::new(Hub::new(&Options { ring_frames_max, ..Options::default() }));
        Self { engine, hub, page_bytes }
    }

    /// The record that ends at `end`.
    pub(crate) fn record(end: u64) -> Bytes {
        Bytes::from(vec![b'a' + (end % 26) as u8])
    }

    fn append(start: u64, count: u64) -> Change {
        let records = (start + 1..=start + count).map(Self::record).collect();
        Change::Append { id: ID, start, records }
    }

    /// As the committer: what is committed is published, in order.
    fn commit(&self, changes: Vec<Change>) {
        self.engine.commit(&changes).unwrap();
        shuttle::thread::yield_now();
        for change in changes {
            match change {
                Change::Append { id, start, records } => self.hub.publish(id, start, &records),
                Change::Put { id, .. } => self.hub.end(id, End::Closed),
                Change::Delete { id, .. } => self.hub.end(id, End::Deleted),
                Change::Producer { .. } | Change::Forget { .. } | Change::Sweep { .. } => {}
            }
        }
    }

    /// Runs the committer's steps.
    pub(crate) fn run(&self, steps: &[Step]) {
        let mut tail = 0;
        let name = path().as_str().to_owned();
        for step in steps {
            match *step {
                Step::Append(count) => {
                    self.commit(vec![Self::append(tail, count)]);
                    tail += count;
                }
                Step::Close(count) => {
                    let close = Change::Put { path: name.clone(), id: ID, info: info(true) };
                    let append = (0 < count).then(|| Self::append(tail, count));
                    self.commit(append.into_iter().chain([close]).collect());
                    tail += count;
                }
                Step::Delete => self.commit(vec![Change::Delete { path: name.clone(), id: ID }]),
                // The engine is closed later: whoever comes in between is not to wait.
                Step::Stop => self.hub.stop(),
                Step::Rest => drop(self.hub.free_idle_rings()),
            }
        }
    }

    /// As the store's own: which stream it is and from where, then a seat.
    pub(crate) async fn follow(&self, place: Place) -> Result<LocalFollow, StreamError> {
        let path = path();
        let asked = path.clone();
        let (way, max, bytes_max) = (Way::On, 0, self.page_bytes);
        let read = move |engine: &dyn LogEngine| {
            engine.read(Ask { path: asked.as_str(), id: None, place, way, max, bytes_max })
        };
        let Answer::Chunk { row, next, .. } = self.reads().run(&path, "read", read).await? else {
            return Err(not_found(&path));
        };
        let seat = self.hub.join(row.id);
        let store = self.clone();
        Ok(LocalFollow { store, path, id: row.id, seat, place: next, hold: None })
    }

    pub(crate) fn reads(&self) -> Reads<'_> {
        Reads(&self.engine)
    }

    pub(crate) fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    pub(crate) fn tell_of_use(&self, _path: &StreamPath, _id: StreamId) {}
}

pub(crate) struct Reads<'a>(&'a MemoryEngine);

impl Reads<'_> {
    /// A read runs on another thread: others may go on before and after it.
    pub(crate) async fn run<T>(
        &self,
        path: &StreamPath,
        tried: &'static str,
        read: impl FnOnce(&dyn LogEngine) -> Result<T, EngineError>,
    ) -> Result<T, StreamError> {
        shuttle::future::yield_now().await;
        let result = read(self.0);
        shuttle::future::yield_now().await;
        result.map_err(|error| StreamError::Failed {
            path: path.clone(),
            tried,
            source: Box::new(error),
        })
    }
}

pub(crate) fn not_found(path: &StreamPath) -> StreamError {
    StreamError::NotFound { path: path.clone() }
}

pub(crate) fn gone(path: &StreamPath) -> StreamError {
    StreamError::Gone { path: path.clone() }
}
