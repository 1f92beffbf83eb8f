use crate::ProducerStamp;

/// How far one producer has come on one stream: what a store keeps beside the records, in the
/// same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// The epoch in force.
    pub epoch: u64,
    /// The last `seq` that was taken in it.
    pub last_seq: u64,
}

/// What a stamp is worth against a [`ProducerState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Write the batch; this is the state from then on.
    Take(ProducerState),
    /// It was written before: write nothing, answer with success.
    Duplicate,
    /// A newer epoch is in force.
    Fenced {
        /// That epoch.
        current: u64,
    },
    /// It opens a new epoch and does not begin with 0.
    NotFromZero,
    /// Something before it is missing.
    Gap {
        /// The `seq` that may come.
        expected: u64,
    },
}

impl ProducerState {
    /// The one rule for stamps. `known` is what the store has of this producer on this stream.
    pub fn judge(known: Option<Self>, stamp: &ProducerStamp) -> Verdict {
        let begins = |otherwise| match stamp.seq {
            0 => Verdict::Take(Self { epoch: stamp.epoch, last_seq: 0 }),
            _ => otherwise,
        };
        let Some(known) = known else { return begins(Verdict::Gap { expected: 0 }) };
        if stamp.epoch < known.epoch {
            return Verdict::Fenced { current: known.epoch };
        }
        if known.epoch < stamp.epoch {
            return begins(Verdict::NotFromZero);
        }
        if stamp.seq <= known.last_seq {
            return Verdict::Duplicate;
        }
        // Larger than `last_seq`, so the addition cannot overflow.
        let expected = known.last_seq + 1;
        if stamp.seq == expected {
            Verdict::Take(Self { epoch: known.epoch, last_seq: expected })
        } else {
            Verdict::Gap { expected }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(known: Option<(u64, u64)>, epoch: u64, seq: u64) -> Verdict {
        let known = known.map(|(epoch, last_seq)| ProducerState { epoch, last_seq });
        ProducerState::judge(known, &ProducerStamp { id: "p".parse().unwrap(), epoch, seq })
    }

    #[test]
    fn every_line_of_the_protocols_table_holds() {
        let take = |epoch, last_seq| Verdict::Take(ProducerState { epoch, last_seq });
        assert_eq!(judge(None, 7, 0), take(7, 0));
        assert_eq!(judge(None, 0, 1), Verdict::Gap { expected: 0 });
        assert_eq!(judge(Some((3, 4)), 2, 0), Verdict::Fenced { current: 3 });
        assert_eq!(judge(Some((3, 4)), 2, 9), Verdict::Fenced { current: 3 });
        assert_eq!(judge(Some((3, 4)), 9, 0), take(9, 0));
        assert_eq!(judge(Some((3, 4)), 4, 5), Verdict::NotFromZero);
        assert_eq!(judge(Some((3, 4)), 3, 0), Verdict::Duplicate);
        assert_eq!(judge(Some((3, 4)), 3, 4), Verdict::Duplicate);
        assert_eq!(judge(Some((3, 4)), 3, 5), take(3, 5));
        assert_eq!(judge(Some((3, 4)), 3, 6), Verdict::Gap { expected: 5 });
        assert_eq!(judge(Some((3, u64::MAX)), 3, u64::MAX), Verdict::Duplicate);
    }
}
