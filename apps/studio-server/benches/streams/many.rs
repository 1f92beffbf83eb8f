//! What a hundred thousand streams cost: memory, and the time of a start.

use std::time::{Duration, Instant};

use crate::{
    board::{Board, Cell},
    client::Connection,
    contestant::{Contestant, files_max},
    reader::create,
    readers::{settle, time},
    table::{median, mib},
};

const STREAMS: usize = 100_000;
const STARTS: usize = 3;
const CONNECTIONS: usize = 64;
/// Who made fewer streams in this time is measured with those.
const PATIENCE: Duration = Duration::from_secs(90);
/// Files that a server needs for other things than streams.
const OTHER_FILES: usize = 2_000;

pub(crate) async fn run(board: &mut Board, contestants: &[Contestant]) {
    if !board.wants(&["100,000 streams: memory", "100,000 streams: start", "100,000 streams: made"])
    {
        return;
    }
    let mut all: [Vec<Cell>; 3] = Default::default();
    for contestant in contestants {
        let mut server = contestant.start().await;
        let mut wanted = STREAMS;
        if contestant.file_per_stream {
            wanted = wanted.min(files_max().saturating_sub(OTHER_FILES));
        }
        let began = Instant::now();
        let made = make(server.port, wanted).await;
        let rate = made as f64 / began.elapsed().as_secs_f64();
        let (mut times, mut sizes) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            times.push(server.restart().await);
            settle().await;
            sizes.push(server.resident_bytes());
        }
        server.stop().await;
        let of = if made == STREAMS { String::new() } else { format!(" (only {made} streams)") };
        let with = |mut cell: Cell| {
            cell.text.push_str(&of);
            cell
        };
        let size = median(&mut sizes);
        all[0].push(with(Cell { value: rate, text: format!("{rate:.0} /s") }));
        all[1].push(with(Cell { value: size as f64, text: mib(size) }));
        all[2].push(with(time(median(&mut times))));
    }
    let [made, memory, start] = all;
    board.add("100,000 streams: made, 64 connections", "", "", made);
    board.add("100,000 streams: memory after a start", "", "", memory);
    board.add("100,000 streams: start, to the first answer", "", "", start);
}

/// Makes streams; says how many.
async fn make(port: u16, count: usize) -> usize {
    let until = Instant::now() + PATIENCE;
    let mut making = tokio::task::JoinSet::new();
    for nth in 0..CONNECTIONS {
        making.spawn(async move {
            let mut connection = Connection::open(port).await;
            let mut made = 0;
            for stream in (nth..count).step_by(CONNECTIONS) {
                if until < Instant::now() {
                    break;
                }
                connection.ask_ok(&create(&format!("s{stream:06}"))).await;
                made += 1;
            }
            made
        });
    }
    making.join_all().await.into_iter().sum()
}
