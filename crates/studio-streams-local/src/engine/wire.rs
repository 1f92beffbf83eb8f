//! Changes as bytes, for the journal.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use studio_streams::{CreateOptions, ProducerState, StreamFacts};

use super::{Change, EngineError, StreamId, StreamInfo};

/// Of format 1: a stream began. Every stream was an open one of JSON values that stays.
const CREATE_1: u8 = 1;
const APPEND: u8 = 2;
/// Of format 1: a producer, without a time.
const PRODUCER_1: u8 = 3;
/// Of format 1: a stream was closed.
const CLOSE_1: u8 = 4;
const DELETE: u8 = 5;
const SWEEP: u8 = 6;
const PUT: u8 = 7;
const PRODUCER: u8 = 8;
const FORGET: u8 = 9;

/// Adds these changes to `out`. Lengths are 32 bits: a batch of records is bounded far below.
pub(super) fn encode(changes: &[Change], out: &mut Vec<u8>) -> Result<(), EngineError> {
    for change in changes {
        match change {
            Change::Put { path, id, info } => {
                named(out, PUT, *id, path);
                bytes(out, &info.to_bytes()?);
            }
            Change::Delete { path, id } => named(out, DELETE, *id, path),
            Change::Append { id, start, records } => {
                out.put_u8(APPEND);
                out.put_u64_le(id.0);
                out.put_u64_le(*start);
                out.put_u32_le(records.len() as u32);
                records.iter().for_each(|record| bytes(out, record));
            }
            Change::Producer { id, producer, state, at } => {
                named(out, PRODUCER, *id, producer);
                out.put_u64_le(state.epoch);
                out.put_u64_le(state.last_seq);
                out.put_u64_le(*at);
            }
            Change::Forget { id, producer } => named(out, FORGET, *id, producer),
            Change::Sweep { rows } => {
                out.put_u8(SWEEP);
                out.put_u32_le(*rows);
            }
        }
    }
    Ok(())
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

/// The changes in `from`; `None` if these bytes are none. Producers of format 1 were last heard
/// of at `now`.
pub(super) fn decode(mut from: Bytes, now: u64) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while from.has_remaining() {
        changes.push(change(&mut from, now)?);
    }
    Some(changes)
}

fn change(from: &mut Bytes, now: u64) -> Option<Change> {
    let kind = from.try_get_u8().ok()?;
    if kind == SWEEP {
        return Some(Change::Sweep { rows: from.try_get_u32_le().ok()? });
    }
    let id = StreamId(from.try_get_u64_le().ok()?);
    Some(match kind {
        CREATE_1 => Change::Put { path: take_text(from)?, id, info: Arc::new(format_1(false)) },
        CLOSE_1 => Change::Put { path: take_text(from)?, id, info: Arc::new(format_1(true)) },
        PUT => {
            let path = take_text(from)?;
            let info = StreamInfo::from_bytes(&take_bytes(from)?, &path).ok()?;
            Change::Put { path, id, info }
        }
        DELETE => Change::Delete { path: take_text(from)?, id },
        APPEND => {
            let start = from.try_get_u64_le().ok()?;
            let count = from.try_get_u32_le().ok()?;
            let records = (0..count).map(|_| take_bytes(from)).collect::<Option<_>>()?;
            Change::Append { id, start, records }
        }
        PRODUCER_1 | PRODUCER => {
            let producer = take_text(from)?;
            let epoch = from.try_get_u64_le().ok()?;
            let last_seq = from.try_get_u64_le().ok()?;
            let at = if kind == PRODUCER { from.try_get_u64_le().ok()? } else { now };
            Change::Producer { id, producer, state: ProducerState { epoch, last_seq }, at }
        }
        FORGET => Change::Forget { id, producer: take_text(from)? },
        _ => return None,
    })
}

/// What a stream of format 1 is.
pub(super) fn format_1(closed: bool) -> StreamInfo {
    let options = CreateOptions { closed, ..CreateOptions::default() };
    StreamInfo::new(StreamFacts::of(&options), 0)
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
        let path = "session/a".to_owned();
        let info =
            StreamInfo { lineage: vec![(StreamId(3), 9)], forks: 2, touched: 5, ..format_1(true) };
        let changes = [
            Change::Put { path: path.clone(), id, info: Arc::new(format_1(false)) },
            Change::Append { id, start: 9, records: vec![Bytes::from("1"), Bytes::from("22")] },
            Change::Producer {
                id,
                producer: "session:a".to_owned(),
                state: ProducerState { epoch: 3, last_seq: 4 },
                at: 5,
            },
            Change::Forget { id, producer: "session:a".to_owned() },
            Change::Put { path: path.clone(), id, info: Arc::new(info) },
            Change::Delete { path, id },
            Change::Sweep { rows: 5 },
        ];
        let mut out = Vec::new();
        encode(&changes, &mut out).unwrap();
        assert_eq!(decode(Bytes::from(out.clone()), 0).as_deref(), Some(&changes[..]));
        for cut in 0..out.len() {
            let found = decode(Bytes::copy_from_slice(&out[..cut]), 0);
            assert!(found.is_none_or(|found| changes.starts_with(&found)), "cut at {cut}");
        }
    }
}
