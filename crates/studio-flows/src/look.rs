//! Looking into a session's sandbox: the project's files and its repository. Nothing here takes a
//! session up or changes it.
//!
//! Every check of a path is made inside, on what was really opened; the words that come from
//! outside travel as arguments of scripts that are constants of this program.

use std::{sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use studio_ids::SessionId;
use studio_sandbox::{
    Command, Exit, Output, OutputChunk, Process, Sandbox, SandboxError, SandboxPath, SandboxState,
};
use tokio::time::timeout;

use crate::{
    FlowError, Studio,
    inner::Inner,
    words::{FileList, GitStatus},
};

/// How long a look may take until its next word.
const LOOK_PATIENCE: Duration = Duration::from_secs(30);
/// Longest first line of a script, in bytes.
const LINE_BYTES_MAX: usize = 256;
/// Longest path that is looked for, in bytes; longer ones exist in no sandbox.
const PATH_BYTES_MAX: usize = 4_096;
/// Longest path of a listing, in bytes.
const LISTED_BYTES_MAX: usize = 64 * 1024;
/// Looks that go on at once in all sandboxes; the next one waits for its turn.
pub(crate) const LOOKS_AT_ONCE_MAX: usize = 32;
/// Exit code of the scripts when there is no project.
const NO_PROJECT: i32 = 66;

const LIST: &str = concat!(include_str!("look/project.sh"), include_str!("look/list.sh"));
const PIECE: &str = concat!(include_str!("look/project.sh"), include_str!("look/piece.sh"));
const GIT: &str = concat!(include_str!("look/project.sh"), include_str!("look/git.sh"));

/// A file of a project that was opened for reading.
pub struct FilePiece {
    /// How large the whole file is, in bytes.
    pub size: u64,
    session: SessionId,
    process: Process,
    heard: BytesMut,
    /// Bytes that still may come.
    left: u64,
}

impl FilePiece {
    /// Bytes that are still to come, if the file stays as it is.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next bytes; `None` at the end. Fewer than [`Self::left`] said come when the file was
    /// made shorter meanwhile.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FlowError> {
        let failed = |source| FlowError::sandbox(self.session, source);
        if self.left == 0 {
            return Ok(None);
        }
        if self.heard.is_empty()
            && !hear(&mut self.process, &mut self.heard).await.map_err(failed)?
        {
            self.left = 0;
            let exit = self.process.output.exit().await.map_err(failed)?;
            return match exit {
                Exit::Unknown => Err(failed(link_lost())),
                Exit::Code(_) => Ok(None),
            };
        }
        let more = self.heard.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= more as u64;
        Ok(Some(self.heard.split_to(more).freeze()))
    }
}

impl std::fmt::Debug for FilePiece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilePiece").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Studio {
    /// The project's files, sorted, from the one after `after` on: absolute paths inside. Without
    /// a sandbox there are none.
    pub async fn files(
        &self,
        id: SessionId,
        after: Option<&str>,
        max: usize,
    ) -> Result<FileList, FlowError> {
        self.inner().files(id, after, max).await
    }

    /// Opens a file of the project at byte `from`, for at most `max` bytes. `path` is absolute
    /// inside, or counted from the project's directory.
    ///
    /// Errors: [`FlowError::BadPath`], [`FlowError::OutsideProject`] (also for a symbolic link
    /// that leads outside), [`FlowError::NoFile`], [`FlowError::SandboxAway`].
    pub async fn file(
        &self,
        id: SessionId,
        path: &str,
        from: u64,
        max: u64,
    ) -> Result<FilePiece, FlowError> {
        self.inner().file(id, path, from, max).await
    }

    /// How the project's repository stands.
    ///
    /// Errors: [`FlowError::SandboxAway`].
    pub async fn git_status(&self, id: SessionId) -> Result<GitStatus, FlowError> {
        self.inner().git_status(id).await
    }
}

impl Inner {
    /// The session's sandbox if it runs now; the vendor is asked.
    pub(crate) async fn sandbox_now(
        &self,
        id: SessionId,
    ) -> Result<Option<Arc<dyn Sandbox>>, FlowError> {
        let record = self.record(id)?;
        let failed = |source| FlowError::sandbox(id, source);
        let known = match self.live_now(id).and_then(|live| live.sandbox()) {
            Some(sandbox) => Some(sandbox),
            None => self.find_sandbox(&record).await.map_err(failed)?,
        };
        let Some(sandbox) = known else { return Ok(None) };
        match sandbox.state().await {
            Ok(SandboxState::Running) => Ok(Some(sandbox)),
            Ok(SandboxState::Stopped) | Err(SandboxError::Gone { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    async fn files(
        &self,
        id: SessionId,
        after: Option<&str>,
        max: usize,
    ) -> Result<FileList, FlowError> {
        let record = self.record(id)?;
        let prefix = record.info.sandbox_project_dir.clone();
        let nothing = FileList { files: Vec::new(), prefix, next: None };
        let Some(sandbox) = self.sandbox_now(id).await? else { return Ok(nothing) };
        let _turn = self.looks.acquire().await.map_err(|_closed| FlowError::Stopping)?;
        let listed = listed(sandbox.as_ref(), after, max).await;
        listed.map_err(|source| FlowError::sandbox(id, source))
    }

    async fn file(
        &self,
        id: SessionId,
        path: &str,
        from: u64,
        max: u64,
    ) -> Result<FilePiece, FlowError> {
        self.record(id)?;
        let sandbox = self.sandbox_now(id).await?.ok_or(FlowError::SandboxAway(id))?;
        let path = within(&sandbox.project_dir(), path)?;
        let _turn = self.looks.acquire().await.map_err(|_closed| FlowError::Stopping)?;
        let failed = |source| FlowError::sandbox(id, source);
        let mut words = place(sandbox.as_ref());
        words.extend([path, from.saturating_add(1).to_string(), max.to_string()]);
        let mut process = sandbox.spawn(Command::script(PIECE, words)).await.map_err(failed)?;
        let mut heard = BytesMut::new();
        let line = first_line(&mut process, &mut heard).await.map_err(failed)?;
        match line.strip_prefix("ok ").map(str::parse) {
            Some(Ok(size)) => {
                let left = u64::min(max, u64::saturating_sub(size, from));
                Ok(FilePiece { size, session: id, process, heard, left })
            }
            _ if line == "outside" => Err(FlowError::OutsideProject),
            _ if line == "none" => Err(FlowError::NoFile),
            _ => Err(failed(unreadable("a file", &line))),
        }
    }

    async fn git_status(&self, id: SessionId) -> Result<GitStatus, FlowError> {
        self.record(id)?;
        let sandbox = self.sandbox_now(id).await?.ok_or(FlowError::SandboxAway(id))?;
        self.git_in(sandbox.as_ref()).await.map_err(|source| FlowError::sandbox(id, source))
    }

    /// How the repository of a sandbox's project stands.
    pub(crate) async fn git_in(&self, sandbox: &dyn Sandbox) -> Result<GitStatus, SandboxError> {
        // Closed by nobody.
        let _turn = self.looks.acquire().await.ok();
        let output = Output { bytes_max: 64 * 1024, deadline: LOOK_PATIENCE };
        let said = sandbox.exec(Command::script(GIT, place(sandbox)), Bytes::new(), output).await?;
        if said.exit == Exit::Code(NO_PROJECT) {
            return Ok(GitStatus::default());
        }
        let said = said.success("git")?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        if text.is_empty() {
            return Ok(GitStatus::default());
        }
        let mut lines = text.lines().map(|line| (!line.is_empty()).then(|| line.to_owned()));
        let mut next = || lines.next().flatten();
        let (branch, last_commit_hash, last_commit_message) = (next(), next(), next());
        let has_uncommitted = next().is_some_and(|word| word == "dirty");
        Ok(GitStatus {
            initialized: true,
            branch,
            has_uncommitted,
            // A commit may have no subject; only one that is not there has none to tell.
            last_commit_message: last_commit_hash
                .as_ref()
                .map(|_hash| last_commit_message.unwrap_or_default()),
            last_commit_hash,
        })
    }
}

/// The home, and the project's directory below it: the first two arguments of every script.
pub(crate) fn place(sandbox: &dyn Sandbox) -> Vec<String> {
    let (home, project) = (sandbox.home(), sandbox.project_dir());
    let below = project.as_str().strip_prefix(home.as_str()).unwrap_or_default();
    vec![home.as_str().to_owned(), below.trim_start_matches('/').to_owned()]
}

/// The absolute path, without `.`, `..` and empty parts, if it lies below `project`.
fn within(project: &SandboxPath, path: &str) -> Result<String, FlowError> {
    if PATH_BYTES_MAX < path.len() || path.contains('\0') {
        return Err(FlowError::BadPath);
    }
    let mut parts: Vec<&str> = Vec::new();
    let from_root = path.starts_with('/');
    let base = if from_root { "" } else { project.as_str() };
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let normal = format!("/{}", parts.join("/"));
    match normal.strip_prefix(project.as_str()) {
        // The directory itself is no file.
        Some("") => Err(FlowError::NoFile),
        Some(rest) if rest.starts_with('/') => Ok(normal),
        Some(_) | None => Err(FlowError::OutsideProject),
    }
}

async fn listed(
    sandbox: &dyn Sandbox,
    after: Option<&str>,
    max: usize,
) -> Result<FileList, SandboxError> {
    let prefix = sandbox.project_dir().as_str().to_owned();
    let mut process = sandbox.spawn(Command::script(LIST, place(sandbox))).await?;
    let mut list = FileList { files: Vec::new(), prefix, next: None };
    let mut heard = BytesMut::new();
    loop {
        while let Some(end) = heard.iter().position(|byte| *byte == 0) {
            let item = heard.split_to(end);
            heard.advance(1);
            let below = String::from_utf8_lossy(item.strip_prefix(b"./").unwrap_or(&item));
            let path = format!("{}/{below}", list.prefix);
            if after.is_some_and(|after| path.as_str() <= after) {
                continue;
            }
            if list.files.len() == max {
                list.next = list.files.last().cloned();
                return Ok(list);
            }
            list.files.push(path);
        }
        if LISTED_BYTES_MAX < heard.len() {
            return Err(unreadable("a listing", "a path without end"));
        }
        if !hear(&mut process, &mut heard).await? {
            // A project that is not there has no files; a link that was lost has told half.
            return match process.output.exit().await? {
                Exit::Code(_) => Ok(list),
                Exit::Unknown => Err(link_lost()),
            };
        }
    }
}

/// Reads the script's first line; what follows stays in `heard`.
async fn first_line(process: &mut Process, heard: &mut BytesMut) -> Result<String, SandboxError> {
    loop {
        if let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
            let line = heard.split_to(end);
            heard.advance(1);
            return Ok(String::from_utf8_lossy(&line).into_owned());
        }
        if LINE_BYTES_MAX < heard.len() || !hear(process, heard).await? {
            return Err(unreadable("a file", &String::from_utf8_lossy(heard)));
        }
    }
}

/// Takes the next of the program's output in; `false` at its end.
async fn hear(process: &mut Process, heard: &mut BytesMut) -> Result<bool, SandboxError> {
    loop {
        let late = |_elapsed| SandboxError::TimedOut {
            tried: "looking into the sandbox".to_owned(),
            limit: LOOK_PATIENCE,
        };
        match timeout(LOOK_PATIENCE, process.output.next()).await.map_err(late)?? {
            Some(OutputChunk::Stdout(bytes)) => {
                heard.extend_from_slice(&bytes);
                return Ok(true);
            }
            Some(OutputChunk::Stderr(_complaint)) => {}
            None => return Ok(false),
        }
    }
}

fn link_lost() -> SandboxError {
    SandboxError::Vendor {
        tried: "looking into the sandbox".to_owned(),
        source: "the link to the program was lost".into(),
    }
}

fn unreadable(what: &str, said: &str) -> SandboxError {
    let shown: String = said.chars().take(200).collect();
    SandboxError::Vendor {
        tried: format!("reading {what}"),
        source: format!("the script in the sandbox said {shown:?}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_normal_and_below_the_project() {
        let project: SandboxPath = "/home/agent/workspace/app".parse().unwrap();
        let told = |path: &str| match within(&project, path) {
            Ok(path) => path,
            Err(error) => format!("{error}"),
        };
        let outside = FlowError::OutsideProject.to_string();
        for (path, becomes) in [
            ("src/a.ts", "/home/agent/workspace/app/src/a.ts"),
            ("./src//./a.ts", "/home/agent/workspace/app/src/a.ts"),
            ("/home/agent/workspace/app/x", "/home/agent/workspace/app/x"),
            ("/home/agent/workspace/app/../app/x", "/home/agent/workspace/app/x"),
            ("-rf", "/home/agent/workspace/app/-rf"),
            ("a\nb", "/home/agent/workspace/app/a\nb"),
            ("../app2/x", &outside),
            ("/home/agent/workspace/app2", &outside),
            ("../../../../../../etc/passwd", &outside),
            ("/etc/passwd", &outside),
            ("/", &outside),
            (".", &FlowError::NoFile.to_string()),
            ("/home/agent/workspace/app/", &FlowError::NoFile.to_string()),
            ("a\0b", &FlowError::BadPath.to_string()),
            (&"a/".repeat(2_500), &FlowError::BadPath.to_string()),
        ] {
            assert_eq!(told(path), becomes, "{path:.40}");
        }
    }
}
