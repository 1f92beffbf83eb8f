//! Gates that nobody answered in time: closed, visibly, and who waited is told.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use studio_agent_codec::Answer;
use studio_bridge::{AnswerRecord, BridgeError};
use studio_events::{EngineEvent, GateClosed, InternalEvent, SessionStatus};
use studio_gates::{Gate, GateKind};
use studio_ids::SessionId;

use crate::{FlowError, inner::Inner};

/// Longest sleep, so that a clock that was set forward is noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Wait before a gate whose end could not be written is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// What the agent hears when nobody answered.
const NOBODY: &str = "Nobody answered in time. Go on without an answer if you can, or stop.";

impl Inner {
    /// Closes gates at their deadlines until the studio stops.
    pub(crate) async fn keep_deadlines(self: Arc<Self>) {
        loop {
            let now = self.now();
            let (due, next) = self.gates.due(now);
            let mut sleep = next.map_or(LOOK_AGAIN, |at| {
                let millis = at.unix_millis().saturating_sub(now.unix_millis());
                Duration::from_millis(millis.unsigned_abs()).min(LOOK_AGAIN)
            });
            for (session, gate) in due {
                if let Err(error) = self.expire(session, &gate).await {
                    sleep = sleep.min(TRY_AGAIN);
                    tracing::warn!(session.id = %session, gate.id = %gate.id, "gate {} could not be closed: {error}", gate.id);
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.gates.changed() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    async fn expire(&self, session: SessionId, gate: &Gate) -> Result<(), FlowError> {
        let Some(ticket) = self.gates.claim_close(session, &gate.id, GateClosed::Expired) else {
            return Ok(());
        };
        let closed = EngineEvent::GateClosed {
            gate: gate.kind.as_str().to_owned(),
            gate_id: gate.id.clone(),
            outcome: GateClosed::Expired,
        };
        let live = self.live(session).await?;
        let recorded = AnswerRecord {
            response: InternalEvent::GateResponse {
                gate: gate.kind.as_str().to_owned(),
                gate_id: gate.id.clone(),
                value: json!({ "expired": true }),
            },
            resolved: closed.clone(),
        };
        let refusal = Answer::Deny { message: NOBODY.to_owned(), interrupt: false };
        match live.bridge.answer(gate.id.clone(), refusal, recorded).await {
            Ok(()) => {}
            Err(BridgeError::NotAsked { .. }) => {
                live.bridge
                    .record(vec![closed])
                    .await
                    .map_err(|e| FlowError::bridge(session, &e))?;
            }
            Err(error) => return Err(FlowError::bridge(session, &error)),
        }
        self.gates.settle(ticket);
        if gate.kind == GateKind::InfraConfig {
            self.update(session, |u| {
                u.status = Some(SessionStatus::Error);
                u.phase = Some(studio_events::Phase::Ended);
            })
            .await?;
        }
        Ok(())
    }
}
