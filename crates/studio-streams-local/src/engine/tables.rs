//! The tables in their file.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend, Table,
    TableDefinition, WriteTransaction,
};
use studio_streams::ProducerState;

use super::{
    Answer, Ask, Change, EngineError, Place, StreamId, StreamRow, Way, files::AnyFile, journal,
    page::PageOf,
};

/// Path → id, closed. The tail is the last record's key, so that an append touches one row less.
const STREAMS: TableDefinition<'_, &str, (u64, bool)> = TableDefinition::new("streams");
/// Stream and position of the record's end → the record.
const RECORDS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("records");
/// Stream and producer → epoch, last sequence number.
const PRODUCERS: TableDefinition<'_, (u64, &str), (u64, u64)> = TableDefinition::new("producers");
/// Ids of deleted streams whose rows are not all removed.
const DELETED: TableDefinition<'_, u64, ()> = TableDefinition::new("deleted");
/// Single numbers.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

/// What the file is written as.
const FORMAT: &str = "format";
/// The smallest id that no stream has had.
const NEXT_ID: &str = "next-id";
/// The last commit of the journal that the tables hold.
const APPLIED: &str = "applied";

/// Everything but the journal. Readers see what was applied.
#[derive(Debug)]
pub(super) struct Tables(RwLock<Option<Database>>);

/// Why the file was not opened.
#[derive(Debug)]
pub(super) enum NotOpened {
    InUse,
    Engine(EngineError),
}

impl Tables {
    pub(super) fn open(
        file: Box<dyn StorageBackend>,
        cache_bytes: usize,
    ) -> Result<Self, NotOpened> {
        let mut builder = Database::builder();
        let created = builder.set_cache_size(cache_bytes).create_with_backend(AnyFile(file));
        let database = created.map_err(|error| {
            if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
                NotOpened::InUse
            } else {
                NotOpened::Engine(failed("open the file", error))
            }
        })?;
        Ok(Self(RwLock::new(Some(database))))
    }

    /// The format the file has; a new file is given `format`.
    pub(super) fn format_or(&self, format: u64) -> Result<u64, EngineError> {
        if let Some(found) = self.format()? {
            return Ok(found);
        }
        let database = self.database()?;
        let write = begin_write(database.get()?, Sync::Stable)?;
        {
            let mut rows = Rows::open(&write)?;
            for (name, value) in [(FORMAT, format), (NEXT_ID, 1), (APPLIED, 0)] {
                rows.numbers.insert(name, value).map_err(|e| failed("make the tables", e))?;
            }
        }
        commit(write)?;
        Ok(format)
    }

    /// `None` = the file is new. Nothing but the one number is looked at: the rest of a file of
    /// another format may be anything.
    fn format(&self) -> Result<Option<u64>, EngineError> {
        let database = self.database()?;
        let numbers = match begin_read(database.get()?)?.open_table(NUMBERS) {
            Ok(numbers) => numbers,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(failed("open a table", error)),
        };
        let found = numbers.get(FORMAT).map_err(|e| failed("read the format", e))?;
        Ok(found.map(|found| found.value()))
    }

    pub(super) fn applied(&self) -> Result<u64, EngineError> {
        self.number(APPLIED)
    }

    pub(super) fn next_id(&self) -> Result<StreamId, EngineError> {
        self.number(NEXT_ID).map(StreamId)
    }

    fn number(&self, name: &str) -> Result<u64, EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        let numbers = read.open_table(NUMBERS).map_err(|e| failed("open a table", e))?;
        let value = numbers.get(name).map_err(|e| failed("read a number", e))?;
        let missing = || EngineError::Damaged { what: format!("the number {name} is missing") };
        value.map(|value| value.value()).ok_or_else(missing)
    }

    /// Makes the changes of commit `number` visible. They are in the journal, so they need not be
    /// on stable storage here.
    pub(super) fn apply(&self, number: u64, changes: &[Change]) -> Result<(), EngineError> {
        self.apply_all(std::iter::once((number, changes)))
    }

    /// As [`Self::apply`], several commits in one go.
    pub(super) fn apply_all<'a>(
        &self,
        commits: impl Iterator<Item = (u64, &'a [Change])>,
    ) -> Result<(), EngineError> {
        let database = self.database()?;
        let write = begin_write(database.get()?, Sync::Later)?;
        {
            let mut rows = Rows::open(&write)?;
            for (number, changes) in commits {
                rows.apply(number, changes)?;
            }
        }
        commit(write)
    }

    /// Brings everything applied so far to stable storage, in a way that a start after a crash is
    /// quick.
    pub(super) fn checkpoint(&self) -> Result<(), EngineError> {
        let database = self.database()?;
        commit(begin_write(database.get()?, Sync::Stable)?)
    }

    pub(super) fn stream(&self, path: &str) -> Result<Option<StreamRow>, EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        row(&read, path)
    }

    pub(super) fn producer(
        &self,
        id: StreamId,
        producer: &str,
    ) -> Result<Option<ProducerState>, EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        let producers = read.open_table(PRODUCERS).map_err(|e| failed("open a table", e))?;
        let found = producers.get((id.0, producer)).map_err(|e| failed("read a producer", e))?;
        Ok(found.map(|row| {
            let (epoch, last_seq) = row.value();
            ProducerState { epoch, last_seq }
        }))
    }

    pub(super) fn read(&self, ask: Ask<'_>) -> Result<Answer, EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        let Some(row) = row(&read, ask.path)? else { return Ok(Answer::NoStream) };
        if ask.id.is_some_and(|id| id != row.id) {
            return Ok(Answer::NoStream);
        }
        let records = read.open_table(RECORDS).map_err(|e| failed("open a table", e))?;
        let id = row.id.0;
        let at = match ask.place {
            Place::Start | Place::At(0) => 0,
            Place::End => row.tail,
            Place::At(end) if end == row.tail => end,
            Place::At(end) => {
                let found = records.get((id, end)).map_err(|e| failed("read a record", e))?;
                if found.is_none() {
                    return Ok(Answer::NoPlace);
                }
                end
            }
        };
        let mut page = PageOf::new(ask.max);
        if ask.max != 0 {
            let failed = |e| failed("read records", e);
            let mut range = match ask.way {
                Way::On => records.range((id, at.saturating_add(1))..=(id, u64::MAX)),
                Way::Back => records.range((id, 0)..=(id, at)),
            }
            .map_err(failed)?;
            let mut step = || match ask.way {
                Way::On => range.next(),
                Way::Back => range.next_back(),
            };
            while let Some(found) = step() {
                let (key, data) = found.map_err(failed)?;
                let data = data.value();
                if !page.take(key.value().1, data.len(), || Bytes::copy_from_slice(data)) {
                    break;
                }
            }
        }
        Ok(page.into_answer(row, at, ask.way))
    }

    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<String>, EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        let streams = read.open_table(STREAMS).map_err(|e| failed("open a table", e))?;
        let failed = |e| failed("list the streams", e);
        let after = after.filter(|after| prefix <= *after);
        let mut found = Vec::new();
        for row in streams.range(after.unwrap_or(prefix)..).map_err(failed)? {
            let (path, _) = row.map_err(failed)?;
            let path = path.value();
            if !path.starts_with(prefix) || max <= found.len() {
                break;
            }
            if after != Some(path) {
                found.push(path.to_owned());
            }
        }
        Ok(found)
    }

    pub(super) fn has_leftovers(&self) -> Result<bool, EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        let deleted = read.open_table(DELETED).map_err(|e| failed("open a table", e))?;
        Ok(deleted.first().map_err(|e| failed("read a row", e))?.is_some())
    }

    /// Waits for reads that are under way, then lets go of the file.
    pub(super) fn close(&self) {
        drop(self.0.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn database(&self) -> Result<Guard<'_>, EngineError> {
        let guard = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if guard.is_some() { Ok(Guard(guard)) } else { Err(EngineError::Stopped) }
    }
}

/// The database, held open.
struct Guard<'a>(RwLockReadGuard<'a, Option<Database>>);

impl Guard<'_> {
    fn get(&self) -> Result<&Database, EngineError> {
        self.0.as_ref().ok_or(EngineError::Stopped)
    }
}

fn row(read: &ReadTransaction, path: &str) -> Result<Option<StreamRow>, EngineError> {
    let failed = |e| failed("read a stream", e);
    let streams = read.open_table(STREAMS).map_err(|e| self::failed("open a table", e))?;
    let Some(found) = streams.get(path).map_err(failed)? else { return Ok(None) };
    let (id, closed) = found.value();
    let records = read.open_table(RECORDS).map_err(|e| self::failed("open a table", e))?;
    let last = records.range((id, 0)..=(id, u64::MAX)).map_err(failed)?.next_back();
    let tail = last.transpose().map_err(failed)?.map_or(0, |(key, _)| key.value().1);
    Ok(Some(StreamRow { id: StreamId(id), tail, closed }))
}

/// The tables of one write.
struct Rows<'t> {
    streams: Table<'t, &'static str, (u64, bool)>,
    records: Table<'t, (u64, u64), &'static [u8]>,
    producers: Table<'t, (u64, &'static str), (u64, u64)>,
    deleted: Table<'t, u64, ()>,
    numbers: Table<'t, &'static str, u64>,
}

impl<'t> Rows<'t> {
    fn open(write: &'t WriteTransaction) -> Result<Self, EngineError> {
        let failed = |e| failed("open a table", e);
        Ok(Self {
            streams: write.open_table(STREAMS).map_err(failed)?,
            records: write.open_table(RECORDS).map_err(failed)?,
            producers: write.open_table(PRODUCERS).map_err(failed)?,
            deleted: write.open_table(DELETED).map_err(failed)?,
            numbers: write.open_table(NUMBERS).map_err(failed)?,
        })
    }

    fn apply(&mut self, number: u64, changes: &[Change]) -> Result<(), EngineError> {
        let done = changes.iter().try_for_each(|change| self.apply_one(change));
        done.and_then(|()| self.numbers.insert(APPLIED, number).map(drop))
            .map_err(|error| failed("write rows", error))
    }

    fn apply_one(&mut self, change: &Change) -> Result<(), redb::StorageError> {
        match change {
            Change::Create { path, id } => {
                self.streams.insert(path.as_str(), (id.0, false))?;
                self.numbers.insert(NEXT_ID, id.0 + 1)?;
            }
            Change::Append { id, start, records } => {
                let mut end = *start;
                for record in records {
                    end += record.len() as u64;
                    self.records.insert((id.0, end), &record[..])?;
                }
            }
            Change::Producer { id, producer, state } => {
                let row = (state.epoch, state.last_seq);
                self.producers.insert((id.0, producer.as_str()), row)?;
            }
            Change::Close { path, id } => {
                self.streams.insert(path.as_str(), (id.0, true))?;
            }
            Change::Delete { path, id } => {
                self.streams.remove(path.as_str())?;
                self.deleted.insert(id.0, ())?;
            }
            Change::Sweep { rows } => self.sweep(*rows as usize)?,
        }
        Ok(())
    }

    fn sweep(&mut self, rows: usize) -> Result<(), redb::StorageError> {
        let mut left = rows;
        while 0 < left {
            let Some(id) = self.deleted.first()?.map(|(id, _)| id.value()) else { return Ok(()) };
            let before = left;
            let records = self.records.extract_from_if((id, 0)..=(id, u64::MAX), |_, _| true)?;
            for removed in records.take(left) {
                removed?;
                left -= 1;
            }
            let producers = self.producers.extract_from_if((id, "")..(id + 1, ""), |_, _| true)?;
            for removed in producers.take(left) {
                removed?;
                left -= 1;
            }
            if left == before {
                self.deleted.remove(id)?;
                left -= 1;
            }
        }
        Ok(())
    }
}

/// When a write is to be on stable storage.
enum Sync {
    Stable,
    Later,
}

fn begin_read(database: &Database) -> Result<ReadTransaction, EngineError> {
    database.begin_read().map_err(|e| failed("begin a read", e))
}

fn begin_write(database: &Database, sync: Sync) -> Result<WriteTransaction, EngineError> {
    let mut write = database.begin_write().map_err(|e| failed("begin a write", e))?;
    match sync {
        // Keeps the allocator's state with the data, so that opening after a crash does not walk
        // through all of it.
        Sync::Stable => write.set_quick_repair(true),
        Sync::Later => write
            .set_durability(redb::Durability::None)
            .map_err(|e| EngineError::Failed { tried: "begin a write", source: Box::new(e) })?,
    }
    Ok(write)
}

fn commit(write: WriteTransaction) -> Result<(), EngineError> {
    write.commit().map_err(|e| failed("commit", e))
}

fn failed(tried: &'static str, error: impl Into<redb::Error>) -> EngineError {
    let error = error.into();
    if let redb::Error::Io(source) = error {
        journal::failed(tried, source)
    } else if let redb::Error::Corrupted(what) = error {
        EngineError::Damaged { what }
    } else {
        EngineError::Failed { tried, source: Box::new(error) }
    }
}
