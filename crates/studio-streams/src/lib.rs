//! The port to durable streams: every fact of the studio is a record in one of them.
//!
//! Reading order: [`StreamPath`] (which stream), [`Offset`] (where in it), [`Batch`],
//! [`ProducerStamp`] and [`Write`] (what is appended, and by whom), [`CreateOptions`] (how a
//! stream is made), [`StreamStore`] (the port), [`rules`] (what becomes of a create and a write),
//! [`SessionWriter`] (one owner of what a server writes to one stream), [`MemoryStreams`] (the
//! store for tests), [`copy`] (all of one store into another), `contract` (the tests every store
//! passes; a feature), `Disturb` (a store that tests disturb; the feature `testing`).

mod clock;
mod content_type;
#[cfg(feature = "contract")]
pub mod contract;
pub mod copy;
mod create;
#[cfg(feature = "testing")]
mod disturb;
mod follow;
mod frame;
mod memory;
mod offset;
mod path;
mod producer;
mod record;
pub mod rules;
mod store;
mod write;
mod writer;

pub use clock::Clock;
pub use content_type::{BadContentType, ContentType};
pub use create::{CreateOptions, Created, Expiry, Fork, Head};
#[cfg(feature = "testing")]
pub use disturb::Disturb;
pub use follow::{Follow, FollowSource, Frames};
pub use frame::{Encoding, Frame};
pub use memory::MemoryStreams;
pub use offset::{BadOffset, Offset};
pub use path::{BadPath, StreamPath};
pub use producer::{ProducerState, Verdict};
pub use record::{
    Appended, BadBatch, BadProducer, Batch, PAGE_BYTES_SOFT_MAX, Page, ProducerId, ProducerStamp,
    RECORD_BYTES_MAX, Record,
};
pub use rules::{StreamFacts, WriteVerdict};
pub use store::{Deleted, StreamError, StreamStore};
pub use write::{BadOrder, Order, Write, Written};
pub use writer::SessionWriter;
