//! Kills of the server (SIGKILL) while streams are written and read through `/v1/stream`.
//!
//! `STUDIO_STREAM_KILLS=1000` asks for another number of rounds than 200.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use studio_testkit::{SseReader, StudioServer};
use tokio::{sync::Notify, task::JoinSet};

const PROGRAM: &str = env!("CARGO_BIN_EXE_studio-server");
const KILLS: u64 = 200;
const APPENDERS: u64 = 64;
/// Streams that the appenders share, each many of them; one more each has to itself.
const SHARED: u64 = 4;
/// Longest time from the start of a round, or from its first answer, to its kill.
const ROUND_MS_MAX: u64 = 100;

const READERS: u64 = 200;
const READER_KILLS: u64 = 20;
/// How long a reader may wait for what is there.
const PATIENCE: Duration = Duration::from_secs(60);

async fn server() -> StudioServer {
    let builder = StudioServer::program(PROGRAM).arg("--sandbox").arg("local");
    builder.env("STUDIO_STREAMS_OPEN", "1").start().await
}

fn random(below: u64) -> u64 {
    RandomState::new().hash_one(0) % below
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

async fn create(server: &StudioServer, stream: &str) {
    let request = server.client().put(server.url(&format!("/v1/stream/{stream}")));
    let answer = request.header("content-type", "application/json").send().await.unwrap();
    assert!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await.unwrap());
}

/// One producer, across all lives of the server.
#[derive(Clone, Copy, Debug, Default)]
struct Appender {
    number: u64,
    /// Its sequence number that was not yet acknowledged.
    next: u64,
}

impl Appender {
    fn stream(&self) -> String {
        // Most of them share a stream; some have one to themselves.
        match self.number % 2 {
            0 => format!("kill/own/{}", self.number),
            _ => format!("kill/shared/{}", self.number / 2 % SHARED),
        }
    }

    /// Appends until the server is gone; the append that was not answered is sent again in the
    /// next life, as the protocol has it.
    async fn append(mut self, client: reqwest::Client, url: String, tally: Arc<Tally>) -> Self {
        loop {
            let request = client
                .post(format!("{url}{}", self.stream()))
                .header("content-type", "application/json")
                .header("producer-id", format!("appender-{}", self.number))
                .header("producer-epoch", "0")
                .header("producer-seq", self.next.to_string())
                .body(format!("[{},{}]", self.number, self.next));
            let Ok(answer) = request.send().await else { return self };
            match answer.status().as_u16() {
                200 => tally.written.fetch_add(1, Ordering::Relaxed),
                // It was there before the kill, and its answer was lost.
                204 => tally.repeated.fetch_add(1, Ordering::Relaxed),
                status => panic!("{self:?} got {status}: {}", answer.text().await.unwrap()),
            };
            self.next += 1;
            tally.answered.notify_one();
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    written: AtomicU64,
    repeated: AtomicU64,
    /// After each answer.
    answered: Notify,
}

/// What was read of a stream so far, and what of each appender.
#[derive(Clone, Debug)]
struct Log {
    offset: String,
    seen: HashMap<u64, u64>,
    appends: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self { offset: "-1".to_owned(), seen: HashMap::new(), appends: 0 }
    }
}

impl Log {
    /// Reads on to the tail: of each appender the numbers come in order, without gap or repetition.
    async fn read_on(&mut self, client: &reqwest::Client, url: &str) {
        let mut values: Vec<u64> = Vec::new();
        loop {
            let answer = client.get(format!("{url}?offset={}", self.offset)).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let header = |name: &str| {
                answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
            };
            self.offset = header("stream-next-offset").unwrap();
            let up_to_date = header("stream-up-to-date").is_some();
            // An array posted is its elements: number, sequence, number, sequence …
            values.extend(answer.json::<Vec<u64>>().await.unwrap());
            if up_to_date {
                break;
            }
        }
        for pair in values.chunks(2) {
            let [number, seq] = *pair else { panic!("an append is there in half") };
            let expected = self.seen.entry(number).or_insert(0);
            assert_eq!(seq, *expected, "appender {number} of {url}");
            *expected += 1;
            self.appends += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_under_64_appenders_loses_doubles_or_reorders_an_append() {
    let kills = std::env::var("STUDIO_STREAM_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let began = Instant::now();
    let mut server = server().await;
    let mut appenders: Vec<_> = (0..APPENDERS).map(|number| Appender { number, next: 0 }).collect();
    let mut logs: HashMap<String, Log> = HashMap::new();
    for appender in &appenders {
        if logs.insert(appender.stream(), Log::default()).is_none() {
            create(&server, &appender.stream()).await;
        }
    }
    let tally = Arc::new(Tally::default());
    let mut starts = Duration::ZERO;
    let url = server.url("/v1/stream/");
    let client = client();
    for round in 0..kills {
        let mut running = JoinSet::new();
        for appender in &appenders {
            running.spawn(appender.append(client.clone(), url.clone(), tally.clone()));
        }
        if round % 4 != 0 {
            tally.answered.notified().await;
        }
        // The moment of the kill is the point here, there is nothing to wait for.
        tokio::time::sleep(Duration::from_micros(random(ROUND_MS_MAX * 1_000))).await;
        server.crash().await;
        appenders = running.join_all().await;
        let starting = Instant::now();
        server.restart().await;
        starts += starting.elapsed();
        for appender in &appenders {
            let log = logs.get_mut(&appender.stream()).unwrap();
            // All streams at the end of each tenth round, otherwise one.
            if round % 10 == 9 || appender.number == round % APPENDERS {
                log.read_on(&client, &format!("{url}{}", appender.stream())).await;
                let seen = log.seen.get(&appender.number).copied().unwrap_or(0);
                // The one that was not answered may be there.
                let expected = appender.next..=appender.next + 1;
                assert!(expected.contains(&seen), "round {round}: {appender:?}, {seen} are there");
            }
        }
    }
    // Once more from the beginning, whole.
    let mut appends = 0;
    for stream in logs.keys() {
        let mut log = Log::default();
        log.read_on(&client, &server.url(&format!("/v1/stream/{stream}"))).await;
        appends += log.appends;
        for appender in appenders.iter().filter(|appender| appender.stream() == *stream) {
            let seen = log.seen.get(&appender.number).copied().unwrap_or(0);
            assert!((appender.next..=appender.next + 1).contains(&seen), "{appender:?}, {seen}");
        }
    }
    let Tally { written, repeated, .. } = &*tally;
    println!(
        "{kills} kills in {:.1?}: {} appends acknowledged, {} of them when sent again, {appends} \
         in the streams, a start takes {:.1?}",
        began.elapsed(),
        written.load(Ordering::Relaxed) + repeated.load(Ordering::Relaxed),
        repeated.load(Ordering::Relaxed),
        starts / u32::try_from(kills).unwrap(),
    );
    assert!(10 * kills < appends, "the appenders hardly wrote");
}

/// A reader of the stream of numbers: what it got, across cuts.
#[derive(Debug)]
struct Reader {
    offset: String,
    got: Vec<u64>,
    cuts: u64,
}

impl Reader {
    /// Reads from where it is until the stream is closed, the connection breaks or it has enough
    /// of it. Says whether the stream is closed.
    async fn read(&mut self, client: &reqwest::Client, url: &str) -> bool {
        let enough = Duration::from_millis(50 + random(1_500));
        let until = tokio::time::Instant::now() + enough;
        let request = client.get(format!("{url}?offset={}&live=sse", self.offset));
        let Ok(mut events) = SseReader::open(request, None).await else { return false };
        let mut data = Vec::new();
        while let Ok(Ok(Some(event))) = tokio::time::timeout_at(until, events.next_event()).await {
            match event.event.as_deref() {
                Some("data") => {
                    let values: Vec<u64> = serde_json::from_str(&event.data).unwrap();
                    data.extend(values);
                }
                // What came is taken with the place after it, both or none.
                Some("control") => {
                    let control: Value = event.json();
                    self.offset = control["streamNextOffset"].as_str().unwrap().to_owned();
                    self.got.append(&mut data);
                    if control["streamClosed"] == true {
                        return true;
                    }
                }
                other => panic!("an event of kind {other:?}"),
            }
        }
        self.cuts += 1;
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_are_cut_at_random_get_every_record_once_over_20_kills() {
    let mut server = server().await;
    create(&server, "numbers").await;
    let url = server.url("/v1/stream/numbers");
    let mut readers = JoinSet::new();
    let over = Arc::new(AtomicBool::new(false));
    let client = client();
    for _ in 0..READERS {
        let (client, url, over) = (client.clone(), url.clone(), over.clone());
        readers.spawn(async move {
            let mut reader = Reader { offset: "-1".to_owned(), got: Vec::new(), cuts: 0 };
            let mut late = None;
            while !reader.read(&client, &url).await {
                if over.load(Ordering::Relaxed) {
                    let late = late.get_or_insert_with(Instant::now);
                    assert!(late.elapsed() < PATIENCE, "a reader never hears of the end");
                }
                // A server that is not there refuses at once.
                tokio::time::sleep(Duration::from_millis(random(20))).await;
            }
            reader
        });
    }
    // Numbers, appended one by one, across kills.
    let mut next: u64 = 0;
    for _ in 0..READER_KILLS {
        let until = Instant::now() + Duration::from_millis(100 + random(400));
        while Instant::now() < until {
            append_number(&server, &url, &mut next).await;
        }
        // One is under way when the server dies.
        let request = number(&client, &url, next).send();
        let (_, _) = tokio::join!(request, async {
            tokio::time::sleep(Duration::from_micros(random(3_000))).await;
            server.crash().await;
        });
        server.restart().await;
    }
    append_number(&server, &url, &mut next).await;
    let close = server.client().post(&url).header("stream-closed", "true").send().await.unwrap();
    assert!(close.status().is_success(), "{}", close.status());
    over.store(true, Ordering::Relaxed);

    let all: Vec<u64> = (0..next).collect();
    let log: Vec<u64> =
        server.client().get(format!("{url}?offset=-1")).send().await.unwrap().json().await.unwrap();
    assert_eq!(log, all);
    let readers = readers.join_all().await;
    let cuts: u64 = readers.iter().map(|reader| reader.cuts).sum();
    for reader in &readers {
        assert_eq!(reader.got, all, "a reader with {} cuts", reader.cuts);
    }
    println!("{READERS} readers with {cuts} cuts over {READER_KILLS} kills got all {next} records");
    assert!(READERS * READER_KILLS / 2 <= cuts, "only {cuts} cuts");
}

fn number(client: &reqwest::Client, url: &str, next: u64) -> reqwest::RequestBuilder {
    client
        .post(url)
        .header("content-type", "application/json")
        .header("producer-id", "counter")
        .header("producer-epoch", "0")
        .header("producer-seq", next.to_string())
        .body(next.to_string())
}

async fn append_number(server: &StudioServer, url: &str, next: &mut u64) {
    let answer = number(server.client(), url, *next).send().await.unwrap();
    assert!(matches!(answer.status().as_u16(), 200 | 204), "{}", answer.status());
    *next += 1;
}
