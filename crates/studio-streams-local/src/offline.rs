//! Looking after a store that no server has open: what `studio streams check`, `dump` and
//! `compact` do. All of it blocks, and locks the directory for as long as it takes; a store that
//! is in use is [`OpenError::InUse`].

mod dump;

use std::{fmt, path::Path};

pub use dump::{DumpError, Dumped, dump};

use crate::{
    OpenError, Options,
    engine::{Compacted, DiskEngine, LogEngine, examine, mebibytes},
    error::in_full,
};

/// How far something is that takes a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is looked at: `records`, …
    pub step: &'static str,
    /// How many of them so far.
    pub rows: u64,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The format of the directory; an older one was looked at as it would be brought to this
    /// program's.
    pub format: u64,
    /// Streams, those included that were deleted and are kept for their forks.
    pub streams: u64,
    /// Records of all streams, those included that deleted streams left.
    pub records: u64,
    /// Bytes of these records.
    pub record_bytes: u64,
    /// Producers that streams know.
    pub producers: u64,
    /// Deleted streams whose records are not yet all removed.
    pub leftovers: u64,
    /// Bytes of the files.
    pub file_bytes: u64,
    /// What is wrong, each in words for people. Bounded; empty for a sound store.
    pub problems: Vec<String>,
    /// How many further problems there are.
    pub more_problems: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "format {}, {} streams, {} records of {:.1} MiB, {} producers, {:.1} MiB on the disk",
            self.format,
            self.streams,
            self.records,
            mebibytes(self.record_bytes),
            self.producers,
            mebibytes(self.file_bytes),
        )?;
        if 0 < self.leftovers {
            writeln!(f, "{} deleted streams are not yet all removed", self.leftovers)?;
        }
        for problem in &self.problems {
            writeln!(f, "problem: {problem}")?;
        }
        if 0 < self.more_problems {
            writeln!(f, "and {} further problems", self.more_problems)?;
        }
        let verdict = if self.is_sound() { "the store is sound" } else { "the store is damaged" };
        f.write_str(verdict)
    }
}

/// Looks at everything in the store: at the checksums of the file's pages, at the chain of the
/// journal, and whether every row belongs to something and agrees with the others. Changes nothing
/// on the disk; takes memory for the name of each stream.
///
/// Fails if the store cannot be opened at all: it is in use, not there, of a newer format, or so
/// damaged that the tables' file is none.
pub fn check(dir: &Path, progress: &mut dyn FnMut(&Progress)) -> Result<Report, OpenError> {
    let failed = |source| OpenError::Engine { dir: dir.to_owned(), source };
    let mut examined = examine::Examined::open(dir)?;
    let mut tell = |step, rows| progress(&Progress { step, rows });
    let file_bytes = examined.file_bytes().map_err(failed)?;
    let counts = match examined.inspect(&mut tell) {
        Ok(counts) => counts,
        Err(error) => {
            examined.problems.add(format!("not everything can be read: {}", in_full(&error)));
            examine::Counts::default()
        }
    };
    Ok(Report {
        format: examined.format,
        streams: counts.streams,
        records: counts.records,
        record_bytes: counts.record_bytes,
        producers: counts.producers,
        leftovers: counts.leftovers,
        file_bytes,
        problems: examined.problems.found,
        more_problems: examined.problems.more,
    })
}

/// Writes the store anew, without what deleted streams left, as short as it can be.
pub fn compact(dir: &Path, progress: &mut dyn FnMut(&Progress)) -> Result<Compacted, OpenError> {
    if !dir.is_dir() {
        let source = std::io::ErrorKind::NotFound.into();
        return Err(OpenError::Directory { dir: dir.to_owned(), source });
    }
    let failed = |source| OpenError::Engine { dir: dir.to_owned(), source };
    let engine = DiskEngine::open_as_it_is(dir, &Options::default())?;
    progress(&Progress { step: "copying", rows: 0 });
    let compacted = engine.compact().map_err(failed)?;
    engine.close();
    Ok(compacted)
}
