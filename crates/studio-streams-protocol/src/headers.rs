//! The names of the protocol's headers, and reading them.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::Problem;

macro_rules! names {
    ($($name:ident = $text:literal;)*) => {
        $(pub(crate) const $name: HeaderName = HeaderName::from_static($text);)*
    };
}

names! {
    NEXT_OFFSET = "stream-next-offset";
    UP_TO_DATE = "stream-up-to-date";
    CLOSED = "stream-closed";
    CURSOR = "stream-cursor";
    SEQ = "stream-seq";
    TTL = "stream-ttl";
    EXPIRES_AT = "stream-expires-at";
    FORKED_FROM = "stream-forked-from";
    FORK_OFFSET = "stream-fork-offset";
    FORK_SUB_OFFSET = "stream-fork-sub-offset";
    PRODUCER_ID = "producer-id";
    PRODUCER_EPOCH = "producer-epoch";
    PRODUCER_SEQ = "producer-seq";
    PRODUCER_EXPECTED_SEQ = "producer-expected-seq";
    PRODUCER_RECEIVED_SEQ = "producer-received-seq";
    SSE_DATA_ENCODING = "stream-sse-data-encoding";
    LAST_EVENT_ID = "last-event-id";
    RESOURCE_POLICY = "cross-origin-resource-policy";
    ACCEL_BUFFERING = "x-accel-buffering";
}

/// Methods that a page of another origin may use.
pub(crate) const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
/// Headers that a page of another origin may send.
pub(crate) const REQUEST_HEADERS: &str = "content-type, authorization, if-none-match, \
    last-event-id, stream-seq, stream-ttl, stream-expires-at, stream-closed, producer-id, \
    producer-epoch, producer-seq, stream-forked-from, stream-fork-offset, stream-fork-sub-offset";
/// Headers that a page of another origin may see.
pub(crate) const RESPONSE_HEADERS: &str = "stream-next-offset, stream-cursor, stream-up-to-date, \
    stream-closed, stream-ttl, stream-expires-at, producer-epoch, producer-seq, \
    producer-expected-seq, producer-received-seq, stream-sse-data-encoding, etag, location, \
    content-type, retry-after";

/// What stands for a header that says yes.
pub(crate) const TRUE: HeaderValue = HeaderValue::from_static("true");

/// The one value of a header; `None` = it is not there. Given twice or not in ASCII, it means
/// nothing.
pub(crate) fn one<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Problem::bad_request(format!("give {name} once"))),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text)),
            Err(_garbled) => {
                Err(Problem::bad_request(format!("{name} must be text in visible ASCII")))
            }
        },
    }
}

/// `0`, or digits that do not begin with one; at most `max`.
pub(crate) fn number(text: &str, name: &HeaderName, max: u64) -> Result<u64, Problem> {
    let plain = text == "0" || (!text.starts_with('0') && all_digits(text));
    let number = if plain { text.parse().ok() } else { None };
    number.filter(|&number| number <= max).ok_or_else(|| {
        let told = format!("{name} must be a whole number in plain digits, at most {max}");
        Problem::bad_request(told)
    })
}

/// Digits and nothing else, also with zeros before them; at most 2^53 - 1, so that every
/// language can count them.
pub(crate) fn counter(text: &str, name: &HeaderName) -> Result<u64, Problem> {
    const MAX: u64 = (1 << 53) - 1;
    let number = if all_digits(text) { text.parse().ok() } else { None };
    number
        .filter(|&number| number <= MAX)
        .ok_or_else(|| Problem::bad_request(format!("{name} must be plain digits, at most {MAX}")))
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A value that is known to be visible ASCII: an offset, a number, a content type.
pub(crate) fn value(text: impl ToString) -> HeaderValue {
    // Whatever else it may be, an answer without a header is better than none.
    HeaderValue::from_str(&text.to_string()).unwrap_or(HeaderValue::from_static(""))
}
