//! A figure and its place in the table.

use std::time::{Duration, Instant};

/// What is asked for, and what was measured so far.
pub(crate) struct Table {
    words: Vec<String>,
    rows: Vec<[String; 5]>,
    began: Instant,
    /// One small write with its `fdatasync`, the median; the measure of what waits for the disk.
    pub(crate) sync: Duration,
    /// Requests a second that a handler answers that does nothing, by 16 and 64 connections.
    pub(crate) nothing: [f64; 2],
}

impl Table {
    pub(crate) fn of(words: Vec<String>) -> Self {
        let rows = Vec::new();
        Self { words, rows, began: Instant::now(), sync: Duration::ZERO, nothing: [0.0; 2] }
    }

    /// Whether the figure is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word.as_str()))
    }

    /// Adds a figure. `ratio` = measured beside the limit, and `reference` = what the program that
    /// this one replaces needs, for orientation.
    pub(crate) fn add(
        &mut self,
        name: &str,
        target: &str,
        measured: String,
        ratio: String,
        reference: &str,
    ) {
        eprintln!("[{:3} s] {name}: {measured} ({ratio})", self.began.elapsed().as_secs());
        self.rows.push([name.to_owned(), target.to_owned(), measured, ratio, reference.to_owned()]);
    }

    pub(crate) fn print(&self) {
        println!("| figure | must reach | measured | beside the limit | the reference |");
        println!("|---|---|---|---|---|");
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
    }
}

/// The value below which `percent` of all lie. Sorts.
pub(crate) fn percentile<T: Copy + PartialOrd>(all: &mut [T], percent: usize) -> T {
    all.sort_unstable_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    all[(all.len() - 1) * percent / 100]
}

pub(crate) fn median<T: Copy + PartialOrd>(all: &mut [T]) -> T {
    percentile(all, 50)
}

/// Milliseconds for people.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

pub(crate) fn kib(bytes: f64) -> String {
    format!("{:.2} KiB", bytes / 1_024.0)
}

pub(crate) fn rate(per_second: f64) -> String {
    format!("{per_second:.0} /s")
}
