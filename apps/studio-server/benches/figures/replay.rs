//! Reading a long history.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use studio_ids::SessionId;
use studio_streams::{Batch, StreamPath, StreamStore as _};
use studio_streams_local::{LocalStreams, Options};

use crate::{
    client::Reader,
    table::{Table, median, ms},
    world::{directory, healthy, server, sessions},
};

/// 33 MiB of them are 100,000.
const EVENT_BYTES: usize = 346;
const ROUNDS: usize = 5;

pub(crate) async fn run(table: &mut Table) {
    let names = ["replay: 100,000 events", "replay: 1,000,000 events"];
    if !names.iter().any(|name| table.wants(name)) {
        return;
    }
    let dir = directory();
    let mut server = server(dir.path()).start().await;
    let made = sessions(server.port(), 2).await;
    server.terminate().await;
    for (session, events) in made.iter().zip([100_000, 1_000_000]) {
        write(dir.path(), session.id.parse().unwrap(), events).await;
    }
    server.restart().await;
    healthy(server.port()).await;
    let mut small = Duration::ZERO;
    for (session, events) in made.iter().zip([100_000, 1_000_000]) {
        let mut times = Vec::new();
        // The large one is measured for its ratio: once to warm up and once is enough.
        for _ in 0..if events == 100_000 { ROUNDS } else { 2 } {
            let began = Instant::now();
            let reader = Reader::open(server.port(), &session.id, &session.token, "-1").await;
            let mut reader = reader.with_buffer(256 * 1024);
            reader.until(events).await;
            times.push(began.elapsed());
            assert!(events * EVENT_BYTES < reader.bytes);
        }
        let time = median(&mut times);
        if events == 100_000 {
            small = time;
            let ratio = format!("{:.2} of it", time.as_secs_f64() / 0.2);
            table.add("replay: 100,000 events, 33 MiB", "0.2 s", ms(time), ratio, "9,970 ms");
        } else {
            let ratio = format!("{:.1} x the time", time.as_secs_f64() / small.as_secs_f64());
            table.add("replay: 1,000,000 events", "10 x the time", ms(time), ratio, "");
        }
    }
}

/// Writes a history into a session's stream, as the server would, while it does not run.
async fn write(dir: &Path, session: SessionId, events: usize) {
    let store = LocalStreams::open(dir.join("streams"), Options::default()).unwrap();
    let path = StreamPath::session(session);
    let event = r#"{"source":"agent","type":"assistant_message","text":"","ts":"2026-01-01T00:00:00.000Z"}"#;
    let text = "x".repeat(EVENT_BYTES - event.len());
    let event = Bytes::from(event.replace("\"text\":\"\"", &format!("\"text\":\"{text}\"")));
    for _ in 0..events / 1_000 {
        let batch = Batch::new(vec![event.clone(); 1_000]).unwrap();
        store.append(&path, batch, None).await.unwrap();
    }
    store.stop().await;
}
