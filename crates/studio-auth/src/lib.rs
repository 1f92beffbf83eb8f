//! Token scopes of the studio: mint, check, expire, revoke.
//!
//! Reading order: [`Scope`] (what a token may open), [`ServerKey`] (what signs), [`Keys`] (the
//! keys in force: mints with the first, checks with all), [`Grant`] and [`Claims`] (a token that
//! fits), [`Ledger`] (which of those were given out and which are void: a fold over
//! [`LedgerEntry`]s), [`Refused`] (why a token does not fit), [`Code`] (what opens once).

mod code;
mod key;
mod keys;
mod ledger;
mod scope;
mod token;

pub use code::Code;
pub use key::{BadKey, ServerKey};
pub use keys::{Keys, Refused};
pub use ledger::{Ledger, LedgerEntry, Minted};
pub use scope::Scope;
pub use token::{Claims, Grant, Issued};
