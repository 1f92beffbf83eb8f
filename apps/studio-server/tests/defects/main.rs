//! What went wrong with servers of this kind, shown not to go wrong with this one. Each test names
//! the row of `docs/requirements.md` or the line of `docs/security.md` that it holds.
//!
//! The server is the real program. Agents are the real one where its behaviour matters, and a
//! shell script that misbehaves on purpose where it does not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the report")]

mod defects_agents;
mod defects_cost;
mod defects_disk;
mod defects_engine;
mod defects_input;
mod defects_prompts;
mod requirements;
mod restart;
mod security_requests;
mod security_secrets;
mod security_tokens;
mod studio;
