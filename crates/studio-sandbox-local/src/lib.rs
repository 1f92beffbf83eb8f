//! Sandboxes as jailed processes of this machine: the provider that needs no engine.
//!
//! Reading order: [`LocalProvider`] and [`LocalOptions`], `jail` (what keeps an agent in: the
//! strongest of bubblewrap, Landlock and nothing), `record` (what is written down of a sandbox,
//! so that it is found again), `lock` (who may
//! change what lies where), `sandbox` (the verbs), `process` (one program and its pipes),
//! `sweep` (finding and killing what carries a mark).

mod jail;
mod landlocked;
mod lock;
mod process;
mod provider;
mod record;
mod sandbox;
mod sweep;

pub use jail::Jail;
pub use provider::{LocalOptions, LocalProvider};
