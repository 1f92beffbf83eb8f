//! What threads share, in one place: `tests/follow_model.rs` puts others here under the same names
//! and runs the same sources in every order it can think of.

pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

pub(crate) use tokio::sync::watch;
