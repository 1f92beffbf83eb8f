use std::{collections::VecDeque, pin::Pin, time::Duration};

use bollard::{
    container::LogOutput,
    errors::Error,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use studio_sandbox::{Command, ExecOutput, Exit, Output, OutputChunk, SandboxError};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::{
    container::{self, HOME},
    engine::{ASK_DEADLINE, Engine, Trouble, is_leaving, within},
};

/// Longest wait for a program to be running.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// Longest wait for a group of processes to be killed.
const KILL_DEADLINE: Duration = Duration::from_secs(10);
/// Output that may come before the word that the program runs: the two travel on different
/// streams. The engine hands the word over within moments; more than this means it never will.
const EARLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How often the engine is asked for an exit code that it does not have at once.
const EXIT_POLL: Duration = Duration::from_millis(10);

/// Says on stderr which process group this is, then becomes the program. Without that word the
/// program does not run, whatever else came; with it the group can be ended later, which the
/// engine itself has no call for. The first process of an exec leads a session of its own.
const LAUNCH: &str = r#"case $1 in
*/*) [ -f "$1" ] && [ -x "$1" ] ;;
*) command -v "$1" >/dev/null 2>&1 ;;
esac || { echo studio-missing >&2; exit 127; }
echo "studio-group $$" >&2
exec "$@""#;
const GROUP_WORD: &str = "studio-group ";
const MISSING_WORD: &str = "studio-missing";

/// Ends a process group and sees to it that nothing of it is left.
const KILL: &str = r#"kill -KILL "-$1" 2>/dev/null || exit 0
tries=0
while kill -0 "-$1" 2>/dev/null; do
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] || exit 1
  sleep 0.02 2>/dev/null || sleep 1
done"#;

type EngineOutput = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;
/// Where a program's stdin goes.
pub(crate) type EngineInput = Pin<Box<dyn AsyncWrite + Send>>;

/// A program inside and its pipes. Dropped before the program ended, it takes the program and
/// its process group along.
pub(crate) struct Link {
    pub(crate) input: Option<EngineInput>,
    output: EngineOutput,
    early: VecDeque<OutputChunk>,
    leash: Leash,
}

/// What it takes to end a program.
struct Leash {
    engine: Engine,
    container: String,
    exec: String,
    group: String,
    hold: Hold,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// The program may run.
    Runs,
    /// Its output ended. It is over, if the engine says so too.
    Silent,
    /// It is over.
    Over,
}

impl Drop for Leash {
    fn drop(&mut self) {
        if self.hold == Hold::Over {
            return;
        }
        let engine = self.engine.clone();
        let (container, exec) = (self.container.clone(), self.exec.clone());
        let (group, silent) = (self.group.clone(), self.hold == Hold::Silent);
        self.engine.spawn(async move {
            // After a link broke the engine's word on the exec is worth nothing, after it ended
            // properly it is, and spares a stranger that got the same number.
            let over = silent
                && matches!(within(ASK_DEADLINE, engine.docker.inspect_exec(&exec)).await,
                    Ok(state) if state.running == Some(false));
            if !over {
                kill(&engine, &container, &group).await;
            }
        });
    }
}

impl Link {
    /// The next piece of output; `None` at its end. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Result<Option<OutputChunk>, SandboxError> {
        if let Some(chunk) = self.early.pop_front() {
            return Ok(Some(chunk));
        }
        match self.output.next().await {
            Some(Ok(chunk)) => Ok(Some(from_engine(chunk))),
            None => {
                self.leash.hold = Hold::Silent;
                Ok(None)
            }
            Some(Err(error)) => {
                Err(Trouble::from(error).of("reading a program's output", &self.leash.container))
            }
        }
    }

    /// How the program ended, after its output did.
    pub(crate) async fn exit(&mut self) -> Result<Exit, SandboxError> {
        if self.leash.hold == Hold::Runs {
            // The output broke off: what the engine would say now is no evidence.
            return Ok(Exit::Unknown);
        }
        let Leash { engine, container, exec, .. } = &self.leash;
        let code = async {
            loop {
                let state = within(ASK_DEADLINE, engine.docker.inspect_exec(exec)).await?;
                if let (Some(false), Some(code)) = (state.running, state.exit_code) {
                    return Ok(code);
                }
                // The engine closes the stream a moment before it notes the exit code.
                tokio::time::sleep(EXIT_POLL).await;
            }
        };
        let exit = match tokio::time::timeout(ASK_DEADLINE, code).await {
            Ok(Ok(code)) => Ok(i32::try_from(code).map_or(Exit::Unknown, Exit::Code)),
            Ok(Err(Trouble::NotFound(_))) => Err(SandboxError::Gone { id: container.to_owned() }),
            Ok(Err(trouble)) => Err(trouble.of("asking for an exit code", container)),
            Err(_elapsed) => Ok(Exit::Unknown),
        };
        if matches!(exit, Ok(Exit::Code(_)) | Err(SandboxError::Gone { .. })) {
            self.leash.hold = Hold::Over;
        }
        exit
    }

    /// Ends the program and everything in its process group; returns when that is done.
    async fn kill(mut self) {
        self.leash.hold = Hold::Over;
        kill(&self.leash.engine, &self.leash.container, &self.leash.group).await;
    }
}

/// Starts `command`. On drop of the future the program is ended if it came to run.
pub(crate) async fn start(
    engine: &Engine,
    container: &str,
    command: Command,
    with_input: bool,
) -> Result<Link, SandboxError> {
    let (its_engine, container) = (engine.clone(), container.to_owned());
    let work = async move { launch(&its_engine, &container, command, with_input).await };
    engine.run("starting a program in a sandbox", work).await
}

async fn launch(
    engine: &Engine,
    container: &str,
    command: Command,
    with_input: bool,
) -> Result<Link, SandboxError> {
    let program = command.program().to_owned();
    check(&command)?;
    let argv =
        ["sh", "-c", LAUNCH, "sh"].map(str::to_owned).into_iter().chain(command.argv.clone());
    let attached = Attached { input: with_input, output: true };
    let exec = create(engine, container, argv.collect(), &command, attached).await?;
    let started = within(START_DEADLINE, engine.docker.start_exec(&exec, None)).await;
    let (mut output, input) = match started {
        Ok(StartExecResults::Attached { output, input }) => (output, input),
        Ok(StartExecResults::Detached) => return Err(not_started(&program, "it was detached")),
        Err(trouble) => return Err(start_refused(trouble, container, &program)),
    };
    let word = tokio::time::timeout(START_DEADLINE, hear(&mut output)).await;
    let word = word.map_err(|_elapsed| SandboxError::TimedOut {
        tried: format!("starting {program}"),
        limit: START_DEADLINE,
    })?;
    match word {
        Ok(Word::Runs { group, early }) => {
            let (engine, container) = (engine.clone(), container.to_owned());
            let leash = Leash { engine, container, exec, group, hold: Hold::Runs };
            Ok(Link { input: with_input.then_some(input), output, early, leash })
        }
        Ok(Word::Missing) => {
            Err(not_started(&program, "no such program inside, or not an executable one"))
        }
        Ok(Word::Failed(reason)) => Err(why_not(engine, container, &program, &reason).await),
        Err(trouble) => Err(trouble.of(format!("starting {program}"), container)),
    }
}

/// Starts `command` without any link to it; returns when it runs. The engine answers a detached
/// start only then, and says in the answer why it could not.
pub(crate) async fn start_detached(
    engine: &Engine,
    container: &str,
    command: Command,
) -> Result<(), SandboxError> {
    check(&command)?;
    let program = command.program().to_owned();
    let attached = Attached { input: false, output: false };
    let exec = create(engine, container, command.argv.clone(), &command, attached).await?;
    let options = StartExecOptions { detach: true, ..StartExecOptions::default() };
    match within(START_DEADLINE, engine.docker.start_exec(&exec, Some(options))).await {
        Ok(_) => Ok(()),
        Err(trouble) => Err(start_refused(trouble, container, &program)),
    }
}

/// Runs `command` to its end.
pub(crate) async fn run(
    engine: &Engine,
    container: &str,
    command: Command,
    input: Vec<Bytes>,
    output: &Output,
) -> Result<ExecOutput, SandboxError> {
    let program = command.program().to_owned();
    let timed_out = || SandboxError::TimedOut { tried: program.clone(), limit: output.deadline };
    let deadline = tokio::time::Instant::now() + output.deadline;
    let starting = start(engine, container, command, !input.is_empty());
    let mut link =
        tokio::time::timeout_at(deadline, starting).await.map_err(|_elapsed| timed_out())??;
    let talk = talk(&mut link, input, output.bytes_max);
    if let Ok(result) = tokio::time::timeout_at(deadline, talk).await {
        return result;
    }
    link.kill().await;
    Err(timed_out())
}

async fn talk(
    link: &mut Link,
    input: Vec<Bytes>,
    bytes_max: usize,
) -> Result<ExecOutput, SandboxError> {
    let mut writer = link.input.take();
    let feed = async {
        let Some(writer) = writer.as_mut() else { return };
        for piece in &input {
            // A program may end without having read everything: that is its right.
            if writer.write_all(piece).await.is_err() {
                return;
            }
        }
        let _closed_already = writer.shutdown().await;
    };
    tokio::pin!(feed);
    let mut fed = false;
    let (mut stdout, mut stderr) = (Kept::new(bytes_max), Kept::new(bytes_max));
    loop {
        tokio::select! {
            () = &mut feed, if !fed => fed = true,
            chunk = link.next() => match chunk? {
                Some(OutputChunk::Stdout(data)) => stdout.keep(&data),
                Some(OutputChunk::Stderr(data)) => stderr.keep(&data),
                None => break,
            },
        }
    }
    let truncated = stdout.truncated || stderr.truncated;
    let exit = link.exit().await?;
    Ok(ExecOutput { exit, stdout: stdout.data.freeze(), stderr: stderr.data.freeze(), truncated })
}

struct Kept {
    data: BytesMut,
    bytes_max: usize,
    truncated: bool,
}

impl Kept {
    fn new(bytes_max: usize) -> Self {
        Self { data: BytesMut::new(), bytes_max, truncated: false }
    }

    fn keep(&mut self, data: &[u8]) {
        let room = self.bytes_max - self.data.len();
        let (kept, dropped) = data.split_at(room.min(data.len()));
        self.data.extend_from_slice(kept);
        self.truncated |= !dropped.is_empty();
    }
}

async fn kill(engine: &Engine, container: &str, group: &str) {
    match tokio::time::timeout(KILL_DEADLINE, try_kill(engine, container, group)).await {
        Ok(Ok(Exit::Code(0)) | Err(SandboxError::Gone { .. })) => {}
        Ok(Ok(exit)) => tracing::warn!(container, group, %exit, "a program could not be ended"),
        Ok(Err(error)) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(container, group, error, "a program could not be ended");
        }
        Err(_) => tracing::warn!(container, group, "ending a program took too long"),
    }
}

async fn try_kill(engine: &Engine, container: &str, group: &str) -> Result<Exit, SandboxError> {
    let argv = ["sh", "-c", KILL, "sh", group].map(str::to_owned).to_vec();
    let attached = Attached { input: false, output: true };
    let exec = create(engine, container, argv, &Command::new(["kill"]), attached).await;
    let exec = match exec {
        // A sandbox that does not run has no processes.
        Err(SandboxError::NotStarted { .. }) => return Ok(Exit::Code(0)),
        other => other?,
    };
    let trouble = |trouble: Trouble| trouble.of("ending a program", container);
    let started = within(START_DEADLINE, engine.docker.start_exec(&exec, None)).await;
    if let StartExecResults::Attached { mut output, input: _input } = started.map_err(trouble)? {
        while output.next().await.is_some() {}
    }
    loop {
        let state = within(ASK_DEADLINE, engine.docker.inspect_exec(&exec)).await;
        let state = state.map_err(trouble)?;
        if let (Some(false), Some(code)) = (state.running, state.exit_code) {
            return Ok(i32::try_from(code).map_or(Exit::Unknown, Exit::Code));
        }
        tokio::time::sleep(EXIT_POLL).await;
    }
}

#[derive(Clone, Copy)]
struct Attached {
    input: bool,
    output: bool,
}

async fn create(
    engine: &Engine,
    container: &str,
    argv: Vec<String>,
    command: &Command,
    attached: Attached,
) -> Result<String, SandboxError> {
    let dir = command.cwd.as_ref().map_or(HOME, |dir| dir.as_str());
    let options = CreateExecOptions {
        attach_stdin: Some(attached.input),
        attach_stdout: Some(attached.output),
        attach_stderr: Some(attached.output),
        env: Some(container::variables(&command.env).collect()),
        cmd: Some(argv),
        working_dir: Some(dir.to_owned()),
        ..CreateExecOptions::default()
    };
    match within(ASK_DEADLINE, engine.docker.create_exec(container, options)).await {
        Ok(created) => Ok(created.id),
        Err(Trouble::Conflict(_)) => {
            Err(why_not(engine, container, command.program(), "the sandbox does not run").await)
        }
        Err(trouble) => Err(trouble.of(format!("starting {}", command.program()), container)),
    }
}

fn check(command: &Command) -> Result<(), SandboxError> {
    let program = command.program();
    let reason = if program.is_empty() {
        "no program was named"
    } else if program.starts_with('-') {
        "a program's name does not begin with a hyphen"
    } else if command.argv.iter().any(|word| word.contains('\0')) {
        "an argument holds a NUL"
    } else if container::bad_variable(&command.env).is_some() {
        "a variable's name is empty or holds `=`, or its value holds a NUL"
    } else {
        return Ok(());
    };
    Err(not_started(program, reason))
}

/// What is heard of a program that was started.
enum Word {
    Runs { group: String, early: VecDeque<OutputChunk> },
    Missing,
    Failed(String),
}

async fn hear(output: &mut EngineOutput) -> Result<Word, Trouble> {
    let (mut early, mut early_bytes) = (VecDeque::new(), 0);
    let mut word = BytesMut::new();
    loop {
        match output.next().await.transpose()?.map(from_engine) {
            Some(OutputChunk::Stderr(data)) => {
                word.extend_from_slice(&data);
                early_bytes += data.len();
                let Some(end) = word.iter().position(|&byte| byte == b'\n') else { continue };
                let rest = word.split_off(end + 1).freeze();
                let line = String::from_utf8_lossy(&word);
                return Ok(match line.trim_end().strip_prefix(GROUP_WORD) {
                    Some(group) if is_number(group) => {
                        if !rest.is_empty() {
                            early.push_back(OutputChunk::Stderr(rest));
                        }
                        Word::Runs { group: group.to_owned(), early }
                    }
                    _ if line.trim_end() == MISSING_WORD => Word::Missing,
                    _ => Word::Failed(line.trim_end().to_owned()),
                });
            }
            Some(chunk @ OutputChunk::Stdout(_)) => {
                if let OutputChunk::Stdout(data) = &chunk {
                    early_bytes += data.len();
                }
                early.push_back(chunk);
            }
            // The engine tells its own troubles on the program's stdout.
            None => {
                let said: Vec<u8> = early.iter().flat_map(chunk_bytes).copied().collect();
                let said = String::from_utf8_lossy(&said);
                return Ok(Word::Failed(said.trim().chars().take(500).collect()));
            }
        }
        if EARLY_BYTES_MAX < early_bytes {
            return Ok(Word::Failed("it speaks, but the engine does not say that it runs".into()));
        }
    }
}

fn chunk_bytes(chunk: &OutputChunk) -> &Bytes {
    match chunk {
        OutputChunk::Stdout(data) | OutputChunk::Stderr(data) => data,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() < 20 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn from_engine(chunk: LogOutput) -> OutputChunk {
    match chunk {
        LogOutput::StdErr { message } => OutputChunk::Stderr(message),
        LogOutput::StdOut { message }
        | LogOutput::StdIn { message }
        | LogOutput::Console { message } => OutputChunk::Stdout(message),
    }
}

fn not_started(program: &str, reason: &str) -> SandboxError {
    SandboxError::NotStarted { program: program.to_owned(), reason: reason.to_owned() }
}

fn start_refused(trouble: Trouble, container: &str, program: &str) -> SandboxError {
    match trouble {
        Trouble::Refused { message, .. } | Trouble::Conflict(message) => {
            not_started(program, message.trim())
        }
        other @ (Trouble::NotFound(_) | Trouble::Away(_) | Trouble::TimedOut(_)) => {
            other.of(format!("starting {program}"), container)
        }
    }
}

/// A program could not be started: because the sandbox is gone, because it does not run, or for
/// the `reason` that was given.
async fn why_not(engine: &Engine, container: &str, program: &str, reason: &str) -> SandboxError {
    match engine.inspect(container).await {
        Ok(state) if is_leaving(&state) => SandboxError::Gone { id: container.to_owned() },
        Ok(state) if state.state.as_ref().and_then(|s| s.running) != Some(true) => {
            not_started(program, "the sandbox is stopped; wake it first")
        }
        Ok(_) if reason.is_empty() => not_started(program, "the engine gave no reason"),
        Ok(_) => not_started(program, reason),
        Err(trouble) => trouble.of(format!("starting {program}"), container),
    }
}
