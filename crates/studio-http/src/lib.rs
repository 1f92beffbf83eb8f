//! The studio over HTTP: extractors, ten-line handlers, one error table, server-sent events.
//!
//! Reading order: [`routes`] (every route and who may use it), [`HttpState`] and [`HttpSettings`]
//! (what the routes need), `locks` (which tokens are good), `permit` (permission as a value), `sessions` and `system` (the
//! handlers), `tokens` (those that somebody asks for), `files`, `app`, `sandboxes` and `transfer` (what lies and runs in a sandbox, a
//! session as a file), `databases` (that are made for whoever asks), `login` (browsers), `codes` (what is good
//! once), `hooks` and `hook_permit` (agents
//! that the studio does not run), `events` (the log as server-sent events) and `tickets` (what opens
//! it once), `streams` (who may use
//! the streams themselves), `problem` (what a failure becomes), [`openapi()`] (all of it as a document),
//! `guard` (which pages may talk to us), [`serve`] (connections, deadlines, stopping), `outlet`
//! (an event stream on its connection).

mod address;
mod app;
mod body;
mod codes;
mod databases;
mod events;
mod files;
mod frame;
mod github;
mod guard;
mod hook_permit;
mod hooks;
mod io;
mod limit;
mod locks;
mod log;
mod login;
mod lossy;
mod openapi;
mod outlet;
mod permit;
mod problem;
mod room_permit;
mod routes;
mod sandboxes;
mod serve;
mod sessions;
mod shared;
mod state;
mod streams;
mod system;
mod tickets;
mod tokens;
mod transfer;

pub(crate) use problem::Problem;

pub use address::{BadNetwork, Network, PeerAddress};
pub use openapi::openapi;
pub use routes::{Policy, Route, router, routes};
pub use serve::{Encrypted, ServeOptions, serve, serve_tls};
pub use state::{Creation, HttpSettings, HttpState};
