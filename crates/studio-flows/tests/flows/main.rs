//! The flows, over the real parts.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says where")]

mod project;
mod restart;
mod sessions;
mod support;
mod two;
