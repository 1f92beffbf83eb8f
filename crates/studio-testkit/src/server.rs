use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::ports::lasting_port;
use crate::processes::kill_under;

/// What the server prints on stdout once it serves; the rest of the line is its address.
const READY: &str = "Agent Studio listens on ";
/// How long a start may take before a test gives up on it.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long a stop may take before a test gives up on it.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// How a [`StudioServer`] is started.
#[derive(Debug)]
pub struct ServerBuilder {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    data_dir: Option<PathBuf>,
}

impl ServerBuilder {
    /// One more argument, after `--port` and `--data-dir`.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// A data directory of the test's own; else a temporary one, removed with the server.
    #[must_use]
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(dir.into());
        self
    }

    /// Starts the server on a free port and waits until it says that it serves.
    ///
    /// # Panics
    /// When it does not within 30 s; the message has what it wrote on stderr.
    pub async fn start(self) -> StudioServer {
        let temporary = tempfile::Builder::new().prefix("studio-test-").tempdir();
        let temporary = temporary.unwrap_or_else(|error| panic!("a temporary directory: {error}"));
        let data_dir = self.data_dir.clone().unwrap_or_else(|| temporary.path().to_owned());
        let output = Arc::new(Mutex::new(String::new()));
        let mut server = StudioServer {
            builder: self,
            data_dir,
            output,
            running: None,
            port: lasting_port(),
            client: reqwest::Client::new(),
            temporary,
        };
        server.launch().await;
        server
    }
}

/// The server program with its data directory. The program can be killed and started again on the
/// same port and directory as often as a test likes; dropping this ends it together with every
/// process that works below the data directory.
#[derive(Debug)]
pub struct StudioServer {
    builder: ServerBuilder,
    data_dir: PathBuf,
    output: Arc<Mutex<String>>,
    running: Option<Child>,
    port: u16,
    client: reqwest::Client,
    temporary: TempDir,
}

impl StudioServer {
    /// A server from the program at `program`; tests of the server pass
    /// `env!("CARGO_BIN_EXE_studio-server")`.
    ///
    /// It inherits this process's environment without `PORT`, `DATA_DIR` and everything that
    /// begins with `STUDIO_`, `DS_`, `ANTHROPIC_`, `CLAUDE` or `ELECTRIC_`, so that a developer's shell changes nothing.
    #[must_use]
    pub fn program(program: impl Into<PathBuf>) -> ServerBuilder {
        ServerBuilder { program: program.into(), args: Vec::new(), env: Vec::new(), data_dir: None }
    }

    /// The address of `path` (with its leading slash) on this server.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The port; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The data directory; the same after a restart.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// An HTTP client with connections of its own.
    #[must_use]
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The process id.
    ///
    /// # Panics
    /// When the server is not running.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.running
            .as_ref()
            .and_then(Child::id)
            .and_then(|pid| i32::try_from(pid).ok())
            .unwrap_or_else(|| panic!("the server is not running"))
    }

    /// Whether the process is still there; notices a server that ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// The resident memory of the process in bytes.
    ///
    /// # Panics
    /// When the server is not running.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.trim().parse::<u64>().ok())
            .map_or_else(|| panic!("{path} has no VmRSS"), |kib| kib * 1024)
    }

    /// What the program wrote on stdout and stderr, over all its starts.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `kill -9`: the crash. Returns once the process is gone.
    ///
    /// # Panics
    /// When the server is not running.
    pub async fn crash(&mut self) {
        self.end(Signal::SIGKILL).await;
    }

    /// SIGTERM: the orderly stop. Gives the exit status and how long it took.
    ///
    /// # Panics
    /// When the server is not running or does not end within 30 s.
    pub async fn terminate(&mut self) -> (ExitStatus, Duration) {
        self.end(Signal::SIGTERM).await
    }

    /// SIGSTOP: nothing of the program moves until [`StudioServer::go_on`].
    ///
    /// # Panics
    /// When the server is not running.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT: the program goes on where [`StudioServer::pause`] stopped it.
    ///
    /// # Panics
    /// When the server is not running.
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = kill(Pid::from_raw(self.pid()), signal) {
            panic!("{signal} to the server: {error}");
        }
    }

    /// SIGINT: ctrl-c at its terminal. Gives the exit status and how long it took.
    ///
    /// # Panics
    /// When the server is not running or does not end within 30 s.
    pub async fn interrupt(&mut self) -> (ExitStatus, Duration) {
        self.end(Signal::SIGINT).await
    }

    /// Starts the program again on the same port and data directory, after [`StudioServer::crash`]
    /// or [`StudioServer::terminate`].
    ///
    /// # Panics
    /// When it still runs or does not start.
    pub async fn restart(&mut self) {
        assert!(self.running.is_none(), "restart of a server that was not stopped");
        self.launch().await;
    }

    async fn end(&mut self, signal: Signal) -> (ExitStatus, Duration) {
        let pid = Pid::from_raw(self.pid());
        let start = Instant::now();
        if let Err(error) = kill(pid, signal) {
            panic!("{signal} to the server: {error}");
        }
        let Some(mut child) = self.running.take() else { panic!("the server is not running") };
        match tokio::time::timeout(STOP_DEADLINE, child.wait()).await {
            Ok(Ok(status)) => (status, start.elapsed()),
            Ok(Err(error)) => panic!("waiting for the server to end: {error}"),
            Err(_) => panic!(
                "the server did not end within {STOP_DEADLINE:?} of {signal}:\n{}",
                self.output()
            ),
        }
    }

    async fn launch(&mut self) {
        let mut command = Command::new(&self.builder.program);
        for (name, _) in std::env::vars_os() {
            if is_ours(&name) {
                command.env_remove(name);
            }
        }
        command
            .arg("--port")
            .arg(self.port.to_string())
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(&self.builder.args)
            .envs(self.builder.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{} could not be started: {error}", self.builder.program.display())
        });
        let (ready, mut address) = watch::channel(None);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(collect(stdout, self.output.clone(), Some(ready)));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(collect(stderr, self.output.clone(), None));
        }
        self.running = Some(child);
        let said = tokio::time::timeout(START_DEADLINE, address.wait_for(Option::is_some)).await;
        let said = said.ok().and_then(|seen| seen.ok().and_then(|seen| seen.clone()));
        let port = said.as_deref().and_then(|said: &str| said.rsplit(':').next()?.parse().ok());
        self.port = port.unwrap_or_else(|| {
            panic!("the server did not say that it listens; it wrote:\n{}", self.output())
        });
    }
}

impl Drop for StudioServer {
    fn drop(&mut self) {
        // First the server, so that it starts nothing more; `kill_on_drop` would be too late.
        if let Some(child) = self.running.as_mut() {
            // Fails only for a process that has ended.
            let _ = child.start_kill();
        }
        // Agents outlive the server by design, but not the test.
        kill_under(self.temporary.path());
        if self.data_dir != self.temporary.path() {
            kill_under(&self.data_dir);
        }
    }
}

fn is_ours(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    name == "PORT"
        || name == "DATA_DIR"
        || ["STUDIO_", "DS_", "ANTHROPIC_", "CLAUDE", "ELECTRIC_"]
            .iter()
            .any(|start| name.starts_with(start))
}

/// Keeps every line, and tells the address when the line of readiness comes.
async fn collect(
    from: impl AsyncRead + Unpin,
    output: Arc<Mutex<String>>,
    ready: Option<watch::Sender<Option<String>>>,
) {
    let mut lines = BufReader::new(from).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).into_owned();
        if let (Some(ready), Some(address)) = (&ready, line.strip_prefix(READY)) {
            let address = address.trim().trim_end_matches('/').to_owned();
            ready.send_replace(Some(address));
        }
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        output.push_str(&line);
        output.push('\n');
    }
}
