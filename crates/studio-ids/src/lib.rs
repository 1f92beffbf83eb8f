//! One type per id and per validated name. An id is turned into text only at the edges.
//!
//! Reading order: [`SessionId`] and its siblings (made by one macro), then the names that
//! people and agents choose ([`ProjectName`], [`GateId`], [`ToolUseId`]), what GitHub's things are
//! called ([`Repository`], [`BranchName`]), and [`Secret`], which cannot be printed.

mod name;
mod repository;
mod secret;
mod uuid_id;

pub use name::{BadName, GateId, ProjectName, ToolUseId};
pub use repository::{BranchName, OwnerName, Repository, RepositoryName};
pub use secret::Secret;
pub use uuid_id::{
    BadId, HookProjectId, HookSecretId, InstanceId, MessageId, RoomId, RunId, SessionId, TokenId,
};
