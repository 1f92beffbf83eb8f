//! The files that a new project begins with.

use studio_assets::{Data, Git, Place, ProjectInfo, Scaffold, project_files};
use studio_ids::ProjectName;
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
    let repository = crate::repository::of(record);
    let git = record.info.git.as_ref();
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
            Some(repository) => {
                Git::Ready { repository, url: git.and_then(|git| git.remote_url.as_deref()) }
            }
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
