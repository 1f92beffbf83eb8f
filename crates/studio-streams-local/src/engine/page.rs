//! Reading a stream that lies in several parts: what all engines share.

use bytes::Bytes;

use super::{Answer, Ask, EngineError, ForkPoint, Place, StreamId, StreamRow, Way, row::Part};

/// Takes a record that ends here; says whether it wants the next one.
pub(super) type Take<'a> = &'a mut dyn FnMut(u64, &[u8]) -> bool;

/// Records as they lie, each under a stream and the position of its end.
pub(super) trait Records {
    /// Whether a record ends there.
    fn ends_at(&self, id: StreamId, end: u64) -> Result<bool, EngineError>;

    /// Hands over the records of a part until `take` has enough; says whether it wanted all.
    fn walk(&self, part: Part, way: Way, take: Take<'_>) -> Result<bool, EngineError>;

    /// The last append of more than one record that begins at `at` or before: where it ends.
    fn append_from(&self, id: StreamId, at: u64) -> Result<Option<u64>, EngineError>;
}

/// The position of a place; `None` = it is none of this stream.
fn position(
    records: &impl Records,
    row: &StreamRow,
    place: Place,
) -> Result<Option<u64>, EngineError> {
    let at = match place {
        Place::Start => 0,
        Place::End => row.tail,
        Place::At(at) => at,
    };
    if at == 0 || at == row.tail {
        return Ok(Some(at));
    }
    let part = row.parts().find(|part| part.after < at && at <= part.up_to);
    let Some(part) = part else { return Ok(None) };
    Ok(records.ends_at(part.id, at)?.then_some(at))
}

/// Gathers records until they make a page. They lie in one buffer: one allocation for all of them.
struct PageOf {
    /// Where each ends, in the stream and in the buffer.
    ends: Vec<(u64, usize)>,
    buffer: Vec<u8>,
    max: usize,
    bytes_max: usize,
}

/// Room to begin with for each record that is asked for.
const RECORD_BYTES: usize = 512;

impl PageOf {
    /// `bytes_there`: as much as there is to be read at most.
    fn new(max: usize, bytes_max: usize, bytes_there: u64) -> Self {
        let there = usize::try_from(bytes_there).unwrap_or(usize::MAX);
        let room = bytes_max.min(there).min(max.saturating_mul(RECORD_BYTES));
        Self { ends: Vec::new(), buffer: Vec::with_capacity(room), max, bytes_max }
    }

    /// Takes the record unless the page is full; says whether it did.
    fn take(&mut self, end: u64, data: &[u8]) -> bool {
        let full = self.max <= self.ends.len()
            || (!self.ends.is_empty() && self.bytes_max < self.buffer.len() + data.len());
        if !full {
            self.buffer.extend_from_slice(data);
            self.ends.push((end, self.buffer.len()));
        }
        !full
    }

    fn records(self) -> Vec<(u64, Bytes)> {
        let (buffer, mut from) = (Bytes::from(self.buffer), 0);
        let record = |(end, to)| {
            let data = buffer.slice(from..to);
            from = to;
            (end, data)
        };
        self.ends.into_iter().map(record).collect()
    }
}

/// A piece of the stream.
pub(super) fn read(
    records: &impl Records,
    row: StreamRow,
    ask: Ask<'_>,
) -> Result<Answer, EngineError> {
    let Some(at) = position(records, &row, ask.place)? else { return Ok(Answer::NoPlace { row }) };
    let (max, bytes_max) = (ask.max, ask.bytes_max);
    let there = match ask.way {
        Way::On => row.tail.saturating_sub(at),
        Way::Back => at,
    };
    let mut page = PageOf::new(max, bytes_max, there);
    if 0 < max {
        let mut wants_more = |part: Part| {
            let mut take = |end, data: &[u8]| page.take(end, data);
            records.walk(part, ask.way, &mut take)
        };
        match ask.way {
            Way::On => {
                for part in row.parts().filter(|part| at < part.up_to) {
                    if !wants_more(Part { after: part.after.max(at), ..part })? {
                        break;
                    }
                }
            }
            Way::Back => {
                for part in row.parts().rev().filter(|part| part.after < at) {
                    if !wants_more(Part { up_to: part.up_to.min(at), ..part })? {
                        break;
                    }
                }
            }
        }
    }
    let mut records = page.records();
    let next = match (ask.way, records.last()) {
        (_, None) => at,
        (Way::On, Some((end, _))) => *end,
        (Way::Back, Some((end, data))) => *end - data.len() as u64,
    };
    if ask.way == Way::Back {
        records.reverse();
    }
    Ok(Answer::Chunk { row, records, next })
}

/// Where a fork begins, and at most `max` records of the source's next append.
pub(super) fn fork_point(
    records: &impl Records,
    row: StreamRow,
    place: Place,
    max: u64,
) -> Result<ForkPoint, EngineError> {
    let Some(at) = position(records, &row, place)? else { return Ok(ForkPoint::NoPlace) };
    let mut next_append = Vec::new();
    let part = row.parts().find(|part| part.after <= at && at < part.up_to);
    if let Some(part) = part.filter(|_| 0 < max) {
        let append_end = records.append_from(part.id, at)?.filter(|end| at < *end);
        let up_to = append_end.unwrap_or(part.up_to).min(part.up_to);
        // An append without a mark of its end has one record.
        let max = if append_end.is_some() { max } else { 1 };
        records.walk(Part { after: at, up_to, ..part }, Way::On, &mut |_, data| {
            next_append.push(Bytes::copy_from_slice(data));
            (next_append.len() as u64) < max
        })?;
    }
    Ok(ForkPoint::At { row, at, next_append })
}
