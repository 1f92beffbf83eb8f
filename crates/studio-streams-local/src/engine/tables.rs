//! The tables in their file.

mod copy;
mod inspect;
mod migrate;
mod write;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, WriteTransaction,
};
use studio_streams::ProducerState;

use super::{
    Answer, Ask, Change, Due, EngineError, ForkPoint, Heard, Place, StreamId, StreamInfo,
    StreamRow, Way,
    files::AnyFile,
    journal,
    page::{self, Records, Take},
    row::Part,
};
use write::Rows;

/// Path → id and the rest of what is kept of the stream, as JSON. The tail is the last record's
/// key, so that an append touches one row less.
const STREAMS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("streams-2");
/// Stream and position of the record's end → the record.
const RECORDS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("records");
/// Stream and position before an append of more than one record → the position after it.
const APPENDS: TableDefinition<'_, (u64, u64), u64> = TableDefinition::new("appends");
/// Stream and producer → epoch, last sequence number, when that was in Unix milliseconds.
const PRODUCERS: TableDefinition<'_, (u64, &str), ProducerValue> =
    TableDefinition::new("producers-2");
type ProducerValue = (u64, u64, u64);
/// Stream → how many producers it knows.
const PRODUCER_COUNTS: TableDefinition<'_, u64, u64> = TableDefinition::new("producer-counts");
/// When to look whether a stream's time is over, and which stream → its path.
const DUE: TableDefinition<'_, (u64, u64), &str> = TableDefinition::new("due");
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
/// What makes this store's journal its own.
const SALT: &str = "salt";
/// Bytes that were removed since the file was compacted.
const REMOVED: &str = "removed";

/// Everything but the journal. Readers see what was applied.
#[derive(Debug)]
pub(super) struct Tables(RwLock<Option<Opened>>);

#[derive(Debug)]
struct Opened {
    database: Database,
    file: AnyFile,
}

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
        let file = AnyFile(file.into());
        let mut builder = Database::builder();
        let created = builder.set_cache_size(cache_bytes).create_with_backend(file.clone());
        let database = created.map_err(|error| {
            if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
                NotOpened::InUse
            } else {
                NotOpened::Engine(failed("open the file", error))
            }
        })?;
        Ok(Self(RwLock::new(Some(Opened { database, file }))))
    }

    /// Makes the tables of a new file.
    pub(super) fn make(&self, format: u64, salt: u64) -> Result<(), EngineError> {
        let database = self.database()?;
        let write = begin_write(database.get()?, Sync::Stable)?;
        write::make(&write, format, salt)?;
        commit(write)
    }

    /// `None` = the file is new. Nothing but the one number is looked at: the rest of a file of
    /// another format may be anything.
    pub(super) fn format(&self) -> Result<Option<u64>, EngineError> {
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

    pub(super) fn salt(&self) -> Result<u64, EngineError> {
        self.number(SALT)
    }

    /// Bytes that were removed since the file was compacted.
    pub(super) fn removed(&self) -> Result<u64, EngineError> {
        self.number(REMOVED)
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
            let mut rows = Rows::new(&write);
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
        let producers = table(&read, PRODUCERS)?;
        let found = producers.get((id.0, producer)).map_err(|e| failed("read a producer", e))?;
        Ok(found.map(|row| {
            let (epoch, last_seq, _at) = row.value();
            ProducerState { epoch, last_seq }
        }))
    }

    pub(super) fn producer_count(&self, id: StreamId) -> Result<u64, EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        let counts = table(&read, PRODUCER_COUNTS)?;
        let found = counts.get(id.0).map_err(|e| failed("count producers", e))?;
        Ok(found.map_or(0, |count| count.value()))
    }

    pub(super) fn producers(&self, id: StreamId) -> Result<Vec<Heard>, EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        let producers = table(&read, PRODUCERS)?;
        let failed = |e| failed("read producers", e);
        let mut found = Vec::new();
        for row in producers.range((id.0, "")..(id.0 + 1, "")).map_err(failed)? {
            let (key, value) = row.map_err(failed)?;
            let (epoch, last_seq, at) = value.value();
            let (producer, state) = (key.value().1.to_owned(), ProducerState { epoch, last_seq });
            found.push(Heard { producer, state, at });
        }
        Ok(found)
    }

    pub(super) fn read(&self, ask: Ask<'_>) -> Result<Answer, EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        let Some(row) = row(&read, ask.path)? else { return Ok(Answer::NoStream) };
        if ask.id.is_some_and(|id| id != row.id) {
            return Ok(Answer::NoStream);
        }
        page::read(&Reading::new(&read)?, row, ask)
    }

    pub(super) fn fork_point(
        &self,
        path: &str,
        place: Place,
        max: u64,
    ) -> Result<ForkPoint, EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        match row(&read, path)? {
            None => Ok(ForkPoint::NoStream),
            Some(row) => page::fork_point(&Reading::new(&read)?, row, place, max),
        }
    }

    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
        wanted: &dyn Fn(StreamId, &StreamInfo) -> bool,
    ) -> Result<Vec<String>, EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        let streams = table(&read, STREAMS)?;
        let failed = |e| failed("list the streams", e);
        let after = after.filter(|after| prefix <= *after);
        let mut found = Vec::new();
        for row in streams.range(after.unwrap_or(prefix)..).map_err(failed)? {
            let (path, row) = row.map_err(failed)?;
            let path = path.value();
            if !path.starts_with(prefix) || max <= found.len() {
                break;
            }
            let (id, info) = row.value();
            if after != Some(path) && wanted(StreamId(id), &*StreamInfo::from_bytes(info, path)?) {
                found.push(path.to_owned());
            }
        }
        Ok(found)
    }

    pub(super) fn due(&self, max: usize) -> Result<Vec<Due>, EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        let failed = |e| failed("look at whose time is over", e);
        let mut found = Vec::new();
        for row in table(&read, DUE)?.iter().map_err(failed)?.take(max) {
            let (key, path) = row.map_err(failed)?;
            let (at, id) = key.value();
            found.push(Due { at, path: path.value().to_owned(), id: StreamId(id) });
        }
        Ok(found)
    }

    pub(super) fn has_leftovers(&self) -> Result<bool, EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        let deleted = table(&read, DELETED)?;
        Ok(deleted.first().map_err(|e| failed("read a row", e))?.is_some())
    }

    /// Bytes of the file.
    pub(super) fn file_bytes(&self) -> Result<u64, EngineError> {
        let guard = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let opened = guard.as_ref().ok_or(EngineError::Stopped)?;
        opened.file.len().map_err(|source| journal::failed("look at the tables' file", source))
    }

    /// Waits for reads that are under way, then lets go of the file.
    pub(super) fn close(&self) {
        let opened = self.0.write().unwrap_or_else(PoisonError::into_inner).take();
        // At its end the database looks at pages once more.
        if let Err(error) = caught(|| {
            drop(opened);
            Ok(())
        }) {
            tracing::warn!(error = %error, "the tables were not closed as they should be: {error}");
        }
    }

    fn database(&self) -> Result<Guard<'_>, EngineError> {
        let guard = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if guard.is_some() { Ok(Guard(guard)) } else { Err(EngineError::Stopped) }
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        self.close();
    }
}

/// The code that reads damaged pages may find that by a panic.
pub(super) fn caught<T>(read: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_panic| {
        Err(EngineError::Damaged { what: "a page cannot be read".to_owned() })
    })
}

/// The database, held open.
struct Guard<'a>(RwLockReadGuard<'a, Option<Opened>>);

impl Guard<'_> {
    fn get(&self) -> Result<&Database, EngineError> {
        self.0.as_ref().map(|opened| &opened.database).ok_or(EngineError::Stopped)
    }
}

fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
    read: &ReadTransaction,
    definition: TableDefinition<'_, K, V>,
) -> Result<ReadOnlyTable<K, V>, EngineError> {
    read.open_table(definition).map_err(|e| failed("open a table", e))
}

fn row(read: &ReadTransaction, path: &str) -> Result<Option<StreamRow>, EngineError> {
    let failed = |e| failed("read a stream", e);
    let streams = table(read, STREAMS)?;
    let Some(found) = streams.get(path).map_err(failed)? else { return Ok(None) };
    let (id, info) = found.value();
    let info = StreamInfo::from_bytes(info, path)?;
    let records = table(read, RECORDS)?;
    let last = records.range((id, 0)..=(id, u64::MAX)).map_err(failed)?.next_back();
    let last = last.transpose().map_err(failed)?;
    let tail = last.map_or_else(|| info.begins(), |(key, _)| key.value().1);
    Ok(Some(StreamRow { id: StreamId(id), tail, info }))
}

/// The tables that a read of records looks at, as they were at one moment.
struct Reading {
    records: ReadOnlyTable<(u64, u64), &'static [u8]>,
    appends: ReadOnlyTable<(u64, u64), u64>,
}

impl Reading {
    fn new(read: &ReadTransaction) -> Result<Self, EngineError> {
        Ok(Self { records: table(read, RECORDS)?, appends: table(read, APPENDS)? })
    }
}

impl Records for Reading {
    fn ends_at(&self, id: StreamId, end: u64) -> Result<bool, EngineError> {
        let found = self.records.get((id.0, end)).map_err(|e| failed("read a record", e))?;
        Ok(found.is_some())
    }

    fn walk(&self, part: Part, way: Way, take: Take<'_>) -> Result<bool, EngineError> {
        let failed = |e| failed("read records", e);
        let Part { id: StreamId(id), after, up_to } = part;
        if up_to <= after {
            return Ok(true);
        }
        let mut range = self.records.range((id, after + 1)..=(id, up_to)).map_err(failed)?;
        let mut step = || match way {
            Way::On => range.next(),
            Way::Back => range.next_back(),
        };
        while let Some(found) = step() {
            let (key, data) = found.map_err(failed)?;
            if !take(key.value().1, data.value()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn append_from(&self, id: StreamId, at: u64) -> Result<Option<u64>, EngineError> {
        let failed = |e| failed("look for an append", e);
        let last = self.appends.range((id.0, 0)..=(id.0, at)).map_err(failed)?.next_back();
        Ok(last.transpose().map_err(failed)?.map(|(_, end)| end.value()))
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
