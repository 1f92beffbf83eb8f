//! The studio as a server of Durable Streams, beside the official servers: a Markdown table of
//! medians, all of one run, every server a process of its own and asked by the same client, in
//! turns.
//!
//! `cargo bench -p studio-server --bench streams` runs all of it; further words choose the rows
//! whose names contain one of them: `cargo bench -p studio-server --bench streams -- fan-out`.
//!
//! Reading order: [`board`] (a row), [`contestant`] (the servers and how they are started),
//! [`client`] and [`reader`] (what asks them), then a file for each group of rows: [`appends`],
//! [`readers`], [`catch_up`], [`many`].
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that prints")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "it may end by a panic")]

mod appends;
mod board;
mod catch_up;
#[path = "../figures/client.rs"]
#[allow(dead_code, reason = "shared with the other benchmark, which needs more of it")]
mod client;
mod contestant;
#[path = "../figures/limits.rs"]
#[allow(dead_code, reason = "shared with the other benchmark, which needs more of it")]
mod limits;
mod many;
mod reader;
mod readers;
#[path = "../figures/table.rs"]
#[allow(dead_code, reason = "shared with the other benchmark, which needs more of it")]
mod table;
#[path = "../figures/world.rs"]
#[allow(dead_code, reason = "shared with the other benchmark, which needs more of it")]
mod world;

use board::Board;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    contestant::allow_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if words.iter().any(|word| word == limits::EMPTY_SERVER) {
            return limits::serve_nothing().await;
        }
        let contestants = contestant::all();
        let mut board = Board::of(words, &contestants);
        appends::run(&mut board, &contestants).await;
        readers::run(&mut board, &contestants).await;
        catch_up::run(&mut board, &contestants).await;
        many::run(&mut board, &contestants).await;
        board.print();
    });
}
