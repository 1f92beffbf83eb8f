//! The files that a new project begins with.

use studio_assets::{Data, Git, Place, ProjectInfo, Scaffold, project_files};
use studio_ids::{ProjectName, Repository};
use studio_registry::SessionRecord;
use studio_sandbox::{BadSandboxPath, NewFile, SandboxPath};

use crate::words::{Infra, RepoChoice};

/// What everybody may read of a project's files.
const FILE_MODE: u32 = 0o644;

/// The project's first files, with their places below the project's directory.
pub(crate) fn files(
    record: &SessionRecord,
    name: &ProjectName,
    dir: &SandboxPath,
    app_port: u16,
    choice: Option<&(Infra, Option<RepoChoice>)>,
    production: bool,
) -> Result<Vec<NewFile>, BadSandboxPath> {
    let repository = choice.and_then(|(_, repo)| repo.as_ref()).and_then(repository);
    let info = ProjectInfo {
        name,
        description: &record.info.description,
        place: Place::Container,
        app_port,
        scaffold: Scaffold::Small,
        data: match choice {
            Some((Infra::Cloud { .. }, _)) => Data::Cloud,
            // No sandbox has a database beside it yet, and the agent is told so.
            Some((Infra::Local, _)) | None => Data::None,
        },
        git: match &repository {
            Some((repository, public)) => Git::Create { repository, public: *public },
            None => Git::None,
        },
        room: false,
        iteration: false,
        production,
    };
    let place = |(path, data): (String, Vec<u8>)| {
        Ok(NewFile { path: dir.join(&path)?, data: data.into(), mode: FILE_MODE })
    };
    project_files(&info).into_iter().map(place).collect()
}

/// The repository that was chosen, and whether everybody may read it.
fn repository(choice: &RepoChoice) -> Option<(Repository, bool)> {
    // Checked at the door; a choice of an older server that was not is none.
    let (owner, name) = (choice.account.parse().ok()?, choice.name.parse().ok()?);
    Some((Repository { owner, name }, choice.visibility == "public"))
}
