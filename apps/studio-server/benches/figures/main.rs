//! The studio's speed and memory, as figures beside what must be reached: a Markdown table of
//! medians, all of one run, of the real server process.
//!
//! `cargo bench -p studio-server --bench figures` runs all of them; further words choose those
//! whose names contain one of them: `cargo bench -p studio-server --bench figures -- start fan-out`.
//!
//! Reading order: [`table`] (a figure), [`client`] (what stands for browsers and hooks),
//! [`world`] (a server and its sessions), then a file for each group of figures: [`limits`],
//! [`start`], [`hooks`], [`readers`], [`routes`], [`replay`], [`sandboxes`].
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that prints")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "it may end by a panic")]

mod client;
mod hooks;
mod limits;
mod readers;
mod replay;
mod routes;
mod sandboxes;
mod start;
mod table;
mod world;

use table::Table;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if words.iter().any(|word| word == limits::EMPTY_SERVER) {
            return limits::serve_nothing().await;
        }
        let mut table = Table::of(words);
        limits::run(&mut table).await;
        start::run(&mut table).await;
        hooks::run(&mut table).await;
        readers::run(&mut table).await;
        routes::run(&mut table).await;
        replay::run(&mut table).await;
        sandboxes::run(&mut table).await;
        table.print();
    });
}
