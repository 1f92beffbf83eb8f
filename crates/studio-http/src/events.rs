//! `GET /api/sessions/{id}/events`: the session's log as server-sent events; and any other log
//! that people watch.
//!
//! The bookmark that a browser keeps is the log's own offset, so a reconnect needs no memory
//! here. A reader is one future that is polled when its connection can take more: it costs no
//! task and no queue, and who does not read delays nobody ([`crate::serve`] ends it).

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequestParts, State},
    http::{HeaderName, header::CACHE_CONTROL, header::CONTENT_TYPE, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use studio_api::ErrorCode;
use studio_streams::{Encoding, Follow, Frame, Offset, StreamError, StreamPath};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    HttpState, Problem,
    frame::as_sse,
    locks::Pass,
    log::causes,
    permit::{WatchedSession, query},
};

/// Small events of one page are joined to pieces of about this size. One event alone is shared.
const PIECE_BYTES: usize = 64 * 1024;
/// While events come one after the other, a reader is sent one piece in this time: a thousand
/// readers cost a system call for each piece. After silence an event is sent at once.
const GATHER: Duration = Duration::from_millis(5);
/// A reader that gets more events than this at once has some to catch up on, and waits for none.
const GATHER_FRAMES_MAX: usize = 64;
/// Nothing happened, and the connection is alive (`D30-24`).
const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// `GET /api/sessions/{id}/events`.
pub(crate) async fn events(
    State(state): State<HttpState>,
    WatchedSession(session, pass): WatchedSession,
    ResumeAt(from): ResumeAt,
) -> Result<Response, Problem> {
    let follow = state.studio().watch(session, from).await?;
    Ok(told(&state, StreamPath::session(session), follow, pass))
}

/// The events of a stream to whoever came in with `pass`, from where `follow` stands.
pub(crate) fn told(state: &HttpState, path: StreamPath, follow: Follow, pass: Pass) -> Response {
    let watched = state.locks().watch(pass, state.stop());
    let stop = watched.token().clone();
    let pieces = pieces(path, follow, state.settings().keep_alive, stop);
    // Whoever reads holds the watch: it ends with the body.
    let pieces = pieces.map(move |piece| {
        let _held = &watched;
        piece
    });
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

/// The body of an event stream, from where `follow` stands until it ends or `stop` does.
fn pieces(
    path: StreamPath,
    follow: Follow,
    keep_alive: Duration,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let silent_until = Instant::now() + keep_alive;
    let reader = Reader {
        path,
        follow,
        page: Vec::new().into_iter(),
        keep_alive,
        silent_until,
        alarm: Box::pin(tokio::time::sleep_until(silent_until)),
        gather_until: None,
        stopped: Box::pin(stop.cancelled_owned()),
    };
    stream::unfold(reader, |mut reader| async {
        let piece = reader.next().await?;
        Some((Ok(piece), reader))
    })
}

/// Where to go on: header `Last-Event-ID`, else `?offset=`, else the beginning.
pub(crate) struct ResumeAt(pub(crate) Offset);

impl FromRequestParts<HttpState> for ResumeAt {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let bad = || Problem::of(ErrorCode::BadOffset);
        let header = match parts.headers.get("last-event-id") {
            Some(value) => Some(value.to_str().map_err(|_garbled| bad())?.to_owned()),
            None => None,
        };
        // A browser that has seen no event yet has an empty id.
        let asked = header.filter(|id| !id.is_empty()).or_else(|| query(parts, "offset"));
        match asked {
            None => Ok(Self(Offset::Start)),
            Some(text) => text.parse().map(Self).map_err(|_malformed| bad()),
        }
    }
}

struct Reader {
    path: StreamPath,
    follow: Follow,
    /// What was read of the log and not handed on yet.
    page: std::vec::IntoIter<Arc<Frame>>,
    keep_alive: Duration,
    silent_until: Instant,
    /// Rings at `silent_until` or before. It is not set anew for each event, nor is the wait for
    /// the stop: either would cost more than the event.
    alarm: Pin<Box<Sleep>>,
    /// Events that come before this wait until then: the last ones were sent a moment ago.
    gather_until: Option<Instant>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Reader {
    /// The next piece of the body; `None` ends it, and the client comes back with its last id.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = piece(&mut self.page) {
                self.silent_until = Instant::now() + self.keep_alive;
                return Some(piece);
            }
            tokio::select! {
                biased;
                () = self.stopped.as_mut() => return None,
                () = self.alarm.as_mut() => {
                    let rang = Instant::now();
                    let silent = self.silent_until <= rang;
                    if silent {
                        self.silent_until = rang + self.keep_alive;
                    }
                    self.alarm.as_mut().reset(self.silent_until);
                    if silent {
                        return Some(KEEP_ALIVE);
                    }
                }
                more = self.follow.next() => match more {
                    Ok(Some(frames)) => {
                        let behind = GATHER_FRAMES_MAX < frames.len();
                        self.page = frames.into_iter();
                        self.gather(behind).await?;
                    }
                    Ok(None) => return None,
                    Err(error) => {
                        self.ended(&error);
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

    fn ended(&self, error: &StreamError) {
        let path = &self.path;
        if matches!(error, StreamError::NotFound { .. }) {
            tracing::debug!(stream.path = %path, "{path} is gone, its reader ends");
        } else {
            let why = causes(error);
            tracing::warn!(stream.path = %path, error = why, "a reader ends: {why}");
        }
    }
}

/// The next events of the page, joined while they are small; `None` = the page is used up.
fn piece(page: &mut std::vec::IntoIter<Arc<Frame>>) -> Option<Bytes> {
    let mut next = || page.find_map(|frame| frame.encoded(Encoding::Events, as_sse).cloned());
    let first = next()?;
    if PIECE_BYTES <= first.len() {
        return Some(first);
    }
    let Some(second) = next() else { return Some(first) };
    let mut joined = BytesMut::with_capacity(first.len() + second.len());
    joined.extend_from_slice(&first);
    joined.extend_from_slice(&second);
    while joined.len() < PIECE_BYTES
        && let Some(more) = next()
    {
        joined.extend_from_slice(&more);
    }
    Some(joined.freeze())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use studio_ids::SessionId;
    use studio_streams::{Batch, CreateOptions, MemoryStreams, StreamStore as _};

    use super::*;

    struct World {
        streams: MemoryStreams,
        path: StreamPath,
        stop: CancellationToken,
    }

    impl World {
        async fn new() -> Self {
            let path = StreamPath::session(SessionId::random());
            let streams = MemoryStreams::default();
            streams.create(&path, CreateOptions::default()).await.unwrap();
            Self { streams, path, stop: CancellationToken::new() }
        }

        async fn append(&self, values: &[Value]) {
            let records = values.iter().map(|value| Bytes::from(value.to_string())).collect();
            self.streams.append(&self.path, Batch::new(records).unwrap(), None).await.unwrap();
        }

        async fn read(&self, from: &str) -> impl Stream<Item = Bytes> + Unpin + use<> {
            let follow = self.streams.follow(&self.path, from.parse().unwrap()).await.unwrap();
            let keep_alive = Duration::from_secs(15);
            let stop = self.stop.clone();
            let pieces = pieces(self.path.clone(), follow, keep_alive, stop);
            Box::pin(pieces.map(|piece| piece.unwrap_or_else(|never| match never {})))
        }

        /// All that a reader gets that starts at `from` and is there when the stream is closed.
        async fn read_all(&self, from: &str) -> Vec<u8> {
            self.streams.close(&self.path).await.unwrap();
            self.read(from).await.collect::<Vec<_>>().await.concat()
        }
    }

    /// As a browser does it: complete events only, and the id of the last of them.
    fn parse(text: &[u8]) -> (Vec<String>, Option<String>) {
        let text = String::from_utf8_lossy(text);
        let mut events = Vec::new();
        let mut last = None;
        let complete = text.rfind("\n\n").map_or("", |end| &text[..end]);
        for event in complete.split("\n\n").filter(|event| !event.is_empty()) {
            for line in event.lines() {
                match line.split_once(':') {
                    Some(("id", id)) => last = Some(id.to_owned()),
                    Some(("data", data)) => events.push(data.to_owned()),
                    Some(("", _comment)) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        (events, last)
    }

    fn entry(n: usize) -> Value {
        match n % 4 {
            1 => json!({"source": "server", "type": "recorded", "ts": "t"}),
            2 => Value::Null,
            _ => json!({"source": "agent", "type": "log", "n": n, "ts": "t"}),
        }
    }

    #[tokio::test]
    async fn d30_23_a_reader_cut_after_any_byte_gets_every_event_once() {
        let world = World::new().await;
        for batch in 0..6 {
            let entries: Vec<Value> = (0..7).map(|n| entry(batch * 7 + n)).collect();
            world.append(&entries).await;
        }
        let whole = world.read_all("-1").await;
        let (all, _) = parse(&whole);
        assert_eq!(all.len(), 21, "what is internal or no object is passed over");
        for cut in 0..=whole.len() {
            let (mut seen, last) = parse(&whole[..cut]);
            let rest = world.read_all(last.as_deref().unwrap_or("-1")).await;
            seen.extend(parse(&rest).0);
            assert_eq!(seen, all, "cut after byte {cut}");
        }
    }

    #[tokio::test]
    async fn an_event_alone_is_shared_by_its_readers() {
        let world = World::new().await;
        let (mut one, mut two) = (world.read("now").await, world.read("now").await);
        world.append(&[entry(0)]).await;
        let (one, two) = (one.next().await.unwrap(), two.next().await.unwrap());
        assert_eq!(one, two);
        assert_eq!(one.as_ptr(), two.as_ptr(), "encoded once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_right_after_an_event_is_gathered_for_a_moment() {
        let world = World::new().await;
        let mut reader = world.read("-1").await;
        let began = Instant::now();
        world.append(&[entry(0)]).await;
        assert_eq!(parse(&reader.next().await.unwrap()).0.len(), 1);
        assert_eq!(began.elapsed(), Duration::ZERO, "an event after silence is sent at once");
        for n in [3, 4, 7] {
            world.append(&[entry(n)]).await;
        }
        assert_eq!(parse(&reader.next().await.unwrap()).0.len(), 3);
        assert_eq!(began.elapsed().as_millis(), GATHER.as_millis());
        tokio::time::advance(GATHER).await;
        let silent = Instant::now();
        world.append(&[entry(8)]).await;
        assert_eq!(parse(&reader.next().await.unwrap()).0.len(), 1);
        assert_eq!(silent.elapsed(), Duration::ZERO, "silent again");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_to_catch_up_waits_for_nothing() {
        let world = World::new().await;
        let entries: Vec<Value> = (0..1_000).map(|n| json!({ "n": n })).collect();
        world.append(&entries).await;
        let began = Instant::now();
        let (mut reader, mut seen) = (world.read("-1").await, 0);
        while seen < entries.len() {
            seen += parse(&reader.next().await.unwrap()).0.len();
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn d30_24_silence_is_broken_by_a_comment() {
        let world = World::new().await;
        let mut reader = world.read("-1").await;
        let began = Instant::now();
        assert_eq!(reader.next().await.unwrap(), ": keep-alive\n\n");
        assert_eq!(began.elapsed().as_secs(), 15);
        world.append(&[entry(1)]).await;
        assert_eq!(reader.next().await.unwrap(), ": keep-alive\n\n", "what is hidden is silence");
        assert_eq!(began.elapsed().as_secs(), 30);
    }

    #[tokio::test]
    async fn d30_35_a_reader_ends_with_the_session_and_with_the_studio() {
        let world = World::new().await;
        let mut deleted = world.read("-1").await;
        world.streams.delete(&world.path).await.unwrap();
        assert_eq!(deleted.next().await, None);

        let world = World::new().await;
        let mut stopped = world.read("-1").await;
        world.stop.cancel();
        assert_eq!(stopped.next().await, None);
    }

    #[tokio::test]
    async fn a_long_history_comes_in_pieces_of_bounded_size() {
        let world = World::new().await;
        let text = "x".repeat(1_000);
        let entries: Vec<Value> = (0..2_000).map(|n| json!({"n": n, "text": text})).collect();
        world.append(&entries).await;
        world.streams.close(&world.path).await.unwrap();
        let pieces: Vec<Bytes> = world.read("-1").await.collect().await;
        assert!(pieces.iter().all(|piece| piece.len() < PIECE_BYTES + 2_000));
        assert_eq!(parse(&pieces.concat()).0.len(), 2_000);
    }
}
