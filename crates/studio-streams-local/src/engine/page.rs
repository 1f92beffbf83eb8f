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

/// Gathers records until they make a page.
struct PageOf {
    records: Vec<(u64, Bytes)>,
    bytes: usize,
    max: usize,
    bytes_max: usize,
}

impl PageOf {
    /// Takes the record unless the page is full; says whether it did.
    fn take(&mut self, end: u64, data: &[u8]) -> bool {
        let full = self.max <= self.records.len()
            || (!self.records.is_empty() && self.bytes_max < self.bytes + data.len());
        if !full {
            self.bytes += data.len();
            self.records.push((end, Bytes::copy_from_slice(data)));
        }
        !full
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
    let mut page = PageOf { records: Vec::new(), bytes: 0, max, bytes_max };
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
    let mut records = page.records;
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
