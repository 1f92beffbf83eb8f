//! Messages as server-sent events. Pure.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use studio_streams::{ContentType, Offset, Record};

/// Nothing happened, and the connection is alive.
pub(crate) const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// How messages stand in events; one for each stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As an array of values.
    Json,
    /// As they are, line by line.
    Text,
    /// In base64.
    Bytes,
}

impl Kind {
    pub(crate) fn of(content_type: &ContentType) -> Self {
        match content_type {
            json if json.is_json() => Self::Json,
            text if text.is_text() => Self::Text,
            _ => Self::Bytes,
        }
    }
}

/// What a control event says after the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The stream may go on.
    Open { cursor: u64, up_to_date: bool },
    /// It ends here.
    Closed,
}

/// One message as a data event, and the beginning of its control event, up to where a reader's
/// own state comes: the same for all readers, so it is made once.
pub(crate) fn shared(kind: Kind, record: &Record) -> Bytes {
    let data = std::iter::once(record.data.as_ref());
    events(kind, data, record.data.len(), &record.offset).into()
}

/// As [`shared`], for several messages in one data event. `next` is the place after them.
pub(crate) fn joined(kind: Kind, records: &[&Record], next: &Offset) -> Vec<u8> {
    let size = records.iter().map(|record| record.data.len()).sum();
    events(kind, records.iter().map(|record| record.data.as_ref()), size, next)
}

/// The rest of a control event.
pub(crate) fn rest(state: State) -> String {
    match state {
        State::Closed => ",\"streamClosed\":true}\n\n".to_owned(),
        State::Open { cursor, up_to_date: false } => {
            format!(",\"streamCursor\":\"{cursor}\"}}\n\n")
        }
        State::Open { cursor, up_to_date: true } => {
            format!(",\"streamCursor\":\"{cursor}\",\"upToDate\":true}}\n\n")
        }
    }
}

/// A control event on its own.
pub(crate) fn control(next: &Offset, state: State) -> Bytes {
    let mut text = Vec::with_capacity(160);
    begin_control(&mut text, next);
    text.extend_from_slice(rest(state).as_bytes());
    text.into()
}

fn events<'a>(
    kind: Kind,
    mut records: impl Iterator<Item = &'a [u8]>,
    size: usize,
    next: &Offset,
) -> Vec<u8> {
    let room = if kind == Kind::Bytes { size / 3 * 4 } else { size };
    let mut text = Vec::with_capacity(room + room / 64 + 256);
    text.extend_from_slice(format!("id: {next}\nevent: data\n").as_bytes());
    match kind {
        Kind::Json => {
            let mut payload = vec![b'['];
            for (n, record) in records.enumerate() {
                if 0 < n {
                    payload.push(b',');
                }
                payload.extend_from_slice(record);
            }
            payload.push(b']');
            lines(&mut text, &payload);
        }
        Kind::Text => match (records.next(), records.next()) {
            (Some(only), None) => lines(&mut text, &readable(only)),
            (first, second) => {
                let all: Vec<&[u8]> = first.into_iter().chain(second).chain(records).collect();
                lines(&mut text, &readable(&all.concat()));
            }
        },
        Kind::Bytes => {
            let all: Vec<&[u8]> = records.collect();
            text.extend_from_slice(b"data:");
            text.extend_from_slice(STANDARD.encode(all.concat()).as_bytes());
            text.push(b'\n');
        }
    }
    text.push(b'\n');
    begin_control(&mut text, next);
    text
}

/// An event stream is UTF-8; what is not becomes the replacement character here, as it would in
/// the browser.
fn readable(text: &[u8]) -> Cow<'_, [u8]> {
    match String::from_utf8_lossy(text) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(replaced) => Cow::Owned(replaced.into_bytes()),
    }
}

/// Every line as one of its own, whichever of CR, LF and CRLF ends it: none of them may end the
/// event, or a message could pass for the server's words.
fn lines(text: &mut Vec<u8>, payload: &[u8]) {
    let mut rest = payload;
    loop {
        text.extend_from_slice(b"data:");
        if rest.starts_with(b" ") {
            // A reader takes one blank away.
            text.push(b' ');
        }
        let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
        let Some(end) = end else {
            text.extend_from_slice(rest);
            text.push(b'\n');
            return;
        };
        text.extend_from_slice(&rest[..end]);
        text.push(b'\n');
        let pair = rest[end..].starts_with(b"\r\n");
        rest = &rest[end + if pair { 2 } else { 1 }..];
    }
}

fn begin_control(text: &mut Vec<u8>, next: &Offset) {
    // An offset of another server may hold a quotation mark.
    let quoted = serde_json::Value::from(next.to_string());
    let event = format!("id: {next}\nevent: control\ndata:{{\"streamNextOffset\":{quoted}");
    text.extend_from_slice(event.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(at: u64, data: &[u8]) -> Record {
        Record { offset: Offset::Position(at), data: Bytes::copy_from_slice(data) }
    }

    /// Name, id and data of each event, as a browser takes them apart.
    fn parse(stream: &[u8]) -> Vec<(String, String, String)> {
        let text = std::str::from_utf8(stream).unwrap().replace("\r\n", "\n").replace('\r', "\n");
        let mut events = Vec::new();
        let (mut name, mut id, mut data) = (String::new(), String::new(), Vec::new());
        for line in text.split('\n') {
            match line.split_once(':').map(|(f, v)| (f, v.strip_prefix(' ').unwrap_or(v))) {
                Some(("event", value)) => name = value.to_owned(),
                Some(("id", value)) => id = value.to_owned(),
                Some(("data", value)) => data.push(value.to_owned()),
                Some(_) => {}
                None if data.is_empty() => {}
                None => {
                    let data = std::mem::take(&mut data).join("\n");
                    events.push((std::mem::take(&mut name), id.clone(), data));
                }
            }
        }
        events
    }

    fn whole(kind: Kind, data: &[u8]) -> Vec<(String, String, String)> {
        let mut stream = shared(kind, &record(7, data)).to_vec();
        stream.extend_from_slice(rest(State::Open { cursor: 5, up_to_date: true }).as_bytes());
        parse(&stream)
    }

    const ID: &str = "00000000000000000007";

    #[test]
    fn a_message_is_a_data_event_and_its_control_event() {
        let control =
            format!("{{\"streamNextOffset\":\"{ID}\",\"streamCursor\":\"5\",\"upToDate\":true}}");
        let expected = [
            ("data".to_owned(), ID.to_owned(), "[{\"k\":1}]".to_owned()),
            ("control".to_owned(), ID.to_owned(), control),
        ];
        assert_eq!(whole(Kind::Json, b"{\"k\":1}"), expected);
    }

    #[test]
    fn several_messages_share_one_event() {
        let (one, two) = (record(3, b"\"a\""), record(6, b"\"b\""));
        let next = Offset::Position(6);
        let data = |kind| {
            let mut stream = joined(kind, &[&one, &two], &next);
            stream.extend_from_slice(rest(State::Closed).as_bytes());
            let events = parse(&stream);
            assert!(events[1].2.ends_with("\"streamClosed\":true}"), "{events:?}");
            assert!(!events[1].2.contains("streamCursor"));
            events[0].2.clone()
        };
        assert_eq!(data(Kind::Json), "[\"a\",\"b\"]");
        assert_eq!(data(Kind::Text), "\"a\"\"b\"");
        assert_eq!(STANDARD.decode(data(Kind::Bytes)).unwrap(), b"\"a\"\"b\"");
    }

    #[test]
    fn no_line_end_ends_an_event() {
        for end in ["\n", "\r", "\r\n"] {
            let text = format!("a{end}{end}event: control{end}data: {{}}{end}{end}: b");
            let events = whole(Kind::Text, text.as_bytes());
            assert_eq!(events.len(), 2, "{events:?}");
            assert_eq!(events[0].2, "a\n\nevent: control\ndata: {}\n\n: b");
        }
        let pretty = whole(Kind::Json, b"{\r\n  \"a\": 1\r}");
        assert_eq!(pretty[0].2, "[{\n  \"a\": 1\n}]");
    }

    #[test]
    fn blanks_and_what_is_no_text_survive() {
        assert_eq!(whole(Kind::Text, b"  a ")[0].2, "  a ");
        assert_eq!(whole(Kind::Text, b"a\n")[0].2, "a\n");
        assert_eq!(whole(Kind::Text, b"a\xffb")[0].2, "a\u{fffd}b");
        assert_eq!(whole(Kind::Bytes, b"\xff\x00\r\n")[0].2, "/wANCg==");
    }

    #[test]
    fn an_offset_of_another_server_cannot_break_out() {
        let next: Offset = "a\"b\\c".parse().unwrap();
        let events = parse(&control(&next, State::Closed));
        let data: serde_json::Value = serde_json::from_str(&events[0].2).unwrap();
        assert_eq!(data["streamNextOffset"], "a\"b\\c");
        assert_eq!(data["streamClosed"], true);
    }

    proptest! {
        #[test]
        fn every_text_comes_back_but_for_its_line_ends(text in "[ab:\r\n\u{e9} ]{0,40}") {
            let events = whole(Kind::Text, text.as_bytes());
            prop_assert_eq!(events.len(), 2);
            prop_assert_eq!(&events[0].2, &text.replace("\r\n", "\n").replace('\r', "\n"));
        }

        #[test]
        fn all_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let events = whole(Kind::Bytes, &bytes);
            prop_assert_eq!(STANDARD.decode(&events[0].2).unwrap(), bytes);
        }
    }
}
