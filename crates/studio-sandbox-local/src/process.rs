use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use studio_ids::RunId;
use studio_sandbox::{ExecOutput, Exit, OutputChunk, ProcessInput, ProcessOutput, SandboxError};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::Instant,
};

use crate::{landlocked::Rules, sweep};

/// How long a program may take from its start until it is known to run.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How long output is waited for that a child of an ended program still holds open.
const DRAIN_PATIENCE: Duration = Duration::from_millis(200);
/// How long killed processes may take to be gone.
const SWEEP_PATIENCE: Duration = Duration::from_secs(5);
/// Size of one piece of output, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// Longest first word of the launcher, in bytes.
const WORD_BYTES_MAX: u64 = 8 * 1024;
/// Carried by what one exec or spawn started, so that all of it is found at its deadline.
const MARK: &str = "STUDIO_EXEC";

/// Runs a program and first says on stderr whether it can: `NONCE ok` or `NONCE reason`. The
/// nonce keeps the program from saying it itself. A program that is found and still cannot be
/// executed ends with 126 or 127, as in any shell.
const LAUNCH: &str = include_str!("launch.sh");

/// What the studio started, and where it goes on.
pub(crate) struct Launch<'a> {
    /// Words before the program: those that enter a jail.
    pub(crate) enter: Vec<OsString>,
    /// The shell that starts it.
    pub(crate) sh: &'a Path,
    /// `setsid`, for what goes on without the studio.
    pub(crate) setsid: Option<&'a Path>,
    /// Limits on files, where those are the jail.
    pub(crate) rules: Option<Rules>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: &'a str,
    pub(crate) argv: &'a [String],
}

/// A program that runs. Its process group dies with this value.
pub(crate) struct Running {
    child: Child,
    mark: String,
    /// Whether it is to die with this value.
    is_bound: bool,
    status: Option<ExitStatus>,
    stdout: Option<ChildStdout>,
    stderr: Option<BufReader<tokio::process::ChildStderr>>,
}

impl Launch<'_> {
    /// Starts it and waits until it runs, or is known not to.
    pub(crate) async fn start(self) -> Result<(Option<ChildStdin>, Running), SandboxError> {
        let program = self.argv.first().cloned().unwrap_or_default();
        let not_started =
            |reason: String| SandboxError::NotStarted { program: program.clone(), reason };
        if self.argv.iter().any(|word| word.contains('\0')) {
            return Err(not_started("an argument holds a NUL byte".to_owned()));
        }
        let nonce = RunId::random().to_string();
        let is_detached = self.setsid.is_some();
        let mut words = Vec::<OsString>::new();
        words.extend(self.setsid.map(OsString::from));
        words.extend(self.enter);
        words.push(self.sh.into());
        let how = if is_detached { "detached" } else { "attached" };
        words.extend(["-c", LAUNCH, "sh", &nonce, self.cwd, how].map(OsString::from));
        words.extend(self.argv.iter().map(OsString::from));
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).env_clear().envs(&self.env).current_dir("/");
        command.stderr(Stdio::piped());
        if is_detached {
            command.stdin(Stdio::null()).stdout(Stdio::null());
        } else {
            // A group of its own, to be killed as one. (`setsid` makes one itself, and would
            // fork if it led one already.)
            command.env(MARK, &nonce).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        }
        let child = match self.rules {
            Some(rules) => rules.spawn(command).await,
            None => command.spawn(),
        };
        let mut child = child.map_err(|error| not_started(error.to_string()))?;
        let input = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take().map(BufReader::new));
        let mark = format!("{MARK}={nonce}");
        let mut running = Running { child, mark, is_bound: true, status: None, stdout, stderr };

        let said = tokio::time::timeout(START_PATIENCE, running.first_word()).await;
        let said = said.map_err(|_late| SandboxError::TimedOut {
            tried: format!("starting {program}"),
            limit: START_PATIENCE,
        })?;
        let said = said.map_err(|error| not_started(error.to_string()))?;
        match said.strip_prefix(&nonce).map(str::trim) {
            Some("ok") => Ok((input, running)),
            Some(reason) => Err(not_started(reason.to_owned())),
            None => Err(SandboxError::Vendor {
                tried: "entering the jail".to_owned(),
                source: said.trim().into(),
            }),
        }
    }
}

impl Running {
    async fn first_word(&mut self) -> io::Result<String> {
        let Some(stderr) = &mut self.stderr else { return Ok(String::new()) };
        let mut line = Vec::new();
        stderr.take(WORD_BYTES_MAX).read_until(b'\n', &mut line).await?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Lets it go on by itself. Its end is awaited, so that nothing is left to be reaped.
    pub(crate) fn detach(mut self) {
        self.stderr = None;
        self.is_bound = false;
        tokio::spawn(async move { self.child.wait().await });
    }

    /// Reads all it says until its end; keeps at most `bytes_max` of stdout and of stderr.
    pub(crate) async fn gather(mut self, bytes_max: usize) -> Result<ExecOutput, SandboxError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut truncated = false;
        while let Some(chunk) = self.next().await? {
            let (kept, data) = match chunk {
                OutputChunk::Stdout(data) => (&mut stdout, data),
                OutputChunk::Stderr(data) => (&mut stderr, data),
            };
            let room = bytes_max.saturating_sub(kept.len()).min(data.len());
            truncated |= room < data.len();
            kept.extend_from_slice(&data[..room]);
        }
        let exit = self.exit().await?;
        Ok(ExecOutput { exit, stdout: stdout.into(), stderr: stderr.into(), truncated })
    }

    async fn chunk(&mut self) -> io::Result<Option<OutputChunk>> {
        while self.stdout.is_some() || self.stderr.is_some() {
            let (mut out, mut err) =
                (BytesMut::with_capacity(CHUNK_BYTES), BytesMut::with_capacity(CHUNK_BYTES));
            // Counts anew each time, so that a slow reader gets all that was said before the end.
            let drained = self.status.map(|_ended| Instant::now() + DRAIN_PATIENCE);
            tokio::select! {
                biased;
                read = read_some(&mut self.stdout, &mut out), if self.stdout.is_some() => {
                    if read? != 0 { return Ok(Some(OutputChunk::Stdout(out.freeze()))); }
                    self.stdout = None;
                }
                read = read_some(&mut self.stderr, &mut err), if self.stderr.is_some() => {
                    if read? != 0 { return Ok(Some(OutputChunk::Stderr(err.freeze()))); }
                    self.stderr = None;
                }
                status = self.child.wait(), if self.status.is_none() => {
                    self.status = Some(status?);
                }
                () = sleep_until(drained), if drained.is_some() => return Ok(None),
            }
        }
        Ok(None)
    }
}

async fn sleep_until(when: Option<Instant>) {
    if let Some(when) = when {
        tokio::time::sleep_until(when).await;
    }
}

async fn read_some(
    from: &mut Option<impl AsyncReadExt + Unpin>,
    into: &mut BytesMut,
) -> io::Result<usize> {
    match from {
        Some(from) => from.read_buf(into).await,
        None => Ok(0),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // What has ended may have given its number to somebody else. What has not been awaited
        // keeps it, even as a zombie.
        let (true, None, Some(pid)) = (self.is_bound, self.status, self.child.id()) else { return };
        killpg(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).ok();
        // What left the group. Nobody is told how that ends: the sandbox's end sweeps again.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let mark = std::mem::take(&mut self.mark);
            runtime.spawn_blocking(move || sweep::sweep(&mark, SWEEP_PATIENCE));
        }
    }
}

fn read_status(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Code(128 + signal),
        (None, None) => Exit::Unknown,
    }
}

fn link_lost(error: io::Error) -> SandboxError {
    SandboxError::Vendor {
        tried: "talking to a program in a local sandbox".to_owned(),
        source: error.into(),
    }
}

/// The studio's end of a program's stdin.
pub(crate) struct Input(pub(crate) Option<ChildStdin>);

#[async_trait]
impl ProcessInput for Input {
    async fn write(&mut self, data: Bytes) -> Result<(), SandboxError> {
        match &mut self.0 {
            Some(stdin) => stdin.write_all(&data).await.map_err(link_lost),
            None => Err(link_lost(io::ErrorKind::BrokenPipe.into())),
        }
    }

    async fn close(&mut self) -> Result<(), SandboxError> {
        self.0 = None;
        Ok(())
    }
}

#[async_trait]
impl ProcessOutput for Running {
    async fn next(&mut self) -> Result<Option<OutputChunk>, SandboxError> {
        self.chunk().await.map_err(link_lost)
    }

    async fn exit(&mut self) -> Result<Exit, SandboxError> {
        let status = match self.status {
            Some(status) => status,
            None => self.child.wait().await.map_err(link_lost)?,
        };
        self.status = Some(status);
        Ok(read_status(status))
    }
}
