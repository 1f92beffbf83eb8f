//! What followed streams keep in memory: a ring of their last frames, shared by all followers.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, PoisonError},
};

use bytes::Bytes;
use studio_streams::{Frame, Offset, Record};

use crate::{
    Options,
    engine::StreamId,
    sync::{AtomicBool, Mutex, MutexGuard, Ordering, watch},
};

/// How a followed stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It takes no more records; all of it may still be read.
    Closed,
    /// It is gone.
    Deleted,
    /// It was deleted, and only its forks read on.
    KeptByForks,
    /// The store was stopped.
    Stopped,
}

/// All streams that somebody follows. A stream that nobody follows has no entry.
#[derive(Debug)]
pub(crate) struct Hub {
    streams: Mutex<HashMap<StreamId, Followed>>,
    stopped: AtomicBool,
    ring_frames_max: usize,
    ring_bytes_max: usize,
}

/// A stream in the table, and how many seats it has. Counted by itself: whoever publishes holds
/// the stream too for a moment.
#[derive(Debug)]
struct Followed {
    live: Arc<Live>,
    seats: usize,
}

impl Hub {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            streams: Mutex::default(),
            stopped: AtomicBool::new(false),
            ring_frames_max: options.ring_frames_max.max(1),
            ring_bytes_max: options.ring_bytes_max,
        }
    }

    /// Joins the followers of a stream; the entry is gone when the last one is.
    pub(crate) fn join(self: &Arc<Self>, id: StreamId) -> Seat {
        let live = {
            let mut streams = lock(&self.streams);
            let followed = streams.entry(id).or_insert_with(|| {
                let live = Live { ring: Mutex::default(), told: watch::Sender::new(()) };
                Followed { live: Arc::new(live), seats: 0 }
            });
            followed.seats += 1;
            followed.live.clone()
        };
        // After the entry: `stop` either finds it or was before this.
        if self.stopped.load(Ordering::SeqCst) {
            live.end(End::Stopped);
        }
        let told = live.told.subscribe();
        Seat { hub: self.clone(), id, live, told }
    }

    /// Hands records that are durable since now to who follows the stream.
    pub(crate) fn publish(&self, id: StreamId, start: u64, records: &[Bytes]) {
        let Some(live) = self.find(id) else { return };
        lock(&live.ring).push(start, records, self.ring_frames_max, self.ring_bytes_max);
        live.told.send_replace(());
    }

    /// Tells the followers of a stream that it has ended.
    pub(crate) fn end(&self, id: StreamId, end: End) {
        if let Some(live) = self.find(id) {
            live.end(end);
        }
    }

    /// Tells all followers that the store was stopped.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let all = self.all();
        for live in all {
            live.end(End::Stopped);
        }
    }

    /// Frees the rings of streams to which nothing was added since the last call. Says whether
    /// any ring still holds frames.
    pub(crate) fn free_idle_rings(&self) -> bool {
        let all = self.all();
        let mut any_left = false;
        for live in all {
            let mut ring = lock(&live.ring);
            if !std::mem::take(&mut ring.pushed_lately) {
                ring.clear();
            }
            any_left |= !ring.frames.is_empty();
        }
        any_left
    }

    fn find(&self, id: StreamId) -> Option<Arc<Live>> {
        lock(&self.streams).get(&id).map(|followed| followed.live.clone())
    }

    fn all(&self) -> Vec<Arc<Live>> {
        lock(&self.streams).values().map(|followed| followed.live.clone()).collect()
    }

    /// How many streams somebody follows.
    #[allow(dead_code, reason = "for tests and tests/follow_model.rs")]
    pub(crate) fn followed(&self) -> usize {
        lock(&self.streams).len()
    }
}

/// One followed stream.
#[derive(Debug)]
pub(crate) struct Live {
    ring: Mutex<Ring>,
    /// Told after each change of the ring.
    told: watch::Sender<()>,
}

impl Live {
    fn end(&self, end: End) {
        lock(&self.ring).end = Some(end);
        self.told.send_replace(());
    }
}

/// The last frames of a stream, without a gap, up to its durable tail.
#[derive(Debug, Default)]
struct Ring {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    /// The place before the first frame and the one after the last; `None` = not yet known.
    span: Option<(u64, u64)>,
    end: Option<End>,
    pushed_lately: bool,
}

/// What the ring has for a follower.
pub(crate) enum Heard {
    /// These frames come next; whether nothing more is known.
    Frames(Vec<Arc<Frame>>, bool),
    /// Nothing is known of this place: read the disk.
    Behind,
    /// It has everything; more may come.
    UpToDate,
    /// It has everything that it can get.
    Ended(End),
}

impl Ring {
    fn push(&mut self, start: u64, records: &[Bytes], frames_max: usize, bytes_max: usize) {
        let (first, tail) = match self.span {
            Some((first, tail)) if start <= tail => (first, tail),
            // Nothing known, or (it cannot be) something missed: begin anew here.
            Some(_) | None => {
                self.clear();
                (start, start)
            }
        };
        self.span = Some((first, tail));
        let mut end = start;
        for data in records {
            end += data.len() as u64;
            // A follower that read the disk may have told of these before they were published.
            if tail < end {
                self.bytes += data.len();
                let record = Record { offset: Offset::Position(end), data: data.clone() };
                self.frames.push_back(Arc::new(Frame::new(record)));
            }
        }
        self.span = Some((first, tail.max(end)));
        while frames_max < self.frames.len() || bytes_max < self.bytes {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.bytes -= oldest.data().len();
            self.span = Some((position(&oldest), tail.max(end)));
        }
        self.pushed_lately = true;
    }

    /// Forgets the frames, not the tail.
    fn clear(&mut self) {
        self.frames = VecDeque::new();
        self.bytes = 0;
        self.span = self.span.map(|(_, tail)| (tail, tail));
    }

    fn after(&self, place: u64, max: usize, bytes_max: usize) -> Heard {
        match self.end {
            Some(end @ (End::Deleted | End::KeptByForks | End::Stopped)) => {
                return Heard::Ended(end);
            }
            Some(End::Closed) | None => {}
        }
        let Some((first, tail)) = self.span else { return Heard::Behind };
        if place < first {
            return Heard::Behind;
        }
        if tail <= place {
            return self.end.map_or(Heard::UpToDate, Heard::Ended);
        }
        let from = self.frames.partition_point(|frame| position(frame) <= place);
        let mut bytes = 0;
        let fits = |frame: &&Arc<Frame>| {
            bytes += frame.data().len();
            bytes <= bytes_max || bytes == frame.data().len()
        };
        let frames: Vec<_> =
            self.frames.range(from..).take(max).take_while(fits).cloned().collect();
        let up_to_date = frames.last().is_some_and(|last| position(last) == tail);
        Heard::Frames(frames, up_to_date)
    }
}

fn position(frame: &Frame) -> u64 {
    match frame.offset() {
        Offset::Position(at) => *at,
        // Frames of a ring are made above.
        Offset::Start | Offset::Now | Offset::Opaque(_) => 0,
    }
}

/// A follower's place among the followers of a stream.
#[derive(Debug)]
pub(crate) struct Seat {
    hub: Arc<Hub>,
    id: StreamId,
    live: Arc<Live>,
    told: watch::Receiver<()>,
}

impl Seat {
    /// What comes after `place`. Whatever changes after this call wakes [`Self::changed`].
    pub(crate) fn after(&mut self, place: u64, max: usize, bytes_max: usize) -> Heard {
        self.told.mark_unchanged();
        lock(&self.live.ring).after(place, max, bytes_max)
    }

    /// Waits for a change since the last [`Self::after`].
    pub(crate) async fn changed(&mut self) {
        // The sender lives in `self.live`, so it is never gone.
        self.told.changed().await.ok();
    }

    /// Tells the ring of a durable tail that was read from the disk after this seat was taken.
    pub(crate) fn saw_tail(&self, tail: u64, closed: bool) {
        let mut ring = lock(&self.live.ring);
        let (_, known) = *ring.span.get_or_insert((tail, tail));
        // If the ring knows less, what it lacks is about to be published, and the end after it.
        if closed && known == tail {
            ring.end.get_or_insert(End::Closed);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut streams = lock(&self.hub.streams);
        if let Entry::Occupied(mut followed) = streams.entry(self.id) {
            followed.get_mut().seats -= 1;
            if followed.get().seats == 0 {
                followed.remove();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here leaves a value half changed when it panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(ring_frames_max: usize) -> Arc<Hub> {
        Arc::new(Hub::new(&Options { ring_frames_max, ..Options::default() }))
    }

    fn publish(hub: &Hub, place: u64) {
        hub.publish(ID, place, &[Bytes::from_static(b"x")]);
    }

    fn heard(seat: &mut Seat, place: u64) -> Vec<u64> {
        match seat.after(place, 100, 1_000) {
            Heard::Frames(frames, _) => frames.iter().map(|frame| position(frame)).collect(),
            Heard::UpToDate => Vec::new(),
            Heard::Behind | Heard::Ended(_) => panic!("the ring has nothing for {place}"),
        }
    }

    const ID: StreamId = StreamId(1);

    #[test]
    fn a_stream_that_nobody_follows_costs_nothing() {
        let hub = hub(10);
        publish(&hub, 0);
        assert_eq!(hub.followed(), 0);
        let (one, two) = (hub.join(ID), hub.join(ID));
        assert_eq!(hub.followed(), 1);
        drop(one);
        assert_eq!(hub.followed(), 1);
        drop(two);
        assert_eq!(hub.followed(), 0);
    }

    #[test]
    fn a_ring_keeps_the_last_frames_and_says_who_is_behind() {
        let hub = hub(3);
        let mut seat = hub.join(ID);
        assert!(matches!(seat.after(0, 100, 1_000), Heard::Behind), "nothing is known yet");
        (5..10).for_each(|place| publish(&hub, place));
        assert_eq!(heard(&mut seat, 7), [8, 9, 10]);
        assert_eq!(heard(&mut seat, 10), [0u64; 0]);
        assert!(matches!(seat.after(6, 100, 1_000), Heard::Behind));
    }

    #[test]
    fn an_idle_ring_is_freed_and_goes_on_where_it_was() {
        let hub = hub(10);
        let mut seat = hub.join(ID);
        (0..3).for_each(|place| publish(&hub, place));
        assert!(hub.free_idle_rings(), "something was added a moment ago");
        assert_eq!(heard(&mut seat, 0), [1, 2, 3]);
        assert!(!hub.free_idle_rings());
        assert!(matches!(seat.after(0, 100, 1_000), Heard::Behind));
        assert_eq!(heard(&mut seat, 3), [0u64; 0]);
        publish(&hub, 3);
        assert_eq!(heard(&mut seat, 3), [4]);
    }

    #[test]
    fn records_that_the_disk_told_of_before_their_publication_come_once() {
        let hub = hub(10);
        let mut seat = hub.join(ID);
        // The disk holds two records; a follower read both before they were published.
        seat.saw_tail(2, false);
        publish(&hub, 0);
        publish(&hub, 1);
        publish(&hub, 2);
        assert_eq!(heard(&mut seat, 2), [3]);
    }

    #[test]
    fn the_end_is_told_only_after_the_last_record() {
        let hub = hub(10);
        let mut slow = hub.join(ID);
        publish(&hub, 0);
        // Another follower read from the disk that the stream is closed at 2; its last record is
        // not yet published.
        hub.join(ID).saw_tail(2, true);
        assert_eq!(heard(&mut slow, 1), [0u64; 0]);
        publish(&hub, 1);
        hub.end(ID, End::Closed);
        assert_eq!(heard(&mut slow, 1), [2]);
        assert!(matches!(slow.after(2, 100, 1_000), Heard::Ended(End::Closed)));
    }
}
