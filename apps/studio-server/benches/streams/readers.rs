//! How soon readers have a message, what a delivery costs, and what an idle reader holds.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    board::{Board, Cell},
    client::Connection,
    contestant::{Contestant, Server, start},
    limits::Disk,
    reader::{Reader, append, create, open},
    table::{kib, median, ms, percentile, rate},
    world::directory,
};

const POSTS: usize = 300;
const PAUSE: Duration = Duration::from_millis(10);
const READERS: usize = 1_000;
const IDLE: usize = 10_000;
const ROUNDS: usize = 3;
/// Messages to one stream as fast as they are taken, by so many connections.
const FLOOD: usize = 320;
const CONNECTIONS: usize = 64;
/// Messages one after the other, this long apart.
const PACED: usize = 100;
const PACE: Duration = Duration::from_millis(20);
/// A server that has not delivered everything after this long is measured by what it has.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) async fn run(board: &mut Board, contestants: &[Contestant]) {
    if board.wants(&["append to SSE"]) {
        latency(board, contestants).await;
    }
    // A server that needs minutes for a thousand readers is last, and measured alone if at all.
    let fast = contestants.iter().take_while(|contestant| !contestant.is_slow).count();
    let fast = &contestants[..fast];
    if board.wants(&["fan-out: one stream"]) {
        one_stream(board, fast).await;
    }
    if board.wants(&["fan-out: 1,000 streams"]) {
        many_streams(board, fast).await;
    }
    if board.wants(&["memory: idle SSE reader"]) {
        idle(board, fast).await;
    }
}

/// In turns, message by message.
async fn latency(board: &mut Board, contestants: &[Contestant]) {
    let mut servers = start(contestants).await;
    let request = append("latency");
    let mut ends = Vec::new();
    for server in &servers {
        let mut connection = Connection::open(server.port).await;
        connection.ask_ok(&create("latency")).await;
        ends.push((connection, Reader::open(server.port, "latency").await, Vec::new()));
    }
    let dir = directory();
    let mut disk = Disk::of(dir.path());
    let mut syncs = Vec::new();
    for nth in 0..POSTS {
        tokio::time::sleep(PAUSE).await;
        syncs.push(disk.sync());
        for (connection, reader, times) in &mut ends {
            tokio::time::sleep(PAUSE).await;
            let began = Instant::now();
            let seen = async {
                reader.until(nth + 1).await;
                began.elapsed()
            };
            let (time, _) = tokio::join!(seen, connection.ask_ok(&request));
            times.push(time);
        }
    }
    stop(&mut servers).await;
    for percent in [50, 99] {
        let cells = ends.iter_mut().map(|(_, _, times)| time(percentile(times, percent)));
        let limit = format!("fdatasync {}", ms(percentile(&mut syncs, percent)));
        let cells = cells.collect();
        board.add(&format!("append to SSE: p{percent}"), "below Rust", &limit, cells);
    }
}

async fn one_stream(board: &mut Board, contestants: &[Contestant]) {
    let mut servers = start(contestants).await;
    let stream = ["fan-out".to_owned()];
    for server in &servers {
        Connection::open(server.port).await.ask_ok(&create(&stream[0])).await;
    }
    let mut all: Vec<[Vec<f64>; 5]> = servers.iter().map(|_| Default::default()).collect();
    for _ in 0..ROUNDS {
        for (server, [rates, costs, p50s, p99s, sizes]) in servers.iter().zip(&mut all) {
            // Code that was never run is memory that was never read.
            drop(open(server.port, &stream, 10).await);
            settle().await;
            let before = server.resident_bytes();
            // Readers are made anew: the protocol ends each after a minute.
            let readers = open(server.port, &stream, READERS).await;
            let (readers, deliveries, _) = flood(server, readers, &stream, FLOOD).await;
            rates.push(deliveries);
            settle().await;
            let more = server.resident_bytes().saturating_sub(before);
            sizes.push(more as f64 / readers.len() as f64);
            drop(readers);
            let readers = open(server.port, &stream, READERS).await;
            let (p50, p99, cost) = paced(server, readers, &stream[0]).await;
            costs.push(cost);
            p50s.push(p50);
            p99s.push(p99);
        }
    }
    stop(&mut servers).await;
    let name = format!("fan-out: one stream, {READERS} readers, deliveries");
    board.add(&name, "over Rust", "", all.iter_mut().map(|[rates, ..]| per_s(rates)).collect());
    let name = format!("fan-out: one stream, {} messages/s, CPU per delivery", 1_000 / 20);
    board.add(&name, "10 µs", "", all.iter_mut().map(|[_, costs, ..]| micros(costs)).collect());
    let p50 = |[_, _, p50s, ..]: &mut [Vec<f64>; 5]| millis(p50s);
    let p99 = |[.., p99s, _]: &mut [Vec<f64>; 5]| millis(p99s);
    let name = "fan-out: one stream, 50 messages/s, p50";
    board.add(name, "below Rust", "", all.iter_mut().map(p50).collect());
    let name = "fan-out: one stream, 50 messages/s, p99";
    board.add(name, "below Rust", "", all.iter_mut().map(p99).collect());
    let size = |[.., sizes]: &mut [Vec<f64>; 5]| {
        let value = percentile(sizes, 100);
        Cell { value, text: kib(value) }
    };
    let name = "memory: SSE reader after the flood, of 1,000";
    board.add(name, "20 KiB", "", all.iter_mut().map(size).collect());
}

async fn many_streams(board: &mut Board, contestants: &[Contestant]) {
    const EACH: usize = 10;
    let mut servers = start(contestants).await;
    let streams: Vec<String> = (0..READERS).map(|nth| format!("many-{nth}")).collect();
    for server in &servers {
        let mut connection = Connection::open(server.port).await;
        for stream in &streams {
            connection.ask_ok(&create(stream)).await;
        }
    }
    let mut all: Vec<[Vec<f64>; 2]> = servers.iter().map(|_| Default::default()).collect();
    for _ in 0..ROUNDS {
        for (server, [rates, costs]) in servers.iter().zip(&mut all) {
            let readers = open(server.port, &streams, READERS).await;
            let (_, deliveries, cost) = flood(server, readers, &streams, EACH).await;
            rates.push(deliveries);
            costs.push(cost);
        }
    }
    stop(&mut servers).await;
    let name = "fan-out: 1,000 streams, a reader each, appended and delivered";
    board.add(name, "over Rust", "", all.iter_mut().map(|[rates, _]| per_s(rates)).collect());
    let name = "fan-out: 1,000 streams, a reader each, CPU per append and delivery";
    board.add(name, "below Rust", "", all.iter_mut().map(|[_, costs]| micros(costs)).collect());
}

async fn idle(board: &mut Board, contestants: &[Contestant]) {
    let streams: Vec<String> = (0..100).map(|nth| format!("idle-{nth}")).collect();
    let mut cells = Vec::new();
    for contestant in contestants {
        let mut server = contestant.start().await;
        let mut connection = Connection::open(server.port).await;
        for stream in &streams {
            connection.ask_ok(&create(stream)).await;
        }
        // Code that was never run is memory that was never read; a few are not what one costs.
        drop(open(server.port, &streams, 100).await);
        settle().await;
        let before = server.resident_bytes();
        let readers = open(server.port, &streams, IDLE).await;
        settle().await;
        let value = server.resident_bytes().saturating_sub(before) as f64 / readers.len() as f64;
        cells.push(Cell { value, text: kib(value) });
        drop(readers);
        server.stop().await;
    }
    board.add("memory: idle SSE reader, of 10,000", "20 KiB", "", cells);
}

/// Appends `each` to all `streams` as fast as they are taken. Deliveries a second, from the first
/// append to the last delivery, and the server's processor time for each delivery, in seconds.
async fn flood(
    server: &Server<'_>,
    readers: Vec<Reader>,
    streams: &[String],
    each: usize,
) -> (Vec<Reader>, f64, f64) {
    let (port, cpu, began) = (server.port, server.cpu(), Instant::now());
    let mut reading = JoinSet::new();
    for mut reader in readers {
        reading.spawn(async move {
            let base = reader.seen;
            // What is not there by then is missing from the rate.
            let _late = tokio::time::timeout(PATIENCE, reader.until(base + each)).await;
            (reader.seen - base, reader)
        });
    }
    let mut posting = JoinSet::new();
    let requests: Arc<Vec<_>> = Arc::new(streams.iter().map(|stream| append(stream)).collect());
    let total = requests.len() * each;
    for nth in 0..CONNECTIONS {
        let requests = requests.clone();
        posting.spawn(async move {
            let mut connection = Connection::open(port).await;
            for at in (nth..total).step_by(CONNECTIONS) {
                // What is refused is missing from the rate.
                connection.ask(&requests[at % requests.len()]).await;
            }
        });
    }
    posting.join_all().await;
    let (seen, readers): (Vec<_>, Vec<_>) = reading.join_all().await.into_iter().unzip();
    let took = began.elapsed().as_secs_f64();
    let deliveries = seen.into_iter().sum::<usize>() as f64;
    let cost = (server.cpu() - cpu).as_secs_f64() / deliveries;
    (readers, deliveries / took, cost)
}

/// Appends one message after the other. Over all readers and messages, from the append to the
/// delivery: the median and the 99th percentile, in seconds; and the server's processor time for
/// each delivery.
async fn paced(server: &Server<'_>, readers: Vec<Reader>, stream: &str) -> (f64, f64, f64) {
    let cpu = server.cpu();
    let posted: Arc<Vec<OnceLock<Instant>>> =
        Arc::new((0..PACED).map(|_| OnceLock::new()).collect());
    let mut reading = JoinSet::new();
    for mut reader in readers {
        let posted = posted.clone();
        reading.spawn(async move {
            let base = reader.seen;
            let mut times = Vec::with_capacity(PACED);
            let reading = async {
                while times.len() < PACED {
                    reader.wait().await;
                    let now = Instant::now();
                    for message in times.len()..(reader.seen - base).min(PACED) {
                        let posted = posted[message].get().unwrap();
                        times.push(now.duration_since(*posted).as_secs_f64());
                    }
                }
            };
            let _late = tokio::time::timeout(PATIENCE, reading).await;
            times
        });
    }
    let mut connection = Connection::open(server.port).await;
    let request = append(stream);
    let mut pace = tokio::time::interval(PACE);
    for message in posted.iter() {
        pace.tick().await;
        message.set(Instant::now()).unwrap();
        connection.ask_ok(&request).await;
    }
    let mut times = reading.join_all().await.concat();
    if times.is_empty() {
        return (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    }
    let cost = (server.cpu() - cpu).as_secs_f64() / times.len() as f64;
    (percentile(&mut times, 50), percentile(&mut times, 99), cost)
}

async fn stop(servers: &mut [Server<'_>]) {
    for server in servers {
        server.stop().await;
    }
}

/// Memory is looked at when nothing is under way any more.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1_500)).await;
}

pub(crate) fn time(time: Duration) -> Cell {
    Cell { value: time.as_secs_f64(), text: ms(time) }
}

fn per_s(rates: &mut [f64]) -> Cell {
    let value = median(rates);
    Cell { value, text: rate(value) }
}

/// Infinite = nothing came in time.
fn millis(times: &mut [f64]) -> Cell {
    let value = median(times);
    let text = || ms(Duration::from_secs_f64(value));
    Cell { value, text: if value.is_finite() { text() } else { "none in time".to_owned() } }
}

fn micros(costs: &mut [f64]) -> Cell {
    let value = median(costs);
    Cell { value, text: format!("{:.1} µs", value * 1e6) }
}
