//! A whole studio for tests: real parts, and the means to break them.
//!
//! Reading order: [`needs`] (what a test asks of the machine, and the message when it is missing),
//! [`ModelServer`] (the scripted model that real agents talk to), [`StudioServer`] (the server
//! program: started, killed, restarted), [`SseReader`] (a reader of server-sent events that can be
//! cut and resumed), [`NodeTool`] and [`run_conformance_suite`] (the official tools of the Durable
//! Streams protocol), [`schemathesis`] (tries what the OpenAPI document tells), [`template_packages`] (what the app of a new project is built with), [`wait_for`] (bounded polling where no event exists).
//!
//! For what cannot be had in a test: [`GitHubServer`], [`ElectricServer`].
//!
//! Only for tests, examples and benchmarks: helpers panic with a message that says what to do.

mod conformance;
mod electric;
mod engine;
mod github;
mod model_server;
pub mod needs;
mod node;
mod ports;
mod processes;
mod program;
mod python;
mod server;
mod sse;
mod wait;

pub use conformance::run_conformance_suite;
pub use electric::{ElectricAnswer, ElectricServer};
pub use engine::{containers_labelled, remove_containers_labelled};
pub use github::{GitHubRequest, GitHubServer, GitHubTrouble, RsaKey};
pub use model_server::ModelServer;
pub use node::{NodeTool, template_packages};
pub use ports::lasting_port;
pub use processes::processes_under;
pub use program::write_program;
pub use python::schemathesis;
pub use server::{ServerBuilder, StudioServer};
pub use sse::{SseError, SseEvent, SseItem, SseParser, SseReader};
pub use wait::wait_for;
