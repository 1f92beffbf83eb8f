//! The streams that somebody here follows: one reader of the service for each, and the last
//! frames for all who listen.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use studio_streams::{Frame, Offset, Record, StreamError, StreamPath};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{error::Trouble, pages::failed};

/// How a followed stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It takes no more; all of it may still be read.
    Closed,
    /// It is not there.
    Missing,
    /// It is kept for its forks only.
    Gone,
    /// The service does not know the place any more, or the adapter was stopped.
    Lost(&'static str),
}

impl End {
    /// What a follower is told; `None` = nothing, it has all records.
    pub(crate) fn error(&self, path: &StreamPath) -> Option<StreamError> {
        let path = path.clone();
        match self {
            Self::Closed => None,
            Self::Missing => Some(StreamError::NotFound { path }),
            Self::Gone => Some(StreamError::Gone { path }),
            Self::Lost(why) => Some(failed(&path, "followed", Trouble::Strange((*why).to_owned()))),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Hub {
    streams: Mutex<HashMap<StreamPath, Entry>>,
    ring_frames_max: usize,
    ring_bytes_max: usize,
}

#[derive(Debug)]
struct Entry {
    live: Arc<Live>,
    followers: usize,
}

impl Hub {
    pub(crate) fn new(ring_frames_max: usize, ring_bytes_max: usize) -> Arc<Self> {
        let ring_frames_max = ring_frames_max.max(1);
        Arc::new(Self { streams: Mutex::default(), ring_frames_max, ring_bytes_max })
    }

    /// Joins the followers of a stream; what is kept of it is gone when the last one is.
    pub(crate) fn join(self: &Arc<Self>, path: &StreamPath) -> Seat {
        let mut streams = lock(&self.streams);
        let entry = streams.entry(path.clone()).or_insert_with(|| Entry {
            live: Arc::new(Live {
                path: path.clone(),
                ring: Mutex::default(),
                told: watch::Sender::new(()),
                stop: CancellationToken::new(),
                frames_max: self.ring_frames_max,
                bytes_max: self.ring_bytes_max,
            }),
            followers: 0,
        });
        entry.followers += 1;
        let live = entry.live.clone();
        Seat { hub: self.clone(), told: live.told.subscribe(), live }
    }

    /// What is kept of a stream, if somebody follows it.
    pub(crate) fn find(&self, path: &StreamPath) -> Option<Arc<Live>> {
        lock(&self.streams).get(path).map(|entry| entry.live.clone())
    }

    /// Tells the followers of a stream that it has ended. Who comes later begins anew.
    pub(crate) fn end(&self, path: &StreamPath, end: End) {
        let entry = lock(&self.streams).remove(path);
        if let Some(entry) = entry {
            entry.live.end(end);
        }
    }

    /// As [`Self::end`], but only this life of the stream.
    pub(crate) fn end_this(&self, live: &Arc<Live>, end: End) {
        let mut streams = lock(&self.streams);
        if streams.get(&live.path).is_some_and(|entry| Arc::ptr_eq(&entry.live, live)) {
            streams.remove(&live.path);
        }
        drop(streams);
        live.end(end);
    }

    pub(crate) fn end_all(&self, end: &End) {
        let all = std::mem::take(&mut *lock(&self.streams));
        for entry in all.into_values() {
            entry.live.end(end.clone());
        }
    }
}

/// One follower's part of a followed stream.
#[derive(Debug)]
pub(crate) struct Seat {
    hub: Arc<Hub>,
    pub live: Arc<Live>,
    pub told: watch::Receiver<()>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut streams = lock(&self.hub.streams);
        let Some(entry) = streams.get_mut(&self.live.path) else { return };
        if !Arc::ptr_eq(&entry.live, &self.live) {
            return;
        }
        entry.followers -= 1;
        if entry.followers == 0 {
            streams.remove(&self.live.path);
            self.live.stop.cancel();
        }
    }
}

/// One followed stream.
#[derive(Debug)]
pub(crate) struct Live {
    pub path: StreamPath,
    ring: Mutex<Ring>,
    /// Told after each change of the ring.
    told: watch::Sender<()>,
    /// Ends the reader of the service.
    pub stop: CancellationToken,
    frames_max: usize,
    bytes_max: usize,
}

/// The last frames, without a gap.
#[derive(Debug, Default)]
struct Ring {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    /// How many frames came before the first one here.
    first: u64,
    /// The place before the first one here; `None` = the service is not read yet.
    begin: Option<Offset>,
    end: Option<End>,
}

/// What the ring has for a follower.
pub(crate) enum Heard {
    /// These frames come next; whether they are all.
    Frames(Vec<Arc<Frame>>, bool),
    /// It has everything; more may come.
    Nothing,
    /// It was too slow.
    Behind,
    Ended(End),
}

impl Live {
    /// Begins to keep frames at a place, if that has not begun; the reader of the service is then
    /// to be started there.
    pub(crate) fn begin(&self, place: &Offset) -> bool {
        let mut ring = lock(&self.ring);
        if ring.begin.is_some() || ring.end.is_some() {
            return false;
        }
        ring.begin = Some(place.clone());
        true
    }

    /// Hands on what came from the service.
    pub(crate) fn push(&self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let mut ring = lock(&self.ring);
        for Record { offset, data } in records {
            // A slice would keep all that it was cut out of.
            let data = Bytes::copy_from_slice(&data);
            ring.bytes += data.len();
            ring.frames.push_back(Arc::new(Frame::new(Record { offset, data })));
        }
        while self.frames_max < ring.frames.len()
            || (self.bytes_max < ring.bytes && 1 < ring.frames.len())
        {
            let Some(oldest) = ring.frames.pop_front() else { break };
            ring.bytes -= oldest.data().len();
            ring.first += 1;
            ring.begin = Some(oldest.offset().clone());
        }
        drop(ring);
        self.told.send_replace(());
    }

    pub(crate) fn end(&self, end: End) {
        let mut ring = lock(&self.ring);
        let so_far = ring.end.take();
        // A deleted stream was not merely closed.
        let keeps = so_far.as_ref().is_some_and(|so_far| *so_far != End::Closed);
        ring.end = if keeps { so_far } else { Some(end) };
        drop(ring);
        self.stop.cancel();
        self.told.send_replace(());
    }

    /// How the stream ended, if not by its close.
    pub(crate) fn broken(&self) -> Option<End> {
        lock(&self.ring).end.clone().filter(|end| *end != End::Closed)
    }

    /// The number of the frame that comes after a place; `None` = not known here.
    pub(crate) fn find(&self, place: &Offset) -> Option<u64> {
        let ring = lock(&self.ring);
        if ring.begin.as_ref() == Some(place) {
            return Some(ring.first);
        }
        let at = ring.frames.iter().rposition(|frame| frame.offset() == place)?;
        Some(ring.first + at as u64 + 1)
    }

    /// What comes from a frame's number on.
    pub(crate) fn after(&self, number: u64, max: usize) -> Heard {
        let ring = lock(&self.ring);
        let Some(skip) = number.checked_sub(ring.first) else { return Heard::Behind };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let frames: Vec<_> = ring.frames.iter().skip(skip).take(max).cloned().collect();
        if !frames.is_empty() {
            let all = skip + frames.len() == ring.frames.len();
            return Heard::Frames(frames, all);
        }
        ring.end.clone().map_or(Heard::Nothing, Heard::Ended)
    }

    /// The frames that stand before a place, back to where they begin.
    pub(crate) fn before(&self, place: &Offset) -> Option<(Offset, Vec<Arc<Frame>>)> {
        let ring = lock(&self.ring);
        let begin = ring.begin.clone()?;
        let at = ring.frames.iter().rposition(|frame| frame.offset() == place)?;
        Some((begin, ring.frames.iter().take(at + 1).cloned().collect()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here leaves a value half changed when it panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(number: usize) -> Offset {
        Offset::Opaque(format!("p{number:03}").into())
    }

    fn record(number: usize) -> Record {
        Record { offset: offset(number), data: Bytes::from(number.to_string()) }
    }

    fn live(frames_max: usize) -> Seat {
        Hub::new(frames_max, 1_000).join(&"a".parse().unwrap())
    }

    fn numbers(heard: Heard) -> Vec<String> {
        let Heard::Frames(frames, _) = heard else { panic!("no frames") };
        frames.iter().map(|frame| String::from_utf8(frame.data().to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_follower_joins_at_every_place_that_the_ring_knows() {
        let seat = live(100);
        assert!(seat.live.begin(&offset(0)));
        assert!(!seat.live.begin(&offset(7)), "one reader of the service is enough");
        seat.live.push((1..=3).map(record).collect());
        for place in 0..3 {
            let number = seat.live.find(&offset(place)).unwrap();
            assert_eq!(numbers(seat.live.after(number, 10)).len(), 3 - place);
        }
        let last = seat.live.find(&offset(3)).unwrap();
        assert!(matches!(seat.live.after(last, 10), Heard::Nothing));
        assert_eq!(seat.live.find(&offset(9)), None);
    }

    #[test]
    fn a_slow_follower_falls_behind_and_nobody_is_in_the_way() {
        let seat = live(4);
        assert!(seat.live.begin(&offset(0)));
        for number in 1..=10 {
            seat.live.push(vec![record(number)]);
        }
        assert!(matches!(seat.live.after(0, 10), Heard::Behind));
        assert_eq!(seat.live.find(&offset(5)), None);
        let number = seat.live.find(&offset(6)).unwrap();
        assert_eq!(numbers(seat.live.after(number, 10)), ["7", "8", "9", "10"]);
    }

    #[test]
    fn the_last_follower_takes_the_reader_with_it() {
        let one = live(4);
        let two = one.hub.join(&one.live.path);
        assert!(Arc::ptr_eq(&one.live, &two.live));
        let stop = one.live.stop.clone();
        drop(one);
        assert!(!stop.is_cancelled());
        let hub = two.hub.clone();
        drop(two);
        assert!(stop.is_cancelled());
        assert!(hub.find(&"a".parse().unwrap()).is_none());
    }

    #[test]
    fn who_comes_after_the_end_begins_anew() {
        let old = live(4);
        old.hub.end(&old.live.path, End::Missing);
        let new = old.hub.join(&old.live.path);
        assert!(!Arc::ptr_eq(&old.live, &new.live));
        assert_eq!(old.live.broken(), Some(End::Missing));
        drop(old);
        assert!(!new.live.stop.is_cancelled(), "only its own followers count");
    }
}
