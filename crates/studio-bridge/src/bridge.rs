use std::time::Duration;

use studio_agent_codec::Answer;
use studio_events::EngineEvent;
use studio_ids::{GateId, MessageId, RunId, SessionId};
use studio_streams::Offset;
use tokio::sync::{
    mpsc::{self, error::SendTimeoutError},
    oneshot,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    AgentParts, AnswerRecord, Attached, BridgeError, BridgeState, Parts, Record, Waiting,
    owner::{Command, Owner, Reply},
};

/// Commands that may wait for a bridge; the next caller waits its turn.
pub const COMMANDS_WAITING_MAX: usize = 64;
/// Messages that may wait for an agent; the next one is refused. A room that loops ends here.
pub const MESSAGES_WAITING_MAX: usize = 64;

/// How long a command waits for its turn in line.
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);

/// The handle of the one owner of a session's stream and agent process. Commands are obeyed in
/// the order in which they came. A command whose caller goes away is carried out all the same. When
/// the last handle is dropped, the owner detaches.
#[derive(Clone, Debug)]
pub struct Bridge {
    session: SessionId,
    commands: mpsc::Sender<Box<Command>>,
}

impl Bridge {
    /// Starts the owner's task on `tasks`. When `stop` is cancelled it detaches.
    ///
    /// Must be called within a tokio runtime.
    pub fn start(parts: Parts, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let (commands, received) = mpsc::channel(COMMANDS_WAITING_MAX);
        let session = parts.session;
        tasks.spawn(Owner::supervise(parts, received, stop));
        Self { session, commands }
    }

    /// Whose it is.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Whether it takes no more commands.
    pub fn is_ended(&self) -> bool {
        self.commands.is_closed()
    }

    /// Appends events of the studio's own as one batch, durable on return. The offset is that
    /// after the batch.
    pub async fn record(&self, events: Vec<EngineEvent>) -> Result<Offset, BridgeError> {
        self.record_all(events.into_iter().map(Record::Server).collect()).await
    }

    /// Appends entries of any kind as one batch, durable on return.
    pub async fn record_all(&self, records: Vec<Record>) -> Result<Offset, BridgeError> {
        self.ask(|reply| Command::Record { records, reply }).await
    }

    /// Starts an agent process as a new run. `run_started` is recorded first.
    ///
    /// Errors: [`BridgeError::AlreadyRunning`]; [`BridgeError::Sandbox`] when it could not be
    /// started, and then a log line and `agent_exit` say so in the stream.
    pub async fn launch(&self, agent: AgentParts) -> Result<RunId, BridgeError> {
        self.ask(|reply| Command::Launch { agent: Box::new(agent), reply }).await
    }

    /// Finds a run of an earlier server again and goes on recording where that one stopped.
    /// What was said and not heard is delivered.
    ///
    /// Errors: [`BridgeError::AlreadyRunning`]; [`BridgeError::Read`]; [`BridgeError::Sandbox`]
    /// when the sandbox does not answer: nothing was recorded, try again later.
    pub async fn attach(&self, agent: AgentParts, run: RunId) -> Result<Attached, BridgeError> {
        self.ask(|reply| Command::Attach { agent: Box::new(agent), run, reply }).await
    }

    /// The last run in the session's stream whose end is not recorded: what to attach to.
    pub async fn open_run(&self) -> Result<Option<RunId>, BridgeError> {
        self.ask(|reply| Command::OpenRun { reply }).await
    }

    /// Says something to the agent. Returns when it is recorded; it is delivered at once, after
    /// what is held. A busy agent reads it after the next tool result or as its next turn.
    ///
    /// Errors: [`BridgeError::NoAgent`] and [`BridgeError::QueueFull`] before anything is
    /// recorded.
    pub async fn say(
        &self,
        text: String,
        sender: Option<String>,
    ) -> Result<MessageId, BridgeError> {
        self.ask(|reply| Command::Say { text, sender, reply }).await
    }

    /// As [`Self::say`] for words whose `user_prompt` the flow has recorded before in its own way
    /// (a session's first prompt): nothing is recorded here but what becomes of the message. The
    /// caller chooses the id; saying the same id again to the same run reaches the agent once.
    ///
    /// Errors: as [`Self::say`], and [`BridgeError::Undelivered`].
    pub async fn deliver(&self, id: MessageId, text: String) -> Result<(), BridgeError> {
        self.ask(|reply| Command::Deliver { id, text, reply }).await
    }

    /// Delivers what is held without anything new; how many messages that were.
    pub async fn say_held(&self) -> Result<usize, BridgeError> {
        self.ask(|reply| Command::SayHeld { reply }).await
    }

    /// Answers what the agent asked: records the response, delivers it, records the resolution.
    /// Success means that the agent's process took it.
    ///
    /// Errors: [`BridgeError::NotAsked`]; [`BridgeError::Undelivered`]: the ask is still open
    /// and the same answer may be given again, it reaches the agent once.
    pub async fn answer(
        &self,
        gate: GateId,
        answer: Answer,
        recorded: AnswerRecord,
    ) -> Result<(), BridgeError> {
        self.ask(|reply| Command::Answer { gate, answer, recorded: Box::new(recorded), reply })
            .await
    }

    /// Ends the running turn; success when there is none. Open asks are rejected, what is queued
    /// is held. Politely first; a process that does not obey is stopped, and then has to be
    /// launched with `resume` before the next say.
    pub async fn interrupt(&self) -> Result<(), BridgeError> {
        self.ask(|reply| Command::Interrupt { reply }).await
    }

    /// The messages that wait for the agent, in order.
    pub async fn queue(&self) -> Result<Vec<Waiting>, BridgeError> {
        self.ask(|reply| Command::Queue { reply }).await
    }

    /// Drops a message that waits, for good: no agent hears it any more. Recorded as `cancelled`.
    ///
    /// Errors: [`BridgeError::NotWaiting`]; [`BridgeError::HandedOver`] while the process has it
    /// and may read it at any moment.
    pub async fn drop_message(&self, id: MessageId) -> Result<(), BridgeError> {
        self.ask(|reply| Command::DropMessage { id, reply }).await
    }

    /// How it stands. Answered after everything that was asked before.
    pub async fn state(&self) -> Result<BridgeState, BridgeError> {
        self.ask(|reply| Command::State { reply }).await
    }

    /// Ends the agent's process for good, records `last`, ends the bridge.
    ///
    /// Errors: [`BridgeError::Sandbox`] when the process is not known to be stopped: `last` is
    /// recorded and the bridge ends all the same.
    pub async fn finish(&self, last: Vec<EngineEvent>) -> Result<(), BridgeError> {
        self.ask(|reply| Command::Finish { last, reply }).await
    }

    /// Ends the bridge and gives the writer up; the agent goes on.
    pub async fn detach(&self) {
        // A bridge that has ended already has nothing to detach from.
        self.ask(|reply| Command::Detach { reply }).await.ok();
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, BridgeError> {
        let (reply, answer) = oneshot::channel();
        let ended = BridgeError::Ended(self.session);
        match self.commands.send_timeout(Box::new(command(reply)), COMMAND_PATIENCE).await {
            Ok(()) => {}
            Err(SendTimeoutError::Closed(_)) => return Err(ended),
            Err(SendTimeoutError::Timeout(_)) => return Err(BridgeError::Busy(self.session)),
        }
        answer.await.unwrap_or(Err(ended))
    }
}
