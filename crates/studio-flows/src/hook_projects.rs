//! Directories whose agents tell the studio what they do, and the one good secret of each.

use std::sync::Arc;

use studio_events::HookProject;
use studio_ids::{HookProjectId, HookSecretId};

use crate::{FlowError, Studio};

impl Studio {
    /// A new secret for the project in this directory; the one before is good no more.
    pub async fn set_up_hooks(
        &self,
        directory: String,
    ) -> Result<(HookProjectId, HookSecretId), FlowError> {
        self.whole(move |inner| async move {
            let secret = HookSecretId::random();
            let set = inner.registry.set_hook_project(directory, secret).await;
            set.map_err(FlowError::registry)?;
            // Somebody may have set the same directory up meanwhile.
            let project = inner.registry.hook_project_of(secret).ok_or(FlowError::NoHookProject)?;
            Ok((project.id, secret))
        })
        .await
    }

    /// All of them, the last changed first.
    pub fn hook_projects(&self) -> Result<Vec<Arc<HookProject>>, FlowError> {
        self.inner().is_ours()?;
        let mut projects = self.inner().registry.hook_projects();
        projects.sort_by_key(|project| std::cmp::Reverse((project.changed_at, project.id)));
        Ok(projects)
    }

    /// The project that this is the good secret of.
    pub fn hook_project_of(&self, secret: HookSecretId) -> Option<HookProjectId> {
        self.inner().registry.hook_project_of(secret).map(|project| project.id)
    }

    /// Returns when this is not the good secret of any project (any more).
    pub async fn hook_secret_over(&self, secret: HookSecretId) {
        self.inner().registry.hook_secret_over(secret).await;
    }

    /// Takes a project's secret away. Its sessions stay; success also when it had none.
    pub async fn revoke_hooks(&self, id: HookProjectId) -> Result<(), FlowError> {
        self.whole(move |inner| async move {
            inner.registry.hook_project(id).ok_or(FlowError::NoHookProject)?;
            inner.registry.revoke_hook_project(id).await.map_err(FlowError::registry)
        })
        .await
    }
}
