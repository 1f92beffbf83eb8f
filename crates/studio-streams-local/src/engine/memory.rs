use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use studio_streams::ProducerState;

use super::{
    Answer, Ask, Change, Compacted, Due, EngineError, ForkPoint, Heard, LogEngine, Place, StreamId,
    StreamInfo, StreamRow, Way,
    page::{self, Records, Take},
    row::Part,
};

/// An engine that keeps everything in memory and can be told to fail: for tests of the rules
/// above the seam.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    rows: Mutex<Rows>,
    waiting: Waiting,
}

/// Who wants the rows and does not have them yet.
#[derive(Debug, Default)]
struct Waiting {
    count: Mutex<usize>,
    one_more: Condvar,
}

impl Waiting {
    fn count(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`MemoryEngine::pause`].
#[derive(Debug)]
#[must_use]
pub struct Pause<'a> {
    waiting: &'a Waiting,
    #[expect(dead_code, reason = "held for its drop")]
    rows: MutexGuard<'a, Rows>,
}

impl Pause<'_> {
    /// Blocks until somebody waits for the end of the pause.
    pub fn until_asked(&self) {
        let count = self.waiting.count();
        let waited = self.waiting.one_more.wait_while(count, |count| *count == 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

#[derive(Debug, Default)]
struct Rows {
    streams: BTreeMap<String, (StreamId, Arc<StreamInfo>)>,
    records: BTreeMap<(StreamId, u64), Bytes>,
    appends: BTreeMap<(StreamId, u64), u64>,
    producers: BTreeMap<(StreamId, String), (ProducerState, u64)>,
    deleted: BTreeSet<StreamId>,
    next_id: u64,
    commits: u64,
    failure: Option<EngineError>,
    full: bool,
    stopped: bool,
}

impl MemoryEngine {
    /// An empty engine.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next commit fails like this, and nothing of it is kept.
    pub fn fail_next_commit(&self, error: EngineError) {
        self.rows().failure = Some(error);
    }

    /// Whether there is no room from now on.
    pub fn set_full(&self, full: bool) {
        self.rows().full = full;
    }

    /// Lets everybody wait who asks the engine for something, until the guard is dropped.
    pub fn pause(&self) -> Pause<'_> {
        Pause { waiting: &self.waiting, rows: self.rows() }
    }

    /// How many commits were made.
    pub fn commits(&self) -> u64 {
        self.rows().commits
    }

    /// How many rows of records and producers are kept, those of deleted streams included.
    pub fn rows_kept(&self) -> usize {
        let rows = self.rows();
        rows.records.len() + rows.producers.len()
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        *self.waiting.count() += 1;
        self.waiting.one_more.notify_all();
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        *self.waiting.count() -= 1;
        rows
    }

    fn open_rows(&self) -> Result<MutexGuard<'_, Rows>, EngineError> {
        let rows = self.rows();
        if rows.stopped { Err(EngineError::Stopped) } else { Ok(rows) }
    }
}

impl Rows {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Put { path, id, info } => {
                self.streams.insert(path.clone(), (*id, info.clone()));
                self.next_id = self.next_id.max(id.0 + 1);
            }
            Change::Append { id, start, records } => {
                let mut end = *start;
                for record in records {
                    end += record.len() as u64;
                    self.records.insert((*id, end), record.clone());
                }
                if 1 < records.len() {
                    self.appends.insert((*id, *start), end);
                }
            }
            Change::Producer { id, producer, state, at } => {
                self.producers.insert((*id, producer.clone()), (*state, *at));
            }
            Change::Forget { id, producer } => {
                self.producers.remove(&(*id, producer.clone()));
            }
            Change::Delete { path, id } => {
                self.streams.remove(path);
                self.deleted.insert(*id);
            }
            Change::Sweep { rows } => self.sweep(*rows as usize),
        }
    }

    fn sweep(&mut self, rows: usize) {
        for _ in 0..rows {
            let Some(&id) = self.deleted.first() else { return };
            let of_it = (id, 0)..=(id, u64::MAX);
            let record = self.records.range(of_it).next().map(|(&key, _)| key);
            let producer = self.producers.keys().find(|(of, _)| *of == id).cloned();
            match (record, producer) {
                (Some(key), _) => {
                    self.records.remove(&key);
                }
                (None, Some(key)) => {
                    self.producers.remove(&key);
                }
                (None, None) => {
                    self.appends.retain(|(of, _), _| *of != id);
                    self.deleted.remove(&id);
                }
            }
        }
    }

    fn row(&self, path: &str) -> Option<StreamRow> {
        let (id, info) = self.streams.get(path)?.clone();
        let last = self.records.range((id, 0)..=(id, u64::MAX)).next_back();
        let tail = last.map_or_else(|| info.begins(), |((_, end), _)| *end);
        Some(StreamRow { id, tail, info })
    }

    fn producers_of(&self, id: StreamId) -> impl Iterator<Item = Heard> {
        let all = self.producers.iter().filter(move |((of, _), _)| *of == id);
        all.map(|((_, producer), (state, at))| {
            let (producer, state, at) = (producer.clone(), *state, *at);
            Heard { producer, state, at }
        })
    }
}

impl Records for Rows {
    fn ends_at(&self, id: StreamId, end: u64) -> Result<bool, EngineError> {
        Ok(self.records.contains_key(&(id, end)))
    }

    fn walk(&self, part: Part, way: Way, take: Take<'_>) -> Result<bool, EngineError> {
        let Part { id, after, up_to } = part;
        if up_to <= after {
            return Ok(true);
        }
        let mut range = self.records.range((id, after + 1)..=(id, up_to));
        let mut step = || match way {
            Way::On => range.next(),
            Way::Back => range.next_back(),
        };
        while let Some(((_, end), data)) = step() {
            if !take(*end, data) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn append_from(&self, id: StreamId, at: u64) -> Result<Option<u64>, EngineError> {
        Ok(self.appends.range((id, 0)..=(id, at)).next_back().map(|(_, end)| *end))
    }
}

impl LogEngine for MemoryEngine {
    fn commit(&self, changes: &[Change]) -> Result<(), EngineError> {
        let mut rows = self.open_rows()?;
        if let Some(failure) = rows.failure.take() {
            return Err(failure);
        }
        for change in changes {
            rows.apply(change);
        }
        rows.commits += 1;
        Ok(())
    }

    fn room_for(&self, _bytes: u64) -> Result<(), EngineError> {
        let full = self.open_rows()?.full;
        if full { Err(EngineError::Full { source: None }) } else { Ok(()) }
    }

    fn stream(&self, path: &str) -> Result<Option<StreamRow>, EngineError> {
        Ok(self.open_rows()?.row(path))
    }

    fn producer(&self, id: StreamId, producer: &str) -> Result<Option<ProducerState>, EngineError> {
        let rows = self.open_rows()?;
        Ok(rows.producers.get(&(id, producer.to_owned())).map(|(state, _)| *state))
    }

    fn producer_count(&self, id: StreamId) -> Result<u64, EngineError> {
        Ok(self.open_rows()?.producers_of(id).count() as u64)
    }

    fn producers(&self, id: StreamId) -> Result<Vec<Heard>, EngineError> {
        Ok(self.open_rows()?.producers_of(id).collect())
    }

    fn read(&self, ask: Ask<'_>) -> Result<Answer, EngineError> {
        let rows = self.open_rows()?;
        match rows.row(ask.path).filter(|row| ask.id.is_none_or(|id| id == row.id)) {
            None => Ok(Answer::NoStream),
            Some(row) => page::read(&*rows, row, ask),
        }
    }

    fn fork_point(&self, path: &str, place: Place, max: u64) -> Result<ForkPoint, EngineError> {
        let rows = self.open_rows()?;
        match rows.row(path) {
            None => Ok(ForkPoint::NoStream),
            Some(row) => page::fork_point(&*rows, row, place, max),
        }
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
        wanted: &dyn Fn(StreamId, &StreamInfo) -> bool,
    ) -> Result<Vec<String>, EngineError> {
        let rows = self.open_rows()?;
        let first = match after {
            Some(after) if prefix <= after => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let found = rows.streams.range::<str, _>((first, Bound::Unbounded));
        let found = found.take_while(|(path, _)| path.starts_with(prefix));
        let found = found.filter(|(_, (id, info))| wanted(*id, info));
        Ok(found.map(|(path, _)| path.clone()).take(max).collect())
    }

    fn due(&self, max: usize) -> Result<Vec<Due>, EngineError> {
        let rows = self.open_rows()?;
        let due = |(path, (id, info)): (&String, &(StreamId, Arc<StreamInfo>))| {
            info.due().map(|at| Due { at, path: path.clone(), id: *id })
        };
        let mut found: Vec<_> = rows.streams.iter().filter_map(due).collect();
        found.sort_unstable_by_key(|due| (due.at, due.id));
        found.truncate(max);
        Ok(found)
    }

    fn next_id(&self) -> Result<StreamId, EngineError> {
        Ok(StreamId(self.open_rows()?.next_id))
    }

    fn has_leftovers(&self) -> Result<bool, EngineError> {
        Ok(!self.open_rows()?.deleted.is_empty())
    }

    fn settle(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn compact(&self) -> Result<Compacted, EngineError> {
        self.open_rows().map(|_rows| Compacted::default())
    }

    fn close(&self) {
        self.rows().stopped = true;
    }
}
