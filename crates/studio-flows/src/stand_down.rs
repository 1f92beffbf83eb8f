//! Standing down: another server over the same streams has taken over. Its agents and sandboxes
//! are the other server's now; this one lets go of them, writes nothing more and ends nothing.

use std::{sync::Arc, time::Duration};

use studio_ids::SessionId;
use studio_registry::RegistryError;

use crate::{FlowError, inner::Inner};

/// Longest wait for the stream's word on who leads, where somebody waits for us.
const LEAD_PATIENCE: Duration = Duration::from_secs(1);

impl Inner {
    /// Waits for another server to take over, and then lets go of everything, for good.
    pub(crate) async fn stand_down_when_taken_over(self: Arc<Self>) {
        tokio::select! {
            () = self.stop.cancelled() => return,
            () = self.registry.fenced() => {}
        }
        let sessions = self.all_live().len();
        tracing::error!(
            registry.lease = self.registry.lease(),
            "this studio stands down: another server has taken over. Its {sessions} sessions in \
             use go on there; this one shows events and does nothing else. Stop it, or start it \
             anew to take over again"
        );
        // Bridges and relays detach; agents and sandboxes are left as they are.
        self.stop.cancel();
    }

    /// A bridge was refused: by a later life of this server's own, or by another server, which
    /// the registry knows.
    pub(crate) fn look_who_leads(&self, session: SessionId) {
        let Some(inner) = self.weak.upgrade() else { return };
        self.tasks.spawn(async move {
            if let Err(error) = inner.registry.lead().await {
                tracing::debug!(session.id = %session, "who owns session {session} is not known: {error}");
            }
        });
    }

    /// Fails once another server has taken over: what is known here is out of date.
    pub(crate) fn is_ours(&self) -> Result<(), FlowError> {
        if self.registry.is_fenced() { Err(FlowError::StoodDown) } else { Ok(()) }
    }

    /// Why nothing is done any more.
    pub(crate) fn stopping(&self) -> FlowError {
        if self.registry.is_fenced() { FlowError::StoodDown } else { FlowError::Stopping }
    }

    /// Before something that a person asked for is done to an agent that may be another server's.
    /// A stream that does not answer is no reason not to do it.
    pub(crate) async fn unless_taken_over(&self) -> Result<(), FlowError> {
        match tokio::time::timeout(LEAD_PATIENCE, self.registry.lead()).await {
            Ok(Err(RegistryError::Fenced { .. })) => Err(FlowError::StoodDown),
            Ok(Ok(()) | Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Before something is ended that nobody asked to end: only what is surely ours.
    pub(crate) async fn surely_ours(&self) -> Result<(), FlowError> {
        self.registry.lead().await.map_err(FlowError::registry)
    }
}
