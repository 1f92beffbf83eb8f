//! What may be done how often, how much at once, and for how much money.
//!
//! Reading order: [`Subject`] (whoever is counted), [`Windows`] (how often), [`Caps`] and
//! [`Load`] (how much at once), [`Budget`] (for how much money). The values are plain data: who
//! uses them owns them, brings the time, and rebuilds them after a restart from what was written
//! down.

mod budget;
mod caps;
mod subject;
mod windows;

pub use budget::Budget;
pub use caps::{Caps, Full, Load};
pub use subject::{BadSubject, SUBJECT_BYTES_MAX, Subject};
pub use windows::{Counted, Windows};
