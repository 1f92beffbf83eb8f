//! What a browser sees of a record: `id:<offset>\ndata:<one line of JSON>\n\n`.
//!
//! What must not leave the server is dropped here and nowhere else. The fields are copied as
//! they lie in the stream, in their order, without being read: a record becomes a frame once,
//! and a thousand readers share it.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use studio_streams::Record;

/// Words between servers and hosted agents: everything that is a `studio_events::InternalEvent`,
/// and the reference's own `command`.
pub(crate) const INTERNAL: &[&str] =
    &["command", "gate_response", "writer_started", "run_started", "recorded"];
/// Fields that only servers read.
const HIDDEN: &[&str] = &["source", "journal"];

/// The record as a server-sent event; `None` = not for browsers (internal, or not an object).
pub(crate) fn as_sse(record: &Record) -> Option<Bytes> {
    let mut frame = Vec::with_capacity(record.data.len() + 40);
    frame.extend_from_slice(format!("id:{}\ndata:", record.offset).as_bytes());
    show(&record.data, &mut frame)?;
    frame.extend_from_slice(b"\n\n");
    Some(frame.into())
}

/// What readers see of a record, in one line; `None` as for [`as_sse`].
pub(crate) fn shown(data: &[u8]) -> Option<Vec<u8>> {
    let mut line = Vec::with_capacity(data.len());
    show(data, &mut line)?;
    Some(line)
}

fn show(data: &[u8], frame: &mut Vec<u8>) -> Option<()> {
    let Fields(fields) = serde_json::from_slice(data).ok()?;
    if fields.iter().any(|(name, value)| name == "type" && is_internal(value)) {
        return None;
    }
    frame.push(b'{');
    let shown = fields.iter().filter(|(name, _)| !HIDDEN.contains(&name.as_ref()));
    for (at, (name, value)) in shown.enumerate() {
        if 0 < at {
            frame.push(b',');
        }
        serde_json::to_writer(&mut *frame, name.as_ref()).ok()?;
        frame.push(b':');
        // Within JSON a line break can only be space between tokens; an event has one line.
        frame
            .extend(value.get().bytes().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
    }
    frame.push(b'}');
    Some(())
}

fn is_internal(value: &RawValue) -> bool {
    let kind: Result<Cow<'_, str>, _> = serde_json::from_str(value.get());
    kind.is_ok_and(|kind| INTERNAL.contains(&kind.as_ref()))
}

/// An object's fields in their order, the values unread.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A field's name; borrowed unless it is escaped.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some((Name(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use studio_events::{EngineEvent, InternalEvent, SessionEntry, Timestamp};
    use studio_ids::{InstanceId, RunId};
    use studio_streams::Offset;

    use super::*;

    fn frame(data: impl Into<Vec<u8>>) -> Option<String> {
        let record = Record { offset: Offset::Position(42), data: Bytes::from(data.into()) };
        as_sse(&record).map(|frame| String::from_utf8(frame.to_vec()).unwrap())
    }

    #[test]
    fn a_frame_has_an_id_and_one_line() {
        insta::assert_snapshot!(
            frame(br#"{"source":"agent","type":"x","n":1.50,"text":"a\nb","journal":{"at":1},"ts":"t"}"#).unwrap(),
            @r#"
        id:00000000000000000042
        data:{"type":"x","n":1.50,"text":"a\nb","ts":"t"}
        "#
        );
        let spread = frame(b"{\n \"type\": {\n\"a\":\r\n1}\n}\n".to_vec()).unwrap();
        assert_eq!(spread, "id:00000000000000000042\ndata:{\"type\":{ \"a\":  1}}\n\n");
        assert_eq!(frame(*b"{}").unwrap(), "id:00000000000000000042\ndata:{}\n\n");
    }

    #[test]
    fn a_real_entry_loses_only_what_servers_read() {
        let event = EngineEvent::AssistantMessage {
            text: "hello \u{1F600}".into(),
            agent: None,
            parent_tool_use_id: None,
        };
        let entry = SessionEntry::agent(event, Timestamp::from_unix_millis(0));
        assert_eq!(
            frame(entry.to_json()).unwrap(),
            "id:00000000000000000042\ndata:{\"type\":\"assistant_message\",\"text\":\"hello \u{1F600}\",\"ts\":\"1970-01-01T00:00:00.000Z\"}\n\n"
        );
    }

    #[test]
    fn internal_words_stay_inside() {
        let ts = Timestamp::from_unix_millis(0);
        for event in [
            InternalEvent::WriterStarted { instance: InstanceId::random(), epoch: 1 },
            InternalEvent::RunStarted { run: RunId::random() },
            InternalEvent::GateResponse {
                gate: "permission".into(),
                gate_id: "t1".parse().unwrap(),
                value: serde_json::json!({"secret": 1}),
            },
            InternalEvent::Recorded,
        ] {
            assert_eq!(frame(SessionEntry::server(event, ts).to_json()), None);
        }
        for data in
            [r#"{"type":"command"}"#, r#"{"type":"comm\u0061nd"}"#, r#"{"ty\u0070e":"command"}"#]
        {
            assert_eq!(frame(data), None, "{data}");
        }
    }

    #[test]
    fn d30_21_what_is_not_an_object_is_passed_over() {
        for data in ["null", "1", "[1]", "\"x\"", "{", "", "{\"a\":1}{", "\u{feff}{}"] {
            assert_eq!(frame(data), None, "{data}");
        }
        assert_eq!(frame(b"{\"a\":\"\xff\"}".to_vec()), None);
    }

    #[test]
    fn an_event_of_an_unknown_kind_passes() {
        assert!(frame(r#"{"type":"from_the_future"}"#).is_some());
        assert!(frame(r#"{"type":null,"a":1}"#).is_some());
    }
}
