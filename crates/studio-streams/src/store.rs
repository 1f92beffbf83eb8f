use async_trait::async_trait;

use crate::{
    Appended, Batch, CreateOptions, Created, Follow, Head, Offset, Page, ProducerStamp, StreamPath,
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
    /// It takes no more appends.
    #[error("stream {path} is closed")]
    Closed {
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
    /// The producer's sequence has a gap (or a new epoch does not begin with 0).
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
    /// Too much waits to be written; nothing was written. Worth a retry after a moment.
    #[error("too many appends are waiting")]
    Busy,
    /// The store takes no appends (disk full, failed sync, stopping); reads may still work.
    #[error("the store takes no appends: {reason}")]
    ReadOnly {
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

/// Durable streams of records. Kept as `Arc<dyn StreamStore>`; every implementation passes
/// the crate's `contract`.
#[async_trait]
pub trait StreamStore: Send + Sync {
    /// Makes the stream, durable when it returns. One that is there is left as it is.
    async fn create(
        &self,
        path: &StreamPath,
        options: CreateOptions,
    ) -> Result<Created, StreamError>;

    /// Adds the batch, all or nothing, and returns when it is on stable storage (so is a
    /// duplicate's original). Appends of one caller that are awaited one after the other stand
    /// in that order. Dropping the future does not take the append back.
    async fn append(
        &self,
        path: &StreamPath,
        batch: Batch,
        by: Option<ProducerStamp>,
    ) -> Result<Appended, StreamError>;

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

    /// The tail and whether it is closed.
    async fn head(&self, path: &StreamPath) -> Result<Head, StreamError>;

    /// Refuses appends from now on; followers end once they have read everything.
    async fn close(&self, path: &StreamPath) -> Result<(), StreamError>;

    /// Removes the stream; followers fail with [`StreamError::NotFound`]. Removing what is not
    /// there is success.
    async fn delete(&self, path: &StreamPath) -> Result<(), StreamError>;

    /// The paths that begin with `prefix` and sort after `after`, sorted, at most `max`.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&StreamPath>,
        max: usize,
    ) -> Result<Vec<StreamPath>, StreamError>;

    /// Whether an append would be taken now: a real question to the engine, for readiness.
    async fn ready(&self) -> Result<(), StreamError>;
}
