//! The `StreamStore` port over any Durable Streams service.
//!
//! Reading order: [`HttpOptions`] and [`Secret`] (which service), [`HttpStreams`] (the port),
//! [`ServiceState`] (how the service is), [`ConnectError`] (why one is not used). Inside: `place`
//! (names of places), `json` and `sse` (bytes into records), `service` (one request), `scan` and
//! `pages` (reads), `facts`, `index` (which streams there are), `create`, `read`, `write`, `live`,
//! `upstream` and `follow` (one reader of the service for all followers), `probe`.

mod create;
mod error;
mod facts;
mod follow;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod index;
mod json;
mod live;
mod options;
mod pages;
mod place;
mod probe;
mod read;
mod scan;
mod service;
mod sse;
mod store;
mod upstream;
mod write;

pub use error::ConnectError;
pub use health::ServiceState;
pub use options::{HttpOptions, Secret};
pub use store::HttpStreams;
