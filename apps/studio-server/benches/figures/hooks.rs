//! Durable hook events, and how soon a reader has them.

use std::time::{Duration, Instant};

use crate::{
    client::{Connection, Reader},
    limits::{Disk, load},
    table::{Table, median, ms, percentile, rate},
    world::{directory, server, sessions},
};

const SESSIONS: usize = 200;
const ROUNDS: usize = 3;
const POSTS: usize = 500;
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) async fn run(table: &mut Table) {
    rates(table).await;
    latency(table).await;
}

async fn rates(table: &mut Table) {
    let targets = [(16, 1_202.0, 15.0), (64, 1_230.0, 25.0)];
    for (at, (connections, reference, times)) in targets.into_iter().enumerate() {
        let name = format!("hook events: {SESSIONS} sessions, {connections} connections");
        if !table.wants(&name) {
            continue;
        }
        let dir = directory();
        let server = server(dir.path()).start().await;
        let sessions = sessions(server.port(), SESSIONS).await;
        let requests: Vec<_> = sessions.iter().map(|session| session.hook_request()).collect();
        // Every session taken up once.
        load(server.port(), connections, requests.clone(), Duration::from_secs(1)).await;
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let time = Duration::from_secs(3);
            rates.push(load(server.port(), connections, requests.clone(), time).await);
        }
        let measured = median(&mut rates);
        let disk = connections as f64 / table.sync.as_secs_f64();
        let ratio = format!(
            "{:.1} x the reference; {:.2} of the disk's {disk:.0} /s; {:.2} of nothing's {:.0} /s",
            measured / reference,
            measured / disk,
            measured / table.nothing[at],
            table.nothing[at],
        );
        let target = format!("{times} x the reference, half of the disk's");
        table.add(&name, &target, rate(measured), ratio, &rate(reference));
    }
}

async fn latency(table: &mut Table) {
    let name = "POST to SSE: idle, p50 / p99";
    if !table.wants(name) {
        return;
    }
    let dir = directory();
    let server = server(dir.path()).start().await;
    let session = sessions(server.port(), 1).await.remove(0);
    let mut reader = Reader::open(server.port(), &session.id, &session.token, "now").await;
    let mut connection = Connection::open(server.port()).await;
    let request = session.hook_request();
    let (mut times, mut disk) = (Vec::new(), Vec::new());
    let mut own = Disk::of(dir.path());
    for nth in 0..POSTS {
        // In turns and each after the same pause: a machine that was idle is slower to wake.
        tokio::time::sleep(PAUSE).await;
        disk.push(own.sync());
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        let seen = async {
            reader.until(nth + 1).await;
            began.elapsed()
        };
        let (time, _) = tokio::join!(seen, connection.ask_ok(&request));
        times.push(time);
    }
    let (p50, p99) = (percentile(&mut times, 50), percentile(&mut times, 99));
    let (sync50, sync99) = (percentile(&mut disk, 50), percentile(&mut disk, 99));
    table.add(
        name,
        "fdatasync + 1 ms / + 3 ms",
        format!("{} / {}", ms(p50), ms(p99)),
        format!(
            "fdatasync {} / {}: + {} / + {}",
            ms(sync50),
            ms(sync99),
            ms(p50.saturating_sub(sync50)),
            ms(p99.saturating_sub(sync50))
        ),
        "4.5 / 10.5 ms",
    );
}
