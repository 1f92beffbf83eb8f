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
    encoded: OnceLock<Option<Bytes>>,
}

impl Frame {
    /// A frame of this record.
    pub fn new(record: Record) -> Self {
        Self { record, encoded: OnceLock::new() }
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

    /// What `encode` makes of the record; called once, whoever asks first. All readers of one
    /// stream must bring the same function. `None` = not for readers.
    pub fn encoded(&self, encode: impl FnOnce(&Record) -> Option<Bytes>) -> Option<&Bytes> {
        self.encoded.get_or_init(|| encode(&self.record)).as_ref()
    }
}
