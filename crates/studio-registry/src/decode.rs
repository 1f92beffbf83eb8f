use std::borrow::Cow;

use serde::Deserialize;
use studio_events::{RegistryEntry, SessionInfo, SessionPrivate, Timestamp};
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

/// A registration, read straight: the tagged enum would buffer each one first.
#[derive(Deserialize)]
struct Registered {
    session: SessionInfo,
    #[serde(default)]
    internal: SessionPrivate,
    ts: Timestamp,
}

/// `Ok(None)`: somebody else's entry. Rooms lie in the same stream.
pub(crate) fn decode(data: &[u8]) -> Result<Option<RegistryEntry>, serde_json::Error> {
    let head: Head<'_> = serde_json::from_slice(data)?;
    match &*head.kind {
        "session_registered" => {
            let Registered { session, internal, ts } = serde_json::from_slice(data)?;
            Ok(Some(RegistryEntry::SessionRegistered { session, internal, ts }))
        }
        "room_created" | "room_revoked" | "room_sessions_set" => Ok(None),
        _ => serde_json::from_slice(data).map(Some),
    }
}
