//! The spine, shown on the real server process: real agents in real sandboxes against the
//! scripted model, killed, interrupted, cut and fed with nonsense.
//!
//! `world` starts a server and talks to it; `inside` looks into its sandboxes. The tests stand in
//! the other files, one for each thing that is shown (see `docs/reliability.md`); those that need
//! a sandbox run once in Docker and once in the local jail.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests: a test that panics says where, and what it measured"
)]

mod agents;
mod apps;
mod crash;
mod databases;
mod ends;
mod fencing;
mod files;
mod github;
mod input;
mod inside;
mod interrupt;
mod readers;
mod template;
mod world;

/// The same test in a container and in a jail of this machine.
macro_rules! in_both {
    ($($name:ident)*) => {
        mod docker {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::world::Place::Docker).await;
                }
            )*
        }
        mod local {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::world::Place::Local).await;
                }
            )*
        }
    };
}
pub(crate) use in_both;
