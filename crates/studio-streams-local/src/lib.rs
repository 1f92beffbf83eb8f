//! The embedded durable stream store: one committer with group commit over an engine seam.
//!
//! Reading order: [`Options`], [`LocalStreams`] (the store), `committer` (the one owner of all
//! writes), `live` and `follow` (how records reach readers), [`engine`] (where bytes lie).

mod cache;
mod command;
mod committer;
pub mod engine;
mod error;
mod expiry;
mod follow;
mod live;
pub mod offline;
mod options;
mod store;
mod sync;

pub use error::OpenError;
pub use options::{Durability, Options};
pub use store::LocalStreams;
