//! The journal before the tables: a commit is one sequential write and one sync here, and the
//! tables' own, dearer commits are made now and then for many of them.
//!
//! The file is a chain of entries from its start, each with the number of its commit; numbers go
//! up by one. After a checkpoint of the tables the chain begins anew at the start of the file, over
//! the old one. What follows the end of the chain is torn (its checksum is wrong) or old (its
//! number does not continue).

use std::io;

use bytes::{Buf, BufMut, Bytes};
use redb::StorageBackend;

use super::{Change, EngineError, wire};
use crate::{Durability, Options};

/// Length and checksum of the rest, number.
const HEADER_BYTES: usize = 4 + 4 + 8;
/// The file grows by this many bytes of zeros at a time: the sync of an entry then need not bring
/// the file's new length to the disk too, which costs several times the entry.
const GROW_BYTES: u64 = 512 * 1024;
/// A buffer above this is not kept for the next commit.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Journal {
    file: Box<dyn StorageBackend>,
    durability: Durability,
    /// Where a chain is long enough for a checkpoint.
    bytes_max: u64,
    /// Where the next entry goes.
    end: u64,
    /// The file's length, all of it written before.
    len: u64,
    /// The number of the last commit.
    last: u64,
    /// Kept to be filled again.
    buffer: Vec<u8>,
}

/// A commit found in the journal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) changes: Vec<Change>,
}

impl Journal {
    /// Takes over the file; `applied` is the number of the last commit that the tables hold. Gives the
    /// commits that they lack.
    pub(super) fn open(
        file: Box<dyn StorageBackend>,
        applied: u64,
        options: &Options,
    ) -> Result<(Self, Vec<Entry>), EngineError> {
        let len = file.len().map_err(|source| failed("look at the journal", source))?;
        let content = content(&*file, len).map_err(|source| failed("read the journal", source))?;
        let mut missing = Vec::new();
        for (number, changes) in chain(content).filter(|(number, _)| applied < *number) {
            let expected = applied + 1 + missing.len() as u64;
            if number != expected {
                let what = format!("the journal has commit {number} where {expected} must be");
                return Err(EngineError::Damaged { what });
            }
            let changes = wire::decode(changes).ok_or_else(|| EngineError::Damaged {
                what: format!("commit {number} of the journal cannot be read"),
            })?;
            missing.push(Entry { number, changes });
        }
        let last = applied + missing.len() as u64;
        // Whoever opens it checkpoints what was missing, so the chain begins anew.
        let (durability, bytes_max) = (options.durability, options.journal_bytes_max);
        let buffer = Vec::new();
        Ok((Self { file, durability, bytes_max, end: 0, len, last, buffer }, missing))
    }

    /// Whether the tables should be checkpointed before the next entry.
    pub(super) fn is_long(&self) -> bool {
        self.bytes_max <= self.end
    }

    /// Whether the tables hold more than their last checkpoint.
    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// The tables hold everything on stable storage: the chain begins anew.
    pub(super) fn restart(&mut self) -> Result<(), EngineError> {
        // One large commit does not make the file large for ever.
        if self.bytes_max.saturating_mul(2) < self.end {
            let cut = self.file.set_len(self.bytes_max);
            cut.map_err(|source| failed("cut the journal", source))?;
            self.len = self.bytes_max;
        }
        self.end = 0;
        // Only spares the next start from reading the old chain, so it need not be synced.
        let emptied = self.file.write(0, &[0; HEADER_BYTES]);
        emptied.map_err(|source| failed("empty the journal", source))
    }

    /// Writes a commit, on stable storage when this returns; gives its number.
    pub(super) fn write(&mut self, changes: &[Change]) -> Result<u64, EngineError> {
        let number = self.last + 1;
        self.buffer.clear();
        self.buffer.put_bytes(0, 8);
        self.buffer.put_u64_le(number);
        wire::encode(changes, &mut self.buffer);
        let (head, rest) = self.buffer.split_at_mut(8);
        let len = u32::try_from(rest.len()).map_err(|source| EngineError::Failed {
            tried: "write a commit over four gibibytes",
            source: Box::new(source),
        })?;
        head[..4].copy_from_slice(&len.to_le_bytes());
        head[4..].copy_from_slice(&crc32fast::hash(rest).to_le_bytes());

        self.grow(self.end + self.buffer.len() as u64)?;
        let written = self.file.write(self.end, &self.buffer);
        written.map_err(|source| failed("write the journal", source))?;
        if self.durability == Durability::Synced {
            self.file.sync_data().map_err(|source| failed("sync the journal", source))?;
        }
        self.end += self.buffer.len() as u64;
        self.last = number;
        if BUFFER_BYTES_KEPT < self.buffer.capacity() {
            self.buffer = Vec::new();
        }
        Ok(number)
    }
}

impl Journal {
    /// Makes the file at least this long.
    fn grow(&mut self, len: u64) -> Result<(), EngineError> {
        while self.len < len {
            let grown = self.file.write(self.len, &vec![0; GROW_BYTES as usize]);
            grown.map_err(|source| failed("make the journal longer", source))?;
            self.len += GROW_BYTES;
        }
        Ok(())
    }
}

/// What the file holds; nothing if its chain is empty.
fn content(file: &dyn StorageBackend, len: u64) -> io::Result<Bytes> {
    let mut header = [0; HEADER_BYTES];
    let empty = len < HEADER_BYTES as u64 || {
        file.read(0, &mut header)?;
        header == [0; HEADER_BYTES]
    };
    let mut content = vec![0; if empty { 0 } else { len as usize }];
    file.read(0, &mut content)?;
    Ok(content.into())
}

/// The chain at the start of `content`: the number of each commit and its changes.
fn chain(mut content: Bytes) -> impl Iterator<Item = (u64, Bytes)> {
    let mut last = None;
    std::iter::from_fn(move || {
        if content.remaining() < HEADER_BYTES {
            return None;
        }
        let len = content.get_u32_le() as usize;
        let checksum = content.get_u32_le();
        if len < 8 || content.remaining() < len {
            return None;
        }
        let mut rest = content.split_to(len);
        if crc32fast::hash(&rest) != checksum {
            return None;
        }
        let number = rest.get_u64_le();
        if last.is_some_and(|last| number != last + 1) {
            return None;
        }
        last = Some(number);
        Some((number, rest))
    })
}

pub(super) fn failed(tried: &'static str, source: io::Error) -> EngineError {
    let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    if full {
        EngineError::Full { source: Some(source) }
    } else {
        EngineError::Failed { tried, source: Box::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, path::Path};

    use redb::backends::FileBackend;

    use super::*;
    use crate::engine::StreamId;

    fn file(path: &Path) -> Box<dyn StorageBackend> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).unwrap();
        Box::new(FileBackend::new(file).unwrap())
    }

    fn append(number: u64) -> Vec<Change> {
        let record = Bytes::from(format!("record {number}"));
        vec![Change::Append { id: StreamId(1), start: number, records: vec![record] }]
    }

    fn open(path: &Path, applied: u64) -> (Journal, Vec<u64>) {
        let (journal, missing) = Journal::open(file(path), applied, &Options::default()).unwrap();
        for entry in &missing {
            assert_eq!(entry.changes, append(entry.number));
        }
        (journal, missing.into_iter().map(|entry| entry.number).collect())
    }

    #[test]
    fn what_the_tables_lack_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, missing) = open(&path, 0);
        assert_eq!(missing, []);
        for number in 1..=5 {
            assert_eq!(journal.write(&append(number)).unwrap(), number);
        }
        assert_eq!(open(&path, 0).1, [1, 2, 3, 4, 5]);
        assert_eq!(open(&path, 3).1, [4, 5]);
        assert_eq!(open(&path, 5).1, []);
    }

    #[test]
    fn a_chain_that_begins_anew_hides_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = open(&path, 0);
        (1..=5).for_each(|number| assert_eq!(journal.write(&append(number)).unwrap(), number));
        journal.restart().unwrap();
        (6..=7).for_each(|number| assert_eq!(journal.write(&append(number)).unwrap(), number));
        assert_eq!(open(&path, 5).1, [6, 7]);
    }

    #[test]
    fn a_torn_or_damaged_entry_ends_the_chain() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = open(&path, 0);
        (1..=3).for_each(|number| assert_eq!(journal.write(&append(number)).unwrap(), number));
        let mut whole = std::fs::read(&path).unwrap();
        whole.truncate(journal.end as usize);
        let entry = whole.len() / 3;
        for cut in 2 * entry..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(open(&path, 0).1, [1, 2], "cut at {cut}");
            let mut flipped = whole.clone();
            flipped[cut] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            assert_eq!(open(&path, 0).1, [1, 2], "flipped at {cut}");
        }
    }

    #[test]
    fn a_journal_that_does_not_continue_the_tables_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = open(&path, 9);
        journal.write(&append(10)).unwrap();
        let refused = Journal::open(file(&path), 3, &Options::default());
        assert!(matches!(refused, Err(EngineError::Damaged { .. })), "{refused:?}");
    }
}
