use bytes::Bytes;
use studio_streams_local::engine::{Change, StreamId, fuzzing};

const SALT: u64 = 0x5a17;

/// Changes as they lie in the journal: what these bytes say is said again in the same way.
pub fn changes(bytes: &[u8]) {
    let Some(changes) = fuzzing::changes(bytes) else { return };
    let again = fuzzing::changes(&fuzzing::bytes(&changes));
    assert_eq!(again.as_ref(), Some(&changes));
}

/// A row of the table of streams: what it says is said again in the same way.
pub fn rows(bytes: &[u8]) {
    let Some(info) = fuzzing::info(bytes) else { return };
    let put = Change::Put { path: "a".to_owned(), id: StreamId(1), info };
    let changes = vec![put];
    assert_eq!(fuzzing::changes(&fuzzing::bytes(&changes)).as_ref(), Some(&changes));
}

/// A journal's file. As it is: anything may be read, nothing may panic. As damage to a good one,
/// each five bytes a place and what is written there: only commits that were written are found, in
/// order and from the first one on; where some are missing from the middle it is told.
pub fn journal(bytes: &[u8]) {
    drop(fuzzing::commits(bytes, 0, SALT));

    let commits: Vec<Vec<Change>> = (0..4).map(commit).collect();
    let mut file = fuzzing::journal(&commits, SALT).unwrap();
    let end = written(&file);
    // The last commit stands behind this, or a zero before it.
    let last_begins = written(&fuzzing::journal(&commits[..3], SALT).unwrap());
    let mut damaged_up_to = 0;
    for damage in bytes.chunks_exact(5) {
        let [a, b, c, len, byte] = *damage else { continue };
        let at = usize::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]) % (end + 64);
        let stop = (at + 1 + usize::from(len) / 8).min(file.len());
        file[at..stop].fill(byte);
        damaged_up_to = damaged_up_to.max(stop);
    }
    for applied in 0..=4_u64 {
        let (found, told) = fuzzing::commits(&file, applied, SALT);
        for (index, (number, changes)) in found.iter().enumerate() {
            assert_eq!(*number, applied + 1 + index as u64);
            // A checksum of 32 bits is not fooled by chance.
            assert_eq!(changes, &commits[*number as usize - 1]);
        }
        let is_whole = found.len() as u64 == 4 - applied;
        if damaged_up_to == 0 {
            assert!(is_whole && told.is_none(), "{told:?}");
        }
        if damaged_up_to <= last_begins {
            assert!(is_whole || told.is_some(), "{} of {}", found.len(), 4 - applied);
        }
    }
}

/// Bytes up to the zeros at the end.
fn written(file: &[u8]) -> usize {
    file.len() - file.iter().rev().take_while(|byte| **byte == 0).count()
}

fn commit(number: u64) -> Vec<Change> {
    let id = StreamId(number % 2);
    let record = Bytes::from(format!("{{\"number\":{number}}}"));
    let append =
        Change::Append { id, start: 100 * number, records: vec![record; 1 + number as usize] };
    vec![append, Change::Sweep { rows: number as u32 }]
}
