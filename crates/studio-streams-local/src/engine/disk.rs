use std::{
    hash::{BuildHasher, RandomState},
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use redb::StorageBackend;
use studio_streams::ProducerState;

use super::{
    Answer, Ask, Change, Compacted, Due, EngineError, ForkPoint, Heard, LogEngine, Place, StreamId,
    StreamInfo, StreamRow,
    behind::Behind,
    files::{Directory, Files},
    journal::{self, Journal, Salt},
    tables::{NotOpened, Tables, caught},
    trust::Trust,
};
use crate::{OpenError, Options};

/// The format this program writes. It reads format 1 too and brings it to this one.
pub(super) const FORMAT: u64 = 2;

pub(super) const TABLES: &str = "streams.redb";
/// The tables until they are whole for the first time.
const TABLES_UNFINISHED: &str = "streams.redb.new";
pub(super) const JOURNAL: &str = "streams.journal";

/// Free bytes on the disk that a compaction asks for beside the copy.
const COMPACTING_BYTES: u64 = 4 * 1024 * 1024;
/// A start compacts when at least so many bytes were removed since the last time, and a quarter of
/// the file: what is copied then is bounded by what was removed.
const REMOVED_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// The engine on this machine's disk: tables in one file, and a journal before them.
///
/// A commit is on stable storage once it is in the journal, with everything that belongs to it;
/// then it goes into the tables, and is brought to stable storage there later.
#[derive(Debug)]
pub struct DiskEngine {
    files: Arc<dyn Files>,
    reserve_bytes: u64,
    trust: Trust,
    cache_bytes: usize,
    tables: Tables,
    behind: Behind,
    /// Taken by the committer alone, which waits for nothing but a pause.
    journal: Mutex<Journal>,
}

/// See [`DiskEngine::pause`].
#[derive(Debug)]
#[must_use]
pub struct StillFiles<'a>(
    #[expect(dead_code, reason = "held for its drop")] MutexGuard<'a, Journal>,
);

impl DiskEngine {
    /// Opens the directory, which is made if need be, and locks it.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, OpenError> {
        Self::over(Arc::new(Directory::open(dir)?), options)
    }

    /// The engine over files of your own, which nobody else uses.
    pub fn over(files: Arc<dyn Files>, options: &Options) -> Result<Self, OpenError> {
        let engine = Self::over_as_they_are(&files, options)?;
        let dir = engine.files.dir();
        engine
            .compact_if_worth_it()
            .map_err(|source| OpenError::Engine { dir: dir.to_owned(), source })?;
        Ok(engine)
    }

    /// Keeps the files as they are until the guard is dropped; whoever writes waits. A copy of them
    /// is what a kill would leave.
    pub fn pause(&self) -> StillFiles<'_> {
        StillFiles(self.journal())
    }

    /// As [`Self::open`], without a look whether there is room to be given back.
    pub(crate) fn open_as_it_is(dir: &Path, options: &Options) -> Result<Self, OpenError> {
        let files: Arc<dyn Files> = Arc::new(Directory::open(dir)?);
        Self::over_as_they_are(&files, options)
    }

    fn over_as_they_are(files: &Arc<dyn Files>, options: &Options) -> Result<Self, OpenError> {
        caught(|| Ok(Self::read(files.clone(), options))).unwrap_or_else(|source| {
            let dir = files.dir().to_owned();
            Err(OpenError::Engine { dir, source })
        })
    }

    fn read(files: Arc<dyn Files>, options: &Options) -> Result<Self, OpenError> {
        let dir = files.dir();
        let unusable = |source| OpenError::Directory { dir: dir.to_owned(), source };
        let failed = |source| OpenError::Engine { dir: dir.to_owned(), source };
        let opened = |error| match error {
            NotOpened::InUse => OpenError::InUse { dir: dir.to_owned() },
            NotOpened::Engine(source) => failed(source),
        };
        let trust = Trust::default();
        let open_tables = |name| {
            let file = trust.open_lasting(&*files, name).map_err(unusable)?;
            Tables::open(file, options.cache_bytes).map_err(opened)
        };
        // Tables are made whole under another name: a kill half-way leaves nothing that looks like
        // data.
        remove_unfinished(&*files).map_err(unusable)?;
        if !files.exists(TABLES).map_err(unusable)? {
            let tables = open_tables(TABLES_UNFINISHED)?;
            tables.make(FORMAT, new_salt()).map_err(failed)?;
            tables.close();
            trust.check().map_err(unusable)?;
            files.rename(TABLES_UNFINISHED, TABLES).map_err(unusable)?;
        }
        let tables = open_tables(TABLES)?;
        let no_format = || EngineError::Damaged { what: format!("{TABLES} has no format") };
        let found = tables.format().map_err(failed)?.ok_or_else(no_format).map_err(failed)?;
        match found {
            FORMAT => {}
            1 => migrate_1(&tables, &*files, &trust, options).map_err(failed)?,
            _ => return Err(OpenError::Format { dir: dir.to_owned(), found, known: FORMAT }),
        }
        let journal = recover(&tables, &*files, &trust, options).map_err(failed)?;
        // The names of new files are to survive a power cut too.
        files.sync_names().map_err(unusable)?;
        let Options { reserve_bytes, cache_bytes, .. } = *options;
        let journal = Mutex::new(journal);
        let behind = Behind::default();
        Ok(Self { files, reserve_bytes, trust, cache_bytes, tables, behind, journal })
    }

    /// Fails once the disk has.
    fn check(&self) -> Result<(), EngineError> {
        let checked = self.trust.check();
        checked.map_err(|source| EngineError::Failed { tried: "write", source: Box::new(source) })
    }

    fn compact_if_worth_it(&self) -> Result<(), EngineError> {
        let worth_it = REMOVED_BYTES_MIN.max(self.tables.file_bytes()? / 4);
        if self.check().is_err() || self.tables.removed()? < worth_it {
            return Ok(());
        }
        match self.compact() {
            // Not now, then; nothing was done.
            Err(EngineError::Full { .. }) => Ok(()),
            // It can be read, which is more than none.
            Err(_) if self.check().is_err() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Writes the tables, which are on stable storage, into a new file that takes the place of the
    /// old one. Reads go on meanwhile.
    fn rewrite(&self) -> Result<(), EngineError> {
        let made = self.make_copy().and_then(|()| {
            let file = self.trust.open_lasting(&*self.files, TABLES_UNFINISHED);
            let file = file.map_err(|source| journal::failed("open the copy", source))?;
            let tables = open_tables(file, self.cache_bytes)?;
            let renamed = self.files.rename(TABLES_UNFINISHED, TABLES);
            renamed.map_err(|source| journal::failed("rename the copy", source))?;
            Ok(tables)
        });
        let tables = match made {
            Ok(tables) => tables,
            Err(error) => {
                // Left where it is, it is removed by the next start.
                self.files.remove(TABLES_UNFINISHED).ok();
                return Err(error);
            }
        };
        if let Err(source) = self.files.sync_names() {
            // A power cut would bring back the old file, without what is written from now on.
            self.trust.lose("sync the names of the files", &source);
            return Err(journal::failed("sync the names of the files", source));
        }
        self.tables.take_over(&tables);
        Ok(())
    }

    /// A failure here is none of the store's own files.
    fn make_copy(&self) -> Result<(), EngineError> {
        let failed = |source| journal::failed("copy the tables", source);
        remove_unfinished(&*self.files).map_err(failed)?;
        let trust = Trust::default();
        let file = trust.open(&*self.files, TABLES_UNFINISHED).map_err(failed)?;
        let copy = open_tables(file, self.cache_bytes)?;
        self.tables.copy_to(&copy)?;
        copy.close();
        trust.check().map_err(failed)
    }

    fn room_above(&self, wanted: u64) -> Result<(), EngineError> {
        let free = self.files.free_bytes().map_err(|source| EngineError::Failed {
            tried: "ask for the free room on the disk",
            source: Box::new(source),
        })?;
        if free < wanted { Err(EngineError::Full { source: None }) } else { Ok(()) }
    }

    fn checkpoint(&self, journal: &mut Journal) -> Result<(), EngineError> {
        self.tables.checkpoint()?;
        self.check()?;
        journal.restart()
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes tables that a kill or a failure left half made.
fn remove_unfinished(files: &dyn Files) -> io::Result<()> {
    match files.remove(TABLES_UNFINISHED) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Opens tables in a directory that is locked, so nobody else has them.
fn open_tables(file: Box<dyn StorageBackend>, cache_bytes: usize) -> Result<Tables, EngineError> {
    Tables::open(file, cache_bytes).map_err(|error| match error {
        NotOpened::InUse => EngineError::Stopped,
        NotOpened::Engine(source) => source,
    })
}

/// What nobody outside knows of this store.
fn new_salt() -> u64 {
    RandomState::new().hash_one(JOURNAL)
}

fn open_journal(files: &dyn Files, trust: &Trust) -> Result<Box<dyn StorageBackend>, EngineError> {
    trust.open(files, JOURNAL).map_err(|source| journal::failed("open the journal", source))
}

/// Brings what only the journal holds into the tables.
fn recover(
    tables: &Tables,
    files: &dyn Files,
    trust: &Trust,
    options: &Options,
) -> Result<Journal, EngineError> {
    let (applied, salt) = (tables.applied()?, Salt::Of(tables.salt()?));
    let (journal, missing) = Journal::open(open_journal(files, trust)?, applied, salt, options)?;
    if !missing.is_empty() {
        tracing::info!(commits = missing.len(), "{} commits are read again", missing.len());
        tables.apply_all(missing.iter().map(|entry| (entry.number, &entry.changes[..])))?;
        tables.checkpoint()?;
    }
    Ok(journal)
}

/// From format 1 to this program's. The old journal's entries are none of the new one, so it does
/// not matter when that is emptied.
fn migrate_1(
    tables: &Tables,
    files: &dyn Files,
    trust: &Trust,
    options: &Options,
) -> Result<(), EngineError> {
    let journal = open_journal(files, trust)?;
    let (journal, missing) = Journal::open(journal, tables.applied()?, Salt::Without, options)?;
    drop(journal);
    tracing::info!("the streams are brought from format 1 to format {FORMAT}");
    tables.migrate_1(&missing, new_salt(), options.clock.now())
}

impl LogEngine for DiskEngine {
    fn commit(&self, changes: &[Change]) -> Result<(), EngineError> {
        let mut journal = self.journal();
        if journal.is_long() {
            self.checkpoint(&mut journal).map_err(EngineError::not_undone)?;
        }
        journal.write(changes)?;
        self.behind.begin();
        Ok(())
    }

    fn apply(&self, changes: &[Change]) -> Result<(), EngineError> {
        // Held, so that a pause finds files that a kill could leave.
        let journal = self.journal();
        let applied = self.tables.apply(journal.last(), changes);
        self.behind.end(applied.is_ok());
        applied.map_err(EngineError::not_undone)
    }

    fn room_for(&self, bytes: u64) -> Result<(), EngineError> {
        self.check()?;
        // Once in the journal, once in the tables, and as much again for how they are kept.
        self.room_above(bytes.saturating_mul(3).saturating_add(self.reserve_bytes))
    }

    fn stream(&self, path: &str) -> Result<Option<StreamRow>, EngineError> {
        self.behind.wait()?;
        self.tables.stream(path)
    }

    fn producer(&self, id: StreamId, producer: &str) -> Result<Option<ProducerState>, EngineError> {
        self.behind.wait()?;
        self.tables.producer(id, producer)
    }

    fn producer_count(&self, id: StreamId) -> Result<u64, EngineError> {
        self.behind.wait()?;
        self.tables.producer_count(id)
    }

    fn producers(&self, id: StreamId) -> Result<Vec<Heard>, EngineError> {
        self.behind.wait()?;
        self.tables.producers(id)
    }

    fn read(&self, ask: Ask<'_>) -> Result<Answer, EngineError> {
        self.behind.wait()?;
        self.tables.read(ask)
    }

    fn fork_point(&self, path: &str, place: Place, max: u64) -> Result<ForkPoint, EngineError> {
        self.behind.wait()?;
        self.tables.fork_point(path, place, max)
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
        wanted: &dyn Fn(StreamId, &StreamInfo) -> bool,
    ) -> Result<Vec<String>, EngineError> {
        self.behind.wait()?;
        self.tables.list(prefix, after, max, wanted)
    }

    fn due(&self, max: usize) -> Result<Vec<Due>, EngineError> {
        self.behind.wait()?;
        self.tables.due(max)
    }

    fn next_id(&self) -> Result<StreamId, EngineError> {
        self.behind.wait()?;
        self.tables.next_id()
    }

    fn has_leftovers(&self) -> Result<bool, EngineError> {
        self.behind.wait()?;
        self.tables.has_leftovers()
    }

    fn settle(&self) -> Result<(), EngineError> {
        let mut journal = self.journal();
        if journal.is_empty() { Ok(()) } else { self.checkpoint(&mut journal) }
    }

    fn compact(&self) -> Result<Compacted, EngineError> {
        self.check()?;
        let began = Instant::now();
        let bytes_before = self.tables.file_bytes()?;
        let kept = bytes_before.saturating_sub(self.tables.removed()?);
        let mut journal = self.journal();
        if !journal.is_empty() {
            self.checkpoint(&mut journal)?;
        }
        if self.room_above(kept.saturating_add(COMPACTING_BYTES)).is_ok() {
            self.rewrite()?;
        } else {
            // Not as short as it could be, but in the file itself.
            self.room_above(COMPACTING_BYTES)?;
            self.tables.move_together()?;
            self.check()?;
        }
        drop(journal);
        let bytes_after = self.tables.file_bytes()?;
        let compacted = Compacted { bytes_before, bytes_after, took: began.elapsed() };
        tracing::info!(
            bytes.before = bytes_before,
            bytes.after = bytes_after,
            "the streams were compacted: {compacted}"
        );
        Ok(compacted)
    }

    fn close(&self) {
        self.tables.close();
        self.files.close();
    }
}
