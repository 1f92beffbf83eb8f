use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use studio_ids::SessionId;
use studio_sandbox::{
    Command, ExecOutput, Exit, NewFile, Output, Process, Sandbox, SandboxError, SandboxPath,
    SandboxRef, SandboxState,
};
use tokio::{io::AsyncWriteExt, process::ChildStdin};

use crate::{
    jail::Jail,
    landlocked::Rules,
    lock::Lock,
    process::{Input, Launch, Running},
    provider::{MAKING_MARK, MARK, Shared, blocking, reference, unavailable},
    record::{Holder, Place, Record},
};

/// Puts stdin into a file. In the sandbox, so that a link which the agent made leads nowhere
/// outside.
const PUT: &str = include_str!("put.sh");
/// Prints a regular file.
const READ: &str = include_str!("read.sh");
/// Exit code of the two when the file cannot be used; stdout says why.
const REFUSED: i32 = 66;

/// One sandbox of this machine.
pub(crate) struct LocalSandbox {
    shared: Arc<Shared>,
    record: Record,
    place: Place,
    reference: SandboxRef,
    home: SandboxPath,
    project: SandboxPath,
}

impl LocalSandbox {
    /// Fails when the provider's root has a name that cannot be a path inside.
    pub(crate) fn new(shared: Arc<Shared>, record: Record) -> Result<Self, SandboxError> {
        let place = Place::new(&shared.root, record.session);
        let home = record.jail.home(&place).to_string_lossy().into_owned();
        let odd = |error: studio_sandbox::BadSandboxPath| SandboxError::File {
            path: home.clone(),
            reason: error.to_string(),
        };
        let inside: SandboxPath = home.parse().map_err(odd)?;
        let project = inside.join(&format!("workspace/{}", record.project)).map_err(odd)?;
        let reference = reference(record.session);
        Ok(Self { shared, record, place, reference, home: inside, project })
    }

    /// Makes the namespaces if the jail has any and they are not there. Under the session's lock:
    /// two that wake the same sandbox would make two, and one that was removed meanwhile has
    /// another's files in its place.
    pub(crate) async fn hold(&self) -> Result<(), SandboxError> {
        if self.record.jail != Jail::Bubblewrap {
            return Ok(());
        }
        let (root, session) = (self.shared.root.clone(), self.record.session);
        let one_at_a_time = blocking(move || Lock::session(&root, session));
        let _one_at_a_time = one_at_a_time.await.map_err(unavailable)?;
        if self.holder().await?.is_some() {
            return Ok(());
        }
        let (shared, session) = (&self.shared, self.record.session.to_string());
        let marks = [(MARK, session.as_str()), (MAKING_MARK, self.record.making.as_str())];
        let holder = shared.tools.hold(&self.place, &shared.view, marks).await?;
        let place = self.place.clone();
        blocking(move || place.write_holder(&holder)).await.map_err(unavailable)
    }

    /// The holder of its namespaces, if it lives.
    ///
    /// Errors: [`SandboxError::Gone`] when the sandbox is gone, also when another one of the
    /// session lies in its place.
    async fn holder(&self) -> Result<Option<Holder>, SandboxError> {
        let (place, making) = (self.place.clone(), self.record.making.clone());
        let found = blocking(move || {
            // In this order: the holder of a later sandbox is never taken for this one's.
            let holder = place.holder()?;
            Ok(place.is_of(&making)?.then_some(holder))
        });
        found.await.map_err(unavailable)?.ok_or_else(|| self.gone())
    }

    /// Whether a program runs in the project's directory.
    pub(crate) async fn project_works(&self) -> Result<(), SandboxError> {
        let command = Command::new(["true"]).in_dir(self.project.clone());
        self.exec(command, Bytes::new(), Output::default()).await?.success("true").map(drop)
    }

    async fn launch(
        &self,
        command: Command,
        is_detached: bool,
    ) -> Result<(Option<ChildStdin>, Running), SandboxError> {
        let holder = self.holder().await?;
        let tools = &self.shared.tools;
        let mut enter = Vec::new();
        if self.record.jail == Jail::Bubblewrap {
            enter = holder.and_then(|holder| tools.enter(&holder)).ok_or_else(|| {
                SandboxError::NotStarted {
                    program: command.program().to_owned(),
                    reason: "the sandbox is stopped".to_owned(),
                }
            })?;
        }
        let launch = Launch {
            enter,
            sh: &tools.sh,
            setsid: is_detached.then_some(tools.setsid.as_path()),
            rules: (self.record.jail == Jail::Landlock).then(|| self.rules()),
            env: self.env(&command),
            cwd: command.cwd.as_ref().unwrap_or(&self.home).as_str(),
            argv: &command.argv,
        };
        match launch.start().await {
            Ok(started) => Ok(started),
            // It may have been removed while this went on.
            Err(error) => match self.state().await {
                Err(gone @ SandboxError::Gone { .. }) => Err(gone),
                Ok(_) | Err(_) => Err(error),
            },
        }
    }

    /// From scratch: nothing of the studio's own environment goes in.
    fn env(&self, command: &Command) -> BTreeMap<String, String> {
        let tmp = self.record.jail.tmp(&self.place);
        let mut env = BTreeMap::from([
            ("HOME".to_owned(), self.home.as_str().to_owned()),
            ("USER".to_owned(), "agent".to_owned()),
            ("LOGNAME".to_owned(), "agent".to_owned()),
            ("SHELL".to_owned(), "/bin/sh".to_owned()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("TMPDIR".to_owned(), tmp.to_string_lossy().into_owned()),
            ("PATH".to_owned(), self.shared.view.path()),
        ]);
        env.extend(self.record.env.clone());
        env.extend(command.env.clone());
        // Last: what is not found by its mark is not found at the end.
        env.insert(MARK.to_owned(), self.record.session.to_string());
        env.insert(MAKING_MARK.to_owned(), self.record.making.clone());
        env
    }

    fn rules(&self) -> Rules {
        let view = &self.shared.view;
        Rules {
            readable: view.readable.iter().chain(&view.path_dirs).cloned().collect(),
            writable: vec![self.place.home(), self.place.tmp()],
        }
    }

    fn gone(&self) -> SandboxError {
        SandboxError::Gone { id: self.reference.id.clone() }
    }

    /// The error of a file script, if it said one.
    fn refused(path: &SandboxPath, said: &ExecOutput) -> Result<(), SandboxError> {
        if said.exit == Exit::Code(REFUSED) {
            let path = path.as_str().to_owned();
            return Err(SandboxError::File { path, reason: said.text() });
        }
        Ok(())
    }
}

#[async_trait]
impl Sandbox for LocalSandbox {
    fn reference(&self) -> &SandboxRef {
        &self.reference
    }

    fn session(&self) -> SessionId {
        self.record.session
    }

    fn home(&self) -> SandboxPath {
        self.home.clone()
    }

    fn project_dir(&self) -> SandboxPath {
        self.project.clone()
    }

    async fn state(&self) -> Result<SandboxState, SandboxError> {
        let needs_holder = self.record.jail == Jail::Bubblewrap;
        Ok(match self.holder().await? {
            None if needs_holder => SandboxState::Stopped,
            None | Some(_) => SandboxState::Running,
        })
    }

    async fn wake(&self) -> Result<(), SandboxError> {
        match self.state().await? {
            SandboxState::Running => Ok(()),
            SandboxState::Stopped => self.hold().await,
        }
    }

    async fn exec(
        &self,
        command: Command,
        input: Bytes,
        output: Output,
    ) -> Result<ExecOutput, SandboxError> {
        let tried = format!("{} in the sandbox", command.program());
        let running = async {
            let (stdin, running) = self.launch(command, false).await?;
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // A program may end without having read all.
                    stdin.write_all(&input).await.ok();
                }
                // Dropped here: the program sees the end of its input.
            };
            let hear = running.gather(output.bytes_max);
            tokio::pin!(feed, hear);
            let mut is_fed = false;
            loop {
                tokio::select! {
                    ended = &mut hear => break ended,
                    () = &mut feed, if !is_fed => is_fed = true,
                }
            }
        };
        // At the deadline the program is dropped, and with it killed.
        match tokio::time::timeout(output.deadline, running).await {
            Ok(ended) => ended,
            Err(_late) => Err(SandboxError::TimedOut { tried, limit: output.deadline }),
        }
    }

    async fn spawn(&self, command: Command) -> Result<Process, SandboxError> {
        let (stdin, running) = self.launch(command, false).await?;
        Ok(Process { input: Box::new(Input(stdin)), output: Box::new(running) })
    }

    async fn spawn_detached(&self, command: Command) -> Result<(), SandboxError> {
        let (_no_stdin, running) = self.launch(command, true).await?;
        running.detach();
        Ok(())
    }

    async fn put_files(&self, files: Vec<NewFile>) -> Result<(), SandboxError> {
        for NewFile { path, data, mode } in files {
            let mode = format!("{:o}", mode & 0o7777);
            let words = [path.as_str().to_owned(), mode, data.len().to_string()];
            let said = self.exec(Command::script(PUT, words), data, Output::default()).await?;
            Self::refused(&path, &said)?;
            said.success("putting a file into the sandbox")?;
        }
        Ok(())
    }

    async fn read_file(&self, path: &SandboxPath, bytes_max: usize) -> Result<Bytes, SandboxError> {
        let words = [path.as_str().to_owned(), bytes_max.to_string()];
        // One more than may be: a file can grow while it is read. Room for a reason, too.
        let output =
            Output { bytes_max: bytes_max.saturating_add(1).max(8192), ..Output::default() };
        let said = self.exec(Command::script(READ, words), Bytes::new(), output).await?;
        Self::refused(path, &said)?;
        let said = said.success("reading a file in the sandbox")?;
        if said.truncated || bytes_max < said.stdout.len() {
            let reason = format!("it has more than the {bytes_max} bytes that may be read");
            return Err(SandboxError::File { path: path.as_str().to_owned(), reason });
        }
        Ok(said.stdout)
    }

    async fn ports(&self) -> Result<Vec<(u16, u16)>, SandboxError> {
        self.state().await?;
        Ok(self.record.ports.iter().map(|&port| (port, port)).collect())
    }
}
