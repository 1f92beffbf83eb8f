//! The list of sessions as one fold over the registry's stream, with snapshots.
//!
//! Reading order: [`Registry`] (what others hold), [`SessionRecord`] (one session), `table`
//! (the fold: the only place where it changes), `projects` (whose hooks may tell), `decode` (what counts as an entry), `load` (the
//! start: snapshot, tail, lease), `owner` (the one task that writes, with group commit), `rival`
//! (how a server learns that another has taken over), `snapshot` (how a start stays short),
//! [`RegistryError`].

mod decode;
mod error;
mod load;
mod owner;
mod projects;
mod record;
mod registry;
mod rival;
mod snapshot;
mod staged;
mod table;

pub use error::RegistryError;
pub use projects::HOOK_PROJECTS_MAX;
pub use record::SessionRecord;
pub use registry::{Page, REQUESTS_WAITING_MAX, Registry, TOUCH_WRITE_EVERY};
