use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Appended, Batch, ContentType, Offset, ProducerStamp};

/// Longest [`Order`], in bytes.
const ORDER_BYTES_MAX: usize = 1024;

/// A text that is not an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order is 1 to {ORDER_BYTES_MAX} bytes of visible ASCII or blanks")]
pub struct BadOrder;

/// A writer's own order (`Stream-Seq`): each is to be greater than the last one that the stream
/// took, compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Order(Arc<str>);

impl Order {
    /// The order as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Order {
    type Err = BadOrder;

    fn from_str(text: &str) -> Result<Self, BadOrder> {
        let good = (1..=ORDER_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        if good { Ok(Self(text.into())) } else { Err(BadOrder) }
    }
}

impl TryFrom<String> for Order {
    type Error = BadOrder;

    fn try_from(text: String) -> Result<Self, BadOrder> {
        text.parse()
    }
}

impl From<Order> for String {
    fn from(order: Order) -> Self {
        order.as_str().to_owned()
    }
}

/// One write to a stream: records, the end, or both, all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub(crate) batch: Option<Batch>,
    pub(crate) close: bool,
    /// Who writes, so that a retry is written once.
    pub by: Option<ProducerStamp>,
    /// The writer's own order, if it has one.
    pub order: Option<Order>,
    /// What the writer takes the records for; another one than the stream's is refused.
    pub content_type: Option<ContentType>,
}

impl Write {
    /// Adds records.
    pub fn records(batch: Batch) -> Self {
        Self { batch: Some(batch), close: false, by: None, order: None, content_type: None }
    }

    /// Ends the stream, after these records if there are any.
    pub fn end(batch: Option<Batch>) -> Self {
        Self { batch, close: true, by: None, order: None, content_type: None }
    }

    /// The records.
    pub fn batch(&self) -> Option<&Batch> {
        self.batch.as_ref()
    }

    /// The records, handed over.
    pub fn into_batch(self) -> Option<Batch> {
        self.batch
    }

    /// Whether the stream takes nothing after this.
    pub fn closes(&self) -> bool {
        self.close
    }

    /// Bytes of all records.
    pub fn size_bytes(&self) -> usize {
        self.batch.as_ref().map_or(0, Batch::size_bytes)
    }
}

/// What a [`Write`] came to. It is durable, a duplicate's original too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The place after the write; the tail for a duplicate.
    pub next: Offset,
    /// Whether it was there before and nothing was written now.
    pub duplicate: bool,
    /// Whether the stream takes no more.
    pub closed: bool,
    /// The last sequence number that the stream took of this producer's epoch.
    pub last_seq: Option<u64>,
}

impl From<Written> for Appended {
    fn from(written: Written) -> Self {
        if written.duplicate {
            Self::Duplicate { next: written.next }
        } else {
            Self::Written { next: written.next }
        }
    }
}
