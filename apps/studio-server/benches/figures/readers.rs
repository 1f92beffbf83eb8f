//! A thousand readers of one session.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use crate::{
    client::{Connection, Reader},
    start::settle,
    table::{Table, kib, median, ms, percentile, rate},
    world::{Session, directory, server, sessions},
};

const READERS: usize = 1_000;
/// Events as fast as they are taken.
const FLOOD: usize = 1_280;
const FLOOD_CONNECTIONS: usize = 64;
/// Events one after the other, this long apart.
const PACED: usize = 300;
const PACE: Duration = Duration::from_millis(10);
const ROUNDS: usize = 3;

pub(crate) async fn run(table: &mut Table) {
    let names = ["fan-out", "memory: SSE reader"];
    if !names.iter().any(|name| table.wants(name)) {
        return;
    }
    let dir = directory();
    let server = server(dir.path()).start().await;
    let session = sessions(server.port(), 1).await.remove(0);
    // Code that was never run is memory that was never read; one reader is not what it costs.
    drop(open(server.port(), &session, 10).await);
    settle().await;
    let before = server.resident_bytes();
    let mut readers = open(server.port(), &session, READERS).await;
    settle().await;
    let each = server.resident_bytes().saturating_sub(before) as f64 / READERS as f64;
    let ratio = format!("{:.2} of it", each / 20_480.0);
    table.add("memory: SSE reader, idle", "20 KiB", kib(each), ratio, "70-143 KiB");

    if table.wants("fan-out") {
        let (mut rates, mut p99s) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (more, deliveries) = flood(server.port(), &session, readers).await;
            rates.push(deliveries);
            let (more, p99) = paced(server.port(), &session, more).await;
            readers = more;
            p99s.push(p99);
        }
        let measured = median(&mut rates);
        let ratio = format!("{:.2} of it", measured / 200_000.0);
        let name = format!("fan-out: {READERS} readers, deliveries");
        table.add(&name, "200,000 /s", rate(measured), ratio, "2,113 /s");
        let p99 = median(&mut p99s);
        let ratio = format!("{:.2} of it", p99.as_secs_f64() / 0.040);
        let name =
            format!("fan-out: {READERS} readers, {} events/s, p99", 1_000 / PACE.as_millis());
        table.add(&name, "40 ms", ms(p99), ratio, "1,240 ms");
        settle().await;
        let each = server.resident_bytes().saturating_sub(before) as f64 / READERS as f64;
        let ratio = format!("{:.2} of it", each / 20_480.0);
        table.add("memory: SSE reader, after the flood", "20 KiB", kib(each), ratio, "");
    }
}

async fn open(port: u16, session: &Session, count: usize) -> Vec<Reader> {
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..count {
        let session = session.clone();
        opening.spawn(async move { Reader::open(port, &session.id, &session.token, "now").await });
    }
    opening.join_all().await
}

/// Posts as fast as the studio takes them. Deliveries a second, over all readers, from the first
/// post to the last delivery.
async fn flood(port: u16, session: &Session, readers: Vec<Reader>) -> (Vec<Reader>, f64) {
    let began = Instant::now();
    let mut reading = tokio::task::JoinSet::new();
    for mut reader in readers {
        reading.spawn(async move {
            let goal = reader.events() + FLOOD;
            reader.until(goal).await;
            reader
        });
    }
    let mut posting = tokio::task::JoinSet::new();
    for _ in 0..FLOOD_CONNECTIONS {
        let request = session.hook_request();
        posting.spawn(async move {
            let mut connection = Connection::open(port).await;
            for _ in 0..FLOOD / FLOOD_CONNECTIONS {
                connection.ask_ok(&request).await;
            }
        });
    }
    posting.join_all().await;
    let readers = reading.join_all().await;
    (readers, (READERS * FLOOD) as f64 / began.elapsed().as_secs_f64())
}

/// Posts one event after the other. The 99th percentile, over all readers and events, of the time
/// from the post to the delivery.
async fn paced(port: u16, session: &Session, readers: Vec<Reader>) -> (Vec<Reader>, Duration) {
    let posted: Arc<Vec<OnceLock<Instant>>> =
        Arc::new((0..PACED).map(|_| OnceLock::new()).collect());
    let mut reading = tokio::task::JoinSet::new();
    for mut reader in readers {
        let posted = posted.clone();
        reading.spawn(async move {
            let base = reader.events();
            let mut times = Vec::with_capacity(PACED);
            while times.len() < PACED {
                reader.wait().await;
                let now = Instant::now();
                for event in times.len()..(reader.events() - base).min(PACED) {
                    times.push(now.duration_since(*posted[event].get().unwrap()));
                }
            }
            (reader, times)
        });
    }
    let mut connection = Connection::open(port).await;
    let request = session.hook_request();
    let mut pace = tokio::time::interval(PACE);
    for event in posted.iter() {
        pace.tick().await;
        event.set(Instant::now()).unwrap();
        connection.ask_ok(&request).await;
    }
    let (mut readers, mut times) = (Vec::new(), Vec::new());
    for (reader, more) in reading.join_all().await {
        readers.push(reader);
        times.extend(more);
    }
    (readers, percentile(&mut times, 99))
}
