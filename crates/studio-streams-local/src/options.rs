use studio_streams::{Clock, PAGE_BYTES_SOFT_MAX};

/// When an append counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on stable storage: it survives a power cut.
    #[default]
    Synced,
    /// Once the operating system has it: it survives a kill of the process, not of the machine.
    /// For tests and for data that can be made again.
    Unsynced,
}

/// How a store behaves. The defaults are right for one server on one machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// When an append counts as written.
    pub durability: Durability,
    /// Appends (creates, closes, deletes) that may wait for the committer; one more is refused
    /// with [`Busy`](studio_streams::StreamError::Busy).
    pub queued_commands_max: usize,
    /// Bytes of records that may wait for the committer; what would go over is refused with
    /// [`Busy`](studio_streams::StreamError::Busy), unless nothing else waits.
    pub queued_bytes_max: usize,
    /// Records of one followed stream that are kept in memory for its followers. One who is
    /// further behind reads pages from the disk.
    pub ring_frames_max: usize,
    /// Bytes of records of one followed stream that are kept in memory for its followers.
    pub ring_bytes_max: usize,
    /// Reads of the disk that run at the same time; further ones wait their turn.
    pub reads_at_once_max: usize,
    /// Memory the engine may use for pages of its file, in bytes.
    pub cache_bytes: usize,
    /// Bytes of the journal after which the tables are brought to stable storage: what a start
    /// after a crash has to do again.
    pub journal_bytes_max: u64,
    /// Free bytes that stay on the disk: with less, appends are refused with
    /// [`ReadOnly`](studio_streams::StreamError::ReadOnly) until there is room again.
    pub reserve_bytes: u64,
    /// Where a page ends: one more record would bring it over this many bytes. A single record
    /// may be larger.
    pub page_bytes: usize,
    /// Producers that one stream knows at most. For one more, those are forgotten that were not
    /// heard of for [`Self::producer_days`]; are there none, the newcomer is refused.
    pub producers_max: u64,
    /// How many days a producer is known at least after its last append.
    pub producer_days: u64,
    /// What streams expire by.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Synced,
            queued_commands_max: 1_024,
            queued_bytes_max: 64 * 1024 * 1024,
            ring_frames_max: 1_024,
            ring_bytes_max: 1024 * 1024,
            reads_at_once_max: 8,
            cache_bytes: 16 * 1024 * 1024,
            journal_bytes_max: 8 * 1024 * 1024,
            reserve_bytes: 32 * 1024 * 1024,
            page_bytes: PAGE_BYTES_SOFT_MAX,
            producers_max: 1_000,
            producer_days: 7,
            clock: Clock::default(),
        }
    }
}
