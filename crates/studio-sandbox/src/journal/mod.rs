//! A process that outlives the studio: [`JournaledProcess`] starts, feeds, watches and stops it;
//! [`JournalLines`] reads what it says from any byte on. The scripts beside this file are the
//! part that runs inside; `README.md` of this crate draws the directory they share.

mod lines;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use studio_ids::RunId;

pub use lines::{JournalLine, JournalLines, LINE_BYTES_MAX};

use crate::{Command, ExecOutput, Exit, Output, Sandbox, SandboxError};

/// How long a script that only looks or makes files may take.
const SCRIPT_PATIENCE: Duration = Duration::from_secs(20);
/// How long a process may take from its start until its program runs.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How long a running agent may leave its input unread before a write is called timed out.
pub const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// How long the group of a killed process may take to be gone, the patience of `stop` not counted.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// Longest id of an input, in bytes: it becomes a file name.
const INPUT_ID_BYTES_MAX: usize = 100;
/// The variable that everything an agent starts inherits; holds the run's id.
pub const RUN_MARKER: &str = "STUDIO_RUN";

/// Shell functions that the other scripts begin with.
macro_rules! script {
    ($($name:literal),+) => {
        concat!(include_str!("common.sh"), $(include_str!($name)),+)
    };
}

const PREPARE: &str = script!("prepare.sh");
const WRAP: &str = script!("wrap.sh");
const AWAIT_START: &str = script!("await-start.sh");
const STATE: &str = script!("state.sh");
const FOLLOW: &str = script!("follow.sh");
const WRITE: &str = script!("write.sh");
const SIGNAL: &str = script!("signal.sh");
const STOP: &str = script!("scan.sh", "stop.sh");
const KILL_CHILDREN: &str = script!("scan.sh", "kill-children.sh");
const STDERR_TAIL: &str = script!("stderr-tail.sh");
const RULE_OUT: &str = script!("rule-out.sh");
const REMOVE: &str = script!("remove.sh");

/// What is known of a journaled process now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalState {
    /// It was never started here, or its files were removed.
    Absent,
    /// It runs.
    Running,
    /// It ended. [`Exit::Unknown`] when it is gone without having said how: the sandbox was
    /// stopped, or everything was killed at once.
    Ended(Exit),
}

/// What can be sent to a process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Interrupt, as Ctrl-C does.
    Int,
    /// A polite end.
    Term,
    /// An end that cannot be refused.
    Kill,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Int => "INT",
            Self::Term => "TERM",
            Self::Kill => "KILL",
        }
    }
}

/// One run of a program that goes on when the studio stops, crashes or loses its link.
///
/// All its state lies in the sandbox, below `<home>/.studio/runs/<run>/`; this is only a handle,
/// and any number of them may exist.
#[derive(Clone)]
pub struct JournaledProcess {
    sandbox: Arc<dyn Sandbox>,
    run: RunId,
}

impl std::fmt::Debug for JournaledProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournaledProcess")
            .field("sandbox", self.sandbox.reference())
            .field("run", &self.run)
            .finish()
    }
}

impl JournaledProcess {
    /// The handle of `run` in `sandbox`, started or not. Asks nothing.
    pub fn of(sandbox: Arc<dyn Sandbox>, run: RunId) -> Self {
        Self { sandbox, run }
    }

    /// Which run it is.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The directory inside that holds everything of this run.
    fn dir(&self) -> String {
        format!("{}/.studio/runs/{}", self.sandbox.home().as_str().trim_end_matches('/'), self.run)
    }

    /// Starts `command` in a session and process group of its own, its input held open, its
    /// output kept in files. Returns when the program really runs, or ran already to its end.
    ///
    /// The environment travels as process environment only: it is in no file and no argument.
    ///
    /// Errors: [`SandboxError::NotStarted`] when the program or the directory is not there or
    /// cannot be executed, and then the run is absent again; [`SandboxError::Exists`] when the
    /// run was started before, whatever became of it.
    pub async fn start(&self, command: Command) -> Result<(), SandboxError> {
        let program = command.program().to_owned();
        if program.is_empty() {
            let reason = "no program was named".to_owned();
            return Err(SandboxError::NotStarted { program, reason });
        }
        let prepared = self.ask(PREPARE, [self.dir()], Bytes::new(), SCRIPT_PATIENCE).await?;
        if prepared.exit == Exit::Code(EXISTS) {
            return Err(self.exists());
        }
        prepared.success("preparing a run")?;

        // Tells this start from another one of the same run that happens at the same time.
        let nonce = RunId::random().to_string();
        let cwd = command.cwd.clone().unwrap_or_else(|| self.sandbox.home());
        let mut words =
            vec![self.dir(), nonce.clone(), self.run.to_string(), cwd.as_str().to_owned()];
        words.extend(command.argv);
        let mut wrapper = Command::script(WRAP, words);
        wrapper.env = command.env;
        self.sandbox.spawn_detached(wrapper).await?;

        let words = [self.dir(), nonce, centiseconds(START_PATIENCE)];
        let patience = START_PATIENCE + SCRIPT_PATIENCE;
        let started = self.ask(AWAIT_START, words, Bytes::new(), patience).await?;
        match started.exit {
            Exit::Code(EXISTS) => Err(self.exists()),
            Exit::Code(NOT_STARTED) => {
                Err(SandboxError::NotStarted { program, reason: started.text() })
            }
            Exit::Code(LATE) => Err(SandboxError::TimedOut {
                tried: format!("starting {program} in the sandbox"),
                limit: START_PATIENCE,
            }),
            Exit::Code(_) | Exit::Unknown => started.success("starting a run").map(drop),
        }
    }

    /// What is known of it now. Not fooled by a process id that was given to another process.
    pub async fn state(&self) -> Result<JournalState, SandboxError> {
        self.told_state(STATE, "asking for a run's state").await
    }

    /// Sees to it that a run which was not started never is, by whoever is about to: their
    /// [`Self::start`] fails with [`SandboxError::Exists`]. Tells what it was: after
    /// [`JournalState::Absent`] it counts as ended, and otherwise nothing is changed.
    pub async fn rule_out(&self) -> Result<JournalState, SandboxError> {
        self.told_state(RULE_OUT, "ruling a run out").await
    }

    async fn told_state(
        &self,
        script: &'static str,
        tried: &'static str,
    ) -> Result<JournalState, SandboxError> {
        let words = [self.dir()];
        let said = self.ask(script, words, Bytes::new(), SCRIPT_PATIENCE).await?;
        let said = said.success(tried)?.text();
        match said.as_str() {
            "absent" => Ok(JournalState::Absent),
            "running" => Ok(JournalState::Running),
            ended => match ended.strip_prefix("ended ") {
                Some(code) => Ok(JournalState::Ended(read_exit(code))),
                None => Err(unreadable("a run's state", &said)),
            },
        }
    }

    /// The lines of its stdout from byte offset `from` on, then live, until it ended and all was
    /// read. Any number of readers may follow at once.
    pub async fn lines(&self, from: u64) -> Result<JournalLines, SandboxError> {
        let words = [self.dir(), from.saturating_add(1).to_string()];
        let process = self.sandbox.spawn(Command::script(FOLLOW, words)).await?;
        Ok(JournalLines::new(process, from, self.run))
    }

    /// Writes `input` (whole lines) to its stdin: whole or not at all, and once per `id`. A
    /// second write with the same id succeeds and writes nothing. Inputs arrive in the order in
    /// which their writes were called one after another.
    ///
    /// Success means that the process was handed the bytes, not that it acted on them. Errors:
    /// [`SandboxError::TimedOut`] when it did not read for [`WRITE_PATIENCE`]: the input waits
    /// in line and may still arrive, and the same id asks again without doubling it;
    /// [`SandboxError::Failed`] when the process ended or was never started.
    pub async fn write(&self, id: &str, input: Bytes) -> Result<(), SandboxError> {
        self.write_within(id, input, WRITE_PATIENCE).await
    }

    /// [`JournaledProcess::write`] with another patience.
    pub async fn write_within(
        &self,
        id: &str,
        input: Bytes,
        patience: Duration,
    ) -> Result<(), SandboxError> {
        let visible = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if id.is_empty() || INPUT_ID_BYTES_MAX < id.len() || !visible {
            let reason =
                format!("an input's id has 1 to {INPUT_ID_BYTES_MAX} letters, digits, `-` or `_`");
            return Err(SandboxError::File { path: id.escape_debug().to_string(), reason });
        }
        let words = [self.dir(), id.to_owned(), input.len().to_string(), centiseconds(patience)];
        let written = self.ask(WRITE, words, input, patience + SCRIPT_PATIENCE).await?;
        if written.exit == Exit::Code(LATE) {
            let tried = "handing input to a process that does not read it".to_owned();
            return Err(SandboxError::TimedOut { tried, limit: patience });
        }
        written.success("writing to a run").map(drop)
    }

    /// Sends `signal` to its whole group. Success too when it ended already.
    pub async fn signal(&self, signal: Signal) -> Result<(), SandboxError> {
        let words = [self.dir(), signal.name().to_owned()];
        let sent = self.ask(SIGNAL, words, Bytes::new(), SCRIPT_PATIENCE).await?;
        sent.success("signalling a run").map(drop)
    }

    /// Stops it: INT, then TERM, then KILL, each after `patience`. When this returns, nothing
    /// that the run started is left: not its group, not its session, not its descendants, not
    /// what made a session of its own but carries the run's marker in its environment (as far as
    /// the sandbox lets us see it). Tells how the process ended.
    pub async fn stop(&self, patience: Duration) -> Result<Exit, SandboxError> {
        let words =
            [self.dir(), self.run.to_string(), centiseconds(patience), centiseconds(KILL_PATIENCE)];
        let limit = patience * 3 + KILL_PATIENCE + SCRIPT_PATIENCE;
        let stopped = self.ask(STOP, words, Bytes::new(), limit).await?;
        let stopped = stopped.success("stopping a run")?;
        Ok(read_exit(&stopped.text()))
    }

    /// Kills what the process started and leaves the process itself alone: for an interrupt
    /// that must leave no tool running. TERM first, KILL after a moment, until none is left.
    pub async fn kill_children(&self) -> Result<(), SandboxError> {
        let words = [self.dir(), self.run.to_string(), centiseconds(KILL_PATIENCE)];
        let limit = KILL_PATIENCE + SCRIPT_PATIENCE;
        let killed = self.ask(KILL_CHILDREN, words, Bytes::new(), limit).await?;
        killed.success("killing what a run started").map(drop)
    }

    /// The last `bytes_max` bytes of its stderr, what is not UTF-8 replaced. Empty when it never
    /// ran.
    pub async fn stderr_tail(&self, bytes_max: usize) -> Result<String, SandboxError> {
        let output = Output { bytes_max, deadline: SCRIPT_PATIENCE };
        let command = Command::script(STDERR_TAIL, [self.dir(), bytes_max.to_string()]);
        let said = self.sandbox.exec(command, Bytes::new(), output).await?;
        let said = said.success("reading a run's errors")?;
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }

    /// Removes the run's files. Refused with [`SandboxError::Failed`] while it runs; success when
    /// there is nothing.
    pub async fn remove(&self) -> Result<(), SandboxError> {
        let removed = self.ask(REMOVE, [self.dir()], Bytes::new(), SCRIPT_PATIENCE).await?;
        removed.success("removing a run").map(drop)
    }

    async fn ask<const N: usize>(
        &self,
        script: &'static str,
        words: [String; N],
        input: Bytes,
        deadline: Duration,
    ) -> Result<ExecOutput, SandboxError> {
        let output = Output { bytes_max: 64 * 1024, deadline };
        self.sandbox.exec(Command::script(script, words), input, output).await
    }

    fn exists(&self) -> SandboxError {
        SandboxError::Exists { id: format!("run {}", self.run) }
    }
}

/// Exit codes of the scripts, beside 0 and the shell's own.
const EXISTS: i32 = 71;
const NOT_STARTED: i32 = 72;
const LATE: i32 = 73;

fn centiseconds(duration: Duration) -> String {
    (duration.as_millis() / 10).to_string()
}

fn read_exit(code: &str) -> Exit {
    code.trim().parse().map_or(Exit::Unknown, Exit::Code)
}

fn unreadable(what: &str, said: &str) -> SandboxError {
    let shown: String = said.chars().take(200).collect();
    SandboxError::Vendor {
        tried: format!("reading {what}"),
        source: format!("the script in the sandbox said {shown:?}").into(),
    }
}
