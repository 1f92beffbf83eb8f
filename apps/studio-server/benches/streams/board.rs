//! A row and its place in the table.

use std::time::Instant;

use crate::contestant::Contestant;

/// What one server reached: the number that ratios are made of, and what people read.
pub(crate) struct Cell {
    pub(crate) value: f64,
    pub(crate) text: String,
}

/// What is asked for, and what was measured so far.
pub(crate) struct Board {
    words: Vec<String>,
    names: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    began: Instant,
}

impl Board {
    pub(crate) fn of(words: Vec<String>, contestants: &[Contestant]) -> Self {
        let names = contestants.iter().map(|contestant| contestant.name).collect();
        Self { words, names, rows: Vec::new(), began: Instant::now() }
    }

    /// Whether one of these rows is asked for.
    pub(crate) fn wants(&self, names: &[&str]) -> bool {
        let wanted = |name: &&str| self.words.iter().any(|word| name.contains(word.as_str()));
        self.words.is_empty() || names.iter().any(wanted)
    }

    /// Adds a row: one cell for each of the first contestants, and what no server could beat here.
    pub(crate) fn add(&mut self, name: &str, goal: &str, limit: &str, cells: Vec<Cell>) {
        let mut row = vec![name.to_owned(), goal.to_owned(), limit.to_owned()];
        let left_out = self.names.len() - cells.len();
        row.extend(cells.iter().map(|cell| cell.text.clone()));
        row.extend(vec!["left out".to_owned(); left_out]);
        // The studio is the first; what others reached is told as a part of it or its multiple.
        for other in cells.iter().skip(1) {
            row.push(format!("{:.2}", cells[0].value / other.value));
        }
        row.extend(vec![String::new(); left_out]);
        eprintln!("[{:3} s] {}", self.began.elapsed().as_secs(), row.join(" | "));
        self.rows.push(row);
    }

    pub(crate) fn print(&self) {
        let mut head = vec!["row".to_owned(), "goal".to_owned(), "limit".to_owned()];
        head.extend(self.names.iter().map(|&name| name.to_owned()));
        let others = self.names.iter().skip(1);
        head.extend(others.map(|name| format!("{} / {name}", self.names[0])));
        println!("| {} |", head.join(" | "));
        println!("|{}", "---|".repeat(head.len()));
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
    }
}
