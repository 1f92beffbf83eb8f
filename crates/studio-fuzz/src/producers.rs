use std::collections::HashMap;

use studio_streams::{ProducerStamp, ProducerState, Verdict};

/// Each three bytes are a stamp: which producer, its epoch and its number, mostly small; some are
/// at the upper end. Whatever comes, each number of an epoch is taken once and in order, and no
/// epoch after a newer one.
pub fn producers(bytes: &[u8]) {
    let mut states: HashMap<u8, ProducerState> = HashMap::new();
    let mut taken: HashMap<u8, Vec<(u64, u64)>> = HashMap::new();
    for stamp in bytes.chunks_exact(3) {
        let [who, epoch, seq] = *stamp else { continue };
        let who = who % 3;
        // Bytes from 250 on stand for the largest numbers.
        let number = |byte: u8| match byte {
            250.. => u64::MAX - u64::from(u8::MAX - byte),
            small => u64::from(small),
        };
        let (epoch, seq) = (number(epoch), number(seq));
        let known = states.get(&who).copied();
        let id = format!("p{who}").parse().unwrap();
        let log = taken.entry(who).or_default();
        match ProducerState::judge(known, &ProducerStamp { id, epoch, seq }) {
            Verdict::Take(state) => {
                assert_eq!(state, ProducerState { epoch, last_seq: seq });
                match log.last() {
                    Some(&(last, before)) if last == epoch => {
                        assert_eq!(Some(seq), before.checked_add(1))
                    }
                    Some(&(last, _)) => assert!(last < epoch && seq == 0),
                    None => assert_eq!(seq, 0),
                }
                log.push((epoch, seq));
                states.insert(who, state);
            }
            Verdict::Duplicate => assert!(log.contains(&(epoch, seq))),
            Verdict::Fenced { current } => {
                assert!(epoch < current && log.last().is_some_and(|last| last.0 == current));
            }
            Verdict::NotFromZero => {
                assert!(seq != 0 && log.last().is_some_and(|last| last.0 < epoch));
            }
            Verdict::Gap { expected } => {
                assert!(expected < seq && !log.contains(&(epoch, expected)));
            }
        }
    }
}
