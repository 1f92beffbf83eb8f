//! What becomes of a create or a write, for stores that keep the protocol themselves: plain
//! functions of what is kept.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    ContentType, CreateOptions, Expiry, Order, ProducerStamp, ProducerState, StreamPath, Verdict,
    Write,
};

/// What is in the way of a create: another stream stands there.
pub const OTHER_CONFIGURATION: &str = "it was made with another configuration";
/// What is in the way of a create: a deleted stream that forks still read.
pub const KEPT_BY_FORKS: &str = "it was deleted and its forks still read it";
/// What is in the way of a fork: its records would be something else.
pub const OTHER_CONTENT_TYPE: &str = "a fork has the content type of its source";
/// What is in the way of a fork: it asks for more of an append than there is.
pub const OVERSHOOT: &str = "the append after the place is not as long as that";

/// What a store keeps of a stream beside its records and producers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFacts {
    /// What its records are.
    pub content_type: ContentType,
    /// When it is removed by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Expiry>,
    /// Whether `expiry` was inherited from a fork's source and not given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expiry_inherited: bool,
    /// Where it began, if it is a fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<ForkFacts>,
    /// Whether it takes no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// The stamp of the write that closed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<ClosedBy>,
    /// The last order it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

/// Where a fork began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkFacts {
    /// From which stream.
    pub source: StreamPath,
    /// Up to which position.
    pub at: u64,
    /// As [`crate::Fork::plus`].
    pub plus: u64,
}

/// A stamp as it is kept of the write that closed a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedBy {
    /// Who.
    pub producer: String,
    /// Which life of it.
    pub epoch: u64,
    /// Which write of that life.
    pub seq: u64,
}

impl ClosedBy {
    fn is(&self, stamp: &ProducerStamp) -> bool {
        self.producer == stamp.id.as_str() && self.epoch == stamp.epoch && self.seq == stamp.seq
    }
}

impl From<&ProducerStamp> for ClosedBy {
    fn from(stamp: &ProducerStamp) -> Self {
        Self { producer: stamp.id.as_str().to_owned(), epoch: stamp.epoch, seq: stamp.seq }
    }
}

/// What becomes of a [`Write`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteVerdict {
    /// Write it; this is the producer's state from then on.
    Take(Option<ProducerState>),
    /// It was written before: answer with success and this number.
    Duplicate {
        /// The last number that was taken in the stamp's epoch.
        last_seq: Option<u64>,
    },
    /// The stream takes no more.
    Closed,
    /// The stream's records are something else.
    WrongContentType,
    /// The stamp is refused.
    Stamp(Verdict),
    /// The order is not greater than the last one.
    OutOfOrder,
}

impl StreamFacts {
    /// What a stream made in this way is, if it is not a fork.
    pub fn of(options: &CreateOptions) -> Self {
        Self {
            content_type: options.content_type.clone().unwrap_or_else(ContentType::json),
            expiry: options.expiry,
            expiry_inherited: false,
            fork: None,
            closed: options.closed,
            closed_by: None,
            order: None,
        }
    }

    /// What a fork of this stream is; `None` = its records cannot be the source's.
    pub fn forked(&self, options: &CreateOptions, fork: ForkFacts) -> Option<Self> {
        let content_type = match &options.content_type {
            Some(wanted) if !wanted.is_like(&self.content_type) => return None,
            Some(wanted) => wanted.clone(),
            None => self.content_type.clone(),
        };
        Some(Self {
            content_type,
            expiry: options.expiry.or(self.expiry),
            expiry_inherited: options.expiry.is_none(),
            fork: Some(fork),
            closed: options.closed,
            closed_by: None,
            order: None,
        })
    }

    /// Whether a create with these options would have made this stream, as it is now.
    pub fn is_made_by(&self, options: &CreateOptions) -> bool {
        let content_type_fits = match (&options.content_type, &self.fork) {
            (Some(wanted), _) => wanted.is_like(&self.content_type),
            (None, Some(_)) => true,
            (None, None) => self.content_type.is_json(),
        };
        let given = self.expiry.filter(|_| !self.expiry_inherited);
        let fork_fits = match (&options.fork, &self.fork) {
            (None, None) => true,
            (Some(wanted), Some(fork)) => {
                let at = match &wanted.at {
                    None => true,
                    Some(crate::Offset::Start) => fork.at == 0,
                    Some(crate::Offset::Position(at)) => fork.at == *at,
                    Some(crate::Offset::Now | crate::Offset::Opaque(_)) => false,
                };
                wanted.source == fork.source && at && wanted.plus == fork.plus
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        content_type_fits && options.expiry == given && fork_fits && options.closed == self.closed
    }

    /// What becomes of `write`. `known` is what is kept of its producer on this stream.
    pub fn judge(&self, known: Option<ProducerState>, write: &Write) -> WriteVerdict {
        if self.closed {
            return self.judge_closed(known, write);
        }
        let wrong = |given: &ContentType| !given.is_like(&self.content_type);
        if write.batch().is_some() && write.content_type.as_ref().is_some_and(wrong) {
            return WriteVerdict::WrongContentType;
        }
        let state = match write.by.as_ref().map(|stamp| ProducerState::judge(known, stamp)) {
            None => None,
            Some(Verdict::Take(state)) => Some(state),
            Some(Verdict::Duplicate) => {
                return WriteVerdict::Duplicate { last_seq: known.map(|known| known.last_seq) };
            }
            Some(
                refused @ (Verdict::Fenced { .. } | Verdict::Gap { .. } | Verdict::NotFromZero),
            ) => {
                return WriteVerdict::Stamp(refused);
            }
        };
        // A stream that took none takes any.
        if write.order.is_some() && write.order <= self.order {
            return WriteVerdict::OutOfOrder;
        }
        WriteVerdict::Take(state)
    }

    fn judge_closed(&self, known: Option<ProducerState>, write: &Write) -> WriteVerdict {
        let Some(stamp) = &write.by else {
            let again = write.batch().is_none() && write.closes();
            let duplicate = WriteVerdict::Duplicate { last_seq: None };
            return if again { duplicate } else { WriteVerdict::Closed };
        };
        if self.closed_by.as_ref().is_some_and(|closed_by| closed_by.is(stamp)) {
            return WriteVerdict::Duplicate { last_seq: known.map(|known| known.last_seq) };
        }
        match known {
            Some(known) if stamp.epoch < known.epoch => {
                WriteVerdict::Stamp(Verdict::Fenced { current: known.epoch })
            }
            Some(_) | None => WriteVerdict::Closed,
        }
    }

    /// Changes what is kept to what it is once `write` is written.
    pub fn take(&mut self, write: &Write) {
        if write.order.is_some() {
            self.order.clone_from(&write.order);
        }
        if write.closes() {
            self.closed = true;
            self.closed_by = write.by.as_ref().map(ClosedBy::from);
        }
    }
}

/// The records that a fork takes of the source's next append, see [`crate::Fork::plus`]; `None` =
/// it has not so much.
pub fn remainder(
    content_type: &ContentType,
    next_append: &[Bytes],
    plus: u64,
) -> Option<Vec<Bytes>> {
    if content_type.is_json() {
        let count = usize::try_from(plus).ok()?;
        return next_append.get(..count).map(<[Bytes]>::to_vec);
    }
    let mut left = usize::try_from(plus).ok()?;
    let mut taken = Vec::new();
    for record in next_append {
        if left == 0 {
            break;
        }
        let part = record.slice(..left.min(record.len()));
        left -= part.len();
        taken.push(part);
    }
    (left == 0).then_some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Fork, Offset};

    fn facts() -> StreamFacts {
        StreamFacts::of(&CreateOptions::default())
    }

    fn records() -> Write {
        Write::records(Batch::new(vec![Bytes::from_static(b"1")]).unwrap())
    }

    fn by(write: Write, epoch: u64, seq: u64) -> Write {
        Write { by: Some(ProducerStamp { id: "p".parse().unwrap(), epoch, seq }), ..write }
    }

    fn ordered(order: &str) -> Write {
        Write { order: Some(order.parse().unwrap()), ..records() }
    }

    #[test]
    fn an_order_must_grow_byte_by_byte() {
        let mut stream = facts();
        stream.take(&ordered("2"));
        assert_eq!(stream.judge(None, &ordered("10")), WriteVerdict::OutOfOrder);
        assert_eq!(stream.judge(None, &ordered("2")), WriteVerdict::OutOfOrder);
        assert_eq!(stream.judge(None, &ordered("20")), WriteVerdict::Take(None));
        assert_eq!(stream.judge(None, &records()), WriteVerdict::Take(None));
    }

    #[test]
    fn a_duplicate_is_one_whatever_its_order_says() {
        let mut stream = facts();
        stream.take(&ordered("9"));
        let known = Some(ProducerState { epoch: 1, last_seq: 4 });
        let again = by(ordered("1"), 1, 2);
        assert_eq!(stream.judge(known, &again), WriteVerdict::Duplicate { last_seq: Some(4) });
    }

    #[test]
    fn a_closed_stream_knows_the_write_that_closed_it() {
        let mut stream = facts();
        let end = by(Write::end(None), 1, 3);
        stream.take(&end);
        let known = Some(ProducerState { epoch: 1, last_seq: 3 });
        assert_eq!(stream.judge(known, &end), WriteVerdict::Duplicate { last_seq: Some(3) });
        assert_eq!(stream.judge(known, &by(records(), 1, 2)), WriteVerdict::Closed);
        assert_eq!(stream.judge(known, &by(records(), 1, 4)), WriteVerdict::Closed);
        let fenced = WriteVerdict::Stamp(Verdict::Fenced { current: 1 });
        assert_eq!(stream.judge(known, &by(records(), 0, 0)), fenced);
        let closed = WriteVerdict::Duplicate { last_seq: None };
        assert_eq!(stream.judge(None, &Write::end(None)), closed);
        assert_eq!(stream.judge(None, &records()), WriteVerdict::Closed);
        // Closed is told before a wrong content type.
        let html = Write { content_type: Some("text/html".parse().unwrap()), ..records() };
        assert_eq!(stream.judge(None, &html), WriteVerdict::Closed);
    }

    #[test]
    fn a_wrong_content_type_matters_only_with_records() {
        let html = Some("text/html".parse().unwrap());
        let write = Write { content_type: html.clone(), ..records() };
        assert_eq!(facts().judge(None, &write), WriteVerdict::WrongContentType);
        let write = Write { content_type: html, ..Write::end(None) };
        assert_eq!(facts().judge(None, &write), WriteVerdict::Take(None));
    }

    #[test]
    fn only_the_same_configuration_makes_the_same_stream() {
        let options = CreateOptions::default();
        let differ = [
            CreateOptions { content_type: Some(ContentType::octets()), ..options.clone() },
            CreateOptions { expiry: Some(Expiry::AfterSeconds(1)), ..options.clone() },
            CreateOptions { closed: true, ..options.clone() },
            CreateOptions { fork: Some(Fork::of("a".parse().unwrap())), ..options.clone() },
        ];
        assert!(facts().is_made_by(&options));
        for other in differ {
            assert!(!facts().is_made_by(&other), "{other:?}");
        }
    }

    #[test]
    fn a_fork_inherits_what_it_does_not_bring() {
        let source = StreamFacts {
            content_type: "text/plain".parse().unwrap(),
            expiry: Some(Expiry::AfterSeconds(9)),
            closed: true,
            ..facts()
        };
        let at = ForkFacts { source: "a".parse().unwrap(), at: 7, plus: 0 };
        let fork = Fork { source: at.source.clone(), at: Some(Offset::Position(7)), plus: 0 };
        let plain = CreateOptions { fork: Some(fork.clone()), ..CreateOptions::default() };
        let made = source.forked(&plain, at.clone()).unwrap();
        assert_eq!(made.expiry, Some(Expiry::AfterSeconds(9)));
        assert!(made.content_type.is_text() && !made.closed);
        assert!(made.is_made_by(&plain));
        let tail = Some(Fork { at: None, ..fork.clone() });
        assert!(made.is_made_by(&CreateOptions { fork: tail, ..plain.clone() }));
        let other = Some(Fork { at: Some(Offset::Position(8)), ..fork });
        assert!(!made.is_made_by(&CreateOptions { fork: other, ..plain.clone() }));
        let json = CreateOptions { content_type: Some(ContentType::json()), ..plain };
        assert_eq!(source.forked(&json, at), None);
    }
}
