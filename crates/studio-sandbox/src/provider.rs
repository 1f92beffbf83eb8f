use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use studio_ids::{ProjectName, SessionId};

use crate::{Abilities, Command, ExecOutput, Output, Process, SandboxError, SandboxPath};

/// Which sandbox: kept with the session and handed back after a restart. Opaque to all but the
/// provider that made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SandboxRef {
    /// The provider's name: `docker`, `local`, …
    pub provider: String,
    /// The provider's own word for it.
    pub id: String,
}

/// What a sandbox may use. A wish: [`Abilities::enforced`] says what holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of memory, swap included.
    pub memory_bytes: u64,
    /// CPUs, may be a fraction.
    pub cpus: f64,
    /// Processes and threads.
    pub pids: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 4 * 1024 * 1024 * 1024, cpus: 2.0, pids: 1024 }
    }
}

/// What is wanted of a new sandbox.
#[derive(Clone, Debug)]
pub struct SandboxSpec {
    /// Whose it is. A session has at most one.
    pub session: SessionId,
    /// The name of the project directory below the workspace.
    pub project: ProjectName,
    /// Environment of everything that runs inside; nothing secret.
    pub env: BTreeMap<String, String>,
    /// Limits.
    pub limits: Limits,
    /// Ports inside that the studio's machine shall reach on loopback.
    pub ports: Vec<u16>,
    /// The lease of the server that wants it: each take-over by another server has a larger one.
    /// 0 where there is only ever one server.
    pub lease: u64,
}

/// What is told while something slow goes on (an image being built).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress(pub String);

/// Who listens to progress. Never blocks; what does not fit is dropped.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// Whether a sandbox can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxState {
    /// Commands run.
    Running,
    /// Its files are there, its processes are gone; [`Sandbox::wake`] starts it again.
    Stopped,
}

/// A file to be put into a sandbox, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Where; missing directories are made, owned by the sandbox's user.
    pub path: SandboxPath,
    /// The content.
    pub data: Bytes,
    /// Permission bits, `0o644`.
    pub mode: u32,
}

/// One file of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Where.
    pub path: SandboxPath,
    /// How large.
    pub size_bytes: u64,
}

/// A vendor of sandboxes. Kept as `Arc<dyn SandboxProvider>`; callers never ask which it is.
#[async_trait]
pub trait SandboxProvider: Send + Sync {
    /// Its name, as it stands in a [`SandboxRef`] and in answers to clients: `docker`, `local`.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// Whether it could make a sandbox now: a real question to the vendor, cheap enough for a
    /// health check.
    async fn ready(&self) -> Result<(), SandboxError>;

    /// Starts a sandbox and waits until commands run in it; makes the project directory. On error
    /// and on drop of the future nothing is left running (at the latest when
    /// [`SandboxProvider::destroy_session`] is called). Fails with [`SandboxError::Exists`] if
    /// the session has one.
    async fn create(
        &self,
        spec: &SandboxSpec,
        progress: ProgressSink,
    ) -> Result<Arc<dyn Sandbox>, SandboxError>;

    /// Finds a sandbox again, after a restart too. `Ok(None)` = definitely gone; an error =
    /// unknown, try again.
    async fn find(&self, reference: &SandboxRef) -> Result<Option<Arc<dyn Sandbox>>, SandboxError>;

    /// All sandboxes of this studio, whether it remembers them or not.
    async fn list(&self) -> Result<Vec<(SessionId, SandboxRef)>, SandboxError>;

    /// Stops and removes it with everything in it. Removing what is gone is success.
    async fn destroy(&self, reference: &SandboxRef) -> Result<(), SandboxError>;

    /// Removes whatever exists for the session, half-made things included. Removing what is gone
    /// is success.
    async fn destroy_session(&self, session: SessionId) -> Result<(), SandboxError>;

    /// As [`SandboxProvider::destroy_session`], but only what servers of `lease` and of earlier
    /// leases made ([`SandboxSpec::lease`]): for a server that may have been taken over without
    /// knowing. Judging and removing are one: at no moment is anything of a later lease touched,
    /// be it made while this goes on. What was made before there were leases counts as of lease 0.
    /// Leaving a later server's in place is success.
    async fn destroy_up_to(&self, session: SessionId, lease: u64) -> Result<(), SandboxError>;
}

/// One sandbox. Kept as `Arc<dyn Sandbox>`; every verb may be called from several tasks at once.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Which it is.
    fn reference(&self) -> &SandboxRef;

    /// Whose it is.
    fn session(&self) -> SessionId;

    /// The user's home inside; where the studio's own files go (`.studio/`).
    fn home(&self) -> SandboxPath;

    /// The project's directory.
    fn project_dir(&self) -> SandboxPath;

    /// Asks the vendor, now.
    async fn state(&self) -> Result<SandboxState, SandboxError>;

    /// Makes a stopped sandbox run again.
    async fn wake(&self) -> Result<(), SandboxError>;

    /// Runs a command to its end, `input` as its stdin.
    async fn exec(
        &self,
        command: Command,
        input: Bytes,
        output: Output,
    ) -> Result<ExecOutput, SandboxError>;

    /// Starts a command and hands over its pipes. It ends at the latest when the link does.
    async fn spawn(&self, command: Command) -> Result<Process, SandboxError>;

    /// Starts a command in a session and process group of its own that goes on when the studio
    /// is gone; stdin is `/dev/null`, output is dropped. Returns once it runs.
    async fn spawn_detached(&self, command: Command) -> Result<(), SandboxError>;

    /// Puts files in, owned by the sandbox's user; existing ones are replaced.
    async fn put_files(&self, files: Vec<NewFile>) -> Result<(), SandboxError>;

    /// Reads a regular file, at most `bytes_max` bytes; larger ones are an error.
    async fn read_file(&self, path: &SandboxPath, bytes_max: usize) -> Result<Bytes, SandboxError>;

    /// Where on the studio's machine a port of the sandbox is reached now: `(inside, outside)`.
    async fn ports(&self) -> Result<Vec<(u16, u16)>, SandboxError>;
}
