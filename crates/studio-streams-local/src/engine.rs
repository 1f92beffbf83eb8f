//! Where the bytes lie: the seam under the store's own rules.

mod disk;
mod files;
mod journal;
mod memory;
mod page;
mod tables;
mod wire;

pub use disk::DiskEngine;
pub use files::Files;
pub use memory::{MemoryEngine, Pause};

use bytes::Bytes;
use studio_streams::ProducerState;

/// Which life of which stream. Never used twice, so nothing of a deleted stream shows in the one
/// that takes over its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// Why the engine could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// There is no room on the disk.
    #[error("the disk is full")]
    Full {
        /// What the operating system said, if it was asked.
        source: Option<std::io::Error>,
    },
    /// The engine was closed.
    #[error("the store is stopped")]
    Stopped,
    /// What lies on the disk is not what was written.
    #[error("the data is damaged: {what}")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// Anything else.
    #[error("the engine failed to {tried}")]
    Failed {
        /// What was tried.
        tried: &'static str,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// One stream as the engine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRow {
    /// Which one.
    pub id: StreamId,
    /// Bytes of all its records.
    pub tail: u64,
    /// Whether it takes no more appends.
    pub closed: bool,
}

/// One step of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A stream begins. Ids only grow.
    Create {
        /// Its path.
        path: String,
        /// Its id.
        id: StreamId,
    },
    /// Records are added behind position `start`, which is the stream's tail.
    Append {
        /// To which stream.
        id: StreamId,
        /// The tail before them.
        start: u64,
        /// The records, none empty.
        records: Vec<Bytes>,
    },
    /// A producer has come this far on a stream.
    Producer {
        /// On which stream.
        id: StreamId,
        /// Which producer.
        producer: String,
        /// How far.
        state: ProducerState,
    },
    /// A stream takes no more appends.
    Close {
        /// Which path.
        path: String,
        /// Which stream.
        id: StreamId,
    },
    /// A stream is gone at once; its rows are removed bit by bit by [`Change::Sweep`].
    Delete {
        /// Which path.
        path: String,
        /// Which stream.
        id: StreamId,
    },
    /// Removes at most so many rows of deleted streams.
    Sweep {
        /// How many.
        rows: u32,
    },
}

/// A place to read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the first record.
    Start,
    /// After the last one.
    End,
    /// After the record that ends here.
    At(u64),
}

/// Which way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What follows the place.
    On,
    /// What stands before it.
    Back,
}

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// From which stream.
    pub path: &'a str,
    /// Only from this life of it.
    pub id: Option<StreamId>,
    /// From where.
    pub place: Place,
    /// Which way.
    pub way: Way,
    /// Most records; at least one is read if there is one. `0` = none, only the place.
    pub max: usize,
}

/// What was read, all of one moment.
#[derive(Debug)]
pub enum Answer {
    /// There is no such stream.
    NoStream,
    /// No record of the stream ends there.
    NoPlace,
    /// A piece of it.
    Chunk {
        /// The stream as it was.
        row: StreamRow,
        /// Records in stream order, each with the position of its end.
        records: Vec<(u64, Bytes)>,
        /// Where to read on in the same way.
        next: u64,
    },
}

/// Keeps streams. One thread calls `commit`; any thread may read at the same time and sees only
/// what was committed.
pub trait LogEngine: Send + Sync + 'static {
    /// All of it or nothing, on stable storage when this returns. After a failure nothing more is
    /// committed; whether the failed changes are there is only known after the next open.
    fn commit(&self, changes: &[Change]) -> Result<(), EngineError>;

    /// Whether this many further bytes may be written; asked before a commit.
    fn room_for(&self, bytes: u64) -> Result<(), EngineError>;

    /// The stream of this path.
    fn stream(&self, path: &str) -> Result<Option<StreamRow>, EngineError>;

    /// How far this producer has come.
    fn producer(&self, id: StreamId, producer: &str) -> Result<Option<ProducerState>, EngineError>;

    /// A piece of a stream: at most a page.
    fn read(&self, ask: Ask<'_>) -> Result<Answer, EngineError>;

    /// Paths that begin with `prefix` and sort after `after`, sorted, at most `max`.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<String>, EngineError>;

    /// The smallest id that no stream has had.
    fn next_id(&self) -> Result<StreamId, EngineError>;

    /// Whether rows of deleted streams wait for a [`Change::Sweep`].
    fn has_leftovers(&self) -> Result<bool, EngineError>;

    /// Work that makes later starts quick; called when nothing waits and at the end.
    fn settle(&self) -> Result<(), EngineError>;

    /// Lets go of all files. Everything fails with [`EngineError::Stopped`] from then on.
    fn close(&self);
}
