//! Headers as values that cannot be wrong: one type for each operation. Pure.

use axum::http::{
    HeaderMap, Uri,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use bytes::Bytes;
use studio_streams::{
    Batch, ContentType, CreateOptions, Expiry, Fork, Offset, Order, ProducerStamp, StreamPath,
    Write,
};

use crate::{
    Problem,
    headers::{
        CLOSED, EXPIRES_AT, FORK_OFFSET, FORK_SUB_OFFSET, FORKED_FROM, LAST_EVENT_ID,
        PRODUCER_EPOCH, PRODUCER_ID, PRODUCER_SEQ, SEQ, TTL, counter, number, one,
    },
    json,
    query::{Live, Query, offset},
    target, time,
};

/// A `PUT` without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParsedCreate {
    content_type: Option<ContentType>,
    expiry: Option<Expiry>,
    closed: bool,
    fork: Option<Fork>,
}

impl ParsedCreate {
    pub(crate) fn of(headers: &HeaderMap, mount: &str) -> Result<Self, Problem> {
        Ok(Self {
            content_type: content_type(headers)?,
            expiry: expiry(headers)?,
            closed: closes(headers),
            fork: fork(headers, mount)?,
        })
    }

    /// The stream that it is to be a fork of.
    pub(crate) fn source(&self) -> Option<&StreamPath> {
        self.fork.as_ref().map(|fork| &fork.source)
    }

    /// What its messages are if the request says so, or nobody does.
    pub(crate) fn content_type(&self) -> Option<ContentType> {
        match (&self.content_type, &self.fork) {
            (Some(given), _) => Some(given.clone()),
            (None, None) => Some(ContentType::octets()),
            // As its source.
            (None, Some(_)) => None,
        }
    }

    /// The request, with the messages of its body.
    pub(crate) fn into_options(self, initial: Option<Batch>) -> CreateOptions {
        let content_type = self.content_type();
        let Self { expiry, closed, fork, .. } = self;
        CreateOptions { content_type, expiry, closed, initial, fork }
    }
}

/// A `POST` without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParsedAppend {
    /// Kept as it came, because it matters only with a body.
    content_type: Option<ContentType>,
    closes: bool,
    pub(crate) by: Option<ProducerStamp>,
    order: Option<Order>,
}

impl ParsedAppend {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let order = one(headers, &SEQ)?.map(str::parse::<Order>).transpose();
        Ok(Self {
            content_type: content_type(headers)?,
            closes: closes(headers),
            by: stamp(headers)?,
            order: order.map_err(|bad| Problem::bad_request(format!("{SEQ}: {bad}")))?,
        })
    }

    /// The whole request.
    pub(crate) fn into_write(self, body: Bytes) -> Result<Write, Problem> {
        let Self { content_type, closes, by, order } = self;
        if body.is_empty() {
            if !closes {
                let told =
                    "an append needs a body; Stream-Closed: true without one closes the stream";
                return Err(Problem::bad_request(told));
            }
            return Ok(signed(Write::end(None), by, order, content_type));
        }
        let Some(content_type) = content_type else {
            return Err(Problem::bad_request("say with Content-Type what the body is"));
        };
        let Some(batch) = messages(&content_type, body)? else {
            return Err(Problem::bad_request("an empty array holds nothing to append"));
        };
        let write = if closes { Write::end(Some(batch)) } else { Write::records(batch) };
        Ok(signed(write, by, order, Some(content_type)))
    }

    pub(crate) fn given_content_type(&self) -> Option<&ContentType> {
        self.content_type.as_ref()
    }
}

fn signed(
    mut write: Write,
    by: Option<ProducerStamp>,
    order: Option<Order>,
    content_type: Option<ContentType>,
) -> Write {
    write.by = by;
    write.order = order;
    write.content_type = content_type;
    write
}

/// A `GET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParsedRead {
    pub(crate) from: Offset,
    pub(crate) live: Live,
    pub(crate) cursor: Option<u64>,
}

impl ParsedRead {
    pub(crate) fn of(headers: &HeaderMap, uri: &Uri) -> Result<Self, Problem> {
        let Query { offset: asked, live, cursor } = Query::of(uri)?;
        let resumed = match live {
            // A browser that has seen no event yet has an empty id.
            Live::Sse => one(headers, &LAST_EVENT_ID)?.filter(|id| !id.is_empty()),
            Live::No | Live::LongPoll => None,
        };
        let from = match (resumed, asked) {
            (Some(id), _) => offset(id)?,
            (None, Some(asked)) => asked,
            (None, None) if live == Live::No => Offset::Start,
            (None, None) => {
                return Err(Problem::bad_request("a live read must say from which offset on"));
            }
        };
        Ok(Self { from, live, cursor })
    }
}

/// A body as messages: for JSON each value, else the whole. `None` = there is none in it.
pub(crate) fn messages(content_type: &ContentType, body: Bytes) -> Result<Option<Batch>, Problem> {
    if body.is_empty() {
        return Ok(None);
    }
    let records = if content_type.is_json() { json::messages(&body)? } else { vec![body] };
    if records.is_empty() {
        return Ok(None);
    }
    Ok(Some(Batch::new(records)?))
}

/// Bodies are kept as they come, so they must not come in disguise.
pub(crate) fn must_be_plain(headers: &HeaderMap) -> Result<(), Problem> {
    match one(headers, &CONTENT_ENCODING)? {
        None => Ok(()),
        Some(identity) if identity.eq_ignore_ascii_case("identity") => Ok(()),
        Some(_) => Err(Problem::encoded()),
    }
}

fn content_type(headers: &HeaderMap) -> Result<Option<ContentType>, Problem> {
    let given = one(headers, &CONTENT_TYPE)?.map(str::parse).transpose();
    given.map_err(|bad: studio_streams::BadContentType| Problem::bad_request(bad.to_string()))
}

/// Whatever is not `true` is as if it were not there.
fn closes(headers: &HeaderMap) -> bool {
    headers.get(CLOSED).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

fn expiry(headers: &HeaderMap) -> Result<Option<Expiry>, Problem> {
    match (one(headers, &TTL)?, one(headers, &EXPIRES_AT)?) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err(Problem::bad_request(format!("give {TTL} or {EXPIRES_AT}, not both")))
        }
        (Some(seconds), None) => {
            number(seconds, &TTL, u64::MAX).map(|seconds| Some(Expiry::AfterSeconds(seconds)))
        }
        (None, Some(at)) => match time::parse(at) {
            Some(millis) => Ok(Some(Expiry::AtMillis(millis))),
            None => Err(Problem::bad_request(format!(
                "{EXPIRES_AT} is an RFC 3339 time like 2030-01-31T12:00:00Z"
            ))),
        },
    }
}

fn fork(headers: &HeaderMap, mount: &str) -> Result<Option<Fork>, Problem> {
    let source = one(headers, &FORKED_FROM)?;
    let at = one(headers, &FORK_OFFSET)?;
    let plus = one(headers, &FORK_SUB_OFFSET)?;
    let Some(source) = source else {
        return match (at, plus) {
            (None, None) => Ok(None),
            _ => Err(Problem::bad_request(format!("a place to fork at needs {FORKED_FROM}"))),
        };
    };
    let plus = plus.map_or(Ok(0), |plus| number(plus, &FORK_SUB_OFFSET, u64::MAX))?;
    if 0 < plus && at.is_none() {
        return Err(Problem::bad_request(format!("{FORK_SUB_OFFSET} needs {FORK_OFFSET}")));
    }
    let at = at.map(offset).transpose()?;
    Ok(Some(Fork { source: target::of_source(source, mount)?, at, plus }))
}

fn stamp(headers: &HeaderMap) -> Result<Option<ProducerStamp>, Problem> {
    let id = one(headers, &PRODUCER_ID)?;
    let epoch = one(headers, &PRODUCER_EPOCH)?;
    let seq = one(headers, &PRODUCER_SEQ)?;
    let (Some(id), Some(epoch), Some(seq)) = (id, epoch, seq) else {
        return match (id, epoch, seq) {
            (None, None, None) => Ok(None),
            _ => Err(Problem::bad_request(format!(
                "give {PRODUCER_ID}, {PRODUCER_EPOCH} and {PRODUCER_SEQ}, or none of them"
            ))),
        };
    };
    let id = id.parse();
    Ok(Some(ProducerStamp {
        id: id.map_err(|bad: studio_streams::BadProducer| Problem::bad_request(bad.to_string()))?,
        epoch: counter(epoch, &PRODUCER_EPOCH)?,
        seq: counter(seq, &PRODUCER_SEQ)?,
    }))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const MOUNT: &str = "/v1/stream";

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut map = HeaderMap::new();
        headers.iter().map(pair).for_each(|(name, value)| {
            map.append(name, value);
        });
        map
    }

    fn create(headers: &[(&str, &str)]) -> Option<ParsedCreate> {
        ParsedCreate::of(&map(headers), MOUNT).ok()
    }

    fn append(headers: &[(&str, &str)]) -> Option<ParsedAppend> {
        ParsedAppend::of(&map(headers)).ok()
    }

    #[test]
    fn a_plain_create_makes_an_open_stream_of_bytes() {
        let options = create(&[]).unwrap().into_options(None);
        assert_eq!(options.content_type, Some(ContentType::octets()));
        assert_eq!((options.closed, options.expiry, options.fork), (false, None, None));
    }

    #[test]
    fn every_header_of_a_create_counts() {
        let options = create(&[
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Stream-TTL", "3600"),
            ("Stream-Closed", "TRUE"),
            ("Stream-Forked-From", "/v1/stream/session/a"),
            ("Stream-Fork-Offset", "00000000000000000007"),
            ("Stream-Fork-Sub-Offset", "3"),
        ])
        .unwrap()
        .into_options(None);
        assert_eq!(options.expiry, Some(Expiry::AfterSeconds(3_600)));
        assert!(options.closed);
        let source = "session/a".parse().unwrap();
        let fork = Fork { source, at: Some(Offset::Position(7)), plus: 3 };
        assert_eq!(options.fork, Some(fork));
        let as_source = create(&[("Stream-Forked-From", "/v1/stream/a")]).unwrap();
        assert_eq!(as_source.content_type(), None);
    }

    #[test]
    fn a_create_that_means_nothing_is_refused() {
        for bad in [
            &[("content-type", "text")][..],
            &[("content-type", "")],
            &[("content-type", "text/plain"), ("content-type", "text/plain")],
            &[("stream-ttl", "")],
            &[("stream-ttl", "01")],
            &[("stream-ttl", "00")],
            &[("stream-ttl", "+1")],
            &[("stream-ttl", "-1")],
            &[("stream-ttl", "1.5")],
            &[("stream-ttl", "1e3")],
            &[("stream-ttl", "0x10")],
            &[("stream-ttl", "1 2")],
            &[("stream-ttl", "99999999999999999999")],
            &[("stream-ttl", "1"), ("stream-ttl", "1")],
            &[("stream-expires-at", "tomorrow")],
            &[("stream-ttl", "1"), ("stream-expires-at", "2030-01-01T00:00:00Z")],
            &[("stream-fork-offset", "-1")],
            &[("stream-fork-sub-offset", "0")],
            &[("stream-forked-from", "/v1/stream/a"), ("stream-fork-sub-offset", "1")],
            &[("stream-forked-from", "/v1/stream/a"), ("stream-fork-offset", "a b")],
            &[("stream-forked-from", "/v1/stream/../a")],
            &[("stream-forked-from", "a")],
            &[("stream-forked-from", "")],
        ] {
            assert_eq!(create(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn only_true_closes() {
        for (text, closed) in [("true", true), ("True", true), ("yes", false), ("1", false)] {
            assert_eq!(create(&[("stream-closed", text)]).unwrap().closed, closed, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(CLOSED, HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(!ParsedCreate::of(&headers, MOUNT).unwrap().closed);
    }

    #[test]
    fn a_producer_is_whole_or_not_there() {
        let all = [("producer-id", "p"), ("producer-epoch", "1"), ("producer-seq", "00")];
        let by = append(&all).unwrap().by.unwrap();
        assert_eq!((by.id.as_str(), by.epoch, by.seq), ("p", 1, 0));
        for missing in 0..all.len() {
            let mut some = all.to_vec();
            some.remove(missing);
            assert_eq!(append(&some), None, "{some:?}");
        }
        let big = "9007199254740992";
        for (name, bad) in [
            ("producer-id", ""),
            ("producer-id", "a b"),
            ("producer-epoch", "-1"),
            ("producer-epoch", "1abc"),
            ("producer-epoch", big),
            ("producer-seq", ""),
            ("producer-seq", "1e3"),
            ("producer-seq", "1.0"),
        ] {
            let some: Vec<_> =
                all.iter().map(|&(n, v)| if n == name { (n, bad) } else { (n, v) }).collect();
            assert_eq!(append(&some), None, "{some:?}");
        }
    }

    #[test]
    fn an_append_needs_a_body_of_a_kind_or_an_end() {
        let write = |headers: &[(&str, &str)], body: &'static str| {
            append(headers).unwrap().into_write(Bytes::from_static(body.as_bytes())).ok()
        };
        let text = ("content-type", "text/plain");
        let json = ("content-type", "application/json");
        let end = ("stream-closed", "true");
        assert_eq!(write(&[text], "a").unwrap().batch().unwrap().records().len(), 1);
        assert_eq!(write(&[json], "[1,2]").unwrap().batch().unwrap().records().len(), 2);
        assert!(write(&[end], "").unwrap().closes());
        assert!(write(&[end, text], "a").unwrap().batch().is_some());
        for (headers, body) in [
            (&[text][..], ""),
            (&[], "a"),
            (&[json], "[]"),
            (&[json, end], "[]"),
            (&[json], "{"),
            (&[json], "1 2"),
        ] {
            assert_eq!(write(headers, body), None, "{headers:?} {body}");
        }
    }

    #[test]
    fn a_live_read_says_from_where() {
        let read = |target: &str, headers: &[(&str, &str)]| {
            ParsedRead::of(&map(headers), &target.parse().unwrap()).ok()
        };
        assert_eq!(read("/a", &[]).unwrap().from, Offset::Start);
        assert_eq!(read("/a?live=sse", &[]), None);
        assert_eq!(read("/a?live=long-poll", &[]), None);
        let id = ("last-event-id", "00000000000000000005");
        let resumed = read("/a?offset=now&live=sse", &[id]).unwrap();
        assert_eq!(resumed.from, Offset::Position(5));
        assert_eq!(read("/a?live=sse", &[id]).unwrap().from, Offset::Position(5));
        assert_eq!(
            read("/a?offset=now&live=sse", &[("last-event-id", "")]).unwrap().from,
            Offset::Now
        );
        assert_eq!(read("/a?offset=now", &[id]).unwrap().from, Offset::Now);
        assert_eq!(read("/a?offset=now&live=sse", &[("last-event-id", "a b")]), None);
    }

    proptest! {
        #[test]
        fn no_header_is_more_than_refused(
            name in prop::sample::select(vec![
                "content-type", "stream-ttl", "stream-expires-at", "stream-closed", "stream-seq",
                "producer-id", "producer-epoch", "producer-seq", "stream-forked-from",
                "stream-fork-offset", "stream-fork-sub-offset", "last-event-id",
            ]),
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let mut headers = map(&[("producer-id", "p"), ("producer-epoch", "1"), ("producer-seq", "1")]);
            headers.insert(name.parse::<HeaderName>().unwrap(), value);
            let _ = ParsedCreate::of(&headers, MOUNT);
            let _ = ParsedAppend::of(&headers);
            let _ = ParsedRead::of(&headers, &"/a?live=sse".parse().unwrap());
        }
    }
}
