//! Reading: at once, waiting for one answer, or as an event stream.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG},
    },
    response::{IntoResponse, Response},
};
use studio_streams::{
    ContentType, Expiry, Follow, Frame, Frames, Head, Offset, Page, Record, StreamError, StreamPath,
};

use crate::{
    Problem, cursor, etag,
    follow::{self, Manner, Start},
    headers::{
        ACCEL_BUFFERING, CLOSED, CURSOR, EXPIRES_AT, NEXT_OFFSET, SSE_DATA_ENCODING, TRUE, TTL,
        UP_TO_DATE, value,
    },
    query::Live,
    request::ParsedRead,
    route::Protocol,
    sse::Kind,
    time,
};

impl Protocol {
    /// `HEAD`: what the stream is like. Does not count as a use of it.
    pub(crate) async fn head(&self, path: &StreamPath) -> Result<Response, Problem> {
        let head = self.store.head(path).await?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, value(&head.content_type));
        headers.insert(NEXT_OFFSET, value(&head.tail));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ETAG, etag::of(head.incarnation, &Offset::Start, &head.tail, head.closed));
        match head.expiry {
            None => {}
            Some(Expiry::AfterSeconds(seconds)) => {
                headers.insert(TTL, value(seconds));
            }
            Some(Expiry::AtMillis(millis)) => {
                headers.extend(time::print(millis).map(|at| (EXPIRES_AT, value(at))));
            }
        }
        if head.closed {
            headers.insert(CLOSED, TRUE);
        }
        Ok(headers.into_response())
    }

    /// `GET`.
    pub(crate) async fn read(
        &self,
        path: &StreamPath,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Response, Problem> {
        let asked = match ParsedRead::of(headers, uri) {
            Ok(asked) => asked,
            Err(bad) => return Err(self.unless_missing(path, bad).await),
        };
        let page = self.page(path, asked.from.clone()).await?;
        match asked.live {
            Live::No => Ok(self.answer(&asked, page, headers)),
            Live::LongPoll => self.long_poll(path, &asked, page, headers).await,
            Live::Sse => self.events(path, &asked, page).await,
        }
    }

    async fn page(&self, path: &StreamPath, from: Offset) -> Result<Page, StreamError> {
        self.store.read(path, from, self.options.page_records_max).await
    }

    /// A page as the answer to a read.
    fn answer(&self, asked: &ParsedRead, page: Page, given: &HeaderMap) -> Response {
        let Page { records, next, up_to_date, head } = page;
        let closed = head.closed && up_to_date;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, value(&head.content_type));
        headers.insert(NEXT_OFFSET, value(&next));
        if up_to_date {
            headers.insert(UP_TO_DATE, TRUE);
        }
        if closed {
            headers.insert(CLOSED, TRUE);
        }
        if asked.live == Live::LongPoll {
            headers.insert(CURSOR, value(self.cursor(asked)));
        }
        if asked.from == Offset::Now {
            // Another answer at any moment, so there is nothing to keep and nothing to compare.
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        } else {
            let etag = etag::of(head.incarnation, &asked.from, &next, closed);
            let known = etag::matches(given, &etag);
            headers.insert(ETAG, etag);
            headers.insert(CACHE_CONTROL, self.options.cache.header());
            if known {
                headers.remove(CONTENT_TYPE);
                return (StatusCode::NOT_MODIFIED, headers).into_response();
            }
        }
        (headers, joined(&head.content_type, records)).into_response()
    }

    fn cursor(&self, asked: &ParsedRead) -> u64 {
        cursor::next((self.options.clock)(), asked.cursor)
    }

    /// Waits for something after `page` if there is nothing in it.
    async fn long_poll(
        &self,
        path: &StreamPath,
        asked: &ParsedRead,
        page: Page,
        given: &HeaderMap,
    ) -> Result<Response, Problem> {
        if !page.records.is_empty() {
            return Ok(self.answer(asked, page, given));
        }
        if page.head.closed {
            return Ok(self.nothing(asked, &page.next, true));
        }
        // Goes on where the page ended, so nothing falls between the two.
        let mut follow = self.follow(path, &page.head, page.next.clone()).await?;
        let more = tokio::select! {
            biased;
            () = self.options.stop.cancelled() => None,
            () = tokio::time::sleep(self.options.long_poll) => None,
            more = follow.next() => Some(more?),
        };
        let Some(more) = more else { return Ok(self.nothing(asked, &page.next, false)) };
        let head = self.store.head(path).await?;
        if head.incarnation != page.head.incarnation {
            // Removed and made again meanwhile.
            return Err(StreamError::NotFound { path: path.clone() }.into());
        }
        match more {
            None => Ok(self.nothing(asked, &page.next, true)),
            Some(frames) => Ok(self.answer(asked, page_of(&frames, head, page.next), given)),
        }
    }

    /// Reads on from `next` in the stream whose `head` was read before.
    async fn follow(
        &self,
        path: &StreamPath,
        head: &Head,
        next: Offset,
    ) -> Result<Follow, StreamError> {
        let follow = self.store.follow(path, next).await?;
        // Asked when the follower is there: one that is of this stream ends with it.
        if self.store.head(path).await?.incarnation != head.incarnation {
            // Removed and made again meanwhile.
            return Err(StreamError::NotFound { path: path.clone() });
        }
        Ok(follow)
    }

    /// Nothing came, or nothing comes any more.
    fn nothing(&self, asked: &ParsedRead, next: &Offset, closed: bool) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(NEXT_OFFSET, value(next));
        headers.insert(UP_TO_DATE, TRUE);
        headers.insert(CURSOR, value(self.cursor(asked)));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if closed {
            headers.insert(CLOSED, TRUE);
        }
        (StatusCode::NO_CONTENT, headers).into_response()
    }

    async fn events(
        &self,
        path: &StreamPath,
        asked: &ParsedRead,
        page: Page,
    ) -> Result<Response, Problem> {
        let Page { records, next, up_to_date, head } = page;
        let kind = Kind::of(&head.content_type);
        let follow = match head.closed && up_to_date {
            true => None,
            false => Some(self.follow(path, &head, next.clone()).await?),
        };
        let frames = records.into_iter().map(|record| Arc::new(Frame::new(record))).collect();
        let frames = Frames::new(frames, up_to_date);
        let start = Start { kind, frames, next, follow, cursor: asked.cursor };
        let options = &self.options;
        let manner = Manner {
            keep_alive: options.keep_alive,
            lifetime: options.sse_lifetime,
            clock: options.clock.clone(),
            stop: options.stop.clone(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
        if kind == Kind::Bytes {
            headers.insert(SSE_DATA_ENCODING, HeaderValue::from_static("base64"));
        }
        Ok((headers, Body::from_stream(follow::body(start, manner))).into_response())
    }
}

/// What a follower was handed, as a page. `head` was read after it.
fn page_of(frames: &Frames, head: Head, from: Offset) -> Page {
    let records: Vec<Record> = frames.iter().map(|frame| frame.record().clone()).collect();
    let next = records.last().map_or(from, |last| last.offset.clone());
    // What came while the head was read is not in the frames.
    let up_to_date = frames.is_up_to_date() && next == head.tail;
    Page { records, next, up_to_date, head }
}

/// Messages as one body: an array of values, or one after the other.
fn joined(content_type: &ContentType, records: Vec<Record>) -> Body {
    let size: usize = records.iter().map(|record| record.data.len() + 1).sum();
    if content_type.is_json() {
        let mut body = Vec::with_capacity(size + 2);
        body.push(b'[');
        for (n, record) in records.iter().enumerate() {
            if 0 < n {
                body.push(b',');
            }
            body.extend_from_slice(&record.data);
        }
        body.push(b']');
        return body.into();
    }
    match <[Record; 1]>::try_from(records) {
        Ok([only]) => only.data.into(),
        Err(records) => {
            let mut body = Vec::with_capacity(size);
            records.iter().for_each(|record| body.extend_from_slice(&record.data));
            body.into()
        }
    }
}
