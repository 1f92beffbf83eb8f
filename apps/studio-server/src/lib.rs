//! The Agent Studio server: configuration, wiring, serving, stopping.
//!
//! Reading order: [`ServeArgs`] and [`Config`] (everything that can be set), `data_dir` (what a
//! data directory holds beside the streams), `wire` (the one file that names concrete adapters),
//! [`run`] (from start to stop), [`main`] (a whole process: signals, log, exit code).

mod config;
mod data_dir;
mod error;
mod logging;
mod process;
mod server;
mod wire;

pub use config::{Config, LogFormat, Runtime, ServeArgs};
pub use error::{ConfigError, StartError};
pub use process::main;
pub use server::run;
