use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use studio_streams::ProducerState;

use super::{
    Answer, Ask, Change, EngineError, LogEngine, StreamId, StreamRow,
    files::{Directory, Files},
    journal::{self, Journal},
    tables::{NotOpened, Tables},
};
use crate::{OpenError, Options};

/// The format this program writes and reads.
const FORMAT: u64 = 1;

const TABLES: &str = "streams.redb";
/// The tables until they are whole for the first time.
const TABLES_UNFINISHED: &str = "streams.redb.new";
const JOURNAL: &str = "streams.journal";

/// The engine on this machine's disk: tables in one file, and a journal before them.
///
/// A commit is on stable storage once it is in the journal, with everything that belongs to it; it
/// becomes visible in the tables at once and is brought to stable storage there later.
#[derive(Debug)]
pub struct DiskEngine {
    files: Arc<dyn Files>,
    reserve_bytes: u64,
    tables: Tables,
    /// Only the committer takes this; the lock is never waited for.
    journal: Mutex<Journal>,
}

impl DiskEngine {
    /// Opens the directory, which is made if need be, and locks it.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, OpenError> {
        Self::over(Arc::new(Directory::open(dir)?), options)
    }

    /// The engine over files of your own, which nobody else uses.
    pub fn over(files: Arc<dyn Files>, options: &Options) -> Result<Self, OpenError> {
        let dir = files.dir();
        let unusable = |source| OpenError::Directory { dir: dir.to_owned(), source };
        let failed = |source| OpenError::Engine { dir: dir.to_owned(), source };
        let opened = |error| match error {
            NotOpened::InUse => OpenError::InUse { dir: dir.to_owned() },
            NotOpened::Engine(source) => failed(source),
        };
        let open_tables = |name| {
            let file = files.open(name).map_err(unusable)?;
            Tables::open(file, options.cache_bytes).map_err(opened)
        };
        if !files.exists(TABLES).map_err(unusable)? {
            // Made whole under another name: a kill half-way leaves nothing that looks like data.
            match files.remove(TABLES_UNFINISHED) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(unusable(source));
                }
                Ok(()) | Err(_) => {}
            }
            let tables = open_tables(TABLES_UNFINISHED)?;
            tables.format_or(FORMAT).map_err(failed)?;
            tables.close();
            files.rename(TABLES_UNFINISHED, TABLES).map_err(unusable)?;
        }
        let tables = open_tables(TABLES)?;
        let found = tables.format_or(FORMAT).map_err(failed)?;
        if found != FORMAT {
            return Err(OpenError::Format { dir: dir.to_owned(), found, known: FORMAT });
        }
        let journal = recover(&tables, &*files, options).map_err(failed)?;
        // The names of new files are to survive a power cut too.
        files.sync_names().map_err(unusable)?;
        let reserve_bytes = options.reserve_bytes;
        Ok(Self { files, reserve_bytes, tables, journal: Mutex::new(journal) })
    }

    fn checkpoint(&self, journal: &mut Journal) -> Result<(), EngineError> {
        self.tables.checkpoint()?;
        journal.restart()
    }

    fn with_journal<T>(&self, act: impl FnOnce(&mut Journal) -> T) -> T {
        act(&mut self.journal.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Brings what only the journal holds into the tables.
fn recover(tables: &Tables, files: &dyn Files, options: &Options) -> Result<Journal, EngineError> {
    let file = files.open(JOURNAL).map_err(|source| journal::failed("open the journal", source))?;
    let (journal, missing) = Journal::open(file, tables.applied()?, options)?;
    if !missing.is_empty() {
        tracing::info!(commits = missing.len(), "{} commits are read again", missing.len());
        tables.apply_all(missing.iter().map(|entry| (entry.number, &entry.changes[..])))?;
        tables.checkpoint()?;
    }
    Ok(journal)
}

impl LogEngine for DiskEngine {
    fn commit(&self, changes: &[Change]) -> Result<(), EngineError> {
        self.with_journal(|journal| {
            if journal.is_long() {
                self.checkpoint(journal)?;
            }
            let number = journal.write(changes)?;
            self.tables.apply(number, changes)
        })
    }

    fn room_for(&self, bytes: u64) -> Result<(), EngineError> {
        let free = self.files.free_bytes();
        let free = free.map_err(|source| EngineError::Failed {
            tried: "ask for the free room on the disk",
            source: Box::new(source),
        })?;
        // Once in the journal, once in the tables, and as much again for how they are kept.
        let wanted = bytes.saturating_mul(3).saturating_add(self.reserve_bytes);
        if free < wanted {
            return Err(EngineError::Full { source: None });
        }
        Ok(())
    }

    fn stream(&self, path: &str) -> Result<Option<StreamRow>, EngineError> {
        self.tables.stream(path)
    }

    fn producer(&self, id: StreamId, producer: &str) -> Result<Option<ProducerState>, EngineError> {
        self.tables.producer(id, producer)
    }

    fn read(&self, ask: Ask<'_>) -> Result<Answer, EngineError> {
        self.tables.read(ask)
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<String>, EngineError> {
        self.tables.list(prefix, after, max)
    }

    fn next_id(&self) -> Result<StreamId, EngineError> {
        self.tables.next_id()
    }

    fn has_leftovers(&self) -> Result<bool, EngineError> {
        self.tables.has_leftovers()
    }

    fn settle(&self) -> Result<(), EngineError> {
        self.with_journal(
            |journal| {
                if journal.is_empty() { Ok(()) } else { self.checkpoint(journal) }
            },
        )
    }

    fn close(&self) {
        self.tables.close();
        self.files.close();
    }
}
