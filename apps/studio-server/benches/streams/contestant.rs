//! The servers, each started as its own documentation says to have every append durable.

use std::{
    ffi::OsString,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use studio_testkit::{NodeTool, needs};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{client::Connection, reader::tail, world::directory};

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Names of servers to leave out, with commas between: `official Node,official Rust`.
const WITHOUT: &str = "STREAMS_BENCH_WITHOUT";

/// A server that can be started.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    program: PathBuf,
    args: fn(port: u16, dir: &Path) -> Vec<OsString>,
    packages: Option<NodeTool>,
    /// Whether it holds a file open for each stream.
    pub(crate) file_per_stream: bool,
    /// Whether a thousand readers take it minutes.
    pub(crate) is_slow: bool,
}

/// The studio, and those of the others that are installed here.
pub(crate) fn all() -> Vec<Contestant> {
    let mut all = vec![Contestant {
        name: "studio",
        program: env!("CARGO_BIN_EXE_studio-server").into(),
        args: |port, dir| words(&["--port", &port.to_string(), "--data-dir"], dir),
        packages: None,
        file_per_stream: false,
        is_slow: false,
    }];
    let rust = needs::cache_dir().join("durable-streams/bin/durable-streams-server");
    if rust.is_file() {
        all.push(Contestant {
            name: "official Rust",
            program: rust,
            // Its write-ahead log with `fdatasync`, which is its default too.
            args: |port, dir| {
                let port = port.to_string();
                words(&["--durability", "wal", "--port", &port, "--data-dir"], dir)
            },
            packages: None,
            file_per_stream: true,
            is_slow: false,
        });
    } else {
        eprintln!("left out: the official Rust server, since there is no {}", rust.display());
    }
    // It panics, with a message that says what to install, where the packages are not there.
    if let Ok(packages) = std::panic::catch_unwind(NodeTool::durable_streams) {
        all.push(Contestant {
            name: "official Node",
            program: "node".into(),
            // File-backed, which syncs each append.
            args: |port, dir| {
                let script = include_str!("node-server.mjs");
                let port = port.to_string();
                words(&["--input-type=module", "--eval", script, &port], dir)
            },
            packages: Some(packages),
            file_per_stream: false,
            // Some 80 messages a second to all of them.
            is_slow: true,
        });
    } else {
        eprintln!("left out: the official Node server, since its packages are not installed");
    }
    if let Ok(without) = std::env::var(WITHOUT) {
        all.retain(|contestant| !without.split(',').any(|name| name == contestant.name));
    }
    all
}

fn words(words: &[&str], dir: &Path) -> Vec<OsString> {
    words.iter().map(OsString::from).chain([dir.into()]).collect()
}

/// Lets this process, and with it the servers that it starts, hold as many files open as it may.
pub(crate) fn allow_many_files() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

/// How many files a process may hold open.
pub(crate) fn files_max() -> usize {
    let (now, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    usize::try_from(now).unwrap_or(usize::MAX)
}

impl Contestant {
    /// Starts it over an empty directory.
    pub(crate) async fn start(&self) -> Server<'_> {
        // A port that was free a moment ago.
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut server = Server { of: self, port, dir: directory(), child: None };
        server.launch().await;
        server
    }
}

/// Starts all of them.
pub(crate) async fn start(contestants: &[Contestant]) -> Vec<Server<'_>> {
    let mut servers = Vec::new();
    for contestant in contestants {
        servers.push(contestant.start().await);
    }
    servers
}

/// A server that runs.
pub(crate) struct Server<'a> {
    pub(crate) of: &'a Contestant,
    pub(crate) port: u16,
    dir: TempDir,
    child: Option<Child>,
}

impl Server<'_> {
    /// Starts it again; how long until it answers for a stream.
    pub(crate) async fn restart(&mut self) -> Duration {
        self.stop().await;
        self.launch().await
    }

    async fn launch(&mut self) -> Duration {
        let began = Instant::now();
        let mut command = Command::new(&self.of.program);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("STUDIO_")) {
                command.env_remove(name);
            }
        }
        command
            .args((self.of.args)(self.port, self.dir.path()))
            .env("STUDIO_STREAMS_OPEN", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(packages) = &self.of.packages {
            command.current_dir(packages.dir());
        }
        self.child = Some(command.spawn().unwrap());
        let answered = async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let mut connection = Connection::open(self.port).await;
            while ![200, 404].contains(&connection.ask(&tail("s000000")).await.0) {}
        };
        let answered = tokio::time::timeout(PATIENCE, answered).await;
        assert!(answered.is_ok(), "{} does not answer", self.of.name);
        began.elapsed()
    }

    /// An orderly stop; one that takes too long is ended.
    pub(crate) async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        kill(pid(&child), Signal::SIGTERM).unwrap();
        if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
            child.kill().await.unwrap();
        }
    }

    /// Resident memory.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1_024
    }

    /// Processor time since its start, of all its threads, the kernel's part too. In steps of
    /// 10 ms.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        let after_name = stat.rsplit(") ").next().unwrap();
        let mut fields = after_name.split(' ').skip(11);
        let mut ticks = || fields.next().unwrap().parse::<u64>().unwrap();
        Duration::from_millis((ticks() + ticks()) * 10)
    }

    fn proc(&self, what: &str) -> String {
        let pid = pid(self.child.as_ref().unwrap());
        std::fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap()
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap())
}
