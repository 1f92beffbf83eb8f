use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{Appended, Batch, ProducerId, ProducerStamp, StreamError, StreamPath, StreamStore};

/// How often one batch is sent before its writer gives up on an answer.
const ATTEMPTS_MAX: u32 = 5;
/// Wait before the second attempt; each further one waits twice as long.
const BACK_OFF_FIRST: Duration = Duration::from_millis(20);

/// The one owner of what this server writes to one stream.
///
/// Every append carries a [`ProducerStamp`], so one whose answer was lost is sent again and is
/// written once, and a server whose lease has passed to another one is refused
/// ([`StreamError::Fenced`]): it is then to drop the session.
pub struct SessionWriter {
    store: Arc<dyn StreamStore>,
    path: StreamPath,
    producer: ProducerId,
    epoch: u64,
    /// The stamp of the next batch (of the pending one, if there is one).
    next_seq: u64,
    /// A batch that was sent and has no answer: it may or may not be in the stream. It is
    /// settled before anything else is written.
    pending: Option<Batch>,
}

impl SessionWriter {
    /// Takes the stream over: appends `first` (a small record) with seq 0 of `epoch`. It is
    /// durable when this returns; from then on older epochs are refused.
    ///
    /// `epoch` must not have been used before: somebody else's use of it is
    /// [`StreamError::Fenced`] too. If the future is dropped, or fails with
    /// [`StreamError::Failed`], the epoch may be spent: come back with a larger one.
    pub async fn take_over(
        store: Arc<dyn StreamStore>,
        path: StreamPath,
        producer: ProducerId,
        epoch: u64,
        first: Bytes,
    ) -> Result<Self, StreamError> {
        let first = Batch::new(vec![first]).map_err(|source| StreamError::Failed {
            path: path.clone(),
            tried: "taken over",
            source: Box::new(source),
        })?;
        let mut writer = Self { store, path, producer, epoch, next_seq: 0, pending: None };
        writer.append(first).await?;
        Ok(writer)
    }

    /// Appends one batch after all earlier ones; durable when it returns.
    ///
    /// An answer that was lost is asked for again with the same stamp, a bounded number of
    /// times, so the batch is written once. What a failure means:
    /// * [`StreamError::Failed`]: it may have been written. The writer keeps the batch and
    ///   settles it before the next one ([`Self::settle`] does so at once): do not append it
    ///   again.
    /// * anything else: it was not written, and the same batch may be tried again
    ///   ([`StreamError::Busy`], also when an earlier batch is still unsettled) or has no chance
    ///   ([`StreamError::Fenced`], …).
    ///
    /// Dropping the future is like `Failed`: the batch is kept and settled first.
    pub async fn append(&mut self, batch: Batch) -> Result<Appended, StreamError> {
        match self.settle().await {
            Ok(_settled) => {}
            Err(error @ StreamError::Failed { .. }) => {
                tracing::warn!(
                    stream.path = %self.path,
                    error = &error as &dyn std::error::Error,
                    "an earlier append to {} is still without an answer",
                    self.path
                );
                return Err(StreamError::Busy);
            }
            Err(error) => return Err(error),
        }
        self.pending = Some(batch);
        self.send_pending(FirstTime::Yes).await
    }

    /// Brings a batch whose answer was lost (or whose append was dropped half-way) to its end:
    /// it is in the stream once when this succeeds. `Ok(None)` = there was none.
    pub async fn settle(&mut self) -> Result<Option<Appended>, StreamError> {
        if self.pending.is_none() {
            return Ok(None);
        }
        self.send_pending(FirstTime::No).await.map(Some)
    }

    /// Which stream it writes.
    pub fn path(&self) -> &StreamPath {
        &self.path
    }

    /// The epoch it writes under.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The store it writes to.
    pub fn store(&self) -> &Arc<dyn StreamStore> {
        &self.store
    }

    async fn send_pending(&mut self, first_time: FirstTime) -> Result<Appended, StreamError> {
        let mut in_doubt = matches!(first_time, FirstTime::No);
        let mut back_off = BACK_OFF_FIRST;
        let mut attempt = 1;
        loop {
            let Some(batch) = self.pending.clone() else { return Err(self.nothing_pending()) };
            let stamp =
                ProducerStamp { id: self.producer.clone(), epoch: self.epoch, seq: self.next_seq };
            match self.store.append(&self.path, batch, Some(stamp)).await {
                Ok(Appended::Duplicate { .. }) if !in_doubt => {
                    // We never sent this stamp, so somebody else writes under our epoch.
                    self.pending = None;
                    return Err(StreamError::Fenced {
                        path: self.path.clone(),
                        producer: self.producer.as_str().to_owned(),
                        current: self.epoch,
                    });
                }
                Ok(appended) => {
                    self.pending = None;
                    self.next_seq += 1;
                    return Ok(appended);
                }
                Err(error @ StreamError::Failed { .. }) => {
                    in_doubt = true;
                    if attempt == ATTEMPTS_MAX {
                        return Err(error);
                    }
                    tracing::debug!(
                        stream.path = %self.path,
                        attempt,
                        "an append to {} got no answer and is sent again",
                        self.path
                    );
                }
                // The store is full or stopped, which says nothing about an earlier attempt.
                Err(error @ (StreamError::Busy | StreamError::ReadOnly { .. })) if in_doubt => {
                    return match first_time {
                        FirstTime::No => Err(error),
                        FirstTime::Yes => Err(StreamError::Failed {
                            path: self.path.clone(),
                            tried: "appended to",
                            source: Box::new(error),
                        }),
                    };
                }
                Err(error) => {
                    self.pending = None;
                    return Err(error);
                }
            }
            tokio::time::sleep(back_off).await;
            back_off *= 2;
            attempt += 1;
        }
    }

    fn nothing_pending(&self) -> StreamError {
        StreamError::Failed {
            path: self.path.clone(),
            tried: "appended to",
            source: "there is no batch to send".into(),
        }
    }
}

impl fmt::Debug for SessionWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionWriter")
            .field("path", &self.path)
            .field("producer", &self.producer)
            .field("epoch", &self.epoch)
            .field("next_seq", &self.next_seq)
            .finish_non_exhaustive()
    }
}

/// Whether the pending batch's stamp has never been sent.
#[derive(Clone, Copy)]
enum FirstTime {
    Yes,
    No,
}
