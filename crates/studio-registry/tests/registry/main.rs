//! The registry over the memory store, disturbed where a test says so, and over a real disk.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod hooks;
mod on_disk;
mod reading;
mod restart;
mod snapshots;
mod taking_over;
mod world;
mod writing;
