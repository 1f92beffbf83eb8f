//! Sandboxes of Agent Studio as containers of a Docker engine.
//!
//! Reading order: [`DockerOptions`] (which engine, whose containers, which image),
//! [`DockerProvider`] (makes, finds and removes containers), `container` (what a sandbox is, as
//! the engine is told), `create` (why nothing is left of a creation that was given up), `exec`
//! and `process` (programs inside, and how they are ended), `files`, `image` (built once, on
//! first use), `engine` (every question to the engine, with its deadline and its errors).

mod agent_image;
mod container;
mod create;
mod engine;
mod exec;
mod files;
mod image;
mod options;
mod process;
mod provider;
mod sandbox;

pub use options::{BadOwner, ContextFile, DockerOptions, ImageSource, Owner, Recipe};
pub use provider::DockerProvider;
