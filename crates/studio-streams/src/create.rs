use serde::{Deserialize, Serialize};

use crate::{Batch, ContentType, Offset, StreamPath};

/// When a stream is removed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// So many seconds after the last read or write.
    AfterSeconds(u64),
    /// At this time, in Unix milliseconds.
    AtMillis(u64),
}

/// How a stream is made. The default: an open, empty stream of JSON values that stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// What its records are; `None` = as the fork's source, without one JSON.
    pub content_type: Option<ContentType>,
    /// When it is removed by itself; `None` = as the fork's source, without one never.
    pub expiry: Option<Expiry>,
    /// Whether `initial` is all there will be.
    pub closed: bool,
    /// The first records, written in the same transaction as the stream.
    pub initial: Option<Batch>,
    /// The stream that it begins as a copy of.
    pub fork: Option<Fork>,
}

/// Begins a stream with what another one has up to a place, without copying it. Places up to
/// there are shared. What is appended to either later shows in that one only; the other keeps
/// its records for as long as there are forks of it, also when it is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// From which stream.
    pub source: StreamPath,
    /// Up to where; `None` = its tail.
    pub at: Option<Offset>,
    /// So much of the source's next append after that: records for JSON, else bytes.
    pub plus: u64,
}

impl Fork {
    /// A fork of all that `source` has now.
    pub fn of(source: StreamPath) -> Self {
        Self { source, at: None, plus: 0 }
    }
}

/// What a create came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New(Head),
    /// It was there, made in the same way; nothing changed.
    Existing(Head),
}

impl Created {
    /// Whether the stream was made by this.
    pub fn is_new(&self) -> bool {
        matches!(self, Self::New(_))
    }

    /// What the stream is like.
    pub fn head(&self) -> &Head {
        match self {
            Self::New(head) | Self::Existing(head) => head,
        }
    }
}

/// What a stream is like now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The place after the last durable record.
    pub tail: Offset,
    /// Whether it takes no more appends.
    pub closed: bool,
    /// What its records are.
    pub content_type: ContentType,
    /// When it is removed by itself.
    pub expiry: Option<Expiry>,
    /// Which life of this path it is: another one for a stream that was deleted and made again.
    pub incarnation: u64,
}
