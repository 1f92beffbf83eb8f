use std::sync::OnceLock;

use bytes::Bytes;

use crate::{Offset, Record};

/// A record on its way to readers, shared by all of them.
///
/// What a reader makes of it (a server-sent event) is made once and kept beside it, so a
/// thousand readers cost one encoding.
#[derive(Debug)]
pub struct Frame {
    record: Record,
    encoded: [OnceLock<Option<Bytes>>; 2],
}

/// For whom a frame is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Browsers and others that ask the studio for a session's events.
    Events,
    /// Clients of the Durable Streams protocol.
    Protocol,
}

impl Frame {
    /// A frame of this record.
    pub fn new(record: Record) -> Self {
        Self { record, encoded: Default::default() }
    }

    /// The place after the record.
    pub fn offset(&self) -> &Offset {
        &self.record.offset
    }

    /// The record's bytes.
    pub fn data(&self) -> &Bytes {
        &self.record.data
    }

    /// The record itself.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What `encode` makes of the record for these readers; called once, whoever asks first. All
    /// of them must bring the same function. `None` = not for readers.
    pub fn encoded(
        &self,
        encoding: Encoding,
        encode: impl FnOnce(&Record) -> Option<Bytes>,
    ) -> Option<&Bytes> {
        let [events, protocol] = &self.encoded;
        let place = match encoding {
            Encoding::Events => events,
            Encoding::Protocol => protocol,
        };
        place.get_or_init(|| encode(&self.record)).as_ref()
    }
}
