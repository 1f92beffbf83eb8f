//! Claude Code's language, tested against what the real agent wrote.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers are tests")]

mod common;
mod input;
mod recordings;
mod rules;
mod totality;
