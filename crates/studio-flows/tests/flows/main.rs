//! The flows, over the real parts.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says where")]

mod github;
mod project;
mod restart;
mod resume;
mod sessions;
mod support;
mod two;
