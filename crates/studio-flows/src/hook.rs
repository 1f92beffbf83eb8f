//! Hook events: what an agent's own hooks tell. For sessions that an agent on somebody's machine
//! feeds they are the events; for agents that the studio runs its output has told them already,
//! so only a question is of interest.

use serde_json::{Value, json};
use studio_agent_codec::hook::HookBody;
use studio_bridge::Record;
use studio_events::{EngineEvent, GateClosed, Phase, SessionStatus, Timestamp};
use studio_gates::{GateKind, GateOutcome};
use studio_ids::{GateId, SessionId};

use crate::{FlowError, Studio, inner::Inner, live::Live, words::HookReply};

impl Studio {
    /// Takes a hook event of the session's agent.
    pub async fn hook_event(&self, id: SessionId, body: Value) -> Result<HookReply, FlowError> {
        self.inner().hook_event(id, body).await
    }
}

impl Inner {
    pub(crate) async fn hook_event(
        &self,
        id: SessionId,
        body: Value,
    ) -> Result<HookReply, FlowError> {
        let record = self.record(id)?;
        let hosted = record.internal.phase == Phase::Hosted;
        let body = HookBody::from(body);
        let call_id = format!("hook_{}", self.now().unix_millis());
        let Some(event) = body.event(&call_id) else {
            self.registry.touch(id);
            return Ok(HookReply::Ok);
        };
        let live = self.live(id).await?;
        if body.is_question() {
            if hosted {
                self.hosted_status(id, false).await?;
            }
            return self.hook_asks(&live, &body, event).await;
        }
        if hosted {
            let ended = matches!(event, EngineEvent::SessionEnd { .. });
            live.bridge
                .record_all(vec![Record::Agent(event)])
                .await
                .map_err(|e| FlowError::bridge(id, &e))?;
            self.hosted_status(id, ended).await?;
        }
        self.registry.touch(id);
        Ok(HookReply::Ok)
    }

    /// A local agent that tells something is at work, also after it ended or went quiet.
    async fn hosted_status(&self, id: SessionId, ended: bool) -> Result<(), FlowError> {
        let now = if ended { SessionStatus::Complete } else { SessionStatus::Running };
        if self.record(id)?.info.status == now {
            return Ok(());
        }
        self.update(id, |u| u.status = Some(now)).await
    }

    /// A hook that holds its request open until a person has answered. Asked again with the same
    /// id (the studio was restarted, the hook tries again) it joins the same gate.
    async fn hook_asks(
        &self,
        live: &Live,
        body: &HookBody,
        event: EngineEvent,
    ) -> Result<HookReply, FlowError> {
        let Some(gate) = body.tool_use_id().and_then(|id| id.parse::<GateId>().ok()) else {
            return Ok(HookReply::Ok);
        };
        // A gate of another kind is none of a hook's business: it could close it by giving up.
        let known = self.gates.get(live.id, &gate);
        if known.is_some_and(|known| known.kind != GateKind::AskUserQuestion) {
            return Ok(HookReply::Ok);
        }
        let _held = live.hold_hook(gate.clone());
        let asking = live.asking.lock().await;
        let known = self.gates.get(live.id, &gate).is_some()
            || self.gates.outcome(live.id, &gate).is_some();
        if !known {
            let deadline = self.deadline(self.parts.settings.gates.hook);
            let event = with_gate(event, gate.clone(), deadline);
            live.bridge
                .record_all(vec![Record::Agent(event)])
                .await
                .map_err(|e| FlowError::bridge(live.id, &e))?;
        }
        drop(asking);
        let patience = self.parts.settings.gates.hook;
        let waited = tokio::select! {
            () = self.stop.cancelled() => return Err(self.stopping()),
            waited = tokio::time::timeout(patience, self.gates.wait(live.id, &gate)) => waited,
        };
        match waited {
            Ok(Some(GateOutcome::Answered(value))) => Ok(HookReply::Output(output(body, &value))),
            Ok(Some(GateOutcome::Closed(_)) | None) => Ok(HookReply::Ok),
            Err(_elapsed) => {
                self.hook_gave_up(live, &gate).await?;
                Ok(HookReply::Ok)
            }
        }
    }

    /// Nobody answered in the time that the hook waits: the gate ends, visibly.
    async fn hook_gave_up(&self, live: &Live, gate: &GateId) -> Result<(), FlowError> {
        let Some(ticket) = self.gates.claim_close(live.id, gate, GateClosed::Expired) else {
            return Ok(());
        };
        let event = EngineEvent::GateClosed {
            gate: GateKind::AskUserQuestion.as_str().to_owned(),
            gate_id: gate.clone(),
            outcome: GateClosed::Expired,
        };
        live.bridge.record(vec![event]).await.map_err(|e| FlowError::bridge(live.id, &e))?;
        self.gates.settle(ticket);
        Ok(())
    }
}

fn with_gate(mut event: EngineEvent, gate: GateId, until: Timestamp) -> EngineEvent {
    if let EngineEvent::AskUserQuestion { gate_id, deadline, .. } = &mut event {
        *gate_id = Some(gate);
        *deadline = Some(until);
    }
    event
}

/// The hook's own output shape. Source: spec 01, route 10, step 6.
fn output(body: &HookBody, value: &Value) -> Value {
    let mut input = json!({ "answers": value["answers"] });
    if let Some(questions) = body.tool_input().get("questions") {
        input["questions"] = questions.clone();
    }
    json!({ "hookSpecificOutput": {
        "hookEventName": "PreToolUse",
        "permissionDecision": "allow",
        "updatedInput": input,
    }})
}
