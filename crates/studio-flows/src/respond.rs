//! Answering a gate: the first answer wins, and it is reported as delivered only when it was.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use studio_agent_codec::Answer;
use studio_bridge::{AnswerRecord, BridgeError, Record};
use studio_events::{EngineEvent, InternalEvent, ResolvedBy};
use studio_gates::{Claim, ClaimTicket, GateKind};
use studio_ids::{GateId, SessionId};

use crate::{
    FlowError, Studio,
    inner::Inner,
    live::Live,
    words::{GateAnswer, Infra, OutboundAction, PendingGate, RepoChoice, Response},
};

/// Told to the agent when a person refuses and says nothing.
const REFUSED: &str = "The user does not want this.";

impl Studio {
    /// Answers a gate.
    pub async fn respond(&self, id: SessionId, response: Response) -> Result<(), FlowError> {
        self.whole(move |inner| async move { inner.respond(id, response).await }).await
    }

    /// The gates of a session that wait for a person.
    pub async fn pending_gates(&self, id: SessionId) -> Result<Vec<PendingGate>, FlowError> {
        let inner = self.inner();
        inner.record(id)?;
        self.gates_known(id).await;
        if let Some(live) = inner.live_now(id) {
            // Who watches may see a question a moment before we are told of it: the bridge
            // answers this after it has told us. One that has ended tells no more.
            live.bridge.state().await.ok();
        }
        let gates = inner.gates.pending(id).into_iter();
        Ok(gates
            .map(|g| PendingGate {
                id: g.id,
                gate: g.kind.as_str(),
                deadline: g.deadline,
                asked: g.asked,
            })
            .collect())
    }
}

impl Inner {
    async fn respond(&self, id: SessionId, response: Response) -> Result<(), FlowError> {
        self.record(id)?;
        let live = self.live(id).await?;
        let Response { answer, summary, resolved_by } = response;
        let told = TellWith { summary, resolved_by };
        match answer {
            GateAnswer::Infra { infra, repo } => self.choose_infra(&live, infra, repo, told).await,
            GateAnswer::Question { gate, answers } => {
                let value = json!({ "answers": answers });
                let answer = Answer::Answers(answers);
                self.answer(&live, gate, GateKind::AskUserQuestion, answer, value, told).await
            }
            GateAnswer::Permission { gate, allow, always, message } => {
                let value = json!({ "allow": allow, "always": always, "message": message });
                let answer = if allow {
                    Answer::Allow { always }
                } else {
                    let message = message.unwrap_or_else(|| REFUSED.to_owned());
                    Answer::Deny { message, interrupt: false }
                };
                self.answer(&live, gate, GateKind::Permission, answer, value, told).await
            }
            GateAnswer::Outbound { gate, action, edited_body } => {
                self.decide_outbound(&live, gate, action, edited_body, told).await
            }
            GateAnswer::Legacy { gate, text } => self.say_as_answer(&live, gate, text, told).await,
        }
    }
}

/// How an answer is told to those who watch.
pub(crate) struct TellWith {
    summary: Option<String>,
    resolved_by: Option<ResolvedBy>,
}

impl Inner {
    async fn answer(
        &self,
        live: &Live,
        gate: GateId,
        kind: GateKind,
        answer: Answer,
        value: Value,
        told: TellWith,
    ) -> Result<(), FlowError> {
        let Some(ticket) = self.claim(live, &gate, kind, &value).await? else { return Ok(()) };
        let recorded = AnswerRecord {
            response: response_event(&gate, kind, value.clone()),
            resolved: resolved_event(&gate, kind, None, told),
        };
        match live.bridge.answer(gate.clone(), answer, recorded.clone()).await {
            Ok(()) => {}
            // A hook holds the question open, not the agent's own channel: the waiter takes it.
            Err(BridgeError::NotAsked { .. }) if live.is_held_by_hook(&gate) => {
                let records =
                    vec![Record::Internal(recorded.response), Record::Server(recorded.resolved)];
                live.bridge
                    .record_all(records)
                    .await
                    .map_err(|e| FlowError::bridge(live.id, &e))?;
            }
            Err(error @ BridgeError::NotAsked { .. }) => {
                // An earlier server's answer may have reached the agent just before this one.
                drop(ticket);
                return match self.claim(live, &gate, kind, &value).await? {
                    None => Ok(()),
                    Some(_unused) => Err(FlowError::bridge(live.id, &error)),
                };
            }
            Err(error) => return Err(FlowError::bridge(live.id, &error)),
        }
        self.gates.settle(ticket);
        Ok(())
    }

    /// The right to answer; `None` = the same answer was given before, which is a success.
    async fn claim(
        &self,
        live: &Live,
        gate: &GateId,
        kind: GateKind,
        value: &Value,
    ) -> Result<Option<ClaimTicket>, FlowError> {
        let mut claim = self.gates.claim_in_turn(live.id, gate, kind, value).await;
        if matches!(claim, Claim::Unknown) {
            // Who watches may see a question a moment before we are told of it: the bridge
            // answers this after it has told us.
            live.bridge.state().await.map_err(|e| FlowError::bridge(live.id, &e))?;
            claim = self.gates.claim_in_turn(live.id, gate, kind, value).await;
        }
        match claim {
            Claim::Granted(ticket) => Ok(Some(ticket)),
            Claim::SameAgain => Ok(None),
            Claim::Conflict => Err(FlowError::GateConflict(gate.to_string())),
            Claim::Closed(outcome) => {
                let outcome = json!(outcome).as_str().unwrap_or("closed").to_owned();
                Err(FlowError::GateClosed { gate: gate.to_string(), outcome })
            }
            Claim::Unknown | Claim::InProgress(_) => Err(FlowError::GateUnknown),
        }
    }

    async fn choose_infra(
        &self,
        live: &Live,
        infra: Infra,
        repo: Option<RepoChoice>,
        told: TellWith,
    ) -> Result<(), FlowError> {
        let gate = self.infra_gate(live.id);
        let value = infra_value(&infra, repo.as_ref());
        let Some(ticket) = self.claim(live, &gate, GateKind::InfraConfig, &value).await? else {
            return Ok(());
        };
        let mut details = infra_details(&infra, repo.as_ref());
        details.extend(self.claim_link(&infra).map(|link| ("Claim link".to_owned(), link)));
        let records = vec![
            Record::Internal(response_event(&gate, GateKind::InfraConfig, value)),
            Record::Server(resolved_event(&gate, GateKind::InfraConfig, Some(details), told)),
        ];
        live.bridge.record_all(records).await.map_err(|e| FlowError::bridge(live.id, &e))?;
        // Secrets of the choice stay in memory: the log has the choice without them.
        live.set_infra(infra, repo);
        self.gates.settle(ticket);
        Ok(())
    }

    /// What becomes of an agent's message to its room. Whoever holds the message waits for the
    /// gate and is told.
    async fn decide_outbound(
        &self,
        live: &Live,
        gate: GateId,
        action: OutboundAction,
        edited_body: Option<String>,
        told: TellWith,
    ) -> Result<(), FlowError> {
        let kind = GateKind::OutboundMessage;
        let value = json!({ "action": action.as_str(), "editedBody": edited_body });
        let Some(ticket) = self.claim(live, &gate, kind, &value).await? else { return Ok(()) };
        let resolved = EngineEvent::OutboundMessageGateResolved {
            gate_id: gate.clone(),
            action: action.as_str().to_owned(),
            edited_body,
            resolved_by: told.resolved_by,
        };
        let records =
            vec![Record::Internal(response_event(&gate, kind, value)), Record::Server(resolved)];
        live.bridge.record_all(records).await.map_err(|e| FlowError::bridge(live.id, &e))?;
        self.gates.settle(ticket);
        Ok(())
    }

    /// Gates of the reference's older protocol: the answer goes to the agent as words.
    async fn say_as_answer(
        &self,
        live: &Live,
        gate: String,
        text: String,
        told: TellWith,
    ) -> Result<(), FlowError> {
        self.iterate(live.id, text, None).await?;
        let event = EngineEvent::GateResolved {
            gate,
            summary: told.summary,
            details: None,
            resolved_by: told.resolved_by,
            gate_id: None,
            tool_use_id: None,
        };
        live.bridge.record(vec![event]).await.map_err(|e| FlowError::bridge(live.id, &e))?;
        Ok(())
    }
}

fn response_event(gate: &GateId, kind: GateKind, value: Value) -> InternalEvent {
    InternalEvent::GateResponse { gate: kind.as_str().to_owned(), gate_id: gate.clone(), value }
}

fn resolved_event(
    gate: &GateId,
    kind: GateKind,
    details: Option<BTreeMap<String, String>>,
    told: TellWith,
) -> EngineEvent {
    EngineEvent::GateResolved {
        gate: kind.as_str().to_owned(),
        summary: told.summary,
        details,
        resolved_by: told.resolved_by,
        gate_id: Some(gate.clone()),
        tool_use_id: (kind != GateKind::InfraConfig).then(|| gate.to_string()),
    }
}

/// The choice without its secrets, as the log keeps it.
fn infra_value(infra: &Infra, repo: Option<&RepoChoice>) -> Value {
    let mut value = match infra {
        Infra::Local => json!({ "mode": "local" }),
        Infra::Cloud { electric_url, source_id, claim_id, .. } => json!({
            "mode": if claim_id.is_some() { "claim" } else { "cloud" },
            "electricUrl": electric_url,
            "sourceId": source_id,
            "claimId": claim_id,
        }),
    };
    if let Some(repo) = repo {
        value["repoAccount"] = json!(repo.account);
        value["repoName"] = json!(repo.name);
        value["repoVisibility"] = json!(repo.visibility);
    }
    value
}

/// The labels of spec 02 section 6; the connection string's password is left out (D30-18).
fn infra_details(infra: &Infra, repo: Option<&RepoChoice>) -> BTreeMap<String, String> {
    let mut details = BTreeMap::new();
    match infra {
        Infra::Local => {
            details.insert("Infrastructure".to_owned(), "Local (Docker)".to_owned());
        }
        Infra::Cloud { source_id, claim_id, .. } => {
            let kind =
                if claim_id.is_some() { "Provisioned (Cloud)" } else { "Electric Cloud (BYO)" };
            details.insert("Infrastructure".to_owned(), kind.to_owned());
            details.insert("Source ID".to_owned(), source_id.clone());
            details.insert("Connection string".to_owned(), "(kept out of the log)".to_owned());
        }
    }
    if let Some(repo) = repo {
        let name = format!("{}/{}", repo.account, repo.name);
        details.insert("Repository".to_owned(), name);
        details.insert("Visibility".to_owned(), repo.visibility.clone());
    }
    details
}

/// The repository of the choice, as the log told it.
pub(crate) fn repo_from_log(value: &Value) -> Option<RepoChoice> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let (account, name) = (text("repoAccount")?, text("repoName")?);
    Some(RepoChoice { account, name, visibility: text("repoVisibility")? })
}

/// The choice as the log told it, after a restart. `None` = it needs secrets that are gone.
pub(crate) fn infra_from_log(value: &Value) -> Option<Infra> {
    (value["mode"] == "local").then_some(Infra::Local)
}
