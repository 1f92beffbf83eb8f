//! What the writers write, known to both sides.

use bytes::Bytes;
use studio_streams::{Batch, ProducerStamp, StreamPath};

pub(crate) const STREAMS: u64 = 3;
/// Plain writers of one stream.
pub(crate) const PLAIN: u64 = 2;
/// Producers of one stream.
pub(crate) const PRODUCERS: u64 = 2;
/// Records of a plain batch.
pub(crate) const PARTS: u64 = 3;

pub(crate) fn path(stream: u64) -> StreamPath {
    format!("session/{stream}").parse().unwrap()
}

pub(crate) fn stamp(producer: u64, epoch: u64, seq: u64) -> ProducerStamp {
    ProducerStamp { id: format!("producer:{producer}").parse().unwrap(), epoch, seq }
}

/// `plain <life> <writer> <turn> <part>` and a filling of a size that depends on them.
pub(crate) fn plain_batch(life: u64, writer: u64, turn: u64) -> Batch {
    let part = |part| record(&format!("plain {life} {writer} {turn} {part}"), turn * 31 + part);
    Batch::new((0..PARTS).map(part).collect()).unwrap()
}

/// `producer <life> <producer> <seq>` and a filling.
pub(crate) fn producer_batch(life: u64, producer: u64, seq: u64) -> Batch {
    Batch::new(vec![record(&format!("producer {life} {producer} {seq}"), seq * 17)]).unwrap()
}

fn record(head: &str, size: u64) -> Bytes {
    format!("{head} |{}|", "x".repeat((size % 400) as usize)).into()
}
