//! Where the bytes lie: the seam under the store's own rules.

mod behind;
mod disk;
pub(crate) mod examine;
mod files;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod journal;
mod memory;
mod overlay;
mod page;
mod row;
mod tables;
mod trust;
mod wire;

pub use disk::{DiskEngine, StillFiles};
pub use files::Files;
pub use memory::{MemoryEngine, Pause};
pub(crate) use row::is_zero;
pub use row::{StreamId, StreamInfo, StreamRow};

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use studio_streams::ProducerState;

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

impl EngineError {
    /// The same where it is not known what is on the disk, so that nothing more may be written.
    fn not_undone(self) -> Self {
        match self {
            Self::Full { source: Some(source) } => {
                Self::Failed { tried: "write the tables: the disk is full", source: source.into() }
            }
            other @ (Self::Full { .. }
            | Self::Stopped
            | Self::Damaged { .. }
            | Self::Failed { .. }) => other,
        }
    }
}

/// One step of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A stream begins, or something else than its records and producers changes. Ids only grow.
    Put {
        /// Its path.
        path: String,
        /// Which stream.
        id: StreamId,
        /// What is kept of it from now on.
        info: Arc<StreamInfo>,
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
        /// When, in Unix milliseconds.
        at: u64,
    },
    /// A producer is not known any more.
    Forget {
        /// On which stream.
        id: StreamId,
        /// Which producer.
        producer: String,
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
    /// Where a page ends: one more record would bring it over this many bytes.
    pub bytes_max: usize,
}

/// What was read, all of one moment.
#[derive(Debug)]
pub enum Answer {
    /// There is no such stream.
    NoStream,
    /// No record of the stream ends there.
    NoPlace {
        /// The stream as it was.
        row: StreamRow,
    },
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

/// Where a fork would begin, all of one moment.
#[derive(Debug)]
pub enum ForkPoint {
    /// There is no such stream.
    NoStream,
    /// No record of the stream ends there.
    NoPlace,
    /// There.
    At {
        /// The source as it was.
        row: StreamRow,
        /// The position.
        at: u64,
        /// What follows of the append that goes on there, as many records as were asked for.
        next_append: Vec<Bytes>,
    },
}

/// A stream whose time may be over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Since when, in Unix milliseconds: [`StreamInfo::due`].
    pub at: u64,
    /// Its path.
    pub path: String,
    /// Which stream.
    pub id: StreamId,
}

/// What is kept of a producer on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Which producer.
    pub producer: String,
    /// How far it has come.
    pub state: ProducerState,
    /// When it was last heard of, in Unix milliseconds.
    pub at: u64,
}

/// What a compaction came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the tables' file before.
    pub bytes_before: u64,
    /// Bytes of the tables' file after.
    pub bytes_after: u64,
    /// How long it took.
    pub took: Duration,
}

/// Bytes in mebibytes, for words.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl std::fmt::Display for Compacted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (before, after) = (mebibytes(self.bytes_before), mebibytes(self.bytes_after));
        write!(f, "{before:.1} MiB to {after:.1} MiB in {:.1?}", self.took)
    }
}

/// Keeps streams. One thread calls `commit` and then `apply`; any thread may read at the same time
/// and sees all of what was committed before, and nothing else.
pub trait LogEngine: Send + Sync + 'static {
    /// All of it or nothing, on stable storage when this returns. After [`EngineError::Full`]
    /// nothing of it is there, and the next commit may be tried. After any other failure nothing
    /// more is committed; whether the failed changes are there is only known after the next open.
    fn commit(&self, changes: &[Change]) -> Result<(), EngineError>;

    /// Makes the commit that was just made ready to be read: between the two readers wait, whoever
    /// waits for the commit alone does not. After a failure nothing more is committed, and nothing
    /// is read until the next open, which finds the commit.
    fn apply(&self, _changes: &[Change]) -> Result<(), EngineError> {
        Ok(())
    }

    /// Whether this many further bytes may be written; asked before a commit.
    fn room_for(&self, bytes: u64) -> Result<(), EngineError>;

    /// The stream of this path.
    fn stream(&self, path: &str) -> Result<Option<StreamRow>, EngineError>;

    /// How far this producer has come.
    fn producer(&self, id: StreamId, producer: &str) -> Result<Option<ProducerState>, EngineError>;

    /// How many producers this stream knows.
    fn producer_count(&self, id: StreamId) -> Result<u64, EngineError>;

    /// All producers that this stream knows.
    fn producers(&self, id: StreamId) -> Result<Vec<Heard>, EngineError>;

    /// A piece of a stream: at most a page.
    fn read(&self, ask: Ask<'_>) -> Result<Answer, EngineError>;

    /// Where a fork of this stream would begin, with at most `max` records of the next append.
    fn fork_point(&self, path: &str, place: Place, max: u64) -> Result<ForkPoint, EngineError>;

    /// Paths of the streams that `wanted` wants, which begin with `prefix` and sort after `after`,
    /// sorted, at most `max`.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
        wanted: &dyn Fn(StreamId, &StreamInfo) -> bool,
    ) -> Result<Vec<String>, EngineError>;

    /// The streams with the smallest [`StreamInfo::due`], in that order, at most `max`.
    fn due(&self, max: usize) -> Result<Vec<Due>, EngineError>;

    /// The smallest id that no stream has had.
    fn next_id(&self) -> Result<StreamId, EngineError>;

    /// Whether rows of deleted streams wait for a [`Change::Sweep`].
    fn has_leftovers(&self) -> Result<bool, EngineError>;

    /// Work that makes later starts quick; called when nothing waits and at the end.
    fn settle(&self) -> Result<(), EngineError>;

    /// Gives room that is not used any more back to the disk; commits wait meanwhile. A failure
    /// leaves everything as it was, or lets the following commits fail.
    fn compact(&self) -> Result<Compacted, EngineError>;

    /// Lets go of all files. Everything fails with [`EngineError::Stopped`] from then on.
    fn close(&self);
}
