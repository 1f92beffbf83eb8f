use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use studio_streams::ProducerState;

use super::{
    Answer, Ask, Change, EngineError, LogEngine, Place, StreamId, StreamRow, Way, page::PageOf,
};

/// An engine that keeps everything in memory and can be told to fail: for tests of the rules
/// above the seam.
#[derive(Debug, Default)]
pub struct MemoryEngine(Mutex<Rows>);

/// See [`MemoryEngine::pause`].
#[derive(Debug)]
#[must_use]
pub struct Pause<'a>(#[expect(dead_code, reason = "held for its drop")] MutexGuard<'a, Rows>);

#[derive(Debug, Default)]
struct Rows {
    streams: BTreeMap<String, StreamRow>,
    records: BTreeMap<(StreamId, u64), Bytes>,
    producers: BTreeMap<(StreamId, String), ProducerState>,
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
        Pause(self.rows())
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_rows(&self) -> Result<MutexGuard<'_, Rows>, EngineError> {
        let rows = self.rows();
        if rows.stopped { Err(EngineError::Stopped) } else { Ok(rows) }
    }
}

impl Rows {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Create { path, id } => {
                let row = StreamRow { id: *id, tail: 0, closed: false };
                self.streams.insert(path.clone(), row);
                self.next_id = self.next_id.max(id.0 + 1);
            }
            Change::Append { id, start, records } => {
                let mut end = *start;
                for record in records {
                    end += record.len() as u64;
                    self.records.insert((*id, end), record.clone());
                }
                if let Some(row) = self.streams.values_mut().find(|row| row.id == *id) {
                    row.tail = end;
                }
            }
            Change::Producer { id, producer, state } => {
                self.producers.insert((*id, producer.clone()), *state);
            }
            Change::Close { path, id: _ } => {
                if let Some(row) = self.streams.get_mut(path) {
                    row.closed = true;
                }
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
                    self.deleted.remove(&id);
                }
            }
        }
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
        Ok(self.open_rows()?.streams.get(path).copied())
    }

    fn producer(&self, id: StreamId, producer: &str) -> Result<Option<ProducerState>, EngineError> {
        Ok(self.open_rows()?.producers.get(&(id, producer.to_owned())).copied())
    }

    fn read(&self, ask: Ask<'_>) -> Result<Answer, EngineError> {
        let rows = self.open_rows()?;
        let Some(&row) = rows.streams.get(ask.path) else { return Ok(Answer::NoStream) };
        if ask.id.is_some_and(|id| id != row.id) {
            return Ok(Answer::NoStream);
        }
        let at = match ask.place {
            Place::Start | Place::At(0) => 0,
            Place::End => row.tail,
            Place::At(end) if rows.records.contains_key(&(row.id, end)) => end,
            Place::At(_) => return Ok(Answer::NoPlace),
        };
        let mut page = PageOf::new(ask.max);
        match ask.way {
            Way::On => {
                let range = (Bound::Excluded((row.id, at)), Bound::Included((row.id, row.tail)));
                for (&(_, end), data) in rows.records.range(range) {
                    if !page.take(end, data.len(), || data.clone()) {
                        break;
                    }
                }
            }
            Way::Back => {
                for (&(_, end), data) in rows.records.range((row.id, 0)..=(row.id, at)).rev() {
                    if !page.take(end, data.len(), || data.clone()) {
                        break;
                    }
                }
            }
        }
        Ok(page.into_answer(row, at, ask.way))
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<String>, EngineError> {
        let rows = self.open_rows()?;
        let first = match after {
            Some(after) if prefix <= after => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let paths = rows.streams.range::<str, _>((first, Bound::Unbounded)).map(|(path, _)| path);
        Ok(paths.take_while(|path| path.starts_with(prefix)).take(max).cloned().collect())
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

    fn close(&self) {
        self.rows().stopped = true;
    }
}
