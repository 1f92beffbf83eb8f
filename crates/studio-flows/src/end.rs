//! Interrupt, cancel, delete: what ends a turn, a session, and its memory.

use std::sync::Arc;

use studio_bridge::BridgeError;
use studio_events::{EngineEvent, GateClosed, Phase, SessionStatus, SessionTotals};
use studio_gates::Gate;
use studio_ids::SessionId;
use studio_streams::StreamPath;

use crate::{FlowError, Studio, inner::Inner, live::Live};

impl Studio {
    /// Stops the running turn; success when there was none, or no such session.
    pub async fn interrupt(&self, id: SessionId) -> Result<(), FlowError> {
        self.whole(move |inner| async move { inner.interrupt(id).await }).await
    }

    /// Ends the session for good: agent, sandbox and gates are gone; success when they were.
    pub async fn cancel(&self, id: SessionId) -> Result<(), FlowError> {
        self.whole(move |inner| async move { inner.cancel(id).await }).await
    }

    /// As cancel, and forgets it.
    pub async fn delete(&self, id: SessionId) -> Result<(), FlowError> {
        self.whole(move |inner| async move { inner.delete(id).await }).await
    }
}

impl Inner {
    pub(crate) async fn interrupt(&self, id: SessionId) -> Result<(), FlowError> {
        let record = match self.record(id) {
            Ok(record) => record,
            Err(error) if error.is_anothers() => return Err(error),
            Err(_unknown) => return Ok(()),
        };
        match record.internal.phase {
            Phase::Ended => Ok(()),
            Phase::Started | Phase::Hosted => self.interrupt_turn(id).await,
            // The reference rejected the gate and went on; a person who interrupts wants no more.
            Phase::AwaitingInfra | Phase::CreatingSandbox | Phase::SettingUp => {
                self.end(id, "interrupted", SessionStatus::Complete).await
            }
        }
    }

    async fn cancel(&self, id: SessionId) -> Result<(), FlowError> {
        match self.record(id) {
            Ok(record) if record.info.status != SessionStatus::Cancelled => {
                self.end(id, "cancelled", SessionStatus::Cancelled).await
            }
            // What a first cancel could not remove is removed now.
            Ok(_cancelled) => {
                self.unless_taken_over().await?;
                self.remove_sandbox(id).await
            }
            Err(error) if error.is_anothers() => Err(error),
            Err(_unknown) => Ok(()),
        }
    }

    async fn delete(&self, id: SessionId) -> Result<(), FlowError> {
        self.record(id)?;
        self.end(id, "cancelled", SessionStatus::Cancelled).await?;
        self.take_note(id);
        self.registry.delete(id).await.map_err(FlowError::registry)?;
        self.gates.forget(id);
        self.forget_making(id);
        let deleted = self.parts.streams.delete(&StreamPath::session(id)).await;
        deleted
            .map(drop)
            .map_err(|source| FlowError::Write { session: id, source: Arc::new(source) })
    }

    async fn interrupt_turn(&self, id: SessionId) -> Result<(), FlowError> {
        let live = self.live(id).await?;
        self.unless_taken_over().await?;
        live.bridge.interrupt().await.map_err(|e| FlowError::bridge(id, &e))?;
        // What no agent waits for (a hook's question) is rejected here.
        self.reject_gates(&live).await?;
        self.update(id, |u| u.status = Some(SessionStatus::Complete)).await
    }

    async fn reject_gates(&self, live: &Live) -> Result<(), FlowError> {
        let rejected = self.gates.close_all(live.id, GateClosed::Rejected);
        if rejected.is_empty() {
            return Ok(());
        }
        let events = rejected.into_iter().map(rejected_event).collect();
        live.bridge.record(events).await.map_err(|e| FlowError::bridge(live.id, &e))?;
        Ok(())
    }

    /// Ends a session: first the decision is durable, so that a crash in the middle is finished
    /// by the next start, then its jobs, gates, agent and sandbox go.
    async fn end(
        &self,
        id: SessionId,
        reason: &str,
        status: SessionStatus,
    ) -> Result<(), FlowError> {
        let record = self.record(id)?;
        let live = match self.live(id).await {
            Ok(live) => live,
            Err(error) if error.is_anothers() => return Err(error),
            // Its sandbox does not answer: what can be done without it is done.
            Err(error) => {
                self.mark_ended(id, status).await?;
                self.remove_sandbox(id).await?;
                tracing::warn!(session.id = %id, "session {id} was ended without its log: {error}");
                return Ok(());
            }
        };
        self.mark_ended(id, status).await?;
        live.token.cancel();
        live.jobs.close();
        live.jobs.wait().await;
        // As it is now: its repository may have been made meanwhile.
        self.end_git_token(&*self.record(id)?).await;
        let mut last: Vec<EngineEvent> = self
            .gates
            .close_all(id, GateClosed::Rejected)
            .into_iter()
            .map(rejected_event)
            .collect();
        if record.internal.phase != Phase::Ended {
            last.push(EngineEvent::SessionEnd {
                success: false,
                totals: SessionTotals::default(),
                reason: Some(reason.to_owned()),
            });
        }
        let finished = live.bridge.finish(last).await;
        self.put_down(id);
        self.remove_sandbox(id).await?;
        match finished {
            // The sandbox is gone, and the process with it.
            Ok(()) | Err(BridgeError::Sandbox { .. } | BridgeError::Ended(_)) => {}
            Err(error) => return Err(FlowError::bridge(id, &error)),
        }
        self.update(id, |u| {
            u.status = Some(status);
            u.sandbox = Some(None);
            u.run = Some(None);
        })
        .await
    }

    async fn mark_ended(&self, id: SessionId, status: SessionStatus) -> Result<(), FlowError> {
        self.update(id, |u| {
            u.phase = Some(Phase::Ended);
            u.status = Some(status);
        })
        .await
    }
}

fn rejected_event(gate: Gate) -> EngineEvent {
    EngineEvent::GateClosed {
        gate: gate.kind.as_str().to_owned(),
        gate_id: gate.id,
        outcome: GateClosed::Rejected,
    }
}
