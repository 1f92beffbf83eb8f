//! The command as a child of a test.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::{
    io::{BufRead as _, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The command without the settings of whoever runs the tests.
pub fn studio() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_studio"));
    for (name, _) in std::env::vars() {
        let ours = ["PORT", "DATA_DIR", "SANDBOX_RUNTIME"].contains(&name.as_str());
        let starts = ["STUDIO_", "MAX_SESSION", "DS_", "FROM_DS_", "TO_DS_"];
        if ours || starts.iter().any(|start| name.starts_with(start)) {
            command.env_remove(name);
        }
    }
    command
}

/// A child that does not outlive its test.
pub struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ends {
    pub fn of(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub fn lines(&mut self) -> Lines<BufReader<ChildStdout>> {
        BufReader::new(self.0.stdout.take().unwrap()).lines()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    /// Its exit code, once it has ended; `None` after a signal.
    pub fn wait(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }

    /// `kill -9`; whether it was still running.
    pub fn kill(&mut self) -> bool {
        let was_running = self.0.try_wait().unwrap().is_none();
        let _ = self.0.kill();
        self.0.wait().unwrap();
        was_running
    }
}

/// Starts a server and waits until it serves; its address.
pub fn serve_with(dir: &Path, env: &[(&str, &str)]) -> (Ends, String) {
    serve_at(dir, 0, env)
}

/// As [`serve_with`], at this port.
pub fn serve_at(dir: &Path, port: u16, env: &[(&str, &str)]) -> (Ends, String) {
    let mut command = studio();
    command.args(["serve", "--sandbox", "local", "--port", &port.to_string(), "--data-dir"]);
    command.arg(dir).envs(env.iter().copied());
    let mut server = Ends::of(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let line = server.lines().next().unwrap().unwrap();
    let address = line.strip_prefix("Agent Studio listens on ").unwrap().to_owned();
    (server, address)
}
