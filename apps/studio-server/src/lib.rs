//! The Agent Studio server: configuration, wiring, serving, stopping.
//!
//! Reading order: [`ServeArgs`] and [`Config`] (everything that can be set; `env` reads it,
//! [`ServiceAccess`] is a stream service, [`GitHubChoice`] which GitHub,
//! [`ElectricChoice`] where databases come from), `data_dir` (what a data directory holds beside the
//! streams), `wire` (the one file that names concrete adapters), `owner` (which studio this is),
//! [`run`] (from start to stop), [`main`] (a whole process: signals, log, exit code), [`tools`]
//! (work on streams without a server), [`security_report`] (how it stands with security).

mod config;
mod data_dir;
mod doctor;
mod electric;
mod env;
mod error;
mod github;
mod logging;
mod owner;
mod process;
mod server;
mod service;
mod settings;
mod tls;
pub mod tools;
mod wire;

pub use config::{Config, LogFormat, Runtime};
pub use doctor::security_report;
pub use electric::ElectricChoice;
pub use error::{ConfigError, StartError};
pub use github::{AppChoice, GitHubChoice};
pub use process::main;
pub use server::run;
pub use service::ServiceAccess;
pub use settings::{ServeArgs, check_config, show_config};
pub use tls::TlsChoice;
