//! The life of a run: its start, its finding again, its end.

use std::{sync::Arc, time::Duration};

use studio_events::{EngineEvent, GateClosed, InternalEvent, LogLevel, SessionTotals};
use studio_ids::RunId;
use studio_sandbox::{Exit, JournalLines, JournalState, JournaledProcess, SandboxError};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    AgentParts, Attached, BridgeError, Told,
    agent::{Agent, Done, Link, Outgoing, Stage, command, ended},
    exit::explain,
    interrupt::START_PATIENCE,
    log::{Draft, Then},
    owner::{DRAIN_PATIENCE, Owner, Reply},
    restore::{self, Memory},
    talk::{Note, Place, Talk, states, wire_id},
};

/// How long reading a journal again may take on attaching.
const REPLAY_PATIENCE: Duration = Duration::from_secs(120);
/// How long the last events of a session may wait for the store.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

impl Owner {
    pub(crate) async fn launch(&mut self, parts: &AgentParts, reply: Reply<RunId>) {
        match self.begin_run(parts).await {
            Ok(process) => {
                self.doing.start(process.clone(), command(parts), self.settings.signal_patience);
                self.agent = Some(Agent::new(process, parts, Stage::Starting(reply)));
            }
            // The caller may have gone.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    async fn begin_run(&mut self, parts: &AgentParts) -> Result<JournaledProcess, BridgeError> {
        if self.agent.is_some() {
            return Err(BridgeError::AlreadyRunning(self.session));
        }
        self.remember().await?;
        let run = RunId::random();
        let mut draft = Draft::default();
        draft.internal(InternalEvent::RunStarted { run });
        let waiting: Vec<_> = self.talk.waiting.iter().map(|message| message.id).collect();
        if !waiting.is_empty() {
            // So that nobody has to look further back than to the start of the run.
            draft.server(states(waiting, "held"));
        }
        self.log.write(draft, Then::Nothing).await?;
        self.talk.begin(run, parts.launch.resume.clone());
        Ok(JournaledProcess::of(Arc::clone(&parts.sandbox), run))
    }

    /// Reads what earlier runs left, once.
    pub(crate) async fn remember(&mut self) -> Result<(), BridgeError> {
        if self.remembers {
            return Ok(());
        }
        let memory = self.read_memory(None).await?;
        self.recall(memory);
        Ok(())
    }

    pub(crate) async fn open_run(&mut self) -> Result<Option<RunId>, BridgeError> {
        let memory = self.read_memory(None).await?;
        Ok(memory.run.filter(|_| !memory.exited))
    }

    async fn read_memory(&mut self, run: Option<RunId>) -> Result<Memory, BridgeError> {
        let session = self.session;
        restore::read(self.log.writer(), run)
            .await
            .map_err(|source| BridgeError::Read { session, source: Arc::new(source) })
    }

    /// Takes over what the stream remembers of a run that has no process.
    fn recall(&mut self, memory: Memory) {
        let run = memory.run.unwrap_or(self.talk.run);
        self.talk = Talk::new(run);
        self.talk.waiting = memory.waiting.into();
        for message in &mut self.talk.waiting {
            message.place = Place::Held;
        }
        self.talk.read = memory.read;
        self.talk.conversation = memory.conversation;
        self.remembers = true;
    }

    pub(crate) async fn attach(
        &mut self,
        parts: &AgentParts,
        run: RunId,
    ) -> Result<Attached, BridgeError> {
        if self.agent.is_some() {
            return Err(BridgeError::AlreadyRunning(self.session));
        }
        let mut memory = self.read_memory(Some(run)).await?;
        if memory.run != Some(run) {
            return Err(BridgeError::NoAgent(self.session));
        }
        if memory.exited {
            self.recall(memory);
            return Ok(ended());
        }
        let process = JournaledProcess::of(Arc::clone(&parts.sandbox), run);
        let mut agent = Agent::new(process, parts, Stage::Ending);
        let mut talk = Talk::new(run);
        let waiting = std::mem::take(&mut memory.waiting);
        let state = match agent.look().await {
            // Whoever wrote the run down may have been stopped before starting it, and go on.
            Ok(JournalState::Absent) => agent.process.rule_out().await,
            known => known,
        };
        let state = match state {
            Ok(state) => state,
            Err(SandboxError::Gone { .. }) => JournalState::Absent,
            Err(source) => return Err(self.sandbox_failed("finding the agent again", source)),
        };
        if state != JournalState::Absent {
            match timeout(REPLAY_PATIENCE, replay(&mut agent, &mut talk, memory.mark)).await {
                Ok(Ok(lines)) => agent.stage = Stage::Reading(lines),
                Ok(Err(source)) => {
                    return Err(self.sandbox_failed("reading the agent's journal", source));
                }
                Err(_elapsed) => {
                    let tried = "reading the agent's journal again".to_owned();
                    let source = SandboxError::TimedOut { tried, limit: REPLAY_PATIENCE };
                    return Err(self.sandbox_failed("reading the agent's journal", source));
                }
            }
        } else {
            talk.turn = memory.turn;
        }

        talk.asks.retain(|pending| !memory.closed.contains(&pending.ask.gate));
        for pending in &mut talk.asks {
            pending.response = memory.responses.remove(&pending.ask.gate);
        }
        talk.conversation = talk.conversation.or(memory.conversation);
        talk.waiting = waiting.into();
        talk.read = std::mem::take(&mut memory.read);
        let reading = std::mem::take(&mut memory.reading).into_iter();
        talk.reading = reading
            .map(|message| {
                let wire = wire_id(message.id, run, message.holds);
                (message, wire)
            })
            .collect();
        // Written again, all of it: what arrived before is written once.
        let reads = state == JournalState::Running;
        let unread = talk.waiting.iter().filter(|message| reads && message.place != Place::Held);
        agent.outgoing = unread.map(|message| Outgoing::Say(message.id)).collect();
        (self.talk, self.remembers) = (talk, true);
        self.agent = Some(agent);
        match state {
            JournalState::Absent => {
                self.ended(None, "").await;
                return Ok(ended());
            }
            JournalState::Running => self.lost_needs_stop(),
            JournalState::Ended(_) => return Ok(ended()),
        }
        Ok(Attached { alive: true, open_asks: self.talk.open_asks() })
    }

    fn sandbox_failed(&self, tried: &'static str, source: SandboxError) -> BridgeError {
        BridgeError::Sandbox { session: self.session, tried, source: Arc::new(source) }
    }

    /// Something that was done beside the owner is done.
    pub(crate) async fn done(&mut self, run: RunId, done: Done) {
        if self.interrupt.as_ref().is_some_and(|interrupt| interrupt.run() == run) {
            match done {
                Done::ChildrenKilled(result) => return self.children_killed(result),
                Done::Stopped(result) => return self.signals_sent(result),
                Done::Started(_) | Done::Linked(_) | Done::Written(_) | Done::Ended(_) => {}
            }
        }
        let Some(agent) = self.agent.as_mut().filter(|agent| agent.run() == run) else { return };
        match done {
            Done::Started(result) => self.started(result).await,
            Done::Linked(Ok(Link::Lines(lines))) => agent.stage = Stage::Reading(lines),
            Done::Linked(Ok(Link::Absent)) | Done::Ended(Ok((JournalState::Absent, _))) => {
                self.ended(None, "").await;
            }
            Done::Linked(Err(error)) | Done::Ended(Err(error)) => self.link_lost(error).await,
            Done::Ended(Ok((JournalState::Ended(exit), stderr))) => {
                let code = match exit {
                    Exit::Code(code) => Some(code),
                    Exit::Unknown => None,
                };
                self.ended(code, &stderr).await;
            }
            // The end of the output came before the end of the process.
            Done::Ended(Ok((JournalState::Running, _))) => agent.lose_link(),
            Done::Written(result) => {
                let Some(outgoing) = agent.writing.take() else { return };
                match result {
                    Ok(()) => {
                        agent.write_was_good();
                        self.delivered(outgoing).await;
                    }
                    Err(error) => self.undelivered(outgoing, error).await,
                }
            }
            // Of an interrupt that is over, or of a process whose conversation was lost: what
            // counts is the end of its output.
            Done::ChildrenKilled(_) | Done::Stopped(_) => {}
        }
    }

    async fn started(&mut self, result: Result<(), SandboxError>) {
        let Some(agent) = &mut self.agent else { return };
        let run = agent.run();
        let Stage::Starting(reply) = std::mem::replace(&mut agent.stage, Stage::Linking) else {
            return;
        };
        let answer = match result {
            Ok(()) => {
                self.doing.link(Arc::clone(&agent.sandbox), agent.process.clone(), 0, false);
                Ok(run)
            }
            Err(error) => {
                self.agent = None;
                let message = format!("The agent could not be started: {error}");
                let mut draft = Draft::default();
                draft.server(EngineEvent::Log { level: LogLevel::Error, message });
                self.talk.hold(|_| true).into_iter().for_each(|note| draft.note(note));
                draft.server(EngineEvent::AgentExit { code: None });
                draft.note(Note::Told(Told::AgentExited { code: None }));
                self.log.put(draft, None).await;
                Err(self.sandbox_failed("starting the agent", error))
            }
        };
        // The caller may have gone.
        reply.send(answer).ok();
    }

    /// A process without its conversation has nothing to do.
    pub(crate) fn lost_needs_stop(&mut self) {
        let Some(agent) = self.agent.as_mut().filter(|_| self.talk.lost) else { return };
        if !std::mem::replace(&mut agent.is_stopped, true) {
            self.doing.stop(agent.process.clone(), self.settings.signal_patience);
        }
    }

    /// The process is over and everything it left is recorded: records its end.
    pub(crate) async fn ended(&mut self, code: Option<i32>, stderr: &str) {
        let Some(agent) = self.agent.take() else { return };
        let interrupted = agent.is_interrupted || self.interrupt.is_some();
        let (working, lost) = (self.talk.is_working(), self.talk.lost);
        let mut draft = Draft::default();
        let failed = working || code.is_some_and(|code| code != 0);
        if failed && !interrupted && !lost {
            let message = explain(code, stderr);
            draft.server(EngineEvent::Log { level: LogLevel::Error, message });
        }
        self.talk.leave(GateClosed::Withdrawn).into_iter().for_each(|note| draft.note(note));
        draft.server(EngineEvent::AgentExit { code });
        if working && !lost {
            let reason = if interrupted { "interrupted" } else { "exit" };
            draft.server(EngineEvent::SessionEnd {
                success: false,
                totals: SessionTotals::default(),
                reason: Some(reason.to_owned()),
            });
            draft.note(Note::Told(Told::TurnEnded { success: false }));
        }
        draft.note(Note::Told(Told::AgentExited { code }));
        if lost {
            draft.note(Note::Told(Told::ConversationLost));
        }
        self.log.put(draft, None).await;
        self.talk.lost = false;
        for outgoing in agent.writing.into_iter().chain(agent.outgoing) {
            if let Outgoing::Answer(answer) = outgoing {
                self.not_delivered(*answer, "its process has ended".to_owned());
            }
        }
        if let Stage::Starting(reply) = agent.stage {
            // The caller may have gone.
            reply.send(Err(BridgeError::NoAgent(self.session))).ok();
        }
    }

    pub(crate) async fn finish(&mut self, last: Vec<EngineEvent>) -> Result<(), BridgeError> {
        let mut trouble = None;
        let mut draft = Draft::default();
        let mut exit = None;
        self.await_start().await;
        self.doing.abort();
        if let Some(agent) = &mut self.agent {
            match agent.process.stop(self.settings.signal_patience).await {
                Ok(Exit::Code(code)) => exit = Some(Some(code)),
                Ok(Exit::Unknown) | Err(SandboxError::Gone { .. }) => exit = Some(None),
                Err(error) => trouble = Some(self.sandbox_failed("stopping the agent", error)),
            }
        }
        if exit.is_some() {
            self.drain(&mut draft).await;
        }
        let mark = self.mark(&mut draft);
        self.log.put(std::mem::take(&mut draft), mark).await;

        let waiting: Vec<_> = self.talk.waiting.drain(..).map(|message| message.id).collect();
        self.talk.leave(GateClosed::Rejected).into_iter().for_each(|note| draft.note(note));
        if !waiting.is_empty() {
            draft.server(states(waiting, "cancelled"));
        }
        if let Some(code) = exit {
            draft.server(EngineEvent::AgentExit { code });
            draft.note(Note::Told(Told::AgentExited { code }));
        }
        last.into_iter().for_each(|event| draft.server(event));
        self.log.put(draft, None).await;
        self.await_store().await?;
        trouble.map_or(Ok(()), Err)
    }

    /// A program that is just being started is stopped more surely once it runs.
    async fn await_start(&mut self) {
        let until = Instant::now() + START_PATIENCE;
        let starting = |owner: &Self| {
            owner.agent.as_ref().is_some_and(|agent| matches!(agent.stage, Stage::Starting(_)))
        };
        while starting(self) {
            match timeout_at(until, self.doing.next()).await {
                Ok(Some((run, done))) => Box::pin(self.done(run, done)).await,
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Reads out what a stopped process left.
    async fn drain(&mut self, draft: &mut Draft) {
        let Some(agent) = &mut self.agent else { return };
        let stage = std::mem::replace(&mut agent.stage, Stage::Ending);
        let (process, from) = (agent.process.clone(), agent.read_at);
        let until = Instant::now() + DRAIN_PATIENCE;
        let read_out = async {
            let mut lines = match stage {
                Stage::Reading(lines) => lines,
                Stage::Starting(_) | Stage::Linking | Stage::Lost(_) | Stage::Ending => {
                    process.lines(from).await?
                }
            };
            while let Some(line) = lines.next().await? {
                self.hear(vec![line], draft);
            }
            Ok::<_, SandboxError>(())
        };
        let result = timeout_at(until, read_out).await;
        if !matches!(result, Ok(Ok(()))) {
            tracing::info!(
                session.id = %self.session,
                "the last words of session {}'s agent were not read",
                self.session
            );
        }
    }

    /// Waits until nothing stands in line.
    async fn await_store(&mut self) -> Result<(), BridgeError> {
        let until = Instant::now() + LAST_PATIENCE;
        while self.log.is_stuck() && self.log.fate().is_none() {
            if until <= Instant::now() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
            self.log.flush().await;
        }
        self.log.verdict()
    }
}

/// Brings a fresh codec to where it was after `mark` bytes; the link goes on from there.
async fn replay(
    agent: &mut Agent,
    talk: &mut Talk,
    mark: u64,
) -> Result<JournalLines, SandboxError> {
    let mut lines = agent.process.lines(0).await?;
    while agent.read_at < mark {
        let Some(line) = lines.next().await? else { break };
        agent.read_at = line.at;
        talk.remember(agent.codec.read_line(&line.data));
    }
    agent.marked_at = agent.read_at;
    Ok(lines)
}
