//! What the studio makes of what an agent does: the gates it opens, where the session stands,
//! what it cost. Called by bridges after each event is durable; never waits.

use std::{
    collections::BTreeMap,
    sync::{Mutex, Weak},
};

use serde_json::Value;
use studio_bridge::{Listener, Told};
use studio_events::{EngineEvent, LogLevel, SessionStatus, SessionTotals};
use studio_gates::{GateKind, Opened};
use studio_ids::{GateId, SessionId};

use crate::{
    FlowError,
    create::gate_of,
    inner::{Inner, lock},
    live::{Live, add},
    prepare::log,
};

/// One bridge's listener.
pub(crate) struct Keeper {
    studio: Weak<Inner>,
    /// What the session cost so far, all turns.
    totals: Mutex<SessionTotals>,
    /// Answers that an earlier server wrote down; the agent may have them already.
    written: Mutex<BTreeMap<GateId, Value>>,
}

impl Keeper {
    pub(crate) fn new(
        studio: Weak<Inner>,
        totals: SessionTotals,
        written: BTreeMap<GateId, Value>,
    ) -> Self {
        Self { studio, totals: Mutex::new(totals), written: Mutex::new(written) }
    }

    fn spent(&self, inner: &Inner, session: SessionId, turn: &SessionTotals) {
        let mut sums = lock(&self.totals);
        add(&mut sums.cost_usd, turn.cost_usd);
        add(&mut sums.num_turns, turn.num_turns);
        add(&mut sums.duration_ms, turn.duration_ms);
        let sums = *sums;
        inner.note(session, |u| {
            u.total_cost_usd = sums.cost_usd;
            u.total_turns = sums.num_turns;
            u.total_duration_ms = sums.duration_ms;
        });
        inner.stop_over_budget(session, sums.cost_usd.unwrap_or(0.0));
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others only show activity")]
    fn event(&self, inner: &Inner, session: SessionId, event: &EngineEvent) {
        match event {
            EngineEvent::SessionEnd { totals, .. } => self.spent(inner, session, totals),
            EngineEvent::AskUserQuestion { tool_use_id, gate_id, .. } => {
                let id = gate_id.clone().or_else(|| tool_use_id.parse().ok());
                let Some(id) = id else { return };
                open(inner, session, event, id, GateKind::AskUserQuestion);
            }
            EngineEvent::PermissionRequest { gate_id, .. } => {
                open(inner, session, event, gate_id.clone(), GateKind::Permission);
            }
            EngineEvent::OutboundMessageGate { gate_id, .. } => {
                open(inner, session, event, gate_id.clone(), GateKind::OutboundMessage);
            }
            EngineEvent::GateResolved { gate_id: Some(gate_id), .. } => {
                // Answers of this server's own are settled by who gave them.
                if let Some(value) = lock(&self.written).remove(gate_id) {
                    inner.gates.resolved(session, gate_id, &value);
                }
            }
            EngineEvent::GateClosed { gate_id, outcome, .. } => {
                inner.gates.closed(session, gate_id, *outcome);
            }
            _ => inner.registry.touch(session),
        }
    }
}

fn open(inner: &Inner, session: SessionId, event: &EngineEvent, id: GateId, kind: GateKind) {
    if inner.gates.open(session, gate_of(event, id.clone(), kind, inner)) == Opened::Full {
        tracing::warn!(session.id = %session, gate.id = %id, "session {session} has too many open gates");
    }
}

impl Listener for Keeper {
    fn told(&self, session: SessionId, told: &Told) {
        let Some(inner) = self.studio.upgrade() else { return };
        match told {
            Told::Event(event) => self.event(&inner, session, event),
            Told::TurnStarted => inner.note(session, |u| u.status = Some(SessionStatus::Running)),
            Told::TurnEnded { success } => inner.note(session, |u| {
                u.status =
                    Some(if *success { SessionStatus::Complete } else { SessionStatus::Error });
            }),
            Told::Conversation { id } => {
                inner.note(session, |u| u.last_coder_session_id = Some(id.clone()));
            }
            Told::ConversationLost => inner.go_on_without_conversation(session),
            // The events that show these were told before and did the work.
            Told::Asked(_) | Told::Unasked { .. } => {}
            Told::AgentExited { .. } => inner.note(session, |u| u.run = Some(None)),
            Told::Fenced => {
                tracing::warn!(session.id = %session, "session {session} was taken over by another server");
                inner.put_down(session);
                inner.look_who_leads(session);
            }
            Told::Failed(why) => {
                tracing::error!(session.id = %session, error = why, "the bridge of session {session} failed");
                inner.put_down(session);
                inner.take_up_later(session, &FlowError::BridgeFailed(session));
            }
        }
    }
}

impl Inner {
    /// Starts the agent anew, since its conversation is lost, and says what waits.
    fn go_on_without_conversation(&self, session: SessionId) {
        let (Some(inner), Some(live)) = (self.weak.upgrade(), self.live_now(session)) else {
            return;
        };
        let jobs = live.jobs.clone();
        jobs.spawn(self.tasks.track_future(async move {
            if let Err(error) = inner.conversation_lost(&live).await {
                let why = crate::error::causes(&error);
                let line = log(LogLevel::Error, format!("The agent could not be started: {why}"));
                if let Err(error) = live.bridge.record(vec![line]).await {
                    tracing::warn!(session.id = %session, "session {session}: {why}; {error}");
                }
            }
        }));
    }

    /// Ends the turn of a session that has spent more than it may.
    fn stop_over_budget(&self, session: SessionId, spent_usd: f64) {
        let Some(record) = self.registry.get(session) else { return };
        let known = record.info.total_cost_usd.unwrap_or(0.0);
        let budget = self.budget_of(&record).after(spent_usd - known);
        let (Some(inner), Some(live)) = (self.weak.upgrade(), self.live_now(session)) else {
            return;
        };
        let Some(budget_usd) = budget.limit_usd().filter(|_| budget.is_exceeded()) else { return };
        let jobs = live.jobs.clone();
        jobs.spawn(self.tasks.track_future(async move {
            if let Err(error) = inner.stop_exceeded(&live, budget_usd, spent_usd, false).await {
                tracing::warn!(session.id = %session, "session {session} is over its budget and not marked so: {error}");
            }
        }));
    }

    /// Says that the budget is spent (unless that is `told`), ends the turn, and marks the session.
    pub(crate) async fn stop_exceeded(
        &self,
        live: &Live,
        budget_usd: f64,
        spent_usd: f64,
        told: bool,
    ) -> Result<(), FlowError> {
        let session = live.id;
        if !told {
            let event = EngineEvent::BudgetExceeded { budget_usd, spent_usd };
            if let Err(error) = live.bridge.record(vec![event]).await {
                tracing::warn!(session.id = %session, "session {session} is over its budget: {error}");
            }
        }
        if let Err(error) = live.bridge.interrupt().await {
            tracing::warn!(session.id = %session, "session {session} is over its budget: {error}");
        }
        // Written at once: it is to be seen after a crash, too (D30-61).
        self.update(session, |u| u.status = Some(SessionStatus::Error)).await
    }
}
