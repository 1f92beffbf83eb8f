//! What must hold after each kill.

use std::{collections::HashSet, fmt, path::Path};

use studio_streams::{Appended, Offset, StreamError, StreamStore};
use studio_streams_local::LocalStreams;

use super::words::{PARTS, PLAIN, PRODUCERS, STREAMS, path, plain_batch, producer_batch, stamp};

#[derive(Default)]
pub(crate) struct Check {
    /// Where each stream was checked up to.
    checked: [Option<Offset>; STREAMS as usize],
    /// Records of each stream up to there.
    records: [usize; STREAMS as usize],
    pub(crate) acknowledged: usize,
    /// Appends sent again that had been written without an answer, and those that had not.
    kept: usize,
    lost: usize,
    slowest_open: std::time::Duration,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, kept, lost, slowest_open, .. } = self;
        write!(
            f,
            "{acknowledged} acknowledged appends all there; of those without an answer {kept} \
             written and {lost} not; slowest open {slowest_open:.1?}"
        )
    }
}

/// What one writer had acknowledged last; everything before it too.
struct Last {
    plain: [[Option<u64>; PLAIN as usize]; STREAMS as usize],
    producer: [[Option<u64>; PRODUCERS as usize]; STREAMS as usize],
}

impl Check {
    /// Checks what `life` left behind, given the lines it said.
    pub(crate) async fn after(&mut self, dir: &Path, life: u64, said: &[String]) {
        self.acknowledged += said.len();
        let last = last(said);
        let began = std::time::Instant::now();
        let store = super::open(dir);
        self.slowest_open = self.slowest_open.max(began.elapsed());
        for stream in 0..STREAMS {
            // A first life may end before its streams are made; then it has acknowledged nothing.
            if matches!(store.head(&path(stream)).await, Err(StreamError::NotFound { .. })) {
                let nothing = |of: &[Option<u64>]| of.iter().all(Option::is_none);
                assert!(nothing(&last.plain[stream as usize]));
                assert!(nothing(&last.producer[stream as usize]));
                continue;
            }
            for producer in 0..PRODUCERS {
                let acknowledged = last.producer[stream as usize][producer as usize];
                self.send_again(&store, life, stream, producer, acknowledged).await;
            }
            self.read(&store, life, stream, &last).await;
        }
        store.stop().await;
    }

    async fn send_again(
        &mut self,
        store: &LocalStreams,
        life: u64,
        stream: u64,
        producer: u64,
        acknowledged: Option<u64>,
    ) {
        let send = async |epoch, seq| {
            let batch = producer_batch(epoch, producer, seq);
            store.append(&path(stream), batch, Some(stamp(producer, epoch, seq))).await
        };
        if let Some(seq) = acknowledged {
            let again = send(life, seq).await;
            assert!(matches!(again, Ok(Appended::Duplicate { .. })), "life {life}: {again:?}");
        }
        // Sent and killed before the answer, or never sent: either way once it is there once.
        let seq = acknowledged.map_or(0, |seq| seq + 1);
        match send(life, seq).await.unwrap() {
            Appended::Written { .. } => self.lost += 1,
            Appended::Duplicate { .. } => self.kept += 1,
        }
        let again = send(life, seq).await;
        assert!(matches!(again, Ok(Appended::Duplicate { .. })), "life {life}: {again:?}");
        for old in [life.saturating_sub(1), 0] {
            let fenced = send(old, 0).await;
            assert!(
                matches!(fenced, Err(StreamError::Fenced { current, .. }) if current == life),
                "life {life}: epoch {old} got {fenced:?}"
            );
        }
    }

    /// Reads what is new in a stream: whole records, whole batches, nothing twice, nothing missing.
    async fn read(&mut self, store: &LocalStreams, life: u64, stream: u64, last: &Last) {
        let index = stream as usize;
        let from = self.checked[index].clone().unwrap_or(Offset::Start);
        let (found, end) = read_all(store, stream, from).await;
        self.records[index] += found.len();
        self.checked[index] = Some(end);

        let mut found = found.into_iter().peekable();
        let mut plain = [0; PLAIN as usize];
        let mut producer = [0; PRODUCERS as usize];
        while let Some(record) = found.next() {
            let words: Vec<&str> = record.split(' ').collect();
            let number = |at: usize| words[at].parse::<u64>().unwrap();
            assert_eq!(number(1), life, "a record of another life came late: {record}");
            let (writer, turn) = (number(2), number(3));
            if words[0] == "producer" {
                let next: &mut u64 = &mut producer[writer as usize];
                assert_eq!(turn, *next, "life {life}, stream {stream}, producer {writer}");
                *next += 1;
                let whole = text(&producer_batch(life, writer, turn).records()[0]);
                assert_eq!(record, whole);
            } else {
                let next: &mut u64 = &mut plain[writer as usize];
                assert_eq!(turn, *next, "life {life}, stream {stream}, plain writer {writer}");
                *next += 1;
                let batch = plain_batch(life, writer, turn);
                assert_eq!(record, text(&batch.records()[0]));
                for part in 1..PARTS {
                    assert_eq!(found.next(), Some(text(&batch.records()[part as usize])));
                }
            }
        }
        for (writer, acknowledged) in last.plain[index].iter().enumerate() {
            let least = acknowledged.map_or(0, |turn| turn + 1);
            let there = plain[writer];
            // At most the one that was on its way is there besides.
            assert!((least..=least + 1).contains(&there), "life {life}: {there} of {least}");
        }
        for (writer, acknowledged) in last.producer[index].iter().enumerate() {
            // The acknowledged ones and the one that was sent again.
            let least = acknowledged.map_or(0, |seq| seq + 1) + 1;
            assert_eq!(producer[writer], least, "life {life}, stream {stream}, {writer}");
        }
    }

    /// Reads everything of all lives once more.
    pub(crate) async fn whole(&self, dir: &Path) {
        let store = super::open(dir);
        for stream in 0..STREAMS {
            if self.checked[stream as usize].is_none() {
                // No life was long enough to make it.
                continue;
            }
            let (found, end) = read_all(&store, stream, Offset::Start).await;
            assert_eq!(found.len(), self.records[stream as usize]);
            assert_eq!(Some(end), self.checked[stream as usize]);
            let all: HashSet<&String> = found.iter().collect();
            assert_eq!(all.len(), found.len(), "something is there twice");
        }
        store.stop().await;
    }
}

async fn read_all(store: &LocalStreams, stream: u64, from: Offset) -> (Vec<String>, Offset) {
    let (mut from, mut found) = (from, Vec::new());
    loop {
        let page = store.read(&path(stream), from, 10_000).await.unwrap();
        found.extend(page.records.iter().map(|record| text(&record.data)));
        from = page.next;
        if page.up_to_date {
            return (found, from);
        }
    }
}

fn last(said: &[String]) -> Last {
    let mut last = Last { plain: Default::default(), producer: Default::default() };
    for line in said {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<usize>().unwrap();
        let turn = Some(number(3) as u64);
        match words[0] {
            "plain" => last.plain[number(1)][number(2)] = turn,
            _ => last.producer[number(1)][number(2)] = turn,
        }
    }
    last
}

fn text(data: &[u8]) -> String {
    String::from_utf8(data.to_vec()).unwrap()
}
