//! The bytes of one file: as programs see them, and as the disk has them.

use std::collections::BTreeSet;

use super::random::Random;

const SECTOR: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct Inode {
    /// As programs see it.
    pub(crate) current: Vec<u8>,
    /// What a power cut cannot take away.
    pub(crate) durable: Vec<u8>,
    pub(crate) pending: Vec<Change>,
    /// Blocks that take room.
    pub(crate) blocks: BTreeSet<usize>,
    /// In this life.
    pub(crate) sync_failed: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    pub(crate) fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Bytes(at, bytes) => {
                let end = at + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at..end].copy_from_slice(bytes);
            }
            Self::Length(len) => to.resize(*len, 0),
        }
    }

    /// Each sector of it as a change of its own.
    fn sectors(&self) -> Vec<Self> {
        match self {
            Self::Bytes(at, bytes) => {
                let first = (SECTOR - at % SECTOR).min(bytes.len());
                let (head, rest) = bytes.split_at(first);
                let mut sectors = vec![Self::Bytes(*at, head.to_vec())];
                for (index, sector) in rest.chunks(SECTOR).enumerate() {
                    sectors.push(Self::Bytes(at + first + index * SECTOR, sector.to_vec()));
                }
                sectors
            }
            Self::Length(_) => vec![self.clone()],
        }
    }
}

/// What of the pending changes is there after all.
pub(crate) fn survivors<T>(random: &mut Random, pending: Vec<T>) -> Vec<T> {
    match random.below(4) {
        0 => pending,
        1 => Vec::new(),
        2 => {
            let kept = random.below(pending.len() as u64 + 1) as usize;
            pending.into_iter().take(kept).collect()
        }
        _ => pending.into_iter().filter(|_| random.chance(50)).collect(),
    }
}

impl Inode {
    /// Brings pending changes to the disk as far as chance has it.
    pub(crate) fn tear(&mut self, random: &mut Random) {
        let pending = std::mem::take(&mut self.pending);
        let length = pending.iter().fold(self.durable.len(), |len, change| match change {
            Change::Bytes(at, bytes) => len.max(at + bytes.len()),
            Change::Length(len) => *len,
        });
        let whole = random.chance(50);
        let pending = match whole {
            true => pending,
            false => pending.iter().flat_map(Change::sectors).collect(),
        };
        for change in survivors(random, pending) {
            change.apply(&mut self.durable);
        }
        if self.durable.len() < length && random.chance(50) {
            self.durable.resize(length, 0);
        }
    }
}
