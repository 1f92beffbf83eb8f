//! The modes of spec 12, one each: what the table of its section 1.2 tells apart.
#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests, not all in each")]

use std::sync::LazyLock;

use studio_assets::{Data, Git, Place, ProjectInfo, Scaffold};
use studio_ids::{BranchName, ProjectName, Repository};

static NAME: LazyLock<ProjectName> = LazyLock::new(|| "tea-list".parse().unwrap());
static REPOSITORY: LazyLock<Repository> = LazyLock::new(|| "me/tea-list".parse().unwrap());
static BRANCH: LazyLock<BranchName> = LazyLock::new(|| "feature/teas".parse().unwrap());

pub(crate) fn name() -> ProjectName {
    NAME.clone()
}

/// A new app in a container, in development mode, without a repository.
pub(crate) fn info(name: &ProjectName) -> ProjectInfo<'_> {
    ProjectInfo {
        name,
        description: "A list of teas",
        place: Place::Container,
        app_port: 5173,
        scaffold: Scaffold::Small,
        data: Data::None,
        git: Git::None,
        room: false,
        iteration: false,
        production: false,
    }
}

pub(crate) fn every_mode() -> Vec<(&'static str, ProjectInfo<'static>)> {
    let new = info(&NAME);
    let create = Git::Create { repository: &REPOSITORY, public: false };
    let ready = Git::Ready { repository: &REPOSITORY, url: None };
    let existing = Git::Existing { repository: &REPOSITORY, branch: Some(&BRANCH) };
    let whole = ProjectInfo { scaffold: Scaffold::Electric, data: Data::Local, ..new.clone() };
    let vm =
        ProjectInfo { place: Place::CloudVm, app_port: 8080, data: Data::Cloud, ..whole.clone() };
    vec![
        ("new_app", new.clone()),
        ("new_app_in_the_cloud", ProjectInfo { data: Data::Cloud, ..new.clone() }),
        ("repository_to_create", ProjectInfo { git: create, ..new.clone() }),
        ("repository_made", ProjectInfo { git: ready, ..new.clone() }),
        ("resumed", ProjectInfo { git: existing, description: "Resumed from …", ..new.clone() }),
        ("room_coder", ProjectInfo { room: true, git: ready, ..new.clone() }),
        ("production", ProjectInfo { production: true, git: ready, ..new.clone() }),
        ("iteration", ProjectInfo { iteration: true, ..new.clone() }),
        ("whole_template", ProjectInfo { git: create, ..whole }),
        ("cloud_vm", vm.clone()),
        (
            "cloud_vm_production_room",
            ProjectInfo { production: true, room: true, git: ready, ..vm },
        ),
    ]
}
