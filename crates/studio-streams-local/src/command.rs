use std::sync::Arc;

use studio_streams::{CreateOptions, Created, Deleted, StreamError, StreamPath, Write, Written};
use tokio::sync::oneshot;

use crate::engine::{Compacted, StreamId};

/// Something to be written, and who waits for it.
pub(crate) struct Command {
    pub(crate) path: StreamPath,
    pub(crate) what: What,
}

pub(crate) enum What {
    Create {
        options: CreateOptions,
        reply: Reply<Created>,
    },
    Write {
        write: Write,
        reply: Reply<Written>,
    },
    Delete {
        reply: Reply<Deleted>,
    },
    /// Somebody reads the stream: its end is put off. Nobody waits for that.
    Touch {
        id: StreamId,
        /// When, in Unix milliseconds.
        at: u64,
    },
    Compact {
        reply: Reply<Compacted>,
    },
    /// Writes nothing; the answer shows that a write would be taken.
    Probe {
        reply: Reply<()>,
    },
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, StreamError>>;

impl Command {
    /// Bytes of the records it brings.
    pub(crate) fn size_bytes(&self) -> usize {
        match &self.what {
            What::Create { options, .. } => {
                options.initial.as_ref().map_or(0, studio_streams::Batch::size_bytes)
            }
            What::Write { write, .. } => write.size_bytes(),
            What::Delete { .. }
            | What::Touch { .. }
            | What::Compact { .. }
            | What::Probe { .. } => 0,
        }
    }

    /// Whether it is done also when there is no room for more.
    pub(crate) fn makes_room(&self) -> bool {
        match self.what {
            What::Delete { .. } | What::Compact { .. } => true,
            What::Create { .. } | What::Write { .. } | What::Touch { .. } | What::Probe { .. } => {
                false
            }
        }
    }

    pub(crate) fn refuse(self, error: StreamError) {
        match self.what {
            What::Create { reply, .. } => drop(reply.send(Err(error))),
            What::Write { reply, .. } => drop(reply.send(Err(error))),
            What::Delete { reply } => drop(reply.send(Err(error))),
            What::Touch { .. } => {}
            What::Compact { reply } => drop(reply.send(Err(error))),
            What::Probe { reply } => drop(reply.send(Err(error))),
        }
    }
}

/// An answer that waits for the commit.
pub(crate) struct Answer(Box<dyn FnOnce(Result<(), StreamError>) + Send>);

impl Answer {
    /// `result`, if it is committed.
    pub(crate) fn new<T: Send + 'static>(reply: Reply<T>, result: Result<T, StreamError>) -> Self {
        // Who dropped the future does not want to know.
        Self(Box::new(move |committed| drop(reply.send(committed.and(result)))))
    }

    pub(crate) fn give(self, committed: Result<(), StreamError>) {
        (self.0)(committed);
    }
}

/// How an answer is told that the commit failed.
pub(crate) fn failed(
    path: &StreamPath,
    source: Box<dyn std::error::Error + Send + Sync>,
) -> StreamError {
    StreamError::Failed { path: path.clone(), tried: "written to", source }
}

/// Why every write of a failed commit failed.
#[derive(Clone)]
pub(crate) enum Reason {
    /// Nothing of it was written.
    NotTaken(String),
    /// Nobody knows.
    Unknown(Arc<crate::engine::EngineError>),
}

impl Reason {
    pub(crate) fn for_path(&self, path: &StreamPath) -> StreamError {
        match self {
            Self::NotTaken(reason) => StreamError::ReadOnly { reason: reason.clone() },
            Self::Unknown(error) => failed(path, Box::new(error.clone())),
        }
    }
}
