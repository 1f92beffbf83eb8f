//! What a user can do with the studio, one file each; the embedding API.
//!
//! Reading order: [`Studio`] (the application object: everything hangs on it, two of them in one
//! process do not know of each other), [`Parts`] and [`Settings`] (what it is made of), the
//! flows' inputs and outputs in [`words`], [`FlowError`] (why something was not possible).

mod admit;
mod app;
mod append;
mod conversation;
mod create;
mod databases;
mod deadlines;
mod end;
mod error;
mod git_token;
mod github;
mod hook;
mod hook_projects;
mod idle;
mod inner;
mod iterate;
mod keeper;
mod listing;
mod live;
mod look;
mod prepare;
mod presence;
mod project;
mod recover;
mod redeliver;
mod relay;
mod repository;
mod respond;
mod resume;
mod sandboxes;
mod settings;
mod shared;
mod stand_down;
mod studio;
mod tokens;
mod transfer;
mod unheard;
pub mod words;

pub use admit::Creation;
pub use error::FlowError;
pub use github::GitHubAccess;
pub use listing::{BadCursor, Cursor, Relabel, Wanted};
pub use look::FilePiece;
pub use resume::Resume;
pub use sandboxes::NewSandbox;
pub use settings::{AgentSettings, GateSettings, Mode, Settings};
pub use studio::{Language, Parts, Studio};
pub use studio_tokens::Watched;
pub use transfer::{Export, ImportPiece};
