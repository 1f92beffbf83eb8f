//! The skills that agents find in a project, and where they lie.

use crate::{Duty, Role, Scaffold};

/// How an app is built; `/create-app <description>`.
pub const CREATE_APP_PATH: &str = ".claude/skills/create-app/SKILL.md";
/// How to talk in a room.
pub const ROOM_MESSAGING_PATH: &str = ".claude/skills/room-messaging/SKILL.md";
/// What the agent is in its room.
pub const ROLE_PATH: &str = ".claude/skills/role/SKILL.md";
/// How pages look.
pub const UI_DESIGN_PATH: &str = ".claude/skills/ui-design/SKILL.md";

/// The skill at [`CREATE_APP_PATH`]. With `production` it may not search the web.
///
/// The agent's program puts the description in the place of `$ARGUMENTS`, as the person wrote it:
/// it is the person's own message that is expanded there.
pub fn create_app(scaffold: Scaffold, production: bool) -> String {
    let text = scaffold.fill(include_str!("texts/skills/create-app.md"));
    if production { text.replacen(", WebSearch", "", 1) } else { text }
}

/// The skill at [`ROOM_MESSAGING_PATH`].
pub fn room_messaging() -> &'static str {
    include_str!("texts/skills/room-messaging.md")
}

/// The skill at [`UI_DESIGN_PATH`].
pub fn ui_design() -> &'static str {
    include_str!("texts/skills/ui-design.md")
}

/// The skill at [`ROLE_PATH`]; none for a duty without a text.
pub fn role(duty: Duty<'_>, scaffold: Scaffold) -> Option<String> {
    match duty {
        Duty::Role(role) => Some(scaffold.fill(built_in(role))),
        Duty::Described(text) => Some(text.to_owned()),
        Duty::General | Duty::Unknown => None,
    }
}

fn built_in(role: Role) -> &'static str {
    match role {
        Role::Coder => include_str!("texts/skills/role-coder.md"),
        Role::Reviewer => include_str!("texts/skills/role-reviewer.md"),
        Role::UiDesigner => include_str!("texts/skills/role-ui-designer.md"),
    }
}
