//! What the texts of a project depend on.

use studio_ids::{BranchName, ProjectName, Repository};

use crate::Scaffold;

/// What the agent has to know about its project.
#[derive(Clone, Debug)]
pub struct ProjectInfo<'a> {
    /// The project's name.
    pub name: &'a ProjectName,
    /// What the person wants, in their words.
    pub description: &'a str,
    /// Where the agent works.
    pub place: Place,
    /// The port inside the sandbox at which a browser finds the app.
    pub app_port: u16,
    /// What the project begins with.
    pub scaffold: Scaffold,
    /// Where its data lives.
    pub data: Data,
    /// Where its history goes.
    pub git: Git<'a>,
    /// Whether the agent shares a room with others.
    pub room: bool,
    /// Whether the app is there and only changes: then the text has neither task nor pipeline.
    pub iteration: bool,
    /// Whether strangers use this studio: the agent then keeps to its task.
    pub production: bool,
}

/// Where an agent works, as far as the texts differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A container or a jail on the studio's machine.
    Container,
    /// A virtual machine of a cloud, reached at one port and one address.
    CloudVm,
}

/// Where a project's data lives: which variables its environment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nowhere: the sandbox has no database.
    None,
    /// A database and a sync service beside the sandbox: `DATABASE_URL`, `ELECTRIC_URL`.
    Local,
    /// Hosted ones: these two, `ELECTRIC_SOURCE_ID` and `ELECTRIC_SECRET`.
    Cloud,
}

/// Where a project's history goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Git<'a> {
    /// It stays in the sandbox.
    None,
    /// To a repository that the agent makes. In production agents make none: as [`Git::None`].
    Create {
        /// Which.
        repository: &'a Repository,
        /// Whether everybody may read it.
        public: bool,
    },
    /// To one that the studio has made; the project has it as its remote.
    Ready {
        /// Which.
        repository: &'a Repository,
        /// Its address, if it is not the one on GitHub. One that is not a plain `https://`
        /// address is not told.
        url: Option<&'a str>,
    },
    /// To the one that the project was cloned from.
    Existing {
        /// Which.
        repository: &'a Repository,
        /// The branch that is checked out; `main` without.
        branch: Option<&'a BranchName>,
    },
}
