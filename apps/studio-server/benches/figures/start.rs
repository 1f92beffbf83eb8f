//! How long a start takes, and what an idle server holds in memory.

use std::time::{Duration, Instant};

use studio_testkit::StudioServer;

use crate::{
    client::Connection,
    table::{Table, kib, median, mib, ms},
    world::{directory, healthy, server, sessions},
};

const SESSIONS: usize = 10_000;
/// Sessions in use of which the memory is told.
const IN_USE: usize = 5_000;
const STARTS: usize = 7;

pub(crate) async fn run(table: &mut Table) {
    let few = ["start: empty", "memory: idle server"];
    let many = ["start: 10,000 sessions", "memory: idle session"];
    if !few.iter().chain(&many).any(|name| table.wants(name)) {
        return;
    }
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let dir = directory();
        let began = Instant::now();
        let server = server(dir.path()).start().await;
        healthy(server.port()).await;
        times.push(began.elapsed());
        settle().await;
        sizes.push(server.resident_bytes());
    }
    let empty = median(&mut sizes);
    let time = median(&mut times);
    table.add("start: empty, to healthy", "75 ms", ms(time), of(time, 75), "1,507 ms");
    let size = mib(empty);
    table.add("memory: idle server", "20 MiB", size, of_mib(empty, 20), "139 MiB");
    if many.iter().any(|name| table.wants(name)) {
        with_sessions(table, empty).await;
    }
}

async fn with_sessions(table: &mut Table, empty: u64) {
    let dir = directory();
    let mut server = server(dir.path()).start().await;
    let made = sessions(server.port(), SESSIONS).await;
    settle().await;
    server.terminate().await;

    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        times.push(restart(&mut server).await);
        settle().await;
        sizes.push(server.resident_bytes());
        server.terminate().await;
    }
    let (time, size) = (median(&mut times), median(&mut sizes));
    let name = "start: 10,000 sessions, to healthy";
    table.add(name, "150 ms", ms(time), of(time, 150), "1,900 ms");
    let name = "start: 10,000 sessions, memory";
    table.add(name, "40 MiB", mib(size), of_mib(size, 40), "267 MiB");
    let each = size.saturating_sub(empty) as f64 / SESSIONS as f64;
    let ratio = format!("{:.2} of it", each / 2_048.0);
    table.add("memory: idle session", "2 KiB", kib(each), ratio, "31 KiB");

    let mut times = Vec::new();
    for _ in 0..STARTS {
        server.restart().await;
        healthy(server.port()).await;
        // What a crash finds under way.
        let mut connection = Connection::open(server.port()).await;
        for session in made.iter().step_by(20) {
            connection.ask_ok(&session.hook_request()).await;
        }
        server.crash().await;
        times.push(restart(&mut server).await);
        server.terminate().await;
    }
    let time = median(&mut times);
    let name = "start: 10,000 sessions, after kill -9";
    table.add(name, "150 ms", ms(time), of(time, 150), "");

    server.restart().await;
    healthy(server.port()).await;
    settle().await;
    let before = server.resident_bytes();
    let mut connection = Connection::open(server.port()).await;
    for session in made.iter().take(IN_USE) {
        connection.ask_ok(&session.hook_request()).await;
    }
    settle().await;
    let each = server.resident_bytes().saturating_sub(before) as f64 / IN_USE as f64;
    let name = "memory: idle session, in use within 15 minutes";
    table.add(name, "2 KiB", kib(each), format!("{:.2} of it", each / 2_048.0), "");
}

async fn restart(server: &mut StudioServer) -> Duration {
    let began = Instant::now();
    server.restart().await;
    healthy(server.port()).await;
    began.elapsed()
}

/// Memory is looked at when nothing is under way any more: the store frees what it does not need
/// after half a second.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1_200)).await;
}

fn of(time: Duration, target_ms: u32) -> String {
    format!("{:.2} of it", time.as_secs_f64() * 1_000.0 / f64::from(target_ms))
}

fn of_mib(bytes: u64, target: u64) -> String {
    format!("{:.2} of it", bytes as f64 / (target * 1_048_576) as f64)
}
