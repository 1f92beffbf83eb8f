//! Looking at a store without changing it, also at one that does not open.

use std::path::Path;

use studio_streams::Clock;

use super::{
    Answer, Ask, EngineError, Heard, Place, StreamId, StreamInfo, Way, disk,
    files::Files,
    journal::{self, Salt},
    overlay::Unchanged,
    tables::{NotOpened, Tables, caught},
};
use crate::{OpenError, error::in_full};

/// Memory for pages of the tables' file while it is looked at.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Problems that are kept with their words; further ones are only counted.
const PROBLEMS_MAX: usize = 1_000;

/// What is wrong, in words for people.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    pub(crate) found: Vec<String>,
    pub(crate) more: u64,
}

impl Problems {
    pub(crate) fn add(&mut self, what: impl Into<String>) {
        if self.found.len() < PROBLEMS_MAX {
            self.found.push(what.into());
        } else {
            self.more += 1;
        }
    }
}

/// What lies in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) streams: u64,
    pub(crate) records: u64,
    pub(crate) record_bytes: u64,
    pub(crate) producers: u64,
    /// Deleted streams whose rows are not all removed.
    pub(crate) leftovers: u64,
}

/// What is told on the way: which step, and how many rows it has looked at.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(&'static str, u64);

/// Takes what is kept of a stream, if that can be read.
pub(crate) type EachStream<'a> =
    &'a mut dyn FnMut(&str, StreamId, Result<StreamInfo, EngineError>) -> Result<(), EngineError>;

/// A store as a start would find it.
pub(crate) struct Examined {
    files: Unchanged,
    tables: Tables,
    pub(crate) format: u64,
    pub(crate) problems: Problems,
}

impl Examined {
    /// Locks the directory and reads the journal. Fails where a start would fail for another reason
    /// than a damaged journal.
    pub(crate) fn open(dir: &Path) -> Result<Self, OpenError> {
        let files = Unchanged::open(dir)?;
        let unusable = |source| OpenError::Directory { dir: dir.to_owned(), source };
        let failed = |source| OpenError::Engine { dir: dir.to_owned(), source };
        if !files.exists(disk::TABLES).map_err(unusable)? {
            return Err(unusable(std::io::ErrorKind::NotFound.into()));
        }
        let file = files.open(disk::TABLES).map_err(unusable)?;
        let mut in_use = false;
        let tables = caught(|| {
            Tables::open(file, CACHE_BYTES).map_err(|error| match error {
                NotOpened::InUse => {
                    in_use = true;
                    EngineError::Stopped
                }
                NotOpened::Engine(source) => source,
            })
        });
        if in_use {
            return Err(OpenError::InUse { dir: dir.to_owned() });
        }
        let tables = tables.map_err(failed)?;
        let found = caught(|| tables.format()).map_err(failed)?.unwrap_or_default();
        let salt = match found {
            disk::FORMAT => Salt::Of(caught(|| tables.salt()).map_err(failed)?),
            1 => Salt::Without,
            _ => {
                let known = disk::FORMAT;
                return Err(OpenError::Format { dir: dir.to_owned(), found, known });
            }
        };
        let mut examined = Self { files, tables, format: found, problems: Problems::default() };
        caught(|| examined.read_journal(salt)).map_err(failed)?;
        Ok(examined)
    }

    /// Brings what only the journal holds into the tables (in memory).
    fn read_journal(&mut self, salt: Salt) -> Result<(), EngineError> {
        let file = self.files.open(disk::JOURNAL);
        let file = file.map_err(|source| journal::failed("open the journal", source))?;
        let len = file.len().map_err(|source| journal::failed("look at the journal", source))?;
        let content = journal::content(&*file, len)
            .map_err(|source| journal::failed("read the journal", source))?;
        let now = Clock::default().now();
        let found = journal::find(content, self.tables.applied()?, salt, now);
        if let Some(what) = found.damage {
            self.problems.add(what);
        }
        match salt {
            Salt::Without => self.tables.migrate_1(&found.missing, 0, now),
            Salt::Of(_) => {
                let missing = found.missing.iter();
                self.tables.apply_all(missing.map(|entry| (entry.number, &entry.changes[..])))
            }
        }
    }

    pub(crate) fn file_bytes(&self) -> Result<u64, EngineError> {
        let len = |name| {
            let file = self.files.open(name)?;
            file.len()
        };
        let sum = len(disk::TABLES).and_then(|tables| Ok(tables + len(disk::JOURNAL)?));
        sum.map_err(|source| journal::failed("look at the files", source))
    }

    /// Looks at every page of the file and at every row.
    pub(crate) fn inspect(&mut self, tell: Tell<'_>) -> Result<Counts, EngineError> {
        tell("the file's pages", 0);
        match caught(|| self.tables.check_integrity()) {
            Ok(true) => {}
            Ok(false) => self.problems.add("the tables' file was not as it should be"),
            Err(error) => {
                self.problems.add(format!("the tables' file is damaged: {}", in_full(&error)))
            }
        }
        caught(|| self.tables.inspect(&mut self.problems, tell))
    }

    /// Hands over all streams whose path begins with `prefix`.
    pub(crate) fn streams(&self, prefix: &str, each: EachStream<'_>) -> Result<(), EngineError> {
        caught(|| self.tables.each_stream(prefix, each))
    }

    /// A page of a stream.
    pub(crate) fn read(&self, path: &str, at: u64) -> Result<Answer, EngineError> {
        let (place, way) = (Place::At(at), Way::On);
        let bytes_max = studio_streams::PAGE_BYTES_SOFT_MAX;
        caught(|| self.tables.read(Ask { path, id: None, place, way, max: 1_000, bytes_max }))
    }

    /// The producers of a stream.
    pub(crate) fn producers(&self, id: StreamId) -> Result<Vec<Heard>, EngineError> {
        caught(|| self.tables.producers(id))
    }
}
