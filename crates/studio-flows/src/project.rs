//! The files that a new project begins with.

use studio_assets::{ProjectInfo, Repository, project_files};
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
    let repo = choice.and_then(|(_, repo)| repo.as_ref());
    let repo_name = repo.map(|repo| format!("{}/{}", repo.account, repo.name));
    let repository = repo
        .zip(repo_name.as_deref())
        .map(|(repo, full_name)| Repository { full_name, public: repo.visibility == "public" });
    let data_variables: &[&str] = match choice {
        Some((Infra::Cloud { .. }, _)) => {
            &["DATABASE_URL", "ELECTRIC_URL", "ELECTRIC_SOURCE_ID", "ELECTRIC_SECRET"]
        }
        Some((Infra::Local, _)) | None => &[],
    };
    let info = ProjectInfo {
        name,
        description: &record.info.description,
        app_port,
        data_variables,
        repository,
        production,
    };
    let place = |(path, data): (String, Vec<u8>)| {
        Ok(NewFile { path: dir.join(&path)?, data: data.into(), mode: FILE_MODE })
    };
    project_files(&info).into_iter().map(place).collect()
}
