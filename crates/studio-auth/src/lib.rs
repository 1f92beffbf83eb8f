//! Token scopes of the studio: mint, check, expire, revoke.
//!
//! Reading order: [`Scope`] (what a token may open), [`ServerKey`] (what signs), [`Keys`] (the
//! keys in force: mints with the first, checks with all), [`Refused`] (why a token does not fit).

mod key;
mod keys;
mod scope;
mod token;

pub use key::{BadKey, ServerKey};
pub use keys::{Keys, Refused};
pub use scope::Scope;
