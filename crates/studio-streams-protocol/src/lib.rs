//! The Durable Streams protocol 1.0 over any `StreamStore`, as a router.
//!
//! Reading order: [`router`] (what answers), [`ProtocolOptions`] (what can be set), [`Access`] (who
//! may do what), `request` (headers and queries as values that cannot be wrong), `json` (a body
//! as messages), `write` and `read` (the operations), `sse` (events as bytes), `follow` (the body
//! of an event stream), `problem` (what a failure becomes).

mod access;
mod body;
mod cursor;
mod etag;
mod follow;
mod headers;
mod json;
mod options;
mod problem;
mod query;
mod read;
mod request;
mod route;
mod sse;
mod target;
mod time;
mod write;

pub(crate) use problem::Problem;

pub use access::{Access, Everybody, Wish};
pub use options::{Cache, Clock, Cors, ProtocolOptions};
pub use problem::ProblemBody;
pub use route::router;
