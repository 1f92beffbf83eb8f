use std::{fmt, str::FromStr, sync::Arc};

use bytes::Bytes;

use crate::{Head, Offset};

/// Largest record, in bytes. An agent's line may reach a little over a mebibyte (spec 21); what
/// is larger is cut by who writes it.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where a page ends: one more record would bring it over this many bytes. A single record may be
/// larger.
pub const PAGE_BYTES_SOFT_MAX: usize = 1024 * 1024;

/// Most records in one batch.
const BATCH_RECORDS_MAX: usize = 10_000;

/// A batch that no store takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBatch {
    /// Nothing to append.
    #[error("a batch must hold at least one record")]
    Empty,
    /// A record without bytes: not a JSON value, and it would share its offset with another.
    #[error("a record must not be empty")]
    EmptyRecord,
    /// More records than one append may carry.
    #[error("a batch must hold at most {BATCH_RECORDS_MAX} records")]
    TooMany,
    /// A record over [`RECORD_BYTES_MAX`].
    #[error("a record of {bytes} bytes is over the limit of {RECORD_BYTES_MAX} bytes")]
    TooLarge {
        /// The record's size.
        bytes: usize,
    },
}

/// What one append writes: all of it or nothing, in this order. Each record is one JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch(Vec<Bytes>);

impl Batch {
    /// A batch of these records.
    pub fn new(records: Vec<Bytes>) -> Result<Self, BadBatch> {
        if records.is_empty() {
            return Err(BadBatch::Empty);
        }
        if BATCH_RECORDS_MAX < records.len() {
            return Err(BadBatch::TooMany);
        }
        if records.iter().any(Bytes::is_empty) {
            return Err(BadBatch::EmptyRecord);
        }
        match records.iter().map(Bytes::len).find(|&bytes| RECORD_BYTES_MAX < bytes) {
            Some(bytes) => Err(BadBatch::TooLarge { bytes }),
            None => Ok(Self(records)),
        }
    }

    /// The records.
    pub fn records(&self) -> &[Bytes] {
        &self.0
    }

    /// The records, handed over.
    pub fn into_records(self) -> Vec<Bytes> {
        self.0
    }

    /// Bytes in all records.
    pub fn size_bytes(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }
}

/// Who appends with a sequence of its own. At most 256 bytes of visible ASCII.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProducerId(Arc<str>);

impl ProducerId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProducerId({})", self.0)
    }
}

/// A text that cannot be a producer's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a producer id is 1 to 256 bytes of visible ASCII")]
pub struct BadProducer;

impl FromStr for ProducerId {
    type Err = BadProducer;

    fn from_str(text: &str) -> Result<Self, BadProducer> {
        let good = (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if good { Ok(Self(text.into())) } else { Err(BadProducer) }
    }
}

/// What makes an append idempotent: the same stamp twice writes once.
///
/// Rules (Durable Streams, spec 20): a larger epoch must begin with `seq` 0 and fences all
/// smaller ones; within an epoch `seq` goes up by one; a `seq` that was written is a duplicate
/// (success), one that leaves a gap is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    /// Who.
    pub id: ProducerId,
    /// Which life of it.
    pub epoch: u64,
    /// Which append of that life, from 0.
    pub seq: u64,
}

/// What an append came to. From then on it outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Written now; `next` is the offset after the batch's last record.
    Written {
        /// After the batch.
        next: Offset,
    },
    /// Written before under the same stamp; nothing was written now. It is durable too.
    Duplicate {
        /// The stream's tail.
        next: Offset,
    },
}

impl Appended {
    /// The offset after the append, or the tail for a duplicate.
    pub fn next(&self) -> &Offset {
        match self {
            Self::Written { next } | Self::Duplicate { next } => next,
        }
    }
}

/// One record as it lies in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The place **after** it: reading from here goes on with the next one.
    pub offset: Offset,
    /// The record: one JSON value, as it was appended.
    pub data: Bytes,
}

/// A bounded piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The records, in stream order (for backwards reads too).
    pub records: Vec<Record>,
    /// Where to read on: forwards the place after the last record, backwards the place before
    /// the first one.
    pub next: Offset,
    /// Whether nothing followed (backwards: preceded) when the page was read.
    pub up_to_date: bool,
    /// The stream at the moment of the page.
    pub head: Head,
}
