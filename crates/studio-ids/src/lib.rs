//! One type per id and per validated name. An id is turned into text only at the edges.
//!
//! Reading order: [`SessionId`] and its siblings (made by one macro), then the names that
//! people and agents choose ([`ProjectName`], [`GateId`], [`ToolUseId`]).

mod name;
mod uuid_id;

pub use name::{BadName, GateId, ProjectName, ToolUseId};
pub use uuid_id::{BadId, InstanceId, MessageId, RoomId, RunId, SessionId};
