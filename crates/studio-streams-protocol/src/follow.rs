//! The body of an event stream.
//!
//! A reader is one future that is polled when its connection can take more: it costs no task and
//! no queue, and one that does not read delays nobody. Whoever serves the connection ends it when
//! the other side takes nothing for too long.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, stream};
use studio_streams::{Encoding, Follow, Frame, Frames, Offset, StreamError};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    Clock, cursor,
    sse::{self, KEEP_ALIVE, Kind, State},
};

/// Messages are joined to events of about this size.
const PIECE_BYTES: usize = 64 * 1024;
/// A shared event that is smaller is copied together with its end: one piece costs less than two.
const COPIED_BYTES_MAX: usize = 4 * 1024;
/// While messages come one after the other, a reader is sent one piece in this time: a thousand
/// readers cost a system call for each. After silence a message is sent at once.
const GATHER: Duration = Duration::from_millis(5);
/// A reader that gets more messages than this at once has some to catch up on, and waits for none.
const GATHER_FRAMES_MAX: usize = 64;

/// What a reader begins with.
pub(crate) struct Start {
    pub(crate) kind: Kind,
    /// What was read already.
    pub(crate) frames: Frames,
    /// The place after it.
    pub(crate) next: Offset,
    /// Reads on from `next`; `None` = the stream is closed there.
    pub(crate) follow: Option<Follow>,
    /// The cursor that the client came with.
    pub(crate) cursor: Option<u64>,
}

/// How a reader is treated.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) keep_alive: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) clock: Clock,
    pub(crate) stop: CancellationToken,
}

/// The body, until the stream ends, the reader's time is over, or `stop`: always after a whole
/// control event.
pub(crate) fn body(
    start: Start,
    manner: Manner,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let Start { kind, frames, next, follow, cursor } = start;
    let now = Instant::now();
    let silent_until = now + manner.keep_alive;
    let ends = now + manner.lifetime;
    let reader = Reader {
        kind,
        greets: frames.is_empty(),
        up_to_date: frames.is_up_to_date(),
        page: frames.into_iter(),
        next,
        follow,
        cursor,
        rest: None,
        silent_until,
        ends,
        alarm: Box::pin(tokio::time::sleep_until(silent_until.min(ends))),
        gather_until: None,
        stopped: Box::pin(manner.stop.clone().cancelled_owned()),
        manner,
    };
    stream::unfold(reader, |mut reader| async {
        let piece = reader.piece().await?;
        Some((Ok(piece), reader))
    })
}

struct Reader {
    kind: Kind,
    /// Whether it has been told nothing yet, and there is nothing to read.
    greets: bool,
    /// What was read and not handed on yet.
    page: std::vec::IntoIter<Arc<Frame>>,
    /// Whether nothing was known to follow that.
    up_to_date: bool,
    /// The place after all that was handed on.
    next: Offset,
    follow: Option<Follow>,
    cursor: Option<u64>,
    /// The end of a control event whose beginning was handed on.
    rest: Option<Bytes>,
    silent_until: Instant,
    ends: Instant,
    /// Rings at the earlier of these or before. It is not set anew for each message, nor is the
    /// wait for the stop: either would cost more than the message.
    alarm: Pin<Box<Sleep>>,
    /// Messages that come before this wait until then: the last ones were sent a moment ago.
    gather_until: Option<Instant>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    manner: Manner,
}

impl Reader {
    /// The next piece of the body; `None` ends it.
    async fn piece(&mut self) -> Option<Bytes> {
        if let Some(rest) = self.rest.take() {
            return Some(rest);
        }
        let greeting = std::mem::take(&mut self.greets).then(|| self.control());
        if let Some(piece) = greeting.or_else(|| self.next_event()) {
            return Some(piece);
        }
        loop {
            if self.ends <= Instant::now() {
                return None;
            }
            // Told of the end already.
            let follow = self.follow.as_mut()?;
            tokio::select! {
                biased;
                () = self.stopped.as_mut() => return None,
                () = self.alarm.as_mut() => {
                    let rang = Instant::now();
                    if self.ends <= rang {
                        return None;
                    }
                    let silent = self.silent_until <= rang;
                    if silent {
                        self.silent_until = rang + self.manner.keep_alive;
                    }
                    self.alarm.as_mut().reset(self.silent_until.min(self.ends));
                    if silent {
                        return Some(KEEP_ALIVE);
                    }
                }
                more = follow.next() => match more {
                    Ok(Some(frames)) => {
                        let behind = GATHER_FRAMES_MAX < frames.len();
                        self.up_to_date = frames.is_up_to_date();
                        self.page = frames.into_iter();
                        self.gather(behind).await?;
                        if let Some(piece) = self.next_event() {
                            return Some(piece);
                        }
                    }
                    Ok(None) => {
                        self.follow = None;
                        return Some(self.control());
                    }
                    Err(error) => {
                        ended(&error);
                        return None;
                    }
                },
            }
        }
    }

    /// Waits before a page is handed on, if the last one was a moment ago; `None` = it is time to
    /// end.
    async fn gather(&mut self, behind: bool) -> Option<()> {
        if behind {
            self.gather_until = None;
            return Some(());
        }
        if let Some(until) = self.gather_until.filter(|until| Instant::now() < *until) {
            tokio::select! {
                biased;
                () = self.stopped.as_mut() => return None,
                () = tokio::time::sleep_until(until) => {}
            }
        }
        self.gather_until = Some(Instant::now() + GATHER);
        Some(())
    }

    /// The next messages of the page as an event, with its control event.
    fn next_event(&mut self) -> Option<Bytes> {
        let kind = self.kind;
        let count = event_len(self.page.as_slice());
        let (first, others) = self.page.as_slice().get(..count)?.split_first()?;
        let mut event = if others.is_empty() {
            let encode = |record: &_| Some(sse::shared(kind, record));
            let shared = first.encoded(Encoding::Protocol, encode)?.clone();
            self.next = first.offset().clone();
            if COPIED_BYTES_MAX < shared.len() {
                self.page.next();
                self.rest = Some(sse::rest(self.state()).into());
                self.silent_until = Instant::now() + self.manner.keep_alive;
                return Some(shared);
            }
            let mut event = Vec::with_capacity(shared.len() + 64);
            event.extend_from_slice(&shared);
            event
        } else {
            self.next = others.last()?.offset().clone();
            let records: Vec<_> =
                self.page.as_slice()[..count].iter().map(|f| f.record()).collect();
            sse::joined(kind, &records, &self.next)
        };
        self.page.by_ref().take(count).for_each(drop);
        event.extend_from_slice(sse::rest(self.state()).as_bytes());
        self.silent_until = Instant::now() + self.manner.keep_alive;
        Some(event.into())
    }

    /// What is true once everything before the rest of the page was handed on.
    fn state(&self) -> State {
        let all = self.page.as_slice().is_empty();
        if all && self.follow.is_none() {
            return State::Closed;
        }
        let cursor = cursor::next((self.manner.clock)(), self.cursor);
        State::Open { cursor, up_to_date: all && self.up_to_date }
    }

    fn control(&self) -> Bytes {
        sse::control(&self.next, self.state())
    }
}

/// How many of these make one event: at least one, about so many bytes.
fn event_len(frames: &[Arc<Frame>]) -> usize {
    let mut bytes = 0;
    let fits = |frame: &&Arc<Frame>| {
        let begins = bytes == 0;
        bytes += frame.data().len();
        begins || bytes <= PIECE_BYTES
    };
    frames.iter().take_while(fits).count()
}

fn ended(error: &StreamError) {
    if matches!(error, StreamError::NotFound { .. } | StreamError::Gone { .. }) {
        tracing::debug!("a reader ends with its stream: {error}");
    } else {
        let error: &dyn std::error::Error = error;
        tracing::warn!(error, "a reader ends: {error}");
    }
}
