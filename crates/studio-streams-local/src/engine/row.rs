use std::sync::Arc;

use serde::{Deserialize, Serialize};
use studio_streams::{Expiry, StreamFacts};

use super::EngineError;

/// Longest time that may pass before a use of a stream is brought to the disk, in milliseconds.
const TOUCH_LATE_MAX_MS: u64 = 3_600_000;

/// Which life of which stream. Never used twice, so nothing of a deleted stream shows in the one
/// that takes over its path.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct StreamId(pub u64);

/// What is kept of a stream beside its records and producers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// What the rules of the port need.
    #[serde(flatten)]
    pub facts: StreamFacts,
    /// Whose records it begins with: which stream's, up to which position, in order. Empty for a
    /// stream that is no fork.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<(StreamId, u64)>,
    /// How many streams are forks of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forks: u64,
    /// Whether it was deleted and is kept for its forks alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// When it was last read or written, in Unix milliseconds, as far as that was brought to the
    /// disk; only kept of a stream with [`Expiry::AfterSeconds`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub touched: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl StreamInfo {
    /// A stream of its own, used just now.
    pub fn new(facts: StreamFacts, now: u64) -> Self {
        let touched = match facts.expiry {
            Some(Expiry::AfterSeconds(_)) => now,
            Some(Expiry::AtMillis(_)) | None => 0,
        };
        Self { facts, lineage: Vec::new(), forks: 0, deleted: false, touched }
    }

    /// The position before its own first record.
    pub fn begins(&self) -> u64 {
        self.lineage.last().map_or(0, |(_, up_to)| *up_to)
    }

    /// How much later than it happened a use of the stream may be brought to the disk, in
    /// milliseconds: a sixteenth of its time, an hour at most.
    pub fn touch_late_ms(&self) -> u64 {
        match self.facts.expiry {
            Some(Expiry::AfterSeconds(seconds)) => {
                (seconds.saturating_mul(1_000) / 16).min(TOUCH_LATE_MAX_MS)
            }
            Some(Expiry::AtMillis(_)) | None => 0,
        }
    }

    /// When to look whether its time is over, in Unix milliseconds: not before it can be.
    pub fn due(&self) -> Option<u64> {
        match self.facts.expiry? {
            _ if self.deleted => None,
            Expiry::AtMillis(at) => Some(at),
            Expiry::AfterSeconds(seconds) => {
                let end = self.touched.saturating_add(seconds.saturating_mul(1_000));
                Some(end.saturating_add(self.touch_late_ms()))
            }
        }
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, EngineError> {
        serde_json::to_vec(self).map_err(|source| EngineError::Failed {
            tried: "write down what a stream is",
            source: Box::new(source),
        })
    }

    pub(super) fn from_bytes(bytes: &[u8], path: &str) -> Result<Arc<Self>, EngineError> {
        serde_json::from_slice(bytes).map(Arc::new).map_err(|error| EngineError::Damaged {
            what: format!("what is kept of stream {path} cannot be read: {error}"),
        })
    }
}

/// One stream as the engine knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRow {
    /// Which one.
    pub id: StreamId,
    /// The position after its last record.
    pub tail: u64,
    /// The rest of what is kept of it.
    pub info: Arc<StreamInfo>,
}

/// Records of a stream that lie together: those that end after `after` and up to `up_to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) id: StreamId,
    pub(super) after: u64,
    pub(super) up_to: u64,
}

impl StreamRow {
    /// Where its records lie, in order: those of the streams that it is a fork of, then its own.
    pub(super) fn parts(&self) -> impl DoubleEndedIterator<Item = Part> {
        let lineage = &self.info.lineage;
        (0..=lineage.len()).map(|n| {
            let after = n.checked_sub(1).map_or(0, |before| lineage[before].1);
            let (id, up_to) = lineage.get(n).copied().unwrap_or((self.id, self.tail));
            Part { id, after, up_to }
        })
    }

    /// The lineage of a fork that begins with what this stream has up to `at`.
    pub(crate) fn lineage_up_to(&self, at: u64) -> Vec<(StreamId, u64)> {
        self.parts()
            .filter(|part| part.after < part.up_to && part.after < at)
            .map(|part| (part.id, part.up_to.min(at)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use studio_streams::CreateOptions;

    use super::*;

    fn row(id: u64, lineage: &[(u64, u64)], tail: u64) -> StreamRow {
        let mut info = StreamInfo::new(StreamFacts::of(&CreateOptions::default()), 0);
        info.lineage = lineage.iter().map(|(id, up_to)| (StreamId(*id), *up_to)).collect();
        StreamRow { id: StreamId(id), tail, info: Arc::new(info) }
    }

    #[test]
    fn a_forks_lineage_ends_where_it_begins() {
        let fork = row(3, &[(1, 10), (2, 20)], 30);
        let lineage = |at| fork.lineage_up_to(at).into_iter().map(|(id, to)| (id.0, to)).collect();
        let expected: [(u64, Vec<(u64, u64)>); 7] = [
            (0, vec![]),
            (5, vec![(1, 5)]),
            (10, vec![(1, 10)]),
            (11, vec![(1, 10), (2, 11)]),
            (20, vec![(1, 10), (2, 20)]),
            (21, vec![(1, 10), (2, 20), (3, 21)]),
            (30, vec![(1, 10), (2, 20), (3, 30)]),
        ];
        for (at, expected) in expected {
            let found: Vec<_> = lineage(at);
            assert_eq!(found, expected, "at {at}");
        }
        // One without records of its own adds nothing.
        assert_eq!(row(3, &[(1, 10)], 10).lineage_up_to(10), [(StreamId(1), 10)]);
        assert_eq!(row(3, &[], 0).lineage_up_to(0), []);
    }

    #[test]
    fn a_plain_stream_is_kept_in_a_few_bytes() {
        let info = row(1, &[], 0).info;
        let bytes = info.to_bytes().unwrap();
        assert_eq!(bytes, br#"{"content_type":"application/json"}"#);
        assert_eq!(StreamInfo::from_bytes(&bytes, "a").unwrap(), info);
    }
}
