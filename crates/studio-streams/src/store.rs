use async_trait::async_trait;

use crate::{
    Appended, Batch, ContentType, CreateOptions, Created, Follow, Head, Offset, Page,
    ProducerStamp, StreamFacts, StreamPath, Verdict, Write, WriteVerdict, Written,
};

/// Why a stream could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// There is no such stream (or it was deleted).
    #[error("stream {path} does not exist")]
    NotFound {
        /// Which.
        path: StreamPath,
    },
    /// It was deleted, but forks of it still read it: its path is not free yet.
    #[error("stream {path} was deleted")]
    Gone {
        /// Which.
        path: StreamPath,
    },
    /// There is such a stream, made in another way.
    #[error("stream {path} exists and is another one: {what}")]
    Conflict {
        /// Which.
        path: StreamPath,
        /// What is in the way.
        what: &'static str,
    },
    /// A stream cannot begin in this way as a copy of another one.
    #[error("stream {path} cannot be forked: {what}")]
    BadFork {
        /// The other one.
        path: StreamPath,
        /// Why not.
        what: &'static str,
    },
    /// It takes no more appends.
    #[error("stream {path} is closed")]
    Closed {
        /// Which.
        path: StreamPath,
        /// The place after its last record.
        tail: Offset,
    },
    /// Its records are something else.
    #[error("stream {path} holds {holds}")]
    WrongContentType {
        /// Which.
        path: StreamPath,
        /// What its records are.
        holds: ContentType,
    },
    /// The writer's own order is not greater than the last one that the stream took.
    #[error("stream {path} has taken this order or a greater one before")]
    OutOfOrder {
        /// Which.
        path: StreamPath,
    },
    /// Not a place of this stream.
    #[error("offset {offset} is not a place of stream {path}")]
    BadOffset {
        /// Which stream.
        path: StreamPath,
        /// Which place.
        offset: Offset,
    },
    /// A newer life of the producer has written: this one is to stand down.
    #[error("producer {producer} is fenced on stream {path}: epoch {current} is in force")]
    Fenced {
        /// Which stream.
        path: StreamPath,
        /// Which producer.
        producer: String,
        /// The epoch in force.
        current: u64,
    },
    /// The producer opens a new epoch and does not begin with 0.
    #[error("producer {producer} opens epoch {epoch} on stream {path} with {got}, not with 0")]
    NotFromZero {
        /// Which stream.
        path: StreamPath,
        /// Which producer.
        producer: String,
        /// The new epoch.
        epoch: u64,
        /// The sequence number that came.
        got: u64,
    },
    /// The producer's sequence has a gap.
    #[error("producer {producer} sent {got} to stream {path} where {expected} was expected")]
    Gap {
        /// Which stream.
        path: StreamPath,
        /// Which producer.
        producer: String,
        /// The sequence number that may come.
        expected: u64,
        /// The one that came.
        got: u64,
    },
    /// The stream knows as many producers as it can, and heard of all of them lately.
    #[error("stream {path} knows {max} producers and takes no further one")]
    TooManyProducers {
        /// Which stream.
        path: StreamPath,
        /// How many it can know.
        max: u64,
    },
    /// Too much waits to be written; nothing was written. Worth a retry after a moment.
    #[error("too many appends are waiting")]
    Busy,
    /// The store takes no appends (disk full, failed sync, stopping); reads may still work.
    #[error("the store takes no appends: {reason}")]
    ReadOnly {
        /// Why.
        reason: String,
    },
    /// The store will never take it (too large, not JSON, no right to write); nothing was written.
    #[error("stream {path} does not take this: {reason}")]
    Refused {
        /// Which.
        path: StreamPath,
        /// Why.
        reason: String,
    },
    /// The store could not be reached or failed. The record may have been written all the same.
    #[error("stream {path} could not be {tried}")]
    Failed {
        /// Which stream.
        path: StreamPath,
        /// What was tried: `read`, `appended to`, …
        tried: &'static str,
        /// What the engine or the service said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StreamError {
    /// Why `write` is not taken by a stream that ends at `tail`; `None` = it is, or was before.
    pub fn refusal(
        path: &StreamPath,
        facts: &StreamFacts,
        tail: Offset,
        write: &Write,
        verdict: &WriteVerdict,
    ) -> Option<Self> {
        let path = path.clone();
        Some(match verdict {
            WriteVerdict::Take(_) | WriteVerdict::Duplicate { .. } => return None,
            WriteVerdict::Closed => Self::Closed { path, tail },
            WriteVerdict::WrongContentType => {
                Self::WrongContentType { path, holds: facts.content_type.clone() }
            }
            WriteVerdict::OutOfOrder => Self::OutOfOrder { path },
            WriteVerdict::Stamp(verdict) => {
                let stamp = write.by.as_ref()?;
                match verdict {
                    Verdict::Take(_) | Verdict::Duplicate => return None,
                    Verdict::Fenced { current } => Self::fenced(&path, stamp, *current),
                    Verdict::Gap { expected } => Self::gap(&path, stamp, *expected),
                    Verdict::NotFromZero => Self::NotFromZero {
                        path,
                        producer: stamp.id.as_str().to_owned(),
                        epoch: stamp.epoch,
                        got: stamp.seq,
                    },
                }
            }
        })
    }

    /// A stamp whose epoch is over.
    pub fn fenced(path: &StreamPath, stamp: &ProducerStamp, current: u64) -> Self {
        Self::Fenced { path: path.clone(), producer: stamp.id.as_str().to_owned(), current }
    }

    /// A stamp that leaves a gap.
    pub fn gap(path: &StreamPath, stamp: &ProducerStamp, expected: u64) -> Self {
        let producer = stamp.id.as_str().to_owned();
        Self::Gap { path: path.clone(), producer, expected, got: stamp.seq }
    }
}

/// What a delete came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The stream is gone now.
    Now,
    /// It was gone.
    Before,
    /// It was deleted before and its forks keep it.
    KeptByForks,
}

/// Durable streams of records. Kept as `Arc<dyn StreamStore>`; every implementation passes
/// the crate's `contract`.
#[async_trait]
pub trait StreamStore: Send + Sync {
    /// Makes the stream, durable when it returns. One that is there and was made in the same way
    /// is left as it is; another one is a [`StreamError::Conflict`].
    async fn create(
        &self,
        path: &StreamPath,
        options: CreateOptions,
    ) -> Result<Created, StreamError>;

    /// Writes records, the end of the stream, or both: all or nothing. On stable storage when it
    /// returns (so is a duplicate's original). Writes of one caller that are awaited one after
    /// the other stand in that order. Dropping the future does not take the write back.
    async fn write(&self, path: &StreamPath, write: Write) -> Result<Written, StreamError>;

    /// As [`Self::write`], only records.
    async fn append(
        &self,
        path: &StreamPath,
        batch: Batch,
        by: Option<ProducerStamp>,
    ) -> Result<Appended, StreamError> {
        let write = Write { by, ..Write::records(batch) };
        self.write(path, write).await.map(Appended::from)
    }

    /// Reads on from `from`: at most `max` records and about a mebibyte, at least one record if
    /// there is one.
    async fn read(&self, path: &StreamPath, from: Offset, max: usize) -> Result<Page, StreamError>;

    /// Reads the records that stand before `before` ([`Offset::Now`] = the last ones), at most
    /// `max` and about a mebibyte, in stream order.
    async fn read_back(
        &self,
        path: &StreamPath,
        before: Offset,
        max: usize,
    ) -> Result<Page, StreamError>;

    /// Catches up from `from` and then gets every record once it is durable.
    async fn follow(&self, path: &StreamPath, from: Offset) -> Result<Follow, StreamError>;

    /// What the stream is like. Unlike reads and writes this does not put off its expiry.
    async fn head(&self, path: &StreamPath) -> Result<Head, StreamError>;

    /// Refuses appends from now on; followers end once they have read everything.
    async fn close(&self, path: &StreamPath) -> Result<(), StreamError> {
        self.write(path, Write::end(None)).await.map(drop)
    }

    /// Removes the stream, durable when it returns; followers fail with
    /// [`StreamError::NotFound`] (or [`StreamError::Gone`]). Says whether there was one: removing
    /// what is not there is success. While there are forks of it, its path stays taken
    /// ([`StreamError::Gone`]) and the forks read on.
    async fn delete(&self, path: &StreamPath) -> Result<Deleted, StreamError>;

    /// The paths that begin with `prefix` and sort after `after`, sorted, at most `max`.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&StreamPath>,
        max: usize,
    ) -> Result<Vec<StreamPath>, StreamError>;

    /// Whether the store knows of a producer whatever it knows of its records, after a crash too.
    /// A service need not: there, who sends an append again looks for it first (a
    /// [`SessionWriter`](crate::SessionWriter) does).
    fn remembers_producers(&self) -> bool {
        true
    }

    /// Whether an append would be taken now: a real question to the engine, for readiness.
    async fn ready(&self) -> Result<(), StreamError>;
}
