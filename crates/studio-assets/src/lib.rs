//! Every text that Agent Studio puts into a sandbox or a user's shell. Pure: text in, text out.
//!
//! Reading order: [`project_files`] (all that a new project gets), [`claude_md`] (what the agent
//! is told about its project), [`create_app_skill`] (how it builds an app), [`hooks`] (how hooks
//! reach the studio), [`git`] (how git gets a token), [`quote`] (words of a stranger as data).

mod claude_md;
pub mod git;
pub mod hooks;
mod project;
pub mod quote;

pub use claude_md::{ProjectInfo, Repository, claude_md};
pub use project::{CREATE_APP_SKILL_PATH, File, create_app_skill, project_files};
