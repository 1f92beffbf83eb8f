use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{
    Appended, Batch, CreateOptions, Created, Follow, FollowSource, Frame, Head, Offset,
    PAGE_BYTES_SOFT_MAX, Page, ProducerId, ProducerStamp, ProducerState, Record, StreamError,
    StreamPath, StreamStore, Verdict,
};

/// Most frames that a follower is handed at once.
const FOLLOW_FRAMES_MAX: usize = 1_000;

/// A store that keeps everything in memory and forgets it at the end of the process: for tests
/// and for trying things out. It keeps every rule of the port but durability.
#[derive(Clone, Debug, Default)]
pub struct MemoryStreams {
    streams: Arc<Mutex<BTreeMap<StreamPath, Arc<MemoryStream>>>>,
}

impl MemoryStreams {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn find(&self, path: &StreamPath) -> Result<Arc<MemoryStream>, StreamError> {
        lock(&self.streams).get(path).cloned().ok_or_else(|| not_found(path))
    }
}

#[derive(Debug)]
struct MemoryStream {
    path: StreamPath,
    inner: Mutex<Inner>,
    /// Told after every change; followers look at `inner` themselves.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    frames: Vec<Arc<Frame>>,
    /// Bytes of all records: the position after the last one.
    tail: u64,
    closed: bool,
    deleted: bool,
    producers: HashMap<ProducerId, ProducerState>,
}

impl Inner {
    fn push(&mut self, batch: Batch) -> Offset {
        for data in batch.into_records() {
            self.tail += data.len() as u64;
            let record = Record { offset: Offset::Position(self.tail), data };
            self.frames.push(Arc::new(Frame::new(record)));
        }
        Offset::Position(self.tail)
    }

    /// How many records stand before this place; `None` if it is none of this stream.
    fn index(&self, place: &Offset) -> Option<usize> {
        match place {
            Offset::Start | Offset::Position(0) => Some(0),
            Offset::Now => Some(self.frames.len()),
            Offset::Position(_) => self
                .frames
                .binary_search_by(|frame| position(frame).cmp(&place_position(place)))
                .ok()
                .map(|found| found + 1),
            Offset::Opaque(_) => None,
        }
    }

    /// The place after this many records.
    fn place(&self, index: usize) -> Offset {
        match index.checked_sub(1).and_then(|last| self.frames.get(last)) {
            Some(frame) => frame.offset().clone(),
            None => Offset::Position(0),
        }
    }

    /// The frames from `from` on that make up one page.
    fn page(&self, from: usize, max: usize) -> &[Arc<Frame>] {
        let rest = &self.frames[from.min(self.frames.len())..];
        &rest[..page_len(rest.iter().map(|frame| frame.data().len()), max)]
    }
}

fn position(frame: &Frame) -> u64 {
    place_position(frame.offset())
}

fn place_position(place: &Offset) -> u64 {
    match place {
        Offset::Position(at) => *at,
        // Never made by this store.
        Offset::Start | Offset::Now | Offset::Opaque(_) => 0,
    }
}

/// How many of these records make one page: at least one, at most `max`, about a mebibyte.
fn page_len(sizes: impl Iterator<Item = usize>, max: usize) -> usize {
    let mut bytes = 0;
    let mut taken = 0;
    for size in sizes.take(max.max(1)) {
        if 0 < taken && PAGE_BYTES_SOFT_MAX < bytes + size {
            break;
        }
        bytes += size;
        taken += 1;
    }
    taken
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here leaves a value half changed when it panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_found(path: &StreamPath) -> StreamError {
    StreamError::NotFound { path: path.clone() }
}

impl MemoryStream {
    fn new(path: StreamPath) -> Self {
        Self { path, inner: Mutex::default(), changed: watch::Sender::new(()) }
    }

    fn live(&self) -> Result<MutexGuard<'_, Inner>, StreamError> {
        let inner = lock(&self.inner);
        if inner.deleted { Err(not_found(&self.path)) } else { Ok(inner) }
    }

    fn index(&self, inner: &Inner, place: Offset) -> Result<usize, StreamError> {
        inner
            .index(&place)
            .ok_or_else(|| StreamError::BadOffset { path: self.path.clone(), offset: place })
    }

    fn append(&self, batch: Batch, by: Option<ProducerStamp>) -> Result<Appended, StreamError> {
        let mut inner = self.live()?;
        if inner.closed {
            return Err(StreamError::Closed { path: self.path.clone() });
        }
        if let Some(stamp) = by {
            match ProducerState::judge(inner.producers.get(&stamp.id).copied(), &stamp) {
                Verdict::Take(state) => {
                    inner.producers.insert(stamp.id, state);
                }
                Verdict::Duplicate => {
                    return Ok(Appended::Duplicate { next: Offset::Position(inner.tail) });
                }
                Verdict::Fenced { current } => {
                    return Err(StreamError::fenced(&self.path, &stamp, current));
                }
                Verdict::Gap { expected } => {
                    return Err(StreamError::gap(&self.path, &stamp, expected));
                }
            }
        }
        let next = inner.push(batch);
        drop(inner);
        self.changed.send_replace(());
        Ok(Appended::Written { next })
    }
}

#[async_trait]
impl StreamStore for MemoryStreams {
    async fn create(
        &self,
        path: &StreamPath,
        options: CreateOptions,
    ) -> Result<Created, StreamError> {
        let mut streams = lock(&self.streams);
        if streams.contains_key(path) {
            return Ok(Created::Existing);
        }
        let stream = MemoryStream::new(path.clone());
        if let Some(initial) = options.initial {
            lock(&stream.inner).push(initial);
        }
        streams.insert(path.clone(), Arc::new(stream));
        Ok(Created::New)
    }

    async fn append(
        &self,
        path: &StreamPath,
        batch: Batch,
        by: Option<ProducerStamp>,
    ) -> Result<Appended, StreamError> {
        self.find(path)?.append(batch, by)
    }

    async fn read(&self, path: &StreamPath, from: Offset, max: usize) -> Result<Page, StreamError> {
        let stream = self.find(path)?;
        let inner = stream.live()?;
        let first = stream.index(&inner, from)?;
        let frames = inner.page(first, max);
        let end = first + frames.len();
        Ok(Page {
            records: frames.iter().map(|frame| frame.record().clone()).collect(),
            next: inner.place(end),
            up_to_date: end == inner.frames.len(),
        })
    }

    async fn read_back(
        &self,
        path: &StreamPath,
        before: Offset,
        max: usize,
    ) -> Result<Page, StreamError> {
        let stream = self.find(path)?;
        let inner = stream.live()?;
        let end = stream.index(&inner, before)?;
        let earlier = &inner.frames[..end];
        let taken = page_len(earlier.iter().rev().map(|frame| frame.data().len()), max);
        let first = end - taken;
        Ok(Page {
            records: earlier[first..].iter().map(|frame| frame.record().clone()).collect(),
            next: inner.place(first),
            up_to_date: first == 0,
        })
    }

    async fn follow(&self, path: &StreamPath, from: Offset) -> Result<Follow, StreamError> {
        let stream = self.find(path)?;
        let changed = stream.changed.subscribe();
        let next = {
            let inner = stream.live()?;
            stream.index(&inner, from)?
        };
        Ok(Follow::new(MemoryFollow { stream, changed, next }))
    }

    async fn head(&self, path: &StreamPath) -> Result<Head, StreamError> {
        let stream = self.find(path)?;
        let inner = stream.live()?;
        Ok(Head { tail: Offset::Position(inner.tail), closed: inner.closed })
    }

    async fn close(&self, path: &StreamPath) -> Result<(), StreamError> {
        let stream = self.find(path)?;
        stream.live()?.closed = true;
        stream.changed.send_replace(());
        Ok(())
    }

    async fn delete(&self, path: &StreamPath) -> Result<(), StreamError> {
        let removed = lock(&self.streams).remove(path);
        if let Some(stream) = removed {
            *lock(&stream.inner) = Inner { deleted: true, ..Inner::default() };
            stream.changed.send_replace(());
        }
        Ok(())
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&StreamPath>,
        max: usize,
    ) -> Result<Vec<StreamPath>, StreamError> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let streams = lock(&self.streams);
        let found = streams
            .range::<StreamPath, _>((after, Bound::Unbounded))
            .map(|(path, _)| path)
            .skip_while(|path| path.as_str() < prefix)
            .take_while(|path| path.as_str().starts_with(prefix));
        Ok(found.take(max).cloned().collect())
    }

    async fn ready(&self) -> Result<(), StreamError> {
        Ok(())
    }
}

struct MemoryFollow {
    stream: Arc<MemoryStream>,
    changed: watch::Receiver<()>,
    /// How many records were handed over or lie before the start.
    next: usize,
}

#[async_trait]
impl FollowSource for MemoryFollow {
    async fn next(&mut self) -> Result<Option<Vec<Arc<Frame>>>, StreamError> {
        loop {
            self.changed.mark_unchanged();
            {
                let inner = self.stream.live()?;
                let frames = inner.page(self.next, FOLLOW_FRAMES_MAX);
                if !frames.is_empty() {
                    self.next += frames.len();
                    return Ok(Some(frames.to_vec()));
                }
                if inner.closed {
                    return Ok(None);
                }
            }
            // The sender lives in `self.stream`, so it is never gone.
            self.changed.changed().await.ok();
        }
    }
}
