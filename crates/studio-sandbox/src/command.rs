use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{SandboxError, SandboxPath};

/// A program to run inside: an argument vector, never a shell string made of input.
#[derive(Clone)]
pub struct Command {
    /// Program and arguments; the program is looked up in the sandbox's `PATH`.
    pub argv: Vec<String>,
    /// Added to the sandbox's environment. May hold secrets: never logged, never in argv.
    pub env: BTreeMap<String, String>,
    /// Where it runs; the sandbox's home when absent.
    pub cwd: Option<SandboxPath>,
}

impl Command {
    /// A command of these words.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        let argv = argv.into_iter().map(Into::into).collect();
        Self { argv, env: BTreeMap::new(), cwd: None }
    }

    /// A POSIX shell script of ours with arguments (`$1`, `$2`, …). The script is a constant of
    /// the program; what comes from outside goes into the arguments.
    pub fn script<S: Into<String>>(
        script: &'static str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut argv = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned(), "sh".to_owned()];
        argv.extend(arguments.into_iter().map(Into::into));
        Self { argv, env: BTreeMap::new(), cwd: None }
    }

    /// Runs in `dir`.
    #[must_use]
    pub fn in_dir(mut self, dir: SandboxPath) -> Self {
        self.cwd = Some(dir);
        self
    }

    /// Adds a variable.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The program's name, for messages.
    pub fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }
}

impl fmt::Debug for Command {
    /// Shows names of variables only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.keys().collect();
        f.debug_struct("Command")
            .field("program", &self.program())
            .field("env", &names)
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code; 128 + n stands for signal n.
    Code(i32),
    /// The link was lost: it may be running still.
    Unknown,
}

impl Exit {
    /// Whether it ended well.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Unknown => f.write_str("end unknown"),
        }
    }
}

/// What a program that ran to its end left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOutput {
    /// How it ended.
    pub exit: Exit,
    /// What it said.
    pub stdout: Bytes,
    /// What it said on stderr.
    pub stderr: Bytes,
    /// Whether output over the caller's limit was dropped.
    pub truncated: bool,
}

impl ExecOutput {
    /// The output if the program ended well, an error that shows the end of stderr if not.
    pub fn success(self, program: &str) -> Result<Self, SandboxError> {
        if self.exit.is_success() {
            return Ok(self);
        }
        let all = String::from_utf8_lossy(&self.stderr);
        let tail: String = {
            let mut last: Vec<char> = all.trim_end().chars().rev().take(500).collect();
            last.reverse();
            last.into_iter().collect()
        };
        Err(SandboxError::Failed { program: program.to_owned(), exit: self.exit, stderr: tail })
    }

    /// Stdout as text, line break at the end cut off; bytes that are not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// What `exec` is given besides the command.
#[derive(Clone, Debug)]
pub struct Output {
    /// Most bytes kept of stdout and of stderr, each; the rest is read and dropped.
    pub bytes_max: usize,
    /// How long the program may take.
    pub deadline: Duration,
}

impl Default for Output {
    fn default() -> Self {
        Self { bytes_max: 1024 * 1024, deadline: Duration::from_secs(60) }
    }
}

/// A piece of a running program's output. Cut anywhere, also inside a character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputChunk {
    /// From stdout.
    Stdout(Bytes),
    /// From stderr.
    Stderr(Bytes),
}

/// The end of a program's input that the studio holds.
#[async_trait]
pub trait ProcessInput: Send {
    /// Writes all of it.
    async fn write(&mut self, data: Bytes) -> Result<(), SandboxError>;
    /// Ends the input: the program sees end of file.
    async fn close(&mut self) -> Result<(), SandboxError>;
}

/// The end of a program's output that the studio holds.
#[async_trait]
pub trait ProcessOutput: Send {
    /// The next piece; `None` when there is no more. Safe to drop and call again.
    async fn next(&mut self) -> Result<Option<OutputChunk>, SandboxError>;
    /// How it ended; asked after `next` said `None`.
    async fn exit(&mut self) -> Result<Exit, SandboxError>;
}

/// A program running inside, attached to the studio. Not meant to outlive the link: that is what
/// a [`crate::JournaledProcess`] is for.
pub struct Process {
    /// Its input.
    pub input: Box<dyn ProcessInput>,
    /// Its output.
    pub output: Box<dyn ProcessOutput>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Process(..)")
    }
}
