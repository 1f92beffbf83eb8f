use std::borrow::Cow;

use serde::Deserialize;
use studio_events::{RegistryEntry, SessionInfo, SessionPrivate, SessionUpdate, Timestamp};
use studio_ids::SessionId;
use studio_streams::{Offset, Record};

/// Entries that a start warns about one by one; the rest is only counted.
const WARNINGS_MAX: usize = 10;

/// Reads entries, tells about those that cannot be read and goes on: one bad record never keeps
/// the others away.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    skipped: usize,
}

impl Decoder {
    /// The entry, if it is one that the list of sessions is made of.
    pub(crate) fn entry(&mut self, record: &Record) -> Option<RegistryEntry> {
        match decode(&record.data) {
            Ok(entry) => entry,
            Err(error) => {
                self.skip(&record.offset, &error);
                None
            }
        }
    }

    /// Says how many were skipped in all.
    pub(crate) fn finish(self) {
        if 0 < self.skipped {
            let entries = self.skipped;
            tracing::warn!(entries, "{entries} entries of the registry were skipped");
        }
    }

    fn skip(&mut self, offset: &Offset, error: &serde_json::Error) {
        self.skipped += 1;
        if self.skipped <= WARNINGS_MAX {
            tracing::warn!(
                stream.offset = %offset,
                error = error as &dyn std::error::Error,
                "the entry of the registry before {offset} is skipped"
            );
        }
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// A registration, read straight: the tagged enum would copy each one first.
#[derive(Deserialize)]
struct Registered {
    session: SessionInfo,
    #[serde(default)]
    internal: SessionPrivate,
    ts: Timestamp,
}

/// An update, read straight.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    session_id: SessionId,
    update: SessionUpdate,
    ts: Timestamp,
}

/// `Ok(None)`: somebody else's entry. Rooms lie in the same stream.
pub(crate) fn decode(data: &[u8]) -> Result<Option<RegistryEntry>, serde_json::Error> {
    let kind = match first_field(data) {
        Some(kind) => kind,
        None => &*serde_json::from_slice::<Head<'_>>(data)?.kind.into_owned(),
    };
    match kind {
        "session_registered" => {
            let Registered { session, internal, ts } = serde_json::from_slice(data)?;
            Ok(Some(RegistryEntry::SessionRegistered { session, internal, ts }))
        }
        "session_updated" => {
            let Updated { session_id, update, ts } = serde_json::from_slice(data)?;
            Ok(Some(RegistryEntry::SessionUpdated { session_id, update, ts }))
        }
        "room_created" | "room_revoked" | "room_sessions_set" => Ok(None),
        _ => serde_json::from_slice(data).map(Some),
    }
}

/// The type of an entry that begins with it, as all of ours do: saves a look at all the rest. A
/// type with an escape in it is none that we know, so it may be cut short.
pub(crate) fn first_field(data: &[u8]) -> Option<&str> {
    let rest = data.strip_prefix(br#"{"type":""#)?;
    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    std::str::from_utf8(&rest[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str =
        r#""sessionId":"00000000-0000-4000-8000-00000000000a","ts":"1970-01-01T00:00:00.000Z""#;

    #[test]
    fn the_type_may_stand_anywhere() {
        let entries = [
            format!(r#"{{"type":"session_deleted",{REST}}}"#),
            format!(r#"{{ "type" : "session_deleted",{REST}}}"#),
            format!(r#"{{{REST},"type":"session_deleted"}}"#),
            format!(r#"{{{REST},"type":"session\u005fdeleted"}}"#),
        ];
        for entry in entries {
            let decoded = decode(entry.as_bytes()).unwrap();
            assert!(matches!(decoded, Some(RegistryEntry::SessionDeleted { .. })), "{entry}");
        }
    }

    #[test]
    fn what_is_read_straight_is_what_the_enum_reads() {
        let update = r#"{"status":"error","appPort":null,"internalUnknown":1}"#;
        let entries = [
            format!(r#"{{"type":"session_updated","update":{update},{REST}}}"#),
            format!(r#"{{"type":"session_updated","update":{{}},{REST},"more":[1]}}"#),
        ];
        for entry in entries {
            let direct = decode(entry.as_bytes()).unwrap().unwrap();
            assert_eq!(direct, serde_json::from_str(&entry).unwrap());
        }
        assert!(decode(br#"{"type":"session_updated","update":{}}"#).is_err());
    }
}
