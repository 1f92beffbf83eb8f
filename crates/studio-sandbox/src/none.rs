use std::sync::Arc;

use async_trait::async_trait;
use studio_ids::SessionId;

use crate::{
    Abilities, Enforced, Isolation, ProgressSink, Sandbox, SandboxError, SandboxProvider,
    SandboxRef, SandboxSpec,
};

/// A provider that can make no sandbox: preparation fails, and says so in the session's log.
#[derive(Clone, Copy, Debug)]
pub struct NoSandboxes;

#[async_trait]
impl SandboxProvider for NoSandboxes {
    fn name(&self) -> &'static str {
        "local"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            isolation: Isolation::None,
            notice: "no sandboxes here".to_owned(),
            enforced: Enforced::default(),
            outlives_server: false,
            ports: false,
        }
    }

    async fn ready(&self) -> Result<(), SandboxError> {
        Ok(())
    }

    async fn create(
        &self,
        _spec: &SandboxSpec,
        _progress: ProgressSink,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let what_to_do = "do not try this in a test without sandboxes".to_owned();
        Err(SandboxError::NotSetUp { provider: "local", what_to_do })
    }

    async fn find(&self, _: &SandboxRef) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        Ok(None)
    }

    async fn list(&self) -> Result<Vec<(SessionId, SandboxRef)>, SandboxError> {
        Ok(Vec::new())
    }

    async fn destroy(&self, _: &SandboxRef) -> Result<(), SandboxError> {
        Ok(())
    }

    async fn destroy_session(&self, _: SessionId) -> Result<(), SandboxError> {
        Ok(())
    }

    async fn destroy_up_to(&self, _: SessionId, _lease: u64) -> Result<(), SandboxError> {
        Ok(())
    }
}
