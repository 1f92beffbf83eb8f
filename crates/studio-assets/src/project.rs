use crate::{Duty, ProjectInfo, Scaffold, claude_md, skills, support_claude_md, template_files};

/// A file of a project: its path below the project directory and its bytes.
pub type File = (String, Vec<u8>);

/// Everything that a new project gets: the app that it begins with (for [`Scaffold::Small`]; a
/// whole app comes with the sandbox), the agent's instructions and its skills.
pub fn project_files(info: &ProjectInfo<'_>) -> Vec<File> {
    let mut files = match info.scaffold {
        Scaffold::Small => template_files(info.name),
        Scaffold::Electric => Vec::new(),
    };
    files.extend(existing_files(info));
    files
}

/// What the agent of a project gets that is there already: instructions and skills alone.
pub fn existing_files(info: &ProjectInfo<'_>) -> Vec<File> {
    let texts = [
        ("CLAUDE.md", claude_md(info)),
        (skills::CREATE_APP_PATH, skills::create_app(info.scaffold, info.production)),
        (skills::UI_DESIGN_PATH, skills::ui_design().to_owned()),
        (skills::ROOM_MESSAGING_PATH, skills::room_messaging().to_owned()),
    ];
    texts.map(|(path, text)| (path.to_owned(), text.into_bytes())).into()
}

/// Everything that an agent gets who works beside the one that builds the app.
pub fn support_files(duty: Duty<'_>, scaffold: Scaffold) -> Vec<File> {
    let mut files = vec![
        ("CLAUDE.md", support_claude_md()),
        (skills::ROOM_MESSAGING_PATH, skills::room_messaging().to_owned()),
    ];
    files.extend(skills::role(duty, scaffold).map(|text| (skills::ROLE_PATH, text)));
    files.into_iter().map(|(path, text)| (path.to_owned(), text.into_bytes())).collect()
}
