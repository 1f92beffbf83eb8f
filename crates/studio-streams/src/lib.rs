//! The port to durable streams: every fact of the studio is a record in one of them.
//!
//! Reading order: [`StreamPath`] (which stream), [`Offset`] (where in it), [`Batch`] and
//! [`ProducerStamp`] (what is appended, and by whom), [`StreamStore`] (the port),
//! [`SessionWriter`] (one owner of what a server writes to one stream),
//! [`MemoryStreams`] (the store for tests), `contract` (the tests every store passes; a feature).

#[cfg(feature = "contract")]
pub mod contract;
mod follow;
mod frame;
mod memory;
mod offset;
mod path;
mod producer;
mod record;
mod store;
mod writer;

pub use follow::{Follow, FollowSource};
pub use frame::Frame;
pub use memory::MemoryStreams;
pub use offset::{BadOffset, Offset};
pub use path::{BadPath, StreamPath};
pub use producer::{ProducerState, Verdict};
pub use record::{
    Appended, BadBatch, BadProducer, Batch, CreateOptions, Created, Head, PAGE_BYTES_SOFT_MAX,
    Page, ProducerId, ProducerStamp, RECORD_BYTES_MAX, Record,
};
pub use store::{StreamError, StreamStore};
pub use writer::SessionWriter;
