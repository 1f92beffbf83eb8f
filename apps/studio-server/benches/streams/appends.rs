//! Durable appends: one message each, acknowledged when it is on the disk.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    board::{Board, Cell},
    client::Connection,
    contestant::{Contestant, start},
    limits::{Disk, start_nothing},
    reader::{append, create},
    table::{median, rate},
    world::directory,
};

const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_secs(2);
const CONNECTIONS: [usize; 3] = [1, 16, 64];
const STREAMS: usize = 200;

pub(crate) async fn run(board: &mut Board, contestants: &[Contestant]) {
    for streams in [1, STREAMS] {
        for connections in CONNECTIONS {
            let into = if streams == 1 { "one stream" } else { "200 streams" };
            let name = format!("durable appends: {into}, {connections} connections");
            if board.wants(&[&name]) {
                row(board, contestants, &name, streams, connections).await;
            }
        }
    }
}

async fn row(
    board: &mut Board,
    contestants: &[Contestant],
    name: &str,
    streams: usize,
    connections: usize,
) {
    let mut servers = start(contestants).await;
    let names: Vec<String> = (0..streams).map(|nth| format!("appends-{nth}")).collect();
    let requests: Arc<Vec<_>> = Arc::new(names.iter().map(|name| append(name)).collect());
    for server in &servers {
        let mut connection = Connection::open(server.port).await;
        for name in &names {
            connection.ask_ok(&create(name)).await;
        }
        load(server.port, connections, &requests, TIME / 4).await;
    }
    let (mut nothing, nothing_port) = start_nothing().await;
    let dir = directory();
    let mut disk = Disk::of(dir.path());
    let (mut idle, mut syncs) = (Vec::new(), Vec::new());
    let mut all: Vec<(Vec<f64>, u64)> = servers.iter().map(|_| Default::default()).collect();
    for _ in 0..ROUNDS {
        syncs.extend((0..300).map(|_| disk.sync().as_secs_f64()));
        idle.push(load(nothing_port, connections, &requests, TIME / 2).await.0);
        for (server, (rates, refused)) in servers.iter().zip(&mut all) {
            let (rate, more) = load(server.port, connections, &requests, TIME).await;
            rates.push(rate);
            *refused += more;
        }
    }
    nothing.kill().await.unwrap();
    for server in &mut servers {
        server.stop().await;
    }
    let cells = all.iter_mut().map(|(rates, refused)| {
        let value = median(rates);
        let refused = if *refused == 0 { String::new() } else { format!(", {refused} refused") };
        Cell { value, text: rate(value) + &refused }
    });
    let goal = match (streams, connections) {
        (STREAMS, 64) => "20,000 /s, 0.8 of Rust",
        _ => "0.8 of Rust",
    };
    let limit = format!(
        "{} syncs, {} by an empty handler",
        rate(1.0 / median(&mut syncs)),
        rate(median(&mut idle))
    );
    let cells = cells.collect();
    board.add(name, goal, &limit, cells);
}

/// Appends a second that `connections` get acknowledged, each with one under way at a time, and
/// how many were refused.
async fn load(
    port: u16,
    connections: usize,
    requests: &Arc<Vec<Vec<u8>>>,
    time: Duration,
) -> (f64, u64) {
    let mut tasks = tokio::task::JoinSet::new();
    let began = Instant::now();
    for nth in 0..connections {
        let requests = requests.clone();
        tasks.spawn(async move {
            let mut connection = Connection::open(port).await;
            let (mut taken, mut refused) = (0, 0);
            let mut next = nth;
            while began.elapsed() < time {
                let (status, _) = connection.ask(&requests[next % requests.len()]).await;
                next += connections;
                *if status / 100 == 2 { &mut taken } else { &mut refused } += 1;
            }
            (taken, refused)
        });
    }
    let done = tasks.join_all().await;
    let taken: u64 = done.iter().map(|(taken, _)| taken).sum();
    let refused = done.iter().map(|(_, refused)| refused).sum();
    (taken as f64 / began.elapsed().as_secs_f64(), refused)
}
