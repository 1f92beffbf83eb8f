//! What is tried with random bytes. Each target takes any bytes and panics when something does not
//! hold; `tests/inputs.rs` runs them all, and so does cargo-fuzz in the folder `fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is the report")]

mod bodies;
mod disk;
mod events;
mod hooks;
mod json;
mod offsets;
mod producers;
mod requests;
mod serve;
mod watches;

pub use bodies::{answers, appends};
pub use disk::{changes, journal, rows};
pub use events::events;
pub use hooks::hooks;
pub use json::json;
pub use offsets::offsets;
pub use producers::producers;
pub use requests::requests;
pub use watches::watches;

/// A target, and its name: that of its corpus and of its file in `fuzz/fuzz_targets`.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 12] = [
    ("requests", requests),
    ("offsets", offsets),
    ("json", json),
    ("producers", producers),
    ("changes", changes),
    ("journal", journal),
    ("rows", rows),
    ("events", events),
    ("hooks", hooks),
    ("appends", appends),
    ("answers", answers),
    ("watches", watches),
];
