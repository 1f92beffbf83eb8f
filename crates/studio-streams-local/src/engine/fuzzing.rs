//! Doors for `studio-fuzz` into what reads bytes from the disk. Not for anybody else.

use std::{io, sync::Arc};

use bytes::Bytes;
use redb::{StorageBackend, backends::InMemoryBackend};

use super::{
    Change, StreamInfo,
    files::AnyFile,
    journal::{self, Journal, Salt},
    wire,
};
use crate::Options;

/// The length of a journal's file here.
const JOURNAL_BYTES: u64 = 8 * 1024;

/// The changes that these bytes are.
pub fn changes(bytes: &[u8]) -> Option<Vec<Change>> {
    wire::decode(Bytes::copy_from_slice(bytes), 0)
}

/// These changes as bytes.
pub fn bytes(changes: &[Change]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match wire::encode(changes, &mut bytes) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// What is kept of a stream, if these bytes say it.
pub fn info(bytes: &[u8]) -> Option<Arc<StreamInfo>> {
    StreamInfo::from_bytes(bytes, "fuzzed").ok()
}

/// A journal's file with these commits, from number 1 on; all of them are short.
pub fn journal(commits: &[Vec<Change>], salt: u64) -> io::Result<Vec<u8>> {
    let file: Arc<dyn StorageBackend> = Arc::new(InMemoryBackend::new());
    // This one does not grow by itself.
    file.set_len(JOURNAL_BYTES)?;
    let options = Options::default();
    let opened = Journal::open(Box::new(AnyFile(file.clone())), 0, Salt::Of(salt), &options);
    let (mut journal, _) = opened.map_err(io::Error::other)?;
    for changes in commits {
        journal.write(changes).map_err(io::Error::other)?;
    }
    let mut content = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    file.read(0, &mut content)?;
    Ok(content)
}

/// The commits after `applied` in a journal's file, each with its number, and what is wrong with it.
pub fn commits(
    content: &[u8],
    applied: u64,
    salt: u64,
) -> (Vec<(u64, Vec<Change>)>, Option<String>) {
    let content = Bytes::copy_from_slice(content);
    let found = journal::find(content, applied, Salt::Of(salt), 0);
    let missing = found.missing.into_iter();
    (missing.map(|entry| (entry.number, entry.changes)).collect(), found.damage)
}
