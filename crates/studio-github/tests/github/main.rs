//! GitHub as the studio uses it, against a GitHub of our own that is as strict as the real one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers are tests")]

mod create;
mod limits;
mod listings;
mod names;
mod official_client;
mod push;
mod support;
mod tls;
mod tokens;
