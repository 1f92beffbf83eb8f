//! Random work on the store and on the memory store at the same time: they must agree on every
//! answer, also after the store was stopped, or cut off, and opened again. What lies on the disk at
//! the end must pass the check.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::{
    fmt::Debug,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use proptest::prelude::*;
use studio_streams::{
    Batch, Clock, ContentType, CreateOptions, Expiry, Fork, MemoryStreams, Offset, Page,
    ProducerStamp, StreamError, StreamPath, StreamStore, Write,
};
use studio_streams_local::{LocalStreams, Options, engine::DiskEngine, offline};
use tempfile::TempDir;

#[derive(Clone, Debug)]
enum Step {
    Create {
        stream: u8,
        made: Made,
    },
    /// As a fork of another one (or of itself).
    Fork {
        stream: u8,
        source: u8,
        at: Option<Where>,
        plus: u64,
        made: Made,
    },
    Append {
        stream: u8,
        sizes: Vec<u16>,
    },
    Produce {
        stream: u8,
        producer: u8,
        epoch: u64,
        seq: u64,
        sizes: Vec<u16>,
    },
    Read {
        stream: u8,
        from: Where,
        max: usize,
    },
    ReadBack {
        stream: u8,
        before: Where,
        max: usize,
    },
    Follow {
        stream: u8,
        from: Where,
    },
    /// A write with an order, an end, a content type, or some of them.
    Write {
        stream: u8,
        sizes: Option<Vec<u16>>,
        close: bool,
        order: Option<u8>,
        text: bool,
        seq: Option<u64>,
    },
    Head {
        stream: u8,
    },
    Delete {
        stream: u8,
    },
    List {
        prefix: &'static str,
        after: Option<u8>,
        max: usize,
    },
    /// So many units of time pass.
    Wait(u64),
    /// Stops the store and opens it again.
    Reopen,
    /// Opens a copy of the files as they are now, as after a kill.
    CutOff,
}

/// How a stream is made.
#[derive(Clone, Debug)]
struct Made {
    text: Option<bool>,
    expiry: Option<Ends>,
    closed: bool,
    initial: Vec<u16>,
}

#[derive(Clone, Debug)]
enum Ends {
    /// So many seconds after the last use.
    After(u64),
    /// So many milliseconds from the start of the test.
    At(u64),
}

fn made() -> impl Strategy<Value = Made> {
    let expiry = prop_oneof![(1u64..4).prop_map(Ends::After), (0u64..9_000).prop_map(Ends::At)];
    (
        prop::option::weighted(0.3, any::<bool>()),
        prop::option::weighted(0.4, expiry),
        prop::bool::weighted(0.1),
        prop::collection::vec(1u16..50, 0..3),
    )
        .prop_map(|(text, expiry, closed, initial)| Made { text, expiry, closed, initial })
}

#[derive(Clone, Debug)]
enum Where {
    Start,
    Now,
    /// The place after one of the records, counted round.
    After(usize),
    /// Hardly ever a place.
    Position(u64),
}

fn place() -> impl Strategy<Value = Where> {
    prop_oneof![
        Just(Where::Start),
        Just(Where::Now),
        any::<usize>().prop_map(Where::After),
        (0u64..500).prop_map(Where::Position),
    ]
}

fn sizes() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(1u16..300, 1..5)
}

fn write() -> impl Strategy<Value = Step> {
    (
        0u8..4,
        prop::option::of(sizes()),
        prop::bool::weighted(0.2),
        prop::option::of(0u8..9),
        prop::bool::weighted(0.2),
        prop::option::of(0u64..4),
    )
        .prop_map(|(stream, sizes, close, order, text, seq)| {
            let close = close || sizes.is_none();
            Step::Write { stream, sizes, close, order, text, seq }
        })
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0u8..4;
    let max = 1usize..6;
    prop_oneof![
        5 => (stream.clone(), made()).prop_map(|(stream, made)| Step::Create { stream, made }),
        5 => (stream.clone(), stream.clone(), prop::option::of(place()), 0u64..4, made()).prop_map(
            |(stream, source, at, plus, made)| Step::Fork { stream, source, at, plus, made }
        ),
        8 => (stream.clone(), sizes()).prop_map(|(stream, sizes)| Step::Append { stream, sizes }),
        8 => (stream.clone(), 0u8..2, 0u64..3, 0u64..4, sizes()).prop_map(
            |(stream, producer, epoch, seq, sizes)|
                Step::Produce { stream, producer, epoch, seq, sizes }
        ),
        4 => (stream.clone(), place(), max.clone())
            .prop_map(|(stream, from, max)| Step::Read { stream, from, max }),
        4 => (stream.clone(), place(), max.clone())
            .prop_map(|(stream, before, max)| Step::ReadBack { stream, before, max }),
        2 => (stream.clone(), place()).prop_map(|(stream, from)| Step::Follow { stream, from }),
        3 => write(),
        1 => stream.clone().prop_map(|stream| Step::Head { stream }),
        2 => stream.clone().prop_map(|stream| Step::Delete { stream }),
        1 => (prop::sample::select(vec!["", "s", "session/", "x"]), prop::option::of(stream), max)
            .prop_map(|(prefix, after, max)| Step::List { prefix, after, max }),
        3 => (0u64..4).prop_map(Step::Wait),
        1 => Just(Step::Reopen),
        1 => Just(Step::CutOff),
    ]
}

fn path(stream: u8) -> StreamPath {
    format!("session/{stream}").parse().unwrap()
}

fn batch(sizes: &[u16], salt: usize) -> Batch {
    let record = |(index, size): (usize, &u16)| {
        Bytes::from(vec![b'a' + ((salt + index) % 26) as u8; usize::from(*size)])
    };
    Batch::new(sizes.iter().enumerate().map(record).collect()).unwrap()
}

/// Both stores, and where the real one lies.
struct Pair {
    real: LocalStreams,
    engine: Arc<DiskEngine>,
    model: MemoryStreams,
    dir: TempDir,
    time: Time,
}

/// A clock that stands still until it is told to go on.
#[derive(Clone, Default)]
struct Time(Arc<AtomicU64>);

/// No sum of these falls into the sixteenth after a stream's time in which it may still be there
/// after a start.
const UNIT_MS: u64 = 470;
/// Pages of a few records.
const PAGE_BYTES: usize = 700;
/// When the tests begin, in Unix milliseconds.
const EPOCH: u64 = 1_700_000_000_000;

impl Time {
    fn clock(&self) -> Clock {
        let passed = self.0.clone();
        Clock::new(move || EPOCH + passed.load(Ordering::SeqCst))
    }
}

fn open(dir: &Path, time: &Time) -> (LocalStreams, Arc<DiskEngine>) {
    // A journal that is full after a few steps, a ring that holds next to nothing, short pages.
    let options = Options {
        journal_bytes_max: 2_000,
        ring_frames_max: 2,
        page_bytes: PAGE_BYTES,
        clock: time.clock(),
        ..Options::default()
    };
    let engine = Arc::new(DiskEngine::open(dir, &options).unwrap());
    (LocalStreams::over(engine.clone(), &options).unwrap(), engine)
}

/// The same success, or the same failure in the same words.
fn agree<T: PartialEq + Debug>(real: Result<T, StreamError>, model: Result<T, StreamError>) {
    let told = |result: Result<T, StreamError>| result.map_err(|error| error.to_string());
    assert_eq!(told(real), told(model));
}

impl Made {
    fn options(self, salt: usize) -> CreateOptions {
        let content_type =
            |text| if text { "text/plain".parse().unwrap() } else { ContentType::json() };
        CreateOptions {
            content_type: self.text.map(content_type),
            expiry: self.expiry.map(|ends| match ends {
                Ends::After(seconds) => Expiry::AfterSeconds(seconds),
                Ends::At(millis) => Expiry::AtMillis(EPOCH + millis),
            }),
            closed: self.closed,
            initial: (!self.initial.is_empty()).then(|| batch(&self.initial, salt)),
            fork: None,
        }
    }
}

impl Pair {
    async fn place(&self, stream: u8, place: &Where) -> Offset {
        match place {
            Where::Start => Offset::Start,
            Where::Now => Offset::Now,
            Where::Position(at) => Offset::Position(*at),
            Where::After(index) => {
                // Reading is a use, so both are read.
                let whole = self.model.read(&path(stream), Offset::Start, usize::MAX).await;
                self.real.read(&path(stream), Offset::Start, usize::MAX).await.ok();
                let records = whole.map_or(Vec::new(), |page| page.records);
                match records.len() {
                    0 => Offset::Position(0),
                    count => records[index % count].offset.clone(),
                }
            }
        }
    }

    async fn step(&mut self, salt: usize, step: Step) {
        let Self { real, model, .. } = self;
        match step {
            Step::Create { stream, made } => {
                let (path, options) = (path(stream), made.options(salt));
                let real = real.create(&path, options.clone()).await;
                agree(real, model.create(&path, options).await);
            }
            Step::Fork { stream, source, at, plus, made } => {
                let at = match at {
                    Some(at) => Some(self.place(source, &at).await),
                    None => None,
                };
                let fork = Some(Fork { source: path(source), at, plus });
                let (path, options) = (path(stream), made.options(salt));
                let options = CreateOptions { fork, ..options };
                let real = self.real.create(&path, options.clone()).await;
                agree(real, self.model.create(&path, options).await);
            }
            Step::Write { stream, sizes, close, order, text, seq } => {
                let batch = sizes.map(|sizes| batch(&sizes, salt));
                let mut write = match batch {
                    Some(batch) if !close => Write::records(batch),
                    batch => Write::end(batch),
                };
                write.by = seq.map(|seq| ProducerStamp { id: "p".parse().unwrap(), epoch: 0, seq });
                write.order = order.map(|order| order.to_string().parse().unwrap());
                write.content_type = text.then(|| "text/plain".parse().unwrap());
                let path = path(stream);
                agree(real.write(&path, write.clone()).await, model.write(&path, write).await);
            }
            Step::Head { stream } => {
                let path = path(stream);
                agree(real.head(&path).await, model.head(&path).await);
            }
            Step::Wait(units) => {
                self.time.0.fetch_add(units * UNIT_MS, Ordering::SeqCst);
                self.take_away().await;
            }
            Step::Append { stream, sizes } => self.append(stream, batch(&sizes, salt), None).await,
            Step::Produce { stream, producer, epoch, seq, sizes } => {
                let id = format!("producer:{producer}").parse().unwrap();
                let stamp = ProducerStamp { id, epoch, seq };
                self.append(stream, batch(&sizes, salt), Some(stamp)).await;
            }
            Step::Read { stream, from, max } => {
                let from = self.place(stream, &from).await;
                let path = path(stream);
                let real = self.real.read(&path, from.clone(), max).await;
                agree(real, self.model.read(&path, from, max).await);
            }
            Step::ReadBack { stream, before, max } => {
                let before = self.place(stream, &before).await;
                let path = path(stream);
                let real = self.real.read_back(&path, before.clone(), max).await;
                agree(real, self.model.read_back(&path, before, max).await);
            }
            Step::Follow { stream, from } => {
                let from = self.place(stream, &from).await;
                let real = followed(&self.real, stream, from.clone()).await;
                agree(real, followed(&self.model, stream, from).await);
            }
            Step::Delete { stream } => {
                let path = path(stream);
                agree(real.delete(&path).await, model.delete(&path).await);
            }
            Step::List { prefix, after, max } => {
                let after = after.map(path);
                let real = real.list(prefix, after.as_ref(), max).await;
                agree(real, model.list(prefix, after.as_ref(), max).await);
            }
            Step::Reopen => {
                real.stop().await;
                (self.real, self.engine) = open(self.dir.path(), &self.time);
            }
            Step::CutOff => {
                // What readers told of is written by now.
                real.ready().await.unwrap();
                let copy = tempfile::tempdir().unwrap();
                {
                    let _still = self.engine.pause();
                    for name in ["streams.redb", "streams.journal"] {
                        fs::copy(self.dir.path().join(name), copy.path().join(name)).unwrap();
                    }
                }
                real.stop().await;
                (self.real, self.engine) = open(copy.path(), &self.time);
                self.dir = copy;
            }
        }
    }

    /// Lets both take away what is over by now. Each does so when it comes to it, and until then a
    /// deleted stream is kept by a fork whose time is over, too.
    async fn take_away(&self) {
        self.real.ready().await.unwrap();
        for stream in 0..4 {
            self.model.head(&path(stream)).await.ok();
        }
    }

    async fn append(&self, stream: u8, batch: Batch, by: Option<ProducerStamp>) {
        let path = path(stream);
        let real = self.real.append(&path, batch.clone(), by.clone()).await;
        agree(real, self.model.append(&path, batch, by).await);
    }

    /// Both stores hold the same streams with the same records.
    async fn compare(&self) {
        let real = self.real.list("", None, 100).await.unwrap();
        assert_eq!(real, self.model.list("", None, 100).await.unwrap());
        for path in real {
            agree(self.real.head(&path).await, self.model.head(&path).await);
            let mut from = Offset::Start;
            loop {
                let page = self.model.read(&path, from.clone(), usize::MAX).await;
                let next = page.as_ref().ok().filter(|page| !page.up_to_date);
                let next = next.map(|page| page.next.clone());
                agree(self.real.read(&path, from, usize::MAX).await, page);
                match next {
                    Some(next) => from = next,
                    None => break,
                }
            }
        }
    }
}

/// What a follower that comes now is handed without waiting.
async fn followed(
    store: &dyn StreamStore,
    stream: u8,
    from: Offset,
) -> Result<Vec<Bytes>, StreamError> {
    let path = path(stream);
    let mut follow = store.follow(&path, from.clone()).await?;
    let rest: Page = store.read(&path, from, usize::MAX).await?;
    let mut found = Vec::new();
    while found.len() < rest.records.len() {
        let frames = follow.next().await?.unwrap();
        found.extend(frames.iter().map(|frame| frame.data().clone()));
    }
    Ok(found)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_memory_store_does(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (dir, time) = (tempfile::tempdir().unwrap(), Time::default());
            let (real, engine) = open(dir.path(), &time);
            let model = MemoryStreams::new().with_clock(time.clock()).with_page_bytes(PAGE_BYTES);
            let mut pair = Pair { real, engine, model, dir, time };
            for (salt, step) in steps.into_iter().enumerate() {
                pair.step(salt, step).await;
            }
            pair.compare().await;
            pair.step(0, Step::Reopen).await;
            pair.compare().await;
            pair.real.stop().await;
            let report = offline::check(pair.dir.path(), &mut |_| {}).unwrap();
            assert!(report.is_sound(), "{report}");
        });
    }
}
