//! Changes as bytes, for the journal.

use bytes::{Buf, BufMut, Bytes};
use studio_streams::ProducerState;

use super::{Change, StreamId};

const CREATE: u8 = 1;
const APPEND: u8 = 2;
const PRODUCER: u8 = 3;
const CLOSE: u8 = 4;
const DELETE: u8 = 5;
const SWEEP: u8 = 6;

/// Adds these changes to `out`. Lengths are 32 bits: a batch of records is bounded far below.
pub(super) fn encode(changes: &[Change], out: &mut Vec<u8>) {
    for change in changes {
        match change {
            Change::Create { path, id } => named(out, CREATE, *id, path),
            Change::Close { path, id } => named(out, CLOSE, *id, path),
            Change::Delete { path, id } => named(out, DELETE, *id, path),
            Change::Append { id, start, records } => {
                out.put_u8(APPEND);
                out.put_u64_le(id.0);
                out.put_u64_le(*start);
                out.put_u32_le(records.len() as u32);
                records.iter().for_each(|record| bytes(out, record));
            }
            Change::Producer { id, producer, state } => {
                named(out, PRODUCER, *id, producer);
                out.put_u64_le(state.epoch);
                out.put_u64_le(state.last_seq);
            }
            Change::Sweep { rows } => {
                out.put_u8(SWEEP);
                out.put_u32_le(*rows);
            }
        }
    }
}

fn named(out: &mut Vec<u8>, kind: u8, id: StreamId, name: &str) {
    out.put_u8(kind);
    out.put_u64_le(id.0);
    bytes(out, name.as_bytes());
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32_le(bytes.len() as u32);
    out.put_slice(bytes);
}

/// The changes in `from`; `None` if these bytes are none.
pub(super) fn decode(mut from: Bytes) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while from.has_remaining() {
        changes.push(change(&mut from)?);
    }
    Some(changes)
}

fn change(from: &mut Bytes) -> Option<Change> {
    let kind = from.try_get_u8().ok()?;
    if kind == SWEEP {
        return Some(Change::Sweep { rows: from.try_get_u32_le().ok()? });
    }
    let id = StreamId(from.try_get_u64_le().ok()?);
    Some(match kind {
        CREATE => Change::Create { path: take_text(from)?, id },
        CLOSE => Change::Close { path: take_text(from)?, id },
        DELETE => Change::Delete { path: take_text(from)?, id },
        APPEND => {
            let start = from.try_get_u64_le().ok()?;
            let count = from.try_get_u32_le().ok()?;
            let records = (0..count).map(|_| take_bytes(from)).collect::<Option<_>>()?;
            Change::Append { id, start, records }
        }
        PRODUCER => {
            let producer = take_text(from)?;
            let epoch = from.try_get_u64_le().ok()?;
            let last_seq = from.try_get_u64_le().ok()?;
            Change::Producer { id, producer, state: ProducerState { epoch, last_seq } }
        }
        _ => return None,
    })
}

fn take_bytes(from: &mut Bytes) -> Option<Bytes> {
    let len = from.try_get_u32_le().ok()? as usize;
    (len <= from.remaining()).then(|| from.split_to(len))
}

fn take_text(from: &mut Bytes) -> Option<String> {
    String::from_utf8(take_bytes(from)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_survive_being_bytes_and_no_cut_of_them_is_taken_for_others() {
        let id = StreamId(7);
        let changes = [
            Change::Create { path: "session/a".to_owned(), id },
            Change::Append { id, start: 9, records: vec![Bytes::from("1"), Bytes::from("22")] },
            Change::Producer {
                id,
                producer: "session:a".to_owned(),
                state: ProducerState { epoch: 3, last_seq: 4 },
            },
            Change::Close { path: "session/a".to_owned(), id },
            Change::Delete { path: "session/a".to_owned(), id },
            Change::Sweep { rows: 5 },
        ];
        let mut out = Vec::new();
        encode(&changes, &mut out);
        assert_eq!(decode(Bytes::from(out.clone())).as_deref(), Some(&changes[..]));
        for cut in 0..out.len() {
            let found = decode(Bytes::copy_from_slice(&out[..cut]));
            assert!(found.is_none_or(|found| changes.starts_with(&found)), "cut at {cut}");
        }
    }
}
