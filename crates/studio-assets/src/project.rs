use crate::{ProjectInfo, claude_md};

/// Where the skill lies in a project.
pub const CREATE_APP_SKILL_PATH: &str = ".claude/skills/create-app/SKILL.md";

/// A file of a project: its path below the project directory and its bytes.
pub type File = (String, Vec<u8>);

/// Everything that a new project gets: the agent's instructions, the skill, and the few files
/// that a project without a template begins with.
pub fn project_files(info: &ProjectInfo<'_>) -> Vec<File> {
    let readme = format!("# {}\n\nMade with Agent Studio.\n", info.name);
    let files = [
        ("README.md", readme),
        (".gitignore", include_str!("texts/gitignore").to_owned()),
        ("CLAUDE.md", claude_md(info)),
        (CREATE_APP_SKILL_PATH, create_app_skill(info.production)),
    ];
    files.map(|(path, text)| (path.to_owned(), text.into_bytes())).into()
}

/// The skill `/create-app <description>`. With `production` it may not search the web.
pub fn create_app_skill(production: bool) -> String {
    let text = include_str!("texts/create-app.md");
    if production { text.replace(", WebSearch", "") } else { text.to_owned() }
}
