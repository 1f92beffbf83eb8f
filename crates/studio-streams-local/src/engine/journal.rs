//! The journal before the tables: a commit is one sequential write and one sync here, and the
//! tables' own, dearer commits are made now and then for many of them.
//!
//! The file is a chain of entries from its start, each with the number of its commit; numbers go
//! up by one. After a checkpoint of the tables the chain begins anew at the start of the file, over
//! the old one. What follows the end of the chain is torn (its checksum is wrong) or old (its
//! number is not larger). An entry is written once the one before it is on stable storage, so a
//! larger number behind the end means that the chain was damaged: that is never taken for a torn
//! end.
//!
//! Checksums and numbers are mixed with a number that only this store knows, so that nobody can
//! bring records that look like entries.

use std::io;

use bytes::{Buf, BufMut, Bytes};
use redb::StorageBackend;

use super::{Change, EngineError, wire};
use crate::{Durability, Options};

/// Length and checksum of the rest, number. The number is mixed with the salt.
const HEADER_BYTES: usize = 4 + 4 + 8;
/// The file grows by this many bytes of zeros at a time: the sync of an entry then need not bring
/// the file's new length to the disk too, which costs several times the entry.
const GROW_BYTES: u64 = 512 * 1024;
/// Commits that one journal can hold at most, generously.
const NUMBERS_AHEAD_MAX: u64 = 100_000_000;
/// A piece of a journal that no entry begins in.
const ZEROS: [u8; 1024] = [0; 1024];
/// A buffer above this is not kept for the next commit.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;

/// What makes the entries of one store its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Salt {
    /// Format 1 had none.
    Without,
    Of(u64),
}

impl Salt {
    fn checksum(self, rest: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        if let Self::Of(salt) = self {
            hasher.update(&salt.to_le_bytes());
        }
        hasher.update(rest);
        hasher.finalize()
    }

    /// There and back.
    fn mix(self, number: u64) -> u64 {
        match self {
            Self::Without => number,
            Self::Of(salt) => number ^ salt,
        }
    }
}

#[derive(Debug)]
pub(super) struct Journal {
    file: Box<dyn StorageBackend>,
    salt: Salt,
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
        salt: Salt,
        options: &Options,
    ) -> Result<(Self, Vec<Entry>), EngineError> {
        let len = file.len().map_err(|source| failed("look at the journal", source))?;
        let content = content(&*file, len).map_err(|source| failed("read the journal", source))?;
        let found = find(content, applied, salt, options.clock.now());
        // Without syncs the disk may have kept a later entry and lost an earlier one.
        let must_be_whole = options.durability == Durability::Synced;
        if let Some(what) = found.damage.filter(|_| must_be_whole) {
            return Err(EngineError::Damaged { what });
        }
        let missing = found.missing;
        let last = applied + missing.len() as u64;
        // Whoever opens it checkpoints what was missing, so the chain begins anew.
        let (durability, bytes_max) = (options.durability, options.journal_bytes_max);
        let buffer = Vec::new();
        Ok((Self { file, salt, durability, bytes_max, end: 0, len, last, buffer }, missing))
    }

    /// The number of the last commit.
    pub(super) fn last(&self) -> u64 {
        self.last
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

    /// Writes a commit, on stable storage when this returns; gives its number. After
    /// [`EngineError::Full`] the commit is not there, and the next one takes its place.
    pub(super) fn write(&mut self, changes: &[Change]) -> Result<u64, EngineError> {
        let number = self.last + 1;
        self.buffer.clear();
        self.buffer.put_bytes(0, 8);
        self.buffer.put_u64_le(self.salt.mix(number));
        wire::encode(changes, &mut self.buffer)?;
        let (head, rest) = self.buffer.split_at_mut(8);
        let len = u32::try_from(rest.len()).map_err(|source| EngineError::Failed {
            tried: "write a commit over four gibibytes",
            source: Box::new(source),
        })?;
        head[..4].copy_from_slice(&len.to_le_bytes());
        head[4..].copy_from_slice(&self.salt.checksum(rest).to_le_bytes());

        self.grow(self.end + self.buffer.len() as u64)?;
        let written = self.file.write(self.end, &self.buffer);
        written.map_err(|source| failed("write the journal", source))?;
        if self.durability == Durability::Synced {
            self.file.sync_data().map_err(not_synced)?;
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

pub(super) fn content(file: &dyn StorageBackend, len: u64) -> io::Result<Bytes> {
    let mut content = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read(0, &mut content)?;
    Ok(content.into())
}

/// What a journal has of commits that the tables lack.
pub(super) struct Found {
    pub(super) missing: Vec<Entry>,
    /// Why that may not be all.
    pub(super) damage: Option<String>,
}

pub(super) fn find(content: Bytes, applied: u64, salt: Salt, now: u64) -> Found {
    let mut missing: Vec<Entry> = Vec::new();
    let mut chain = Chain { content, last: None, salt };
    let mut damage = None;
    for (number, changes) in chain.by_ref().filter(|(number, _)| applied < *number) {
        let expected = applied + 1 + missing.len() as u64;
        if number != expected {
            damage = Some(format!("the journal has commit {number} where {expected} must be"));
            break;
        }
        let Some(changes) = wire::decode(changes, now) else {
            damage = Some(format!("commit {number} of the journal cannot be read"));
            break;
        };
        missing.push(Entry { number, changes });
    }
    let last = applied + missing.len() as u64;
    if damage.is_none()
        && let Some(number) = later_entry(&chain.content, last, salt)
    {
        damage = Some(format!(
            "the journal breaks off after commit {last}, and commit {number} stands behind the break (`studio streams check` tells more)"
        ));
    }
    Found { missing, damage }
}

/// The entries at the start of `content`: the number of each commit and its changes.
struct Chain {
    /// What follows the entries that were given.
    content: Bytes,
    last: Option<u64>,
    salt: Salt,
}

impl Iterator for Chain {
    type Item = (u64, Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        let (number, len) = entry(&self.content, self.salt)?;
        if self.last.is_some_and(|last| number != last + 1) {
            return None;
        }
        self.last = Some(number);
        let mut entry = self.content.split_to(len);
        entry.advance(HEADER_BYTES);
        Some((number, entry))
    }
}

/// The number and the length of the whole entry at the start of `content`.
fn entry(content: &[u8], salt: Salt) -> Option<(u64, usize)> {
    let mut header = content.get(..HEADER_BYTES)?;
    let len = header.get_u32_le() as usize;
    let checksum = header.get_u32_le();
    let number = salt.mix(header.get_u64_le());
    if len < 8 {
        return None;
    }
    let rest = content.get(8..)?.get(..len)?;
    (salt.checksum(rest) == checksum).then_some((number, 8 + len))
}

/// The number of an entry anywhere in `content` that was written after commit `last`.
fn later_entry(content: &[u8], last: u64, salt: Salt) -> Option<u64> {
    if matches!(salt, Salt::Without) {
        // Without a salt, records that look like entries cannot be told from them.
        return None;
    }
    // A number that is far off is none: this spares most of the checksums.
    let near = last + 1..=last.saturating_add(NUMBERS_AHEAD_MAX);
    let mut at = 0;
    while let Some(number) = content.get(at + 8..).and_then(<[u8]>::first_chunk) {
        let number = u64::from_le_bytes(*number);
        // Most of a journal is zeros, and no entry has the length zero.
        if number == 0 && content[at..].starts_with(&ZEROS) {
            at += ZEROS.len() - 3;
            continue;
        }
        if near.contains(&salt.mix(number))
            && let Some((number, _)) = entry(&content[at..], salt)
        {
            return Some(number);
        }
        at += 1;
    }
    None
}

/// A sync that failed leaves it open what is on the disk, also when the disk is full.
fn not_synced(source: io::Error) -> EngineError {
    EngineError::Failed { tried: "sync the journal", source: Box::new(source) }
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

    fn try_open(path: &Path, applied: u64) -> Result<(Journal, Vec<Entry>), EngineError> {
        Journal::open(file(path), applied, Salt::Of(0x5a17), &Options::default())
    }

    fn open(path: &Path, applied: u64) -> (Journal, Vec<u64>) {
        let (journal, missing) = try_open(path, applied).unwrap();
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
        assert!(missing.is_empty());
        for number in 1..=5 {
            assert_eq!(journal.write(&append(number)).unwrap(), number);
        }
        assert_eq!(open(&path, 0).1, [1, 2, 3, 4, 5]);
        assert_eq!(open(&path, 3).1, [4, 5]);
        assert!(open(&path, 5).1.is_empty());
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
    fn damage_in_the_middle_is_not_taken_for_a_torn_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = open(&path, 0);
        (1..=4).for_each(|number| assert_eq!(journal.write(&append(number)).unwrap(), number));
        let whole = std::fs::read(&path).unwrap();
        let three = journal.end as usize / 4 * 3;
        // Wherever it is, the first entry and the lengths included.
        for at in 0..three {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let refused = try_open(&path, 0);
            assert!(matches!(refused, Err(EngineError::Damaged { .. })), "flipped at {at}");
        }
        // A lost sector too.
        let mut damaged = whole;
        damaged[..three].fill(0);
        std::fs::write(&path, &damaged).unwrap();
        assert!(matches!(try_open(&path, 0), Err(EngineError::Damaged { .. })));
    }

    #[test]
    fn records_that_look_like_entries_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = open(&path, 0);
        // As one who does not know the salt would make it: the next commit of the chain.
        let mut forged = vec![0; 8];
        forged.put_u64_le(2);
        let checksum = crc32fast::hash(&forged[8..]);
        forged[..4].copy_from_slice(&8u32.to_le_bytes());
        forged[4..8].copy_from_slice(&checksum.to_le_bytes());
        let records = vec![Bytes::from(forged)];
        journal.write(&[Change::Append { id: StreamId(1), start: 0, records }]).unwrap();
        journal.restart().unwrap();
        let (_, missing) = try_open(&path, 1).unwrap();
        assert!(missing.is_empty());
    }

    #[test]
    fn a_journal_that_does_not_continue_the_tables_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = open(&path, 9);
        journal.write(&append(10)).unwrap();
        let refused = try_open(&path, 3);
        assert!(matches!(refused, Err(EngineError::Damaged { .. })), "{refused:?}");
    }
}
