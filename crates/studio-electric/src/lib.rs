//! Databases that anybody may claim: Electric Cloud makes a Postgres with a sync service for a
//! project at once, and somebody claims it within three days or it goes.
//!
//! Reading order: [`ElectricCloud`] (makes one, with its [`ElectricOptions`]), [`Claimable`] (what
//! comes of it), [`ElectricError`] (what can go wrong, in the words that clients know),
//! [`Databases`] (what flows see of all that).

mod answer;
mod cloud;
mod error;
mod options;

pub use cloud::{ClaimId, Claimable, Databases, ElectricCloud};
pub use error::{ElectricError, SetupError};
pub use options::ElectricOptions;
