//! Which tokens were given out and which are void, as one fold over a stream.
//!
//! Reading order: [`Tokens`] (what others hold), [`Watched`] (what is open as long as its token
//! is good), `follow` (the one task: hears what other servers write down, and lets expire),
//! [`TokensError`].

mod error;
mod follow;
mod tokens;
mod watched;

pub use error::TokensError;
pub use tokens::{TOKENS_MAX, TOKENS_OF_SESSION_MAX, Tokens};
pub use watched::Watched;
