//! What is to go wrong, and what did.

/// What goes wrong in one life of the store, and before which operation of the disk. Reads are
/// counted on their own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    /// The power goes (or the process is killed: the same for who runs on it).
    pub(crate) cut_at: Option<u64>,
    /// The first sync from here on fails.
    pub(crate) sync_fails_at: Option<u64>,
    /// The first write from here on fails, perhaps after a part of it.
    pub(crate) write_fails_at: Option<u64>,
    /// This read fails.
    pub(crate) read_fails_at: Option<u64>,
    /// Others fill the disk up to this many bytes of room.
    pub(crate) full_at: Option<(u64, u64)>,
    /// What failed fails again.
    pub(crate) stays: bool,
}

/// What became of the faults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) operations: u64,
    pub(crate) cuts: u64,
    pub(crate) kills: u64,
    pub(crate) failed_syncs: u64,
    pub(crate) failed_writes: u64,
    pub(crate) failed_reads: u64,
    pub(crate) no_room: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.cuts += other.cuts;
        self.kills += other.kills;
        self.failed_syncs += other.failed_syncs;
        self.failed_writes += other.failed_writes;
        self.failed_reads += other.failed_reads;
        self.no_room += other.no_room;
    }
}
