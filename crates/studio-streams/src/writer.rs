use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    Appended, Batch, Offset, ProducerId, ProducerStamp, Record, StreamError, StreamPath,
    StreamStore,
};

/// How often one batch is sent before its writer gives up on an answer.
const ATTEMPTS_MAX: u32 = 5;
/// Wait before the second attempt; each further one waits twice as long.
const BACK_OFF_FIRST: Duration = Duration::from_millis(20);
/// Records that are read at once when an append without an answer is looked for.
const LOOK_RECORDS: usize = 1_000;

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
    /// Everything of this writer up to here is in the stream. Only kept for stores that may
    /// forget producers.
    written: Option<Offset>,
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
        let written = match store.remembers_producers() {
            true => None,
            false => Some(store.head(&path).await?.tail),
        };
        let mut writer = Self { store, path, producer, epoch, next_seq: 0, pending: None, written };
        writer.append(first).await?;
        Ok(writer)
    }

    /// Appends one batch after all earlier ones; durable when it returns.
    ///
    /// An answer that was lost is asked for again with the same stamp, a bounded number of
    /// times, so the batch is written once. Over a store that may forget producers in a crash
    /// ([`StreamStore::remembers_producers`]) the batch is looked for in the stream first, and
    /// one that says it misses earlier appends goes on with the number that it expects: they are
    /// there. What a failure means:
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
            let seq = self.next_seq;
            let stamp = ProducerStamp { id: self.producer.clone(), epoch: self.epoch, seq };
            let answer = match self.found(&batch, in_doubt).await {
                Ok(Some(next)) => Ok(Appended::Duplicate { next }),
                Ok(None) => self.store.append(&self.path, batch, Some(stamp)).await,
                Err(error @ StreamError::BadOffset { .. }) => Err(self.is_open(error)),
                Err(error) => Err(error),
            };
            match answer {
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
                    if self.written.is_some() {
                        self.written = Some(appended.next().clone());
                    }
                    return Ok(appended);
                }
                // What it expects it has; it does not know any more who wrote it.
                Err(StreamError::Gap { expected, .. })
                    if self.written.is_some() && expected < seq && attempt < ATTEMPTS_MAX =>
                {
                    tracing::warn!(
                        stream.path = %self.path,
                        "the store has forgotten what {} has written to {}",
                        self.producer.as_str(),
                        self.path
                    );
                    self.next_seq = expected;
                    attempt += 1;
                    continue;
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
                        FirstTime::Yes => Err(self.is_open(error)),
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

    /// Where a batch that may have been written ends in the stream, for stores that could write it
    /// a second time.
    async fn found(&self, batch: &Batch, in_doubt: bool) -> Result<Option<Offset>, StreamError> {
        let Some(written) = self.written.clone().filter(|_| in_doubt) else { return Ok(None) };
        let wanted = batch.records();
        let mut from = written;
        let mut last: VecDeque<Record> = VecDeque::new();
        loop {
            let page = self.store.read(&self.path, from, LOOK_RECORDS).await?;
            for record in page.records {
                if last.len() == wanted.len() {
                    last.pop_front();
                }
                let offset = record.offset.clone();
                last.push_back(record);
                let mut pairs = last.iter().zip(wanted);
                if last.len() == wanted.len() && pairs.all(|(a, b)| is_same(&a.data, b)) {
                    return Ok(Some(offset));
                }
            }
            if page.up_to_date {
                return Ok(None);
            }
            from = page.next;
        }
    }

    /// What comes between says nothing about an append that is in doubt.
    fn is_open(&self, error: StreamError) -> StreamError {
        StreamError::Failed {
            path: self.path.clone(),
            tried: "appended to",
            source: Box::new(error),
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

/// Whether two records are the same. A service may write a JSON value in another way.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok();
    one == other || value(one).is_some_and(|one| Some(one) == value(other))
}

/// Whether the pending batch's stamp has never been sent.
#[derive(Clone, Copy)]
enum FirstTime {
    Yes,
    No,
}
