//! Every text that Agent Studio puts into a sandbox or a user's shell. Pure: text in, text out.
//!
//! Reading order: [`project_files`] (all that a new project gets), [`ProjectInfo`] and
//! [`claude_md`] (what the agent is told about its project), [`skills`] (how it builds an app,
//! talks in a room and designs), [`Role`], [`Duty`] and [`allowed_tools`] (what an agent is in a
//! room and what it may use), [`template_files`] (the app that a project begins with), [`hooks`]
//! (how hooks reach the studio), [`git`] (how git gets a token), [`quote`] (words of a stranger as
//! data).

mod claude_md;
pub mod git;
pub mod hooks;
mod info;
mod project;
pub mod quote;
mod roles;
mod scaffold;
pub mod skills;
mod template;

pub use claude_md::{claude_md, room_pointer, room_section, support_claude_md};
pub use info::{Data, Git, Place, ProjectInfo};
pub use project::{File, existing_files, project_files, support_files};
pub use roles::{Duty, Role, allowed_tools};
pub use scaffold::Scaffold;
pub use template::template_files;
