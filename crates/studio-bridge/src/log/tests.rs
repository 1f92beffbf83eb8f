use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use studio_events::SessionTotals;
use studio_ids::RunId;
use studio_streams::{
    CreateOptions, Disturb, MemoryStreams, StreamPath, StreamStore, Write, Written,
};

use super::*;

#[test]
fn a_record_over_the_limit_is_cut_and_says_so() {
    let text = "é".repeat(RECORD_BYTES_MAX);
    let event = EngineEvent::AssistantMessage { text, agent: None, parent_tool_use_id: None };
    let record = encode(Source::Agent, event, Timestamp::from_unix_millis(0), None);
    assert!(record.len() <= RECORD_BYTES_MAX);
    let value: Value = serde_json::from_slice(&record).unwrap();
    let text = value["text"].as_str().unwrap();
    assert!(text.ends_with(" bytes more]"), "{}", &text[text.len() - 40..]);
    assert_eq!(value["type"], "assistant_message");
}

/// A store in memory that counts writes and can be busy.
#[derive(Default)]
struct Counting {
    store: MemoryStreams,
    writes: AtomicUsize,
    busy: AtomicBool,
}

#[async_trait]
impl Disturb for Counting {
    fn inner(&self) -> &dyn StreamStore {
        &self.store
    }

    async fn on_write(&self, path: &StreamPath, write: Write) -> Result<Written, StreamError> {
        if self.busy.load(Ordering::SeqCst) {
            return Err(StreamError::Busy);
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.store.write(path, write).await
    }
}

/// Keeps what it is told, and how much was durable by then.
#[derive(Default)]
struct Ears {
    told: Mutex<Vec<Told>>,
}

impl Listener for Ears {
    fn told(&self, _session: SessionId, told: &Told) {
        self.told.lock().unwrap().push(told.clone());
    }
}

/// A log, and what stands around it.
struct Bench {
    store: Arc<Counting>,
    ears: Arc<Ears>,
    log: Log,
    path: StreamPath,
    run: RunId,
}

impl Bench {
    async fn new() -> Self {
        let (store, ears) = (Arc::new(Counting::default()), Arc::new(Ears::default()));
        let session = SessionId::random();
        let path = StreamPath::session(session);
        store.create(&path, CreateOptions::default()).await.unwrap();
        let writer = SessionWriter::take_over(
            store.clone(),
            path.clone(),
            "p".parse().unwrap(),
            1,
            Bytes::from_static(b"{}"),
        )
        .await
        .unwrap();
        store.writes.store(0, Ordering::SeqCst);
        let clock = Arc::new(|| Timestamp::from_unix_millis(0));
        let log = Log::new(session, writer, clock, ears.clone());
        Self { store, ears, log, path, run: RunId::random() }
    }

    /// The agent says a word; its journal is read up to `at`.
    async fn word(&mut self, at: u64) {
        let event = EngineEvent::AssistantMessage {
            text: at.to_string(),
            agent: None,
            parent_tool_use_id: None,
        };
        self.agent_tells(event, at).await;
    }

    async fn agent_tells(&mut self, event: EngineEvent, at: u64) {
        let draft = Draft::from(vec![Note::Event(Source::Agent, event)]);
        self.log.put(draft, Some(JournalMark { run: self.run, at })).await;
    }

    /// Lets the time pass as the owner does: it wakes when the log wants it.
    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(due) = self.log.release_at().filter(|due| *due <= end) {
            tokio::time::sleep_until(due).await;
            self.log.release().await;
        }
        tokio::time::sleep_until(end).await;
    }

    fn writes(&self) -> usize {
        self.store.writes.load(Ordering::SeqCst)
    }

    fn told(&self) -> usize {
        self.ears.told.lock().unwrap().len()
    }

    /// What is durable after the first record: type or text, and the journal's offset if it is
    /// there.
    async fn durable(&self) -> Vec<(String, Option<u64>)> {
        let page = self.store.read(&self.path, Offset::Start, 10_000).await.unwrap();
        let shown = |data: &Bytes| {
            let value: Value = serde_json::from_slice(data).unwrap();
            let name = value["text"].as_str().or(value["type"].as_str()).unwrap().to_owned();
            (name, value["journal"]["at"].as_u64())
        };
        page.records.iter().skip(1).map(|record| shown(&record.data)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_streamed_answer_costs_one_write_in_ten_milliseconds() {
    let mut bench = Bench::new().await;
    for at in 1..=200 {
        bench.word(at).await;
        bench.pass(Duration::from_millis(1)).await;
    }
    bench.pass(Duration::from_millis(10)).await;
    // The first word at once, then what came within each 10 ms; one by one it would be 200.
    assert!(bench.writes() <= 21, "{} writes", bench.writes());
    let expected: Vec<_> = (1..=200).map(|at| (at.to_string(), Some(at))).collect();
    assert_eq!(bench.durable().await, expected, "in order, each with its place in the journal");
    assert_eq!(bench.told(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_word_after_a_pause_is_written_at_once() {
    let mut bench = Bench::new().await;
    for at in 1..=3 {
        bench.word(at).await;
        assert_eq!((bench.writes(), bench.told()), (at as usize, at as usize));
        bench.pass(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_joined_word_waits_ten_milliseconds_at_most_and_is_told_when_it_is_durable() {
    let mut bench = Bench::new().await;
    bench.word(1).await;
    bench.word(2).await;
    bench.pass(Duration::from_millis(5)).await;
    bench.word(3).await;
    assert_eq!((bench.writes(), bench.told()), (1, 1), "two wait, and nobody has heard of them");
    bench.pass(Duration::from_millis(4)).await;
    assert_eq!((bench.writes(), bench.told()), (1, 1));
    // Ten milliseconds after the first, however many came meanwhile.
    bench.pass(Duration::from_millis(1)).await;
    assert_eq!((bench.writes(), bench.told()), (2, 3));
    assert_eq!(bench.log.release_at(), None);
}

#[tokio::test(start_paused = true)]
async fn whatever_is_no_word_takes_the_words_before_it_along_at_once() {
    let mut bench = Bench::new().await;
    bench.word(1).await;
    bench.word(2).await;
    let totals = SessionTotals::default();
    let end = EngineEvent::SessionEnd { success: true, totals, reason: None };
    bench.agent_tells(end, 3).await;
    assert_eq!((bench.writes(), bench.told()), (2, 3));
    let name = |name: &str, at| (name.to_owned(), Some(at));
    assert_eq!(bench.durable().await, [name("1", 1), name("2", 2), name("session_end", 3)]);
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_records_stands_behind_what_was_heard_before() {
    let mut bench = Bench::new().await;
    bench.word(1).await;
    bench.word(2).await;
    let mut draft = Draft::default();
    draft.server(EngineEvent::AgentExit { code: None });
    bench.log.write(draft, Then::Nothing).await.unwrap();
    let durable = bench.durable().await;
    let names: Vec<&str> = durable.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["1", "2", "agent_exit"]);
    // And a word after it is not written before its time for that.
    bench.word(3).await;
    assert_eq!(bench.log.release_at(), Some(Instant::now() + JOIN_FOR));
}

#[tokio::test(start_paused = true)]
async fn words_that_the_store_does_not_take_stand_in_line_as_one_batch() {
    let mut bench = Bench::new().await;
    bench.word(1).await;
    bench.store.busy.store(true, Ordering::SeqCst);
    bench.word(2).await;
    bench.word(3).await;
    bench.pass(Duration::from_millis(10)).await;
    assert!(bench.log.is_stuck());
    assert_eq!(bench.told(), 1);
    bench.store.busy.store(false, Ordering::SeqCst);
    bench.log.flush().await;
    assert_eq!((bench.writes(), bench.told()), (2, 3));
    assert_eq!(bench.durable().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn many_words_at_once_do_not_wait() {
    let mut bench = Bench::new().await;
    bench.word(1).await;
    let text = "x".repeat(JOIN_BYTES_MAX);
    let event = EngineEvent::AssistantThinking { text, agent: None };
    bench.agent_tells(event, 2).await;
    assert_eq!((bench.writes(), bench.told()), (2, 2));
}
