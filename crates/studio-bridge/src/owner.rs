//! The task that owns a session's stream and its agent process. This file shows everything that
//! can happen to it; what is done about it stands in the files beside.

use std::{sync::Arc, time::Duration};

use studio_agent_codec::Answer;
use studio_events::{EngineEvent, InternalEvent, JournalMark, Timestamp};
use studio_ids::{GateId, MessageId, RunId, SessionId};
use studio_sandbox::{JournalLines, SandboxError};
use studio_streams::Offset;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    AgentParts, AnswerRecord, Attached, BridgeError, BridgeSettings, BridgeState, Parts, Record,
    Told, Waiting,
    agent::{After, Agent, Doing, Done, Lines, Stage},
    interrupt::Interrupt,
    log::{Draft, Fate, Log, Then},
    talk::{Note, Talk},
};

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, BridgeError>>;

/// Lines that are recorded as one batch, when they wait already: their number and size.
const BATCH_LINES_MAX: usize = 128;
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Bytes of journal that may become no event before the position is recorded for its own sake.
const UNMARKED_BYTES_MAX: u64 = 256 * 1024;

/// How long what is being done may go on when the studio stops.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// All that can be asked of a bridge.
pub(crate) enum Command {
    Record { records: Vec<Record>, reply: Reply<Offset> },
    Launch { agent: Box<AgentParts>, reply: Reply<RunId> },
    Attach { agent: Box<AgentParts>, run: RunId, reply: Reply<Attached> },
    OpenRun { reply: Reply<Option<RunId>> },
    Say { text: String, sender: Option<String>, reply: Reply<MessageId> },
    Deliver { id: MessageId, text: String, reply: Reply<()> },
    SayHeld { reply: Reply<usize> },
    Answer { gate: GateId, answer: Answer, recorded: Box<AnswerRecord>, reply: Reply<()> },
    Interrupt { reply: Reply<()> },
    Queue { reply: Reply<Vec<Waiting>> },
    DropMessage { id: MessageId, reply: Reply<()> },
    State { reply: Reply<BridgeState> },
    Finish { last: Vec<EngineEvent>, reply: Reply<()> },
    Detach { reply: Reply<()> },
}

/// Whether the owner goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Go {
    On,
    Home,
}

/// All that can happen.
enum Happening {
    Stop,
    Command(Option<Box<Command>>),
    Lines(Lines),
    Done(RunId, Done),
    Timer,
}

/// The owner.
pub(crate) struct Owner {
    pub(crate) session: SessionId,
    pub(crate) settings: BridgeSettings,
    pub(crate) log: Log,
    pub(crate) talk: Talk,
    pub(crate) agent: Option<Agent>,
    pub(crate) doing: Doing,
    pub(crate) interrupt: Option<Interrupt>,
    /// Whether `talk` knows what earlier runs left.
    pub(crate) remembers: bool,
    commands: mpsc::Receiver<Box<Command>>,
    stop: CancellationToken,
}

impl Owner {
    /// Runs an owner to its end. A fault of it ends this session's bridge and nothing else.
    pub(crate) async fn supervise(
        parts: Parts,
        commands: mpsc::Receiver<Box<Command>>,
        stop: CancellationToken,
    ) {
        let (session, listener) = (parts.session, Arc::clone(&parts.listener));
        let mut task = JoinSet::new();
        task.spawn(Box::new(Self::new(parts, commands, stop)).run());
        if let Some(Err(error)) = task.join_next().await
            && error.is_panic()
        {
            tracing::error!(session.id = %session, "the bridge of session {session} panicked");
            let reason = "a fault in the studio ended the session's bridge".to_owned();
            listener.told(session, &Told::Failed(reason));
        }
    }

    fn new(parts: Parts, commands: mpsc::Receiver<Box<Command>>, stop: CancellationToken) -> Self {
        let Parts { session, writer, clock, listener, settings } = parts;
        Self {
            session,
            settings,
            log: Log::new(session, writer, clock, listener),
            // Names no process: every launch and attach brings its own.
            talk: Talk::new(RunId::from_bytes([0; 16])),
            agent: None,
            doing: Doing::default(),
            interrupt: None,
            remembers: false,
            commands,
            stop,
        }
    }

    async fn run(mut self: Box<Self>) {
        loop {
            let happening = self.next().await;
            let stop = self.stop.clone();
            // Boxed, so that an idle session does not pay for what it does not do.
            let mut work = Box::pin(self.work(happening));
            let go = tokio::select! {
                biased;
                go = &mut work => go,
                // Left half done it is as after a crash, and the next server goes on from there.
                () = stop.cancelled() => timeout(STOP_PATIENCE, &mut work).await.unwrap_or(Go::Home),
            };
            drop(work);
            if stop.is_cancelled() {
                return;
            }
            if go == Go::Home || self.meets_its_fate() {
                return;
            }
            self.settle();
        }
    }

    async fn work(&mut self, happening: Happening) -> Go {
        match happening {
            Happening::Stop | Happening::Command(None) => return Go::Home,
            Happening::Command(Some(command)) => return self.obey(*command).await,
            Happening::Lines(lines) => self.read(lines).await,
            Happening::Done(run, done) => self.done(run, done).await,
            Happening::Timer => self.timer().await,
        }
        Go::On
    }

    /// Waits for what happens next. Dropping it half-way loses nothing.
    async fn next(&mut self) -> Happening {
        let due = self.next_timer();
        let timer = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let may_read = !self.log.is_stuck();
        let interrupted = self.interrupt.is_some();
        let lines = match &mut self.agent {
            Some(agent) if may_read && (interrupted || !agent.is_answering()) => {
                match &mut agent.stage {
                    Stage::Reading(lines) => Some(lines),
                    Stage::Starting(_) | Stage::Linking | Stage::Lost(_) | Stage::Ending => None,
                }
            }
            Some(_) | None => None,
        };
        tokio::select! {
            () = self.stop.cancelled() => Happening::Stop,
            command = self.commands.recv() => Happening::Command(command),
            lines = ready_lines(lines) => Happening::Lines(lines),
            Some((run, done)) = self.doing.next() => Happening::Done(run, done),
            () = timer => Happening::Timer,
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let agent = self.agent.as_ref();
        let link = agent.and_then(|agent| match agent.stage {
            Stage::Lost(due) => Some(due),
            Stage::Starting(_) | Stage::Linking | Stage::Reading(_) | Stage::Ending => None,
        });
        let write = agent.and_then(|agent| agent.write_at);
        let interrupt = self.interrupt.as_ref().and_then(Interrupt::due);
        let words = self.log.release_at();
        [self.log.retry_at(), words, link, write, interrupt].into_iter().flatten().min()
    }

    async fn timer(&mut self) {
        let now = Instant::now();
        if self.log.retry_at().is_some_and(|due| due <= now) {
            self.log.flush().await;
        }
        if self.log.release_at().is_some_and(|due| due <= now) {
            self.log.release().await;
        }
        if let Some(agent) = &mut self.agent {
            if matches!(agent.stage, Stage::Lost(due) if due <= now) {
                agent.stage = Stage::Linking;
                let (sandbox, process) = (Arc::clone(&agent.sandbox), agent.process.clone());
                self.doing.link(sandbox, process, agent.read_at, true);
            }
            if agent.write_at.is_some_and(|due| due <= now) {
                agent.write_at = None;
            }
        }
        self.interrupt_is_due(now);
    }

    /// What follows from whatever has changed.
    fn settle(&mut self) {
        for late in self.log.take_late() {
            match late {
                Then::Nothing => {}
                Then::Said { id, text } => self.said(id, text),
            }
        }
        self.look_at_interrupt();
        self.pump();
    }

    /// Whether the stream belongs to somebody else now, and then tells so.
    fn meets_its_fate(&self) -> bool {
        let told = match self.log.fate() {
            None => return false,
            Some(Fate::Fenced) => Told::Fenced,
            Some(Fate::Broken(source)) => {
                let session = self.session;
                tracing::error!(
                    session.id = %session,
                    error = &**source as &dyn std::error::Error,
                    "the stream of session {session} takes no more events"
                );
                Told::Failed(source.to_string())
            }
        };
        self.log.tell(&told);
        true
    }

    async fn obey(&mut self, command: Command) -> Go {
        // What was heard before stands before it, and whoever asks how it stands sees it.
        self.log.release().await;
        // A caller that went away does not need its answer: every send below may fail for that.
        match command {
            Command::Record { records, reply } => {
                reply.send(self.log.write(records.into(), Then::Nothing).await).ok();
            }
            Command::Launch { agent, reply } => self.launch(&agent, reply).await,
            Command::Attach { agent, run, reply } => {
                reply.send(self.attach(&agent, run).await).ok();
            }
            Command::OpenRun { reply } => {
                reply.send(self.open_run().await).ok();
            }
            Command::Say { text, sender, reply } => {
                reply.send(self.say(text, sender).await).ok();
            }
            Command::Deliver { id, text, reply } => {
                reply.send(self.deliver(id, text).await).ok();
            }
            Command::SayHeld { reply } => {
                reply.send(self.say_held().await).ok();
            }
            Command::Answer { gate, answer, recorded, reply } => {
                self.answer(gate, answer, *recorded, reply).await;
            }
            Command::Interrupt { reply } => self.begin_interrupt(reply).await,
            Command::Queue { reply } => {
                let queue = self.remember().await.map(|()| self.talk.queue());
                reply.send(queue).ok();
            }
            Command::DropMessage { id, reply } => {
                reply.send(self.drop_message(id).await).ok();
            }
            Command::State { reply } => {
                reply.send(Ok(self.state())).ok();
            }
            Command::Finish { last, reply } => {
                let result = self.finish(last).await;
                reply.send(result).ok();
                return Go::Home;
            }
            Command::Detach { reply } => {
                reply.send(Ok(())).ok();
                return Go::Home;
            }
        }
        Go::On
    }

    fn state(&self) -> BridgeState {
        BridgeState {
            activity: self.talk.activity(),
            run: self.agent.as_ref().map(Agent::run),
            conversation: self.talk.conversation.clone(),
            degraded: self.log.trouble().map(ToString::to_string),
        }
    }

    /// Records what was read, then tells it.
    async fn read(&mut self, read: Lines) {
        let mut draft = Draft::default();
        self.hear(read.lines, &mut draft);
        let mark = self.mark(&mut draft);
        self.log.put(draft, mark).await;
        self.lost_needs_stop();
        let Some(agent) = &mut self.agent else { return };
        match read.then {
            After::More => {}
            After::End => {
                agent.stage = Stage::Ending;
                self.doing.end(agent.process.clone());
            }
            After::Lost(error) => self.link_lost(error).await,
        }
    }

    pub(crate) fn hear(&mut self, lines: Vec<studio_sandbox::JournalLine>, draft: &mut Draft) {
        let Some(agent) = &mut self.agent else { return };
        for line in lines {
            agent.link_is_good();
            agent.read_at = line.at;
            for mut note in self.talk.hear(agent.codec.read_line(&line.data)) {
                if let (Note::Event(_, event), Some(patience)) =
                    (&mut note, self.settings.ask_patience)
                {
                    set_deadline(event, self.log.now(), patience);
                }
                draft.note(note);
            }
        }
    }

    /// The mark for a batch that ends where the journal was read to. A journal that says nothing
    /// gets an entry of its own now and then.
    pub(crate) fn mark(&mut self, draft: &mut Draft) -> Option<JournalMark> {
        let agent = self.agent.as_mut()?;
        if !draft.has_entries() {
            if agent.read_at - agent.marked_at < UNMARKED_BYTES_MAX {
                return None;
            }
            draft.internal(InternalEvent::Recorded);
        }
        agent.marked_at = agent.read_at;
        Some(JournalMark { run: agent.run(), at: agent.read_at })
    }

    pub(crate) async fn link_lost(&mut self, error: SandboxError) {
        let Some(agent) = &mut self.agent else { return };
        tracing::warn!(
            session.id = %self.session,
            run.id = %agent.run(),
            error = &error as &dyn std::error::Error,
            "the link to the agent of session {} is lost",
            self.session
        );
        if matches!(error, SandboxError::Gone { .. }) {
            self.ended(None, "").await;
        } else {
            agent.lose_link();
        }
    }

    pub(crate) async fn put(&mut self, notes: Vec<Note>) {
        self.log.put(notes.into(), None).await;
    }
}

/// Until when an answer to what the agent asks is taken; what it says itself stays.
fn set_deadline(event: &mut EngineEvent, now: Timestamp, patience: Duration) {
    if let EngineEvent::AskUserQuestion { deadline, .. }
    | EngineEvent::PermissionRequest { deadline, .. } = event
    {
        let millis = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        let until = now.unix_millis().saturating_add(millis);
        deadline.get_or_insert(Timestamp::from_unix_millis(until));
    }
}

/// The lines that are there, once there is at least one. Never ready without a link.
async fn ready_lines(lines: Option<&mut JournalLines>) -> Lines {
    let Some(lines) = lines else { return std::future::pending().await };
    let mut read = Lines { lines: Vec::new(), then: After::More };
    let mut next = lines.next().await;
    let mut bytes = 0;
    loop {
        match next {
            Ok(Some(line)) => {
                bytes += line.data.len();
                read.lines.push(line);
            }
            Ok(None) => {
                read.then = After::End;
                return read;
            }
            Err(error) => {
                read.then = After::Lost(error);
                return read;
            }
        }
        if BATCH_LINES_MAX <= read.lines.len() || BATCH_BYTES_MAX <= bytes {
            return read;
        }
        // What waits already is taken along; nothing is waited for.
        next = tokio::select! {
            biased;
            next = lines.next() => next,
            () = std::future::ready(()) => return read,
        };
    }
}

/// How long reading out a stopped process may take.
pub(crate) const DRAIN_PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_owner_is_small() {
        fn bytes<F: Future>(_run: impl Fn(Box<Owner>) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = bytes(Owner::run) + size_of::<Owner>();
        assert!(bytes <= 2_048, "{bytes} bytes");
    }
}
