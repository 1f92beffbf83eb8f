//! The agent process as its owner sees it, and the things done to it that take time. These run
//! beside the owner, so that it stays ready to listen; each reports back with the run it was
//! done for, and what is reported of another run is nobody's business.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use studio_agent_codec::{AgentCodec, Answer};
use studio_events::EngineEvent;
use studio_ids::{GateId, MessageId, RunId};
use studio_sandbox::{
    Command, Exit, JournalLine, JournalLines, JournalState, JournaledProcess, Sandbox,
    SandboxError, SandboxState,
};
use tokio::{task::JoinSet, time::Instant};

use crate::{AgentParts, Attached, owner::Reply};

/// First and longest wait before a lost link or a failed write is tried again.
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// Most of the agent's stderr that is read when it ended badly, in bytes.
const STDERR_BYTES_MAX: usize = 4_000;

/// Something on its way to the process's stdin.
pub(crate) enum Outgoing {
    Say(MessageId),
    Answer(Box<OutgoingAnswer>),
    Control { id: String, line: Bytes },
}

pub(crate) struct OutgoingAnswer {
    pub(crate) gate: GateId,
    pub(crate) answer: Answer,
    pub(crate) resolved: EngineEvent,
    pub(crate) reply: Reply<()>,
    pub(crate) attempts: u32,
}

/// What became of something done beside the owner.
pub(crate) enum Done {
    Started(Result<(), SandboxError>),
    Linked(Result<Link, SandboxError>),
    Written(Result<(), SandboxError>),
    /// How the process ended, and the end of its stderr.
    Ended(Result<(JournalState, String), SandboxError>),
    ChildrenKilled(Result<(), SandboxError>),
    Stopped(Result<Exit, SandboxError>),
}

/// A link to a journal.
pub(crate) enum Link {
    Lines(JournalLines),
    /// There is no such process (any more).
    Absent,
}

/// Where the process stands.
pub(crate) enum Stage {
    Starting(Reply<RunId>),
    /// A link to its journal is being made.
    Linking,
    Reading(JournalLines),
    /// No link; the next try is due at this time.
    Lost(Instant),
    /// Everything was read; how it ended is being asked.
    Ending,
}

/// One run.
pub(crate) struct Agent {
    pub(crate) sandbox: Arc<dyn Sandbox>,
    pub(crate) process: JournaledProcess,
    pub(crate) codec: Box<dyn AgentCodec>,
    pub(crate) stage: Stage,
    /// Bytes of the journal that the codec has read.
    pub(crate) read_at: u64,
    /// Bytes of the journal that are recorded, or stand in line to be.
    pub(crate) marked_at: u64,
    pub(crate) outgoing: VecDeque<Outgoing>,
    /// What is being written now.
    pub(crate) writing: Option<Outgoing>,
    /// When a failed write is tried again.
    pub(crate) write_at: Option<Instant>,
    /// Signals were sent because its conversation is lost.
    pub(crate) is_stopped: bool,
    /// Signals were sent because it did not obey an interrupt.
    pub(crate) is_interrupted: bool,
    write_back_off: Duration,
    link_back_off: Duration,
}

impl Agent {
    pub(crate) fn new(process: JournaledProcess, parts: &AgentParts, stage: Stage) -> Self {
        Self {
            sandbox: Arc::clone(&parts.sandbox),
            process,
            codec: (parts.codec)(),
            stage,
            read_at: 0,
            marked_at: 0,
            outgoing: VecDeque::new(),
            writing: None,
            write_at: None,
            is_stopped: false,
            is_interrupted: false,
            write_back_off: BACK_OFF_FIRST,
            link_back_off: BACK_OFF_FIRST,
        }
    }

    pub(crate) fn run(&self) -> RunId {
        self.process.run()
    }

    /// What is known of the process, a stopped sandbox being woken for that.
    pub(crate) fn look(
        &self,
    ) -> impl Future<Output = Result<JournalState, SandboxError>> + Send + use<> {
        let (sandbox, process) = (Arc::clone(&self.sandbox), self.process.clone());
        async move { look(&*sandbox, &process).await }
    }

    /// Whether an answer is on its way: what the agent says to it is read after it was recorded.
    pub(crate) fn is_answering(&self) -> bool {
        matches!(self.writing, Some(Outgoing::Answer(_)))
    }

    /// A line came: the link is good.
    pub(crate) fn link_is_good(&mut self) {
        self.link_back_off = BACK_OFF_FIRST;
    }

    pub(crate) fn lose_link(&mut self) {
        self.stage = Stage::Lost(Instant::now() + self.link_back_off);
        self.link_back_off = (self.link_back_off * 2).min(BACK_OFF_MAX);
    }

    pub(crate) fn write_was_good(&mut self) {
        (self.write_at, self.write_back_off) = (None, BACK_OFF_FIRST);
    }

    /// Puts a failed write back in front.
    pub(crate) fn write_again(&mut self, outgoing: Outgoing) {
        self.outgoing.push_front(outgoing);
        self.write_at = Some(Instant::now() + self.write_back_off);
        self.write_back_off = (self.write_back_off * 2).min(BACK_OFF_MAX);
    }
}

/// The things done beside the owner. Dropped with it.
#[derive(Default)]
pub(crate) struct Doing(JoinSet<(RunId, Done)>);

impl Doing {
    /// The next that is done; `None` while nothing is being done. A panic in one of them is the
    /// owner's own.
    pub(crate) async fn next(&mut self) -> Option<(RunId, Done)> {
        match self.0.join_next().await? {
            Ok(done) => Some(done),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_aborted) => None,
            },
        }
    }

    pub(crate) fn abort(&mut self) {
        self.0.abort_all();
    }

    /// Starts the program. Where it is not known whether it started, it is stopped.
    pub(crate) fn start(
        &mut self,
        process: JournaledProcess,
        command: Command,
        signal_patience: Duration,
    ) {
        self.0.spawn(async move {
            let started = process.start(command).await;
            let unclear = !matches!(
                started,
                Ok(())
                    | Err(SandboxError::NotStarted { .. }
                        | SandboxError::Exists { .. }
                        | SandboxError::Gone { .. })
            );
            if unclear && let Err(error) = process.stop(signal_patience).await {
                tracing::warn!(
                    run.id = %process.run(),
                    error = &error as &dyn std::error::Error,
                    "run {} did not start and may not be stopped",
                    process.run()
                );
            }
            (process.run(), Done::Started(started))
        });
    }

    /// Makes a link to a journal. `check`: the run may be gone with its files.
    pub(crate) fn link(
        &mut self,
        sandbox: Arc<dyn Sandbox>,
        process: JournaledProcess,
        from: u64,
        check: bool,
    ) {
        self.0.spawn(async move {
            let linked = async {
                if check && look(&*sandbox, &process).await? == JournalState::Absent {
                    return Ok(Link::Absent);
                }
                process.lines(from).await.map(Link::Lines)
            };
            let linked = linked.await;
            (process.run(), Done::Linked(linked))
        });
    }

    pub(crate) fn write(&mut self, process: JournaledProcess, id: String, input: Bytes) {
        self.0.spawn(async move {
            let written = process.write(&id, input).await;
            (process.run(), Done::Written(written))
        });
    }

    /// Asks how a process ended.
    pub(crate) fn end(&mut self, process: JournaledProcess) {
        self.0.spawn(async move {
            let ended = async {
                let state = process.state().await?;
                // Its words only help to explain; the end is known without them.
                let stderr = process.stderr_tail(STDERR_BYTES_MAX).await.unwrap_or_default();
                Ok((state, stderr))
            };
            let ended = ended.await;
            (process.run(), Done::Ended(ended))
        });
    }

    pub(crate) fn kill_children(&mut self, process: JournaledProcess) {
        self.0.spawn(async move {
            let killed = process.kill_children().await;
            (process.run(), Done::ChildrenKilled(killed))
        });
    }

    pub(crate) fn stop(&mut self, process: JournaledProcess, signal_patience: Duration) {
        self.0.spawn(async move {
            let stopped = process.stop(signal_patience).await;
            (process.run(), Done::Stopped(stopped))
        });
    }
}

/// What is known of a process. In a sandbox that was stopped from outside it is dead, but what it
/// left is there: the sandbox is woken to be read.
async fn look(
    sandbox: &dyn Sandbox,
    process: &JournaledProcess,
) -> Result<JournalState, SandboxError> {
    let error = match process.state().await {
        Ok(state) => return Ok(state),
        Err(error @ SandboxError::Gone { .. }) => return Err(error),
        Err(error) => error,
    };
    match sandbox.state().await {
        Ok(SandboxState::Stopped) => {
            sandbox.wake().await?;
            process.state().await
        }
        Ok(SandboxState::Running) => Err(error),
        Err(gone @ SandboxError::Gone { .. }) => Err(gone),
        Err(_as_unreachable_as_the_process) => Err(error),
    }
}

/// The command that starts an agent.
pub(crate) fn command(parts: &AgentParts) -> Command {
    let launch = (parts.codec)().launch(&parts.launch);
    let mut command = Command::new(launch.argv).in_dir(parts.cwd.clone());
    command.env = launch.env;
    command.env.extend(parts.env.clone());
    let secrets = parts.credentials.iter();
    command.env.extend(secrets.map(|(name, secret)| (name.clone(), secret.expose().to_owned())));
    command
}

/// The id of the write that brings an answer: the same for the same question, so that an answer
/// given again after a crash reaches the agent once. A digest, because an agent's ids may hold
/// what an input's id may not.
pub(crate) fn answer_write_id(gate: &GateId, request_id: &str) -> String {
    // FNV-1a, 128 bits: stable, and nobody gains by a collision among the agent's own ids.
    let bytes = gate.as_str().bytes().chain([0]).chain(request_id.bytes());
    let digest = bytes.fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |digest, byte| {
        (digest ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    format!("answer-{digest:032x}")
}

/// What [`crate::Bridge::attach`] says of a run whose end is recorded.
pub(crate) fn ended() -> Attached {
    Attached { alive: false, open_asks: Vec::new() }
}

/// Lines that came together.
pub(crate) struct Lines {
    pub(crate) lines: Vec<JournalLine>,
    /// What came after them.
    pub(crate) then: After,
}

pub(crate) enum After {
    More,
    End,
    Lost(SandboxError),
}
