use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use studio_events::HookProject;
use studio_ids::{HookProjectId, HookSecretId};

/// Most projects that are known. One more takes the place of the revoked one that was changed
/// longest ago; without one it is refused.
pub const HOOK_PROJECTS_MAX: usize = 1_000;

/// The projects whose agents tell what they do: part of the fold over the registry's stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Projects {
    all: BTreeMap<HookProjectId, Arc<HookProject>>,
    by_directory: HashMap<String, HookProjectId>,
    by_secret: HashMap<HookSecretId, HookProjectId>,
}

impl Projects {
    pub(crate) fn insert(&mut self, project: HookProject) {
        self.remove(project.id);
        self.by_directory.insert(project.directory.clone(), project.id);
        if let Some(secret) = project.secret {
            self.by_secret.insert(secret, project.id);
        }
        self.all.insert(project.id, Arc::new(project));
    }

    pub(crate) fn remove(&mut self, id: HookProjectId) {
        if let Some(before) = self.all.remove(&id) {
            self.by_directory.remove(&before.directory);
            if let Some(secret) = before.secret {
                self.by_secret.remove(&secret);
            }
        }
    }

    pub(crate) fn get(&self, id: HookProjectId) -> Option<&Arc<HookProject>> {
        self.all.get(&id)
    }

    pub(crate) fn in_directory(&self, directory: &str) -> Option<&Arc<HookProject>> {
        self.by_directory.get(directory).and_then(|id| self.all.get(id))
    }

    pub(crate) fn of_secret(&self, secret: HookSecretId) -> Option<&Arc<HookProject>> {
        self.by_secret.get(&secret).and_then(|id| self.all.get(id))
    }

    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = &Arc<HookProject>> {
        self.all.values()
    }

    /// The revoked one that was changed longest ago.
    pub(crate) fn to_forget(&self) -> Option<HookProjectId> {
        let revoked = self.all.values().filter(|project| project.secret.is_none());
        revoked.min_by_key(|project| (project.changed_at, project.id)).map(|project| project.id)
    }
}
