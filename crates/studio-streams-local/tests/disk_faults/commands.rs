//! What a seed has the store do, and what came of it in words that two stores share.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use studio_streams::{
    Batch, CreateOptions, Deleted, Expiry, Fork, Head, Offset, ProducerId, ProducerStamp,
    StreamError, StreamPath, StreamStore, Write, Written,
};

use super::random::Random;

#[derive(Clone, Debug)]
pub(crate) enum Command {
    Create(StreamPath, CreateOptions),
    Write(StreamPath, Write),
    Delete(StreamPath),
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done, or refused by the rules, in these words.
    Answered(String),
    /// Nothing was written.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}

impl Outcome {
    /// Whether something was written.
    pub(crate) fn changes(&self) -> bool {
        let Self::Answered(words) = self else { return false };
        let written = ["Written", "made", "Now"].iter().any(|word| words.starts_with(word));
        written && !words.contains("duplicate: true")
    }
}

/// All that can be seen of a store.
pub(crate) type View = BTreeMap<StreamPath, (String, Vec<(Offset, Bytes)>)>;

impl Command {
    pub(crate) async fn send(self, store: &dyn StreamStore) -> Outcome {
        match self {
            Self::Create(path, options) => told(store.create(&path, options).await, |created| {
                let word = if created.is_new() { "made" } else { "there" };
                format!("{word}, {}", head(created.head()))
            }),
            Self::Write(path, write) => {
                told(store.write(&path, write).await, |written: Written| format!("{written:?}"))
            }
            Self::Delete(path) => {
                told(store.delete(&path).await, |deleted: Deleted| format!("{deleted:?}"))
            }
        }
    }

    /// In short, for the trace of a seed.
    pub(crate) fn short(&self) -> String {
        match self {
            Self::Create(path, options) => {
                let CreateOptions { closed, initial, fork, expiry, .. } = options;
                let initial = initial.as_ref().map_or(0, Batch::size_bytes);
                let fork = fork.as_ref().map(|fork| (fork.source.to_string(), fork.plus));
                format!("create {path} initial {initial} closed {closed} {fork:?} {expiry:?}")
            }
            Self::Write(path, write) => {
                let by = write.by.as_ref().map(|by| (by.id.as_str().to_owned(), by.epoch, by.seq));
                let (size, order) = (write.size_bytes(), &write.order);
                format!("write {path} {size} closes {} {by:?} {order:?}", write.closes())
            }
            Self::Delete(path) => format!("delete {path}"),
        }
    }
}

fn told<T>(result: Result<T, StreamError>, words: impl FnOnce(T) -> String) -> Outcome {
    match result {
        Ok(done) => Outcome::Answered(words(done)),
        Err(error @ (StreamError::Busy | StreamError::ReadOnly { .. })) => {
            Outcome::Refused(error.to_string())
        }
        Err(error @ StreamError::Failed { .. }) => Outcome::Unknown(in_full(&error)),
        Err(error) => Outcome::Answered(error.to_string()),
    }
}

pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// All but the incarnation, which every store counts in its own way.
fn head(head: &Head) -> String {
    let Head { tail, closed, content_type, expiry, .. } = head;
    format!("tail {tail} closed {closed} {content_type} {expiry:?}")
}

/// Everything that the store shows.
pub(crate) async fn look(store: &dyn StreamStore) -> Result<View, StreamError> {
    let mut view = View::new();
    for path in store.list("", None, 1_000).await? {
        let words = match store.head(&path).await {
            // It expired a moment ago.
            Err(StreamError::NotFound { .. }) => continue,
            found => head(&found?),
        };
        let mut records = Vec::new();
        let mut from = Offset::Start;
        loop {
            let page = store.read(&path, from, 1_000).await?;
            records.extend(page.records.into_iter().map(|record| (record.offset, record.data)));
            if page.up_to_date {
                break;
            }
            from = page.next;
        }
        view.insert(path, (words, records));
    }
    Ok(view)
}

/// Makes commands up.
pub(crate) struct Source {
    random: Random,
    records: u64,
    orders: u64,
    /// How far each producer is, as it believes.
    producers: HashMap<(StreamPath, u64), (u64, u64)>,
}

const PATHS: [&str; 4] = ["session/a", "session/b", "session/c", "d"];

impl Source {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, records: 0, orders: 0, producers: HashMap::new() }
    }

    pub(crate) fn path(&mut self) -> StreamPath {
        // Most of it to one, so that it grows.
        let at = if self.random.chance(50) { 0 } else { self.random.below(4) as usize };
        PATHS[at].parse().unwrap()
    }

    pub(crate) fn command(&mut self) -> Command {
        let path = self.path();
        match self.random.below(100) {
            0..12 => self.create(path),
            12..17 => Command::Delete(path),
            _ => {
                let write = self.write(&path);
                Command::Write(path, write)
            }
        }
    }

    fn create(&mut self, path: StreamPath) -> Command {
        let mut options = CreateOptions::default();
        if self.random.chance(30) {
            options.initial = Some(self.batch());
        }
        options.closed = self.random.chance(5);
        if self.random.chance(30) {
            let mut fork = Fork::of(self.path());
            if self.random.chance(30) {
                fork.at = Some(Offset::Start);
                fork.plus = self.random.below(2);
            }
            options.fork = Some(fork);
        }
        if self.random.chance(5) {
            options.expiry = Some(self.random.pick(&[
                Expiry::AfterSeconds(1_000_000),
                Expiry::AtMillis(1),
                Expiry::AtMillis(10_000_000_000_000),
            ]));
            // When one that is over lets go of its source is the store's choice.
            options.fork = options.fork.filter(|_| options.expiry != Some(Expiry::AtMillis(1)));
        }
        Command::Create(path, options)
    }

    fn write(&mut self, path: &StreamPath) -> Write {
        let mut write = match self.random.below(100) {
            0..2 => Write::end(None),
            2..4 => Write::end(Some(self.batch())),
            _ => Write::records(self.batch()),
        };
        match self.random.below(100) {
            0..50 => write.by = Some(self.stamp(path)),
            50..60 => {
                self.orders += 1;
                // Now and then one that was there.
                let order = self.orders.saturating_sub(self.random.below(4) / 3);
                write.order = Some(format!("{order:08}").parse().unwrap());
            }
            _ => {}
        }
        write
    }

    fn stamp(&mut self, path: &StreamPath) -> ProducerStamp {
        let producer = self.random.below(2);
        let id: ProducerId = format!("producer:{producer}").parse().unwrap();
        let (epoch, next) = self.producers.entry((path.clone(), producer)).or_insert((1, 0));
        let stamp = |epoch, seq| ProducerStamp { id: id.clone(), epoch, seq };
        match self.random.below(20) {
            // It sends again what was taken, or what may have been.
            0..3 => stamp(*epoch, next.saturating_sub(1 + self.random.below(3))),
            3 => stamp(*epoch - 1, *next),
            4 => stamp(*epoch, *next + 1),
            5 => {
                (*epoch, *next) = (*epoch + 1, 1);
                stamp(*epoch, 0)
            }
            _ => {
                *next += 1;
                stamp(*epoch, *next - 1)
            }
        }
    }

    fn batch(&mut self) -> Batch {
        let records = 1 + self.random.below(4).pow(2) / 3;
        let size = match self.random.below(100) {
            0..5 => 20_000,
            5..20 => 3_000,
            _ => 200,
        };
        let record = |_| {
            self.records += 1;
            let pad = self.random.below(size) as usize;
            // A JSON value that is nowhere else.
            Bytes::from(format!("\"{}{}\"", self.records, "x".repeat(pad)))
        };
        Batch::new((0..records).map(record).collect()).unwrap()
    }
}

/// A stream that was made anew lets its producers begin anew.
pub(crate) fn is_made(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Answered(words) if words.starts_with("made"))
}

impl Source {
    /// What the producers of this stream believe is over.
    pub(crate) fn forget(&mut self, path: &StreamPath) {
        self.producers.retain(|(of, _), _| of != path);
    }
}
