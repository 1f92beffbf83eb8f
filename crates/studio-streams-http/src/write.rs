//! Writing: what waits is bounded, and an answer is told apart from a loss of it. What may have
//! been written is never sent again here: only its writer can tell a duplicate that it made
//! itself from one that somebody else did (and look for it, over a service that forgets).

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{BufMut, Bytes, BytesMut};
use reqwest::Method;
use studio_streams::{Batch, ContentType, ProducerStamp, StreamError, StreamPath, Write, Written};
use tokio::sync::{Notify, Semaphore};

use crate::{
    error::Trouble,
    json::is_json,
    pages::failed,
    place::Place,
    service::{Answer, Ask, Patience, Told},
    store::Inner,
};

/// Writes to one stream that are under way at once; later ones wait for them in their order.
const IN_FLIGHT_MAX: usize = 5;
const TRIED: &str = "appended to";

/// Bytes of all writes that wait or are under way.
#[derive(Debug)]
pub(crate) struct Spool {
    used: AtomicUsize,
    max: usize,
}

/// A write's part of the [`Spool`].
pub(crate) struct Room {
    spool: Arc<Spool>,
    bytes: usize,
}

impl Spool {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max })
    }

    /// Room for so many bytes. A write over all of it still has room when nothing else waits.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Room> {
        let taken = self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
            let sum = used + bytes;
            (used == 0 || sum <= self.max).then_some(sum)
        });
        taken.is_ok().then(|| Room { spool: self.clone(), bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.spool.used.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

/// The writes under way, by stream.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<HashMap<StreamPath, Arc<Lane>>>);

/// One stream's.
#[derive(Debug)]
struct Lane {
    seats: Semaphore,
    stamps: Mutex<Vec<ProducerStamp>>,
    one_ended: Notify,
}

/// A write's part of a [`Lane`].
struct Turn<'a> {
    lanes: &'a Lanes,
    path: &'a StreamPath,
    lane: Arc<Lane>,
    stamp: Option<ProducerStamp>,
}

impl Lanes {
    fn join<'a>(&'a self, path: &'a StreamPath, stamp: Option<ProducerStamp>) -> Turn<'a> {
        let new = || Lane {
            seats: Semaphore::new(IN_FLIGHT_MAX),
            stamps: Mutex::default(),
            one_ended: Notify::new(),
        };
        let lane = lock(&self.0).entry(path.clone()).or_insert_with(|| Arc::new(new())).clone();
        lock(&lane.stamps).extend(stamp.clone());
        Turn { lanes: self, path, lane, stamp }
    }
}

impl Turn<'_> {
    /// Whether a write that is under way is to come before this one.
    fn has_predecessor(&self) -> bool {
        let Some(own) = &self.stamp else { return false };
        let before = |other: &ProducerStamp| {
            other.id == own.id && (other.epoch, other.seq) < (own.epoch, own.seq)
        };
        lock(&self.lane.stamps).iter().any(before)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(own) = &self.stamp {
            let mut stamps = lock(&self.lane.stamps);
            if let Some(at) = stamps.iter().position(|stamp| stamp == own) {
                stamps.swap_remove(at);
            }
        }
        self.lane.one_ended.notify_waiters();
        let mut lanes = lock(&self.lanes.0);
        // This one and the map's.
        if Arc::strong_count(&self.lane) <= 2 {
            lanes.remove(self.path);
        }
    }
}

/// What became of one request.
enum Outcome {
    Written(Written),
    Refused(StreamError),
    /// The stamp leaves a gap.
    Gap(StreamError),
    /// The stream's content type is not what was thought.
    OtherContentType,
    Trouble(Trouble),
}

impl Inner {
    pub(crate) async fn write_now(
        &self,
        path: &StreamPath,
        write: Write,
    ) -> Result<Written, StreamError> {
        let turn = self.lanes.join(path, write.by.clone());
        let Ok(_seat) = turn.lane.seats.acquire().await else {
            return Err(failed(path, TRIED, Trouble::Stopped));
        };
        let mut patience = Patience::new(self.service.deadline());
        // Only a look before tells a close that did something from one that did not.
        let only_closes = write.batch().is_none();
        let mut was_closed = false;
        if only_closes {
            was_closed = self.head(path).await?.closed;
        }
        let mut looked_again = false;
        loop {
            let one_ended = turn.lane.one_ended.notified();
            let comes_after_another = turn.has_predecessor();
            let trouble = match self.attempt(path, &write, was_closed).await {
                Outcome::Written(written) => return Ok(written),
                Outcome::Gap(error) => {
                    // One that was sent first may have been overtaken on its way.
                    if !comes_after_another {
                        return Err(error);
                    }
                    match tokio::time::timeout(self.service.options.deadline, one_ended).await {
                        Ok(()) => continue,
                        Err(_elapsed) => return Err(error),
                    }
                }
                Outcome::OtherContentType if !looked_again => {
                    looked_again = true;
                    self.facts.forget(path);
                    continue;
                }
                Outcome::OtherContentType => {
                    let holds = self.facts(path).await?.content_type;
                    return Err(StreamError::WrongContentType { path: path.clone(), holds });
                }
                Outcome::Refused(error) => return Err(error),
                Outcome::Trouble(trouble) => trouble,
            };
            if trouble.is_in_doubt() && write.by.is_none() && only_closes && trouble.is_passing() {
                // Closing twice is closing.
            } else if trouble.is_in_doubt() {
                if trouble.is_passing() {
                    // So that the next attempt has a better chance.
                    drop(self.ask_head(path).await);
                }
                return Err(failed(path, TRIED, trouble));
            }
            if let Err(trouble) = self.service.again(&mut patience, trouble).await {
                return Err(given_up(path, trouble));
            }
        }
    }

    async fn attempt(&self, path: &StreamPath, write: &Write, was_closed: bool) -> Outcome {
        let content_type = match (&write.content_type, write.batch()) {
            (Some(given), _) => given.clone(),
            (None, None) => ContentType::json(),
            (None, Some(_)) => match self.facts(path).await {
                Ok(facts) => facts.content_type,
                Err(error) => return Outcome::Refused(error),
            },
        };
        let ask = match self.ask_write(path, write, &content_type) {
            Ok(ask) => ask,
            Err(error) => return Outcome::Refused(error),
        };
        let answer = match self.service.send(&ask).await {
            Ok(answer) => answer,
            Err(trouble) => return Outcome::Trouble(trouble),
        };
        let Answer { status, told, body } = answer;
        body.drain().await;
        match status {
            200 | 204 => match self.written(path, write, status, &told, was_closed).await {
                Ok(written) => Outcome::Written(written),
                Err(trouble) => Outcome::Trouble(trouble),
            },
            409 => self.conflict(path, write, &told, &content_type).await,
            status => Outcome::Refused(self.refusal(path, write, status, &told)),
        }
    }

    fn ask_write(
        &self,
        path: &StreamPath,
        write: &Write,
        content_type: &ContentType,
    ) -> Result<Ask, StreamError> {
        let mut ask = self.service.ask(Method::POST, path.as_str());
        if let Some(batch) = write.batch() {
            ask = ask.header("content-type", content_type.as_str());
            ask.body = Some(body(path, batch, content_type)?);
        }
        if write.closes() {
            ask = ask.header("stream-closed", "true");
        }
        if let Some(order) = &write.order {
            ask = ask.header("stream-seq", order.as_str());
        }
        if let Some(stamp) = &write.by {
            ask = ask
                .header("producer-id", stamp.id.as_str())
                .header("producer-epoch", stamp.epoch.to_string())
                .header("producer-seq", stamp.seq.to_string());
        }
        Ok(ask)
    }

    async fn written(
        &self,
        path: &StreamPath,
        write: &Write,
        status: u16,
        told: &Told,
        was_closed: bool,
    ) -> Result<Written, Trouble> {
        let duplicate = match (&write.by, write.batch()) {
            // A close without records is answered alike, the first time and later.
            (_, None) => was_closed,
            (Some(_), Some(_)) => status == 204,
            (None, Some(_)) => false,
        };
        let next = match &told.next {
            Some(next) => Place::own(next.clone()).offset(),
            // A duplicate's answer may not say where the stream ends.
            None if duplicate => match self.ask_head(path).await {
                Ok(Some(told)) => Place::own(told.next()?).offset(),
                Ok(None) => return Err(Trouble::strange(404)),
                Err(trouble) => return Err(trouble),
            },
            None => Place::own(told.next()?).offset(),
        };
        let last_seq = write.by.as_ref().map(|stamp| told.producer_seq.unwrap_or(stamp.seq));
        Ok(Written { next, duplicate, closed: told.closed || write.closes(), last_seq })
    }

    /// Several things are answered with 409; the headers, and what was sent, tell which.
    async fn conflict(
        &self,
        path: &StreamPath,
        write: &Write,
        told: &Told,
        sent: &ContentType,
    ) -> Outcome {
        let closed = |next: &Arc<str>| {
            let tail = Place::own(next.clone()).offset();
            Outcome::Refused(StreamError::Closed { path: path.clone(), tail })
        };
        if let (true, Some(tail)) = (told.closed, &told.next) {
            return closed(tail);
        }
        if let (Some(stamp), Some(expected)) = (&write.by, told.expected_seq) {
            return Outcome::Gap(StreamError::gap(path, stamp, expected));
        }
        let head = match self.ask_head(path).await {
            Ok(Some(head)) => head,
            Ok(None) => return Outcome::Refused(StreamError::NotFound { path: path.clone() }),
            Err(trouble) => return Outcome::Trouble(trouble),
        };
        if let (true, Some(tail)) = (told.closed || head.closed, &head.next) {
            return closed(tail);
        }
        let holds = head.content_type.unwrap_or_else(ContentType::octets);
        if write.batch().is_some() && !holds.is_like(sent) {
            return match write.content_type {
                None => Outcome::OtherContentType,
                Some(_) => {
                    Outcome::Refused(StreamError::WrongContentType { path: path.clone(), holds })
                }
            };
        }
        Outcome::Refused(match write.order {
            Some(_) => StreamError::OutOfOrder { path: path.clone() },
            None => refused(path, "the service answered 409"),
        })
    }

    fn refusal(&self, path: &StreamPath, write: &Write, status: u16, told: &Told) -> StreamError {
        let path = path.clone();
        match (status, &write.by) {
            (403, Some(stamp)) => {
                StreamError::fenced(&path, stamp, told.producer_epoch.unwrap_or_default())
            }
            (404, _) => {
                self.facts.forget(&path);
                StreamError::NotFound { path }
            }
            (410, _) => {
                self.facts.forget(&path);
                StreamError::Gone { path }
            }
            // Records were looked at before they were sent, so it is the stamp.
            (400, Some(stamp)) if 0 < stamp.seq => StreamError::NotFromZero {
                path,
                producer: stamp.id.as_str().to_owned(),
                epoch: stamp.epoch,
                got: stamp.seq,
            },
            (413, _) => refused(&path, "it is larger than the service takes"),
            (status, _) => refused(&path, &format!("the service answered {status}")),
        }
    }
}

fn given_up(path: &StreamPath, trouble: Trouble) -> StreamError {
    match &trouble {
        _ if trouble.is_in_doubt() => failed(path, TRIED, trouble),
        Trouble::Busy { status: 429, .. } => StreamError::Busy,
        Trouble::NotLetIn { .. } => refused(path, &trouble.to_string()),
        Trouble::NoConnection(_)
        | Trouble::Busy { .. }
        | Trouble::Broken(_)
        | Trouble::Timeout(_)
        | Trouble::Failed { .. }
        | Trouble::Strange(_)
        | Trouble::BadPage(_)
        | Trouble::TooLarge(_)
        | Trouble::Stopped => StreamError::ReadOnly { reason: trouble.to_string() },
    }
}

pub(crate) fn refused(path: &StreamPath, reason: &str) -> StreamError {
    StreamError::Refused { path: path.clone(), reason: reason.to_owned() }
}

/// Records as they are sent: an array of JSON values, or simply their bytes.
pub(crate) fn body(
    path: &StreamPath,
    batch: &Batch,
    content_type: &ContentType,
) -> Result<Bytes, StreamError> {
    if !content_type.is_json() {
        return Ok(match batch.records() {
            [one] => one.clone(),
            many => Bytes::from(many.concat()),
        });
    }
    // What is not one value would come out as several, or spoil those beside it.
    if !batch.records().iter().all(|record| is_json(record)) {
        return Err(refused(path, "a record of it is not a JSON value"));
    }
    let mut body = BytesMut::with_capacity(batch.size_bytes() + batch.records().len() + 1);
    for (n, record) in batch.records().iter().enumerate() {
        body.put_u8(if n == 0 { b'[' } else { b',' });
        body.extend_from_slice(record);
    }
    body.put_u8(b']');
    Ok(body.freeze())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here leaves a value half changed when it panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spool_is_bounded_and_given_back() {
        let spool = Spool::new(100);
        let large = spool.take(1_000).expect("alone, a write always has room");
        assert!(spool.take(1).is_none());
        drop(large);
        let one = spool.take(60).unwrap();
        assert!(spool.take(60).is_none());
        let two = spool.take(40).unwrap();
        drop((one, two));
        assert_eq!(spool.used.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_record_that_is_no_json_value_is_never_sent() {
        let path: StreamPath = "a".parse().unwrap();
        let batch = |record: &'static str| Batch::new(vec![Bytes::from(record)]).unwrap();
        for bad in ["1,2", "1],[2", "x", "{", "\"\n\""] {
            let refused = body(&path, &batch(bad), &ContentType::json());
            assert!(matches!(refused, Err(StreamError::Refused { .. })), "{bad}: {refused:?}");
        }
        let good = body(&path, &batch("[1, 2]"), &ContentType::json()).unwrap();
        assert_eq!(good, "[[1, 2]]");
    }
}
