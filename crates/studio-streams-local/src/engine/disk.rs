use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use studio_streams::ProducerState;

use super::{
    Answer, Ask, Change, EngineError, LogEngine, StreamId, StreamRow,
    journal::Journal,
    tables::{NotOpened, Tables},
};
use crate::{OpenError, Options};

/// The format this program writes and reads.
const FORMAT: u64 = 1;

/// The engine on this machine's disk: tables in one file, and a journal before them.
///
/// A commit is on stable storage once it is in the journal, with everything that belongs to it; it
/// becomes visible in the tables at once and is brought to stable storage there later.
#[derive(Debug)]
pub struct DiskEngine {
    dir: PathBuf,
    reserve_bytes: u64,
    tables: Tables,
    /// Only the committer takes this; the lock is never waited for.
    journal: Mutex<Journal>,
    /// Locked for as long as this lives or until it is closed.
    lock: Mutex<Option<File>>,
}

impl DiskEngine {
    /// Opens the directory, which is made if need be, and locks it.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Directory { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(unusable)?;
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join("streams.lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }

        let failed = |source| OpenError::Engine { dir: dir.to_owned(), source };
        let opened = |error| match error {
            NotOpened::InUse => OpenError::InUse { dir: dir.to_owned() },
            NotOpened::Engine(source) => failed(source),
        };
        let path = dir.join("streams.redb");
        if !path.try_exists().map_err(unusable)? {
            // Made whole under another name: a kill half-way leaves nothing that looks like data.
            let unfinished = dir.join("streams.redb.new");
            match fs::remove_file(&unfinished) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(unusable(source));
                }
                Ok(()) | Err(_) => {}
            }
            let tables = Tables::open(&unfinished, options.cache_bytes).map_err(opened)?;
            tables.format_or(FORMAT).map_err(failed)?;
            tables.close();
            fs::rename(&unfinished, &path).map_err(unusable)?;
        }
        let tables = Tables::open(&path, options.cache_bytes).map_err(opened)?;
        let found = tables.format_or(FORMAT).map_err(failed)?;
        if found != FORMAT {
            return Err(OpenError::Format { dir: dir.to_owned(), found, known: FORMAT });
        }
        let journal = recover(&tables, &dir.join("streams.journal"), options).map_err(failed)?;
        // The names of new files are to survive a power cut too.
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(unusable)?;
        Ok(Self {
            dir: dir.to_owned(),
            reserve_bytes: options.reserve_bytes,
            tables,
            journal: Mutex::new(journal),
            lock: Mutex::new(Some(lock)),
        })
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
fn recover(tables: &Tables, path: &Path, options: &Options) -> Result<Journal, EngineError> {
    let (journal, missing) = Journal::open(path, tables.applied()?, options)?;
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
        let stat = nix::sys::statvfs::statvfs(&self.dir).map_err(|errno| EngineError::Failed {
            tried: "ask for the free room on the disk",
            source: Box::new(io::Error::from(errno)),
        })?;
        let free = wide(stat.blocks_available()).saturating_mul(wide(stat.fragment_size()));
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
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// These numbers have other sizes on other systems.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}
