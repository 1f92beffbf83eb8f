mod follow;

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    Clock, CreateOptions, Created, Deleted, Expiry, Follow, Fork, Frame, Head, Offset,
    PAGE_BYTES_SOFT_MAX, Page, ProducerId, ProducerState, Record, StreamError, StreamFacts,
    StreamPath, StreamStore, Write, WriteVerdict, Written,
    rules::{self, ForkFacts},
};
use follow::MemoryFollow;

/// A store that keeps everything in memory and forgets it at the end of the process: for tests
/// and for trying things out. It keeps every rule of the port but durability.
#[derive(Clone, Debug)]
pub struct MemoryStreams {
    table: Arc<Mutex<Table>>,
    page_bytes: usize,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Table {
    streams: BTreeMap<StreamPath, Arc<MemoryStream>>,
    incarnations: u64,
}

impl Default for MemoryStreams {
    fn default() -> Self {
        Self { table: Arc::default(), page_bytes: PAGE_BYTES_SOFT_MAX, clock: Clock::default() }
    }
}

impl MemoryStreams {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same store with pages of about so many bytes.
    #[must_use]
    pub fn with_page_bytes(self, page_bytes: usize) -> Self {
        Self { page_bytes, ..self }
    }

    /// The same store by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    fn find(&self, path: &StreamPath) -> Result<Arc<MemoryStream>, StreamError> {
        let mut table = lock(&self.table);
        table.remove_expired(path, self.clock.now());
        table.streams.get(path).cloned().ok_or_else(|| not_found(path))
    }
}

impl Table {
    fn remove_expired(&mut self, path: &StreamPath, now: u64) {
        let expired = |stream: &Arc<MemoryStream>| lock(&stream.inner).is_expired(now);
        if self.streams.get(path).is_some_and(expired) {
            self.remove(path);
        }
    }

    fn remove(&mut self, path: &StreamPath) -> Deleted {
        let Some(stream) = self.streams.get(path).cloned() else { return Deleted::Before };
        let mut inner = lock(&stream.inner);
        if inner.deleted {
            return Deleted::KeptByForks;
        }
        inner.deleted = true;
        let free = inner.forks == 0;
        drop(inner);
        stream.changed.send_replace(());
        if free {
            self.free(&stream);
        }
        Deleted::Now
    }

    /// Takes away a stream without forks, and those above it that were only kept for it.
    fn free(&mut self, stream: &Arc<MemoryStream>) {
        self.streams.remove(&stream.path);
        let mut above = stream.source.clone();
        while let Some(source) = above {
            let mut inner = lock(&source.inner);
            inner.forks -= 1;
            if 0 < inner.forks || !inner.deleted {
                return;
            }
            self.streams.remove(&source.path);
            above = source.source.clone();
        }
    }

    fn fork(
        &mut self,
        fork: &Fork,
        options: &CreateOptions,
        now: u64,
    ) -> Result<(Arc<MemoryStream>, Inner), StreamError> {
        let path = &fork.source;
        self.remove_expired(path, now);
        let stream = self.streams.get(path).cloned().ok_or_else(|| not_found(path))?;
        let mut source = lock(&stream.inner);
        if source.deleted {
            return Err(StreamError::Gone { path: path.clone() });
        }
        let at = stream.index(&source, fork.at.clone().unwrap_or(Offset::Now))?;
        let next_append = source.records[at..].iter().enumerate();
        let next_append: Vec<Bytes> = next_append
            .take_while(|(n, record)| *n == 0 || !record.begins)
            .map(|(_, record)| record.frame.data().clone())
            .collect();
        let remainder = rules::remainder(&source.facts.content_type, &next_append, fork.plus)
            .ok_or_else(|| StreamError::BadFork { path: path.clone(), what: rules::OVERSHOOT })?;
        let place = source.position(at);
        let facts = ForkFacts { source: path.clone(), at: place, plus: fork.plus };
        let facts = source.facts.forked(options, facts).ok_or_else(|| StreamError::Conflict {
            path: path.clone(),
            what: rules::OTHER_CONTENT_TYPE,
        })?;
        let mut inner = Inner::new(facts, now);
        inner.records = source.records[..at].to_vec();
        inner.tail = place;
        if !remainder.is_empty() {
            inner.push(remainder);
        }
        source.forks += 1;
        source.touch(now);
        drop(source);
        Ok((stream, inner))
    }
}

#[derive(Debug)]
struct MemoryStream {
    path: StreamPath,
    incarnation: u64,
    /// The stream that this one is a fork of.
    source: Option<Arc<MemoryStream>>,
    inner: Mutex<Inner>,
    /// Told after every change; followers look at `inner` themselves.
    changed: watch::Sender<()>,
}

#[derive(Clone, Debug)]
struct Kept {
    frame: Arc<Frame>,
    /// Whether it is the first one of its append.
    begins: bool,
}

#[derive(Debug)]
struct Inner {
    facts: StreamFacts,
    records: Vec<Kept>,
    /// Bytes of all records: the position after the last one.
    tail: u64,
    /// Deleted, and kept for its forks (or about to be taken away).
    deleted: bool,
    forks: usize,
    followers: usize,
    /// When it was last read or written, in Unix milliseconds.
    touched: u64,
    producers: HashMap<ProducerId, ProducerState>,
}

impl Inner {
    fn new(facts: StreamFacts, now: u64) -> Self {
        Self {
            facts,
            records: Vec::new(),
            tail: 0,
            deleted: false,
            forks: 0,
            followers: 0,
            touched: now,
            producers: HashMap::new(),
        }
    }

    fn touch(&mut self, now: u64) {
        if self.facts.expiry.is_some() {
            self.touched = now;
        }
    }

    /// Whether its time is over. One that is deleted only waits for its forks.
    fn is_expired(&self, now: u64) -> bool {
        let over = match self.facts.expiry {
            None => false,
            Some(Expiry::AtMillis(at)) => at <= now,
            Some(Expiry::AfterSeconds(seconds)) => {
                let end = self.touched.saturating_add(seconds.saturating_mul(1_000));
                self.followers == 0 && end <= now
            }
        };
        over && !self.deleted
    }

    fn push(&mut self, records: Vec<Bytes>) {
        for (n, data) in records.into_iter().enumerate() {
            self.tail += data.len() as u64;
            let record = Record { offset: Offset::Position(self.tail), data };
            self.records.push(Kept { frame: Arc::new(Frame::new(record)), begins: n == 0 });
        }
    }

    /// How many records stand before this place; `None` if it is none of this stream.
    fn index(&self, place: &Offset) -> Option<usize> {
        match place {
            Offset::Start | Offset::Position(0) => Some(0),
            Offset::Now => Some(self.records.len()),
            Offset::Position(at) => self
                .records
                .binary_search_by(|record| position(&record.frame).cmp(at))
                .ok()
                .map(|found| found + 1),
            Offset::Opaque(_) => None,
        }
    }

    /// The position after this many records.
    fn position(&self, index: usize) -> u64 {
        let last = index.checked_sub(1).and_then(|last| self.records.get(last));
        last.map_or(0, |record| position(&record.frame))
    }

    /// The records from `from` on that make up one page.
    fn page(&self, from: usize, max: usize, bytes: usize) -> &[Kept] {
        let rest = &self.records[from.min(self.records.len())..];
        let sizes = rest.iter().map(|record| record.frame.data().len());
        &rest[..page_len(sizes, max, bytes)]
    }
}

fn position(frame: &Frame) -> u64 {
    match frame.offset() {
        Offset::Position(at) => *at,
        // Never made by this store.
        Offset::Start | Offset::Now | Offset::Opaque(_) => 0,
    }
}

/// How many of these records make one page: at least one, at most `max`, about so many bytes.
fn page_len(sizes: impl Iterator<Item = usize>, max: usize, bytes_max: usize) -> usize {
    let mut bytes = 0;
    let mut taken = 0;
    for size in sizes.take(max.max(1)) {
        if 0 < taken && bytes_max < bytes + size {
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
    fn live(&self) -> Result<MutexGuard<'_, Inner>, StreamError> {
        let inner = lock(&self.inner);
        match (inner.deleted, inner.forks) {
            (false, _) => Ok(inner),
            (true, 0) => Err(not_found(&self.path)),
            (true, _) => Err(StreamError::Gone { path: self.path.clone() }),
        }
    }

    fn index(&self, inner: &Inner, place: Offset) -> Result<usize, StreamError> {
        inner
            .index(&place)
            .ok_or_else(|| StreamError::BadOffset { path: self.path.clone(), offset: place })
    }

    fn head(&self, inner: &Inner) -> Head {
        Head {
            tail: Offset::Position(inner.tail),
            closed: inner.facts.closed,
            content_type: inner.facts.content_type.clone(),
            expiry: inner.facts.expiry,
            incarnation: self.incarnation,
        }
    }

    fn write(&self, write: Write, now: u64) -> Result<Written, StreamError> {
        let mut inner = self.live()?;
        inner.touch(now);
        let known = write.by.as_ref().and_then(|stamp| inner.producers.get(&stamp.id).copied());
        let verdict = inner.facts.judge(known, &write);
        let tail = Offset::Position(inner.tail);
        let refusal =
            StreamError::refusal(&self.path, &inner.facts, tail.clone(), &write, &verdict);
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let state = match verdict {
            WriteVerdict::Take(state) => state,
            WriteVerdict::Duplicate { last_seq } => {
                let closed = inner.facts.closed;
                return Ok(Written { next: tail, duplicate: true, closed, last_seq });
            }
            WriteVerdict::Closed
            | WriteVerdict::WrongContentType
            | WriteVerdict::Stamp(_)
            | WriteVerdict::OutOfOrder => return Err(not_found(&self.path)),
        };
        inner.facts.take(&write);
        if let (Some(state), Some(stamp)) = (state, &write.by) {
            inner.producers.insert(stamp.id.clone(), state);
        }
        if let Some(batch) = write.into_batch() {
            inner.push(batch.into_records());
        }
        let written = Written {
            next: Offset::Position(inner.tail),
            duplicate: false,
            closed: inner.facts.closed,
            last_seq: state.map(|state| state.last_seq),
        };
        drop(inner);
        self.changed.send_replace(());
        Ok(written)
    }
}

#[async_trait]
impl StreamStore for MemoryStreams {
    async fn create(
        &self,
        path: &StreamPath,
        options: CreateOptions,
    ) -> Result<Created, StreamError> {
        let mut table = lock(&self.table);
        table.remove_expired(path, self.clock.now());
        if let Some(stream) = table.streams.get(path) {
            let mut inner = lock(&stream.inner);
            let what = if inner.deleted {
                rules::KEPT_BY_FORKS
            } else if inner.facts.is_made_by(&options) {
                inner.touch(self.clock.now());
                return Ok(Created::Existing(stream.head(&inner)));
            } else {
                rules::OTHER_CONFIGURATION
            };
            return Err(StreamError::Conflict { path: path.clone(), what });
        }
        let (source, mut inner) = match &options.fork {
            None => (None, Inner::new(StreamFacts::of(&options), self.clock.now())),
            Some(fork) => {
                let (source, inner) = table.fork(fork, &options, self.clock.now())?;
                (Some(source), inner)
            }
        };
        if let Some(initial) = options.initial {
            inner.push(initial.into_records());
        }
        table.incarnations += 1;
        let stream = MemoryStream {
            path: path.clone(),
            incarnation: table.incarnations,
            source,
            inner: Mutex::new(inner),
            changed: watch::Sender::new(()),
        };
        let head = stream.head(&lock(&stream.inner));
        table.streams.insert(path.clone(), Arc::new(stream));
        Ok(Created::New(head))
    }

    async fn write(&self, path: &StreamPath, write: Write) -> Result<Written, StreamError> {
        self.find(path)?.write(write, self.clock.now())
    }

    async fn read(&self, path: &StreamPath, from: Offset, max: usize) -> Result<Page, StreamError> {
        let stream = self.find(path)?;
        let mut inner = stream.live()?;
        inner.touch(self.clock.now());
        let first = stream.index(&inner, from)?;
        let records = inner.page(first, max, self.page_bytes);
        let end = first + records.len();
        Ok(Page {
            records: records.iter().map(|record| record.frame.record().clone()).collect(),
            next: Offset::Position(inner.position(end)),
            up_to_date: end == inner.records.len(),
            head: stream.head(&inner),
        })
    }

    async fn read_back(
        &self,
        path: &StreamPath,
        before: Offset,
        max: usize,
    ) -> Result<Page, StreamError> {
        let stream = self.find(path)?;
        let mut inner = stream.live()?;
        inner.touch(self.clock.now());
        let end = stream.index(&inner, before)?;
        let earlier = &inner.records[..end];
        let sizes = earlier.iter().rev().map(|record| record.frame.data().len());
        let first = end - page_len(sizes, max, self.page_bytes);
        Ok(Page {
            records: earlier[first..].iter().map(|record| record.frame.record().clone()).collect(),
            next: Offset::Position(inner.position(first)),
            up_to_date: first == 0,
            head: stream.head(&inner),
        })
    }

    async fn follow(&self, path: &StreamPath, from: Offset) -> Result<Follow, StreamError> {
        let stream = self.find(path)?;
        let changed = stream.changed.subscribe();
        let next = {
            let mut inner = stream.live()?;
            inner.touch(self.clock.now());
            let next = stream.index(&inner, from)?;
            inner.followers += 1;
            next
        };
        Ok(Follow::new(MemoryFollow { store: self.clone(), stream, changed, next }))
    }

    async fn head(&self, path: &StreamPath) -> Result<Head, StreamError> {
        let stream = self.find(path)?;
        let inner = stream.live()?;
        Ok(stream.head(&inner))
    }

    async fn delete(&self, path: &StreamPath) -> Result<Deleted, StreamError> {
        let mut table = lock(&self.table);
        table.remove_expired(path, self.clock.now());
        Ok(table.remove(path))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&StreamPath>,
        max: usize,
    ) -> Result<Vec<StreamPath>, StreamError> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let table = lock(&self.table);
        let now = self.clock.now();
        let is_there = |stream: &MemoryStream| {
            let inner = lock(&stream.inner);
            !inner.deleted && !inner.is_expired(now)
        };
        let found = table
            .streams
            .range::<StreamPath, _>((after, Bound::Unbounded))
            .skip_while(|(path, _)| path.as_str() < prefix)
            .take_while(|(path, _)| path.as_str().starts_with(prefix))
            .filter(|(_, stream)| is_there(stream))
            .map(|(path, _)| path);
        Ok(found.take(max).cloned().collect())
    }

    async fn ready(&self) -> Result<(), StreamError> {
        Ok(())
    }
}
