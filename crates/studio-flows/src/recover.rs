//! Taking sessions up: those that were at work when an earlier server ended, and any other when
//! somebody wants something of it.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use studio_bridge::{Activity, AgentParts, Bridge, BridgeSettings, OpenAsk, Parts as BridgeParts};
use studio_events::{
    EngineEvent, InternalEvent, LogLevel, Phase, SessionEntry, SessionStatus, SessionTotals,
};
use studio_gates::{GateKind, GateLog, GateOutcome};
use studio_ids::{ProjectName, SessionId};
use studio_registry::SessionRecord;
use studio_streams::{Offset, ProducerId, SessionWriter, StreamError, StreamPath};

use crate::{
    FlowError,
    create::{gate_of, infra_prompt},
    inner::Inner,
    keeper::Keeper,
    live::{Live, add},
    prepare::{first_message, first_prompt, log},
    redeliver::answer_of,
};

/// Records read at a time when a log is folded.
const PAGE_RECORDS_MAX: usize = 1_000;
/// Sessions taken up at once after a start.
const AT_ONCE_MAX: usize = 16;
/// Wait before a session that could not be taken up is tried again, doubled up to the second.
const TAKE_UP_AGAIN_FIRST: Duration = Duration::from_millis(500);
const TAKE_UP_AGAIN_MAX: Duration = Duration::from_secs(30);
/// Paths listed at a time.
const PATHS_MAX: usize = 1_000;

/// What a session's log tells.
#[derive(Default)]
struct Told {
    gates: GateLog,
    totals: SessionTotals,
    /// How the last turn ended, if one did.
    last_turn: Option<bool>,
    /// Whether it was told that the last turn went over the budget.
    over_budget: bool,
    /// Whether the agent said that it has a message, or one came to another end.
    heard: bool,
}

impl Inner {
    /// Takes up every session that was at work, and removes what belongs to none.
    pub(crate) async fn recover(self: Arc<Self>) {
        let at_work = self.registry.ids_where(is_at_work);
        let takes = at_work.into_iter().map(|id| {
            let inner = Arc::clone(&self);
            async move {
                if let Err(error) = inner.live(id).await {
                    inner.take_up_later(id, &error);
                }
            }
        });
        let all = futures::StreamExt::buffer_unordered(futures::stream::iter(takes), AT_ONCE_MAX);
        let done = futures::StreamExt::collect::<Vec<()>>(all);
        tokio::select! {
            () = self.stop.cancelled() => return,
            _taken = done => {}
        }
        self.recovered.store(true, std::sync::atomic::Ordering::Release);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.remove_leftovers() => {}
        }
    }

    /// Tries again to take up a session at work until it is, in the background: its sandbox did
    /// not answer, or its bridge failed.
    pub(crate) fn take_up_later(&self, id: SessionId, error: &FlowError) {
        let why = crate::error::causes(error);
        tracing::warn!(session.id = %id, error = why, "session {id} could not be taken up yet: {why}");
        let Some(inner) = self.weak.upgrade() else { return };
        self.tasks.spawn(async move {
            let mut again = TAKE_UP_AGAIN_FIRST;
            loop {
                tokio::select! {
                    () = inner.stop.cancelled() => return,
                    () = tokio::time::sleep(again) => {}
                }
                let at_work = inner.registry.get(id).is_some_and(|record| is_at_work(&record));
                if !at_work || inner.live(id).await.is_ok() {
                    return;
                }
                again = (again * 2).min(TAKE_UP_AGAIN_MAX);
            }
        });
    }

    /// Removes sandboxes and streams of sessions that are ended or gone: what a server left that
    /// died between two steps.
    async fn remove_leftovers(&self) {
        if let Err(error) = self.surely_ours().await {
            tracing::warn!("what earlier servers left is not removed now: {error}");
            return;
        }
        match self.parts.provider.list().await {
            Ok(found) => {
                for (id, _reference) in found {
                    let over = match self.registry.get(id) {
                        Some(record) => record.internal.phase == Phase::Ended,
                        // One without a session that somebody asked this server for stays.
                        None => !self.is_made_here(id),
                    };
                    if over && let Err(error) = self.remove_if_ours(id).await {
                        tracing::warn!(session.id = %id, "the sandbox left by session {id} could not be removed: {error}");
                    }
                }
            }
            Err(error) => {
                tracing::warn!("sandboxes left by earlier servers are not known: {error}")
            }
        }
        if let Err(error) = self.remove_leftover_streams().await {
            tracing::warn!("streams left by deleted sessions could not be removed: {error}");
        }
    }

    async fn remove_leftover_streams(&self) -> Result<(), StreamError> {
        let streams = &self.parts.streams;
        let mut after: Option<StreamPath> = None;
        loop {
            let paths = streams.list("session/", after.as_ref(), PATHS_MAX).await?;
            let Some(last) = paths.last().cloned() else { return Ok(()) };
            for path in paths {
                let id = path.as_str().strip_prefix("session/");
                let id = id.and_then(|id| id.parse::<SessionId>().ok());
                // A session that is being created has its stream a moment before its record.
                if id.is_some_and(|id| self.registry.get(id).is_none())
                    && self.is_old(&path).await?
                {
                    streams.delete(&path).await?;
                }
            }
            after = Some(last);
        }
    }

    /// Whether a stream was begun before this server: its first record is older than we are.
    async fn is_old(&self, path: &StreamPath) -> Result<bool, StreamError> {
        let page = self.parts.streams.read(path, Offset::Start, 1).await?;
        let first =
            page.records.first().and_then(|r| serde_json::from_slice::<Value>(&r.data).ok());
        let ts = first.as_ref().and_then(|v| v["ts"].as_str()).map(str::to_owned);
        let ts = ts.and_then(|ts| studio_events::Timestamp::try_from(ts).ok());
        Ok(ts.is_some_and(|ts| ts < self.started_at))
    }

    /// Takes a session up: this server becomes its one writer, learns its gates from the log,
    /// and finds its sandbox and agent again.
    pub(crate) async fn take_up(&self, record: Arc<SessionRecord>) -> Result<Arc<Live>, FlowError> {
        let id = record.info.id;
        let read = |source| FlowError::Read { session: id, source: Arc::new(source) };
        let at_work = is_at_work(&record) && !self.is_made_here(id);
        // Only what was at work may have more in its log than in the registry.
        let mut told = if at_work { self.fold(id).await.map_err(read)? } else { Told::default() };
        told.gates.set_missing_deadlines(|kind| self.gate_deadline(kind));
        let over_budget = told.over_budget;
        let unheard = at_work && !told.heard && told.last_turn.is_none();
        let totals = if at_work { told.totals } else { totals_of(&record) };
        let token = self.stop.child_token();
        let written = told.gates.undelivered();
        let written = written.map(|(gate, value)| (gate.id.clone(), value.clone())).collect();
        let bridge = Bridge::start(
            BridgeParts {
                session: id,
                writer: self.writer(id).await?,
                clock: Arc::clone(&self.parts.clock),
                listener: Arc::new(Keeper::new(self.weak.clone(), totals, written)),
                settings: BridgeSettings {
                    ask_patience: Some(self.parts.settings.gates.agent),
                    interrupt_patience: self.parts.settings.agent.interrupt_patience,
                    ..BridgeSettings::default()
                },
            },
            &self.tasks,
            self.stop.clone(),
        );
        let live = Arc::new(Live::new(id, bridge, token));
        if let Err(error) =
            self.find_again(&live, &record, told.gates, at_work, told.last_turn, unheard).await
        {
            live.bridge.detach().await;
            return Err(error);
        }
        if at_work && totals != totals_of(&record) {
            self.note(id, |u| {
                u.total_cost_usd = totals.cost_usd;
                u.total_turns = totals.num_turns;
                u.total_duration_ms = totals.duration_ms;
            });
        }
        let mut now = SessionRecord::clone(&record);
        now.info.total_cost_usd = totals.cost_usd;
        let budget = self.budget_of(&now);
        if let Some(limit) = budget.limit_usd().filter(|_| at_work && budget.is_exceeded()) {
            self.stop_exceeded(&live, limit, budget.spent_usd(), over_budget).await?;
        }
        Ok(live)
    }

    async fn writer(&self, id: SessionId) -> Result<SessionWriter, FlowError> {
        let epoch = self.next_epoch();
        let event = InternalEvent::WriterStarted { instance: self.instance, epoch };
        let first = SessionEntry::server(event, self.now()).to_json().into();
        let producer: ProducerId =
            format!("session:{id}").parse().map_err(|_bad| FlowError::NoSession(id))?;
        let streams = Arc::clone(&self.parts.streams);
        SessionWriter::take_over(streams, StreamPath::session(id), producer, epoch, first)
            .await
            .map_err(|source| {
                if matches!(source, StreamError::Fenced { .. }) {
                    self.look_who_leads(id);
                    return FlowError::Fenced(id);
                }
                FlowError::Write { session: id, source: Arc::new(source) }
            })
    }

    async fn fold(&self, id: SessionId) -> Result<Told, StreamError> {
        let path = StreamPath::session(id);
        let mut told = Told::default();
        let mut from = Offset::Start;
        loop {
            let page = self.parts.streams.read(&path, from, PAGE_RECORDS_MAX).await?;
            for record in &page.records {
                // One malformed record is no reason to lose a session (D30-21).
                if let Ok(entry) = serde_json::from_slice::<Value>(&record.data) {
                    told.gates.apply(&entry);
                    told.turn(&entry);
                }
            }
            if page.up_to_date {
                return Ok(told);
            }
            from = page.next;
        }
    }

    async fn find_again(
        &self,
        live: &Arc<Live>,
        record: &SessionRecord,
        gates: GateLog,
        at_work: bool,
        last_turn: Option<bool>,
        unheard: bool,
    ) -> Result<(), FlowError> {
        let chosen = infra_outcome(&gates);
        let undelivered = self.gates.restore(live.id, gates);
        match record.internal.phase {
            Phase::Hosted | Phase::Ended => {}
            Phase::AwaitingInfra | Phase::CreatingSandbox | Phase::SettingUp if at_work => {
                self.go_on_preparing(live, record, chosen).await?;
            }
            // A new session: its flow starts the preparation itself.
            Phase::AwaitingInfra | Phase::CreatingSandbox | Phase::SettingUp => {}
            Phase::Started => {
                self.find_agent(live, record, last_turn, unheard).await?;
            }
        }
        drop(undelivered);
        Ok(())
    }

    async fn go_on_preparing(
        &self,
        live: &Arc<Live>,
        record: &SessionRecord,
        chosen: Option<GateOutcome>,
    ) -> Result<(), FlowError> {
        let failed = |source| FlowError::sandbox(live.id, source);
        if record.internal.phase == Phase::SettingUp {
            live.set_sandbox(self.find_sandbox(record).await.map_err(failed)?);
        }
        if let Some(GateOutcome::Answered(value)) = chosen {
            match crate::respond::infra_from_log(&value) {
                Some(infra) => live.set_infra(infra, crate::respond::repo_from_log(&value)),
                None => return self.ask_infra_again(live, record).await,
            }
        }
        if let Some(inner) = self.weak.upgrade() {
            inner.start_preparing(live);
        }
        Ok(())
    }

    /// The secrets of the choice were in the memory of a server that is gone: the person is
    /// asked again.
    async fn ask_infra_again(
        &self,
        live: &Arc<Live>,
        record: &SessionRecord,
    ) -> Result<(), FlowError> {
        let project: Option<ProjectName> = record.internal.project.clone();
        let Some(project) = project else { return Err(FlowError::NoSession(live.id)) };
        let gate = format!("infra_config-{}", self.next_epoch());
        let Ok(gate_id) = gate.parse::<studio_ids::GateId>() else {
            return Err(FlowError::GateUnknown);
        };
        let mut prompt = infra_prompt(self, &project);
        if let EngineEvent::InfraConfigPrompt { gate_id: id, .. } = &mut prompt {
            *id = Some(gate_id.clone());
        }
        let why = "The studio was restarted before the sandbox was made and does not keep \
                   connection secrets: please choose the infrastructure again.";
        let events = vec![log(LogLevel::System, why), prompt.clone()];
        live.bridge.record(events).await.map_err(|e| FlowError::bridge(live.id, &e))?;
        let kind = GateKind::InfraConfig;
        self.gates.open(live.id, gate_of(&prompt, gate_id, kind, self));
        self.update(live.id, |u| u.phase = Some(Phase::AwaitingInfra)).await?;
        if let Some(inner) = self.weak.upgrade() {
            inner.start_preparing(live);
        }
        Ok(())
    }

    async fn find_agent(
        &self,
        live: &Arc<Live>,
        record: &SessionRecord,
        last_turn: Option<bool>,
        unheard: bool,
    ) -> Result<(), FlowError> {
        let failed = |source| FlowError::sandbox(live.id, source);
        let Some(sandbox) = self.find_sandbox(record).await.map_err(failed)? else {
            return self.sandbox_is_gone(live, record).await;
        };
        live.set_sandbox(Some(Arc::clone(&sandbox)));
        let run = live.bridge.open_run().await.map_err(|e| FlowError::bridge(live.id, &e))?;
        if let Some(run) = run {
            let resume = record.info.last_coder_session_id.clone();
            let credentials = self.credentials(live).unwrap_or_default();
            let parts: AgentParts =
                self.agent_parts(record, Arc::clone(&sandbox), credentials, resume);
            let attached = live.bridge.attach(parts, run).await;
            let attached = attached.map_err(|e| FlowError::bridge(live.id, &e))?;
            if !attached.alive {
                self.note(live.id, |u| u.run = Some(None));
            } else if unheard {
                // The first message is in no event of the log as the agent gets it, so a server
                // that died before handing it over is followed by this. The sandbox knows its id
                // if it has it already.
                let said = live.bridge.deliver(first_message(live.id), first_prompt(record)).await;
                said.map_err(|e| FlowError::bridge(live.id, &e))?;
            }
            self.open_asks(live, attached.open_asks).await;
        }
        self.status_after(live, last_turn).await?;
        self.connect_relay(live, &sandbox).await;
        Ok(())
    }

    /// A session that was at work when its server ended, and is not any more, stands as its last
    /// turn left it.
    async fn status_after(&self, live: &Live, last_turn: Option<bool>) -> Result<(), FlowError> {
        let state = live.bridge.state().await.map_err(|e| FlowError::bridge(live.id, &e))?;
        let still = self.registry.get(live.id).map(|record| record.info.status);
        if state.activity == Activity::Idle && still == Some(SessionStatus::Running) {
            let ended = match last_turn {
                Some(true) => SessionStatus::Complete,
                Some(false) | None => SessionStatus::Error,
            };
            // What the agent told just now is newer.
            self.note(live.id, |u| u.status = u.status.or(Some(ended)));
        }
        Ok(())
    }

    /// What the agent waits for is open; answers that a dead server wrote down and perhaps did
    /// not deliver are delivered.
    async fn open_asks(&self, live: &Arc<Live>, asks: Vec<OpenAsk>) {
        for OpenAsk { ask, response } in asks {
            let Some(value) = response else { continue };
            let Some((answer, recorded)) = answer_of(&ask, &value) else { continue };
            match live.bridge.answer(ask.gate.clone(), answer, recorded).await {
                Ok(()) => {
                    self.gates.resolved(live.id, &ask.gate, &value);
                }
                Err(error) => {
                    tracing::warn!(session.id = %live.id, gate.id = %ask.gate, "an answer is not delivered yet: {error}");
                }
            }
        }
    }

    async fn sandbox_is_gone(&self, live: &Live, record: &SessionRecord) -> Result<(), FlowError> {
        let mut events = vec![log(LogLevel::Error, "The sandbox of this session is gone.")];
        if record.info.status == SessionStatus::Running {
            events.push(EngineEvent::SessionEnd {
                success: false,
                totals: SessionTotals::default(),
                reason: Some("sandbox_gone".to_owned()),
            });
        }
        live.bridge.record(events).await.map_err(|e| FlowError::bridge(live.id, &e))?;
        self.update(live.id, |u| {
            u.status = Some(SessionStatus::Error);
            u.phase = Some(Phase::Ended);
            u.sandbox = Some(None);
            u.run = Some(None);
        })
        .await
    }
}

/// Whether something may go on in a session without anybody asking: it works, is prepared, or
/// has an agent process (which may begin a turn by itself), or a local agent may wait in a hook.
pub(crate) fn is_at_work(record: &SessionRecord) -> bool {
    let phase = record.internal.phase;
    phase != Phase::Ended
        && (record.info.status == SessionStatus::Running || record.internal.run.is_some())
}

fn totals_of(record: &SessionRecord) -> SessionTotals {
    SessionTotals {
        cost_usd: record.info.total_cost_usd,
        num_turns: record.info.total_turns,
        duration_ms: record.info.total_duration_ms,
        duration_api_ms: None,
    }
}

impl Told {
    fn turn(&mut self, entry: &Value) {
        if entry["type"] == "session_end" {
            add(&mut self.totals.cost_usd, entry["cost_usd"].as_f64());
            add(&mut self.totals.num_turns, entry["num_turns"].as_u64());
            add(&mut self.totals.duration_ms, entry["duration_ms"].as_u64());
            self.last_turn = Some(entry["success"] == true);
            self.over_budget = false;
        }
        if entry["type"] == "budget_exceeded" {
            self.over_budget = true;
        }
        if entry["type"] == "message_state" && entry["state"] != "queued" {
            self.heard = true;
        }
    }
}

fn infra_outcome(gates: &GateLog) -> Option<GateOutcome> {
    let ended = gates.ended().filter(|(_, kind, _)| *kind == GateKind::InfraConfig);
    ended.last().map(|(_, _, outcome)| outcome.clone())
}
