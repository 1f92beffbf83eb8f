use bytes::Bytes;
use studio_streams::PAGE_BYTES_SOFT_MAX;

use super::{Answer, StreamRow, Way};

/// Gathers records until they make a page.
pub(super) struct PageOf {
    records: Vec<(u64, Bytes)>,
    bytes: usize,
    max: usize,
}

impl PageOf {
    pub(super) fn new(max: usize) -> Self {
        Self { records: Vec::new(), bytes: 0, max }
    }

    /// Takes the record unless the page is full; says whether it did.
    pub(super) fn take(&mut self, end: u64, size: usize, data: impl FnOnce() -> Bytes) -> bool {
        let full = self.max <= self.records.len()
            || (!self.records.is_empty() && PAGE_BYTES_SOFT_MAX < self.bytes + size);
        if !full {
            self.bytes += size;
            self.records.push((end, data()));
        }
        !full
    }

    /// The answer, the records having been taken in the order of `way` from `at` on.
    pub(super) fn into_answer(self, row: StreamRow, at: u64, way: Way) -> Answer {
        let mut records = self.records;
        let next = match (way, records.last()) {
            (_, None) => at,
            (Way::On, Some((end, _))) => *end,
            (Way::Back, Some((end, data))) => *end - data.len() as u64,
        };
        if way == Way::Back {
            records.reverse();
        }
        Answer::Chunk { row, records, next }
    }
}
