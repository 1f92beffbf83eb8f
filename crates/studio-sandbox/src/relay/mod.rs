//! The way back: how a program in a sandbox asks the studio something where no network leads to
//! it. The program runs `<home>/.studio/bin/studio-relay VERB` with a body on its stdin and gets
//! the answer on its stdout. Between the two lie files of the sandbox's own user and the
//! provider's `exec`: no socket, no port, no token.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Command, NewFile, Output, OutputChunk, Process, Sandbox, SandboxError, SandboxPath};

/// Longest body of a request, in bytes. The client refuses a longer one.
pub const RELAY_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Most requests that are handled at once in one sandbox; further ones wait inside.
const AT_ONCE_MAX: usize = 32;
/// Longest line that the script in the sandbox says, in bytes.
const LINE_BYTES_MAX: usize = 512;
/// How long fetching a body or handing an answer in may take.
const PATIENCE: Duration = Duration::from_secs(20);

const CLIENT: &str = include_str!("client.sh");
const INSTALL: &str = include_str!("install.sh");
const SERVE: &str = include_str!("serve.sh");
const ANSWER: &str = include_str!("answer.sh");

/// Who answers what is asked inside.
#[async_trait]
pub trait RelayHandler: Send + Sync {
    /// The answer to `body`, which was asked as `verb` (`hook-event`). May take as long as it
    /// takes a person. Both come from inside the sandbox: anything that runs there can send them.
    /// A request that was not answered when the link was lost is asked again.
    async fn handle(&self, verb: &str, body: Bytes) -> Bytes;
}

/// The studio's end of the way back.
#[derive(Clone, Copy, Debug)]
pub struct Relay;

impl Relay {
    /// Where the client is, once it is installed.
    pub fn client(sandbox: &dyn Sandbox) -> Result<SandboxPath, SandboxError> {
        let home = sandbox.home();
        home.join(".studio/bin/studio-relay").map_err(|error| SandboxError::File {
            path: home.to_string(),
            reason: error.to_string(),
        })
    }

    /// Puts the client and the directory that it uses into the sandbox. Again is no harm.
    pub async fn install(sandbox: &dyn Sandbox) -> Result<(), SandboxError> {
        let home = sandbox.home().to_string();
        let output = Output { deadline: PATIENCE, ..Output::default() };
        let made = sandbox.exec(Command::script(INSTALL, [home]), Bytes::new(), output).await?;
        made.success("setting up the relay")?;
        let data = Bytes::from_static(CLIENT.as_bytes());
        let path = Self::client(sandbox)?;
        sandbox.put_files(vec![NewFile { path, data, mode: 0o755 }]).await
    }

    /// Answers what is asked inside, also what was asked while nobody served, until `cancel`
    /// (then `Ok`) or until the link is lost (then an error: serve again). What is handled then
    /// is dropped and asked again.
    pub async fn serve(
        sandbox: Arc<dyn Sandbox>,
        handler: Arc<dyn RelayHandler>,
        cancel: CancellationToken,
    ) -> Result<(), SandboxError> {
        tokio::select! {
            () = cancel.cancelled() => Ok(()),
            lost = serve(sandbox, handler) => lost,
        }
    }
}

async fn serve(
    sandbox: Arc<dyn Sandbox>,
    handler: Arc<dyn RelayHandler>,
) -> Result<(), SandboxError> {
    let command = Command::script(SERVE, [sandbox.home().to_string()]);
    let mut asked = Asked { process: sandbox.spawn(command).await?, held: BytesMut::new() };
    // Dropping the set ends all in it.
    let mut handled = JoinSet::new();
    loop {
        while AT_ONCE_MAX <= handled.len() {
            finish(handled.join_next().await)?;
        }
        tokio::select! {
            done = handled.join_next(), if !handled.is_empty() => finish(done)?,
            name = asked.next() => {
                let name = name?;
                let (sandbox, handler) = (Arc::clone(&sandbox), Arc::clone(&handler));
                handled.spawn(async move { answer(&*sandbox, &*handler, &name).await });
            }
        }
    }
}

/// An answer that could not be handed in means that the link is lost: its client waits, and is
/// asked for again when the relay is served again.
fn finish(
    done: Option<Result<Result<(), SandboxError>, tokio::task::JoinError>>,
) -> Result<(), SandboxError> {
    match done {
        None => Ok(()),
        Some(Ok(handled)) => handled,
        Some(Err(error)) => {
            // Asking it again would only panic again.
            tracing::error!(%error, "the handler of a relay request panicked: {error}");
            Ok(())
        }
    }
}

async fn answer(
    sandbox: &dyn Sandbox,
    handler: &dyn RelayHandler,
    name: &Name,
) -> Result<(), SandboxError> {
    let home = sandbox.home();
    let dir = format!(".studio/relay/asked/{}", name.whole);
    let body = home
        .join(&format!("{dir}/body"))
        .map_err(|error| SandboxError::File { path: dir.clone(), reason: error.to_string() })?;
    let body = match sandbox.read_file(&body, RELAY_BODY_BYTES_MAX).await {
        Ok(body) => body,
        // The client gave up in between.
        Err(SandboxError::File { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let said = handler.handle(name.verb(), body).await;
    let output = Output { deadline: PATIENCE, ..Output::default() };
    let command = Command::script(ANSWER, [home.to_string(), name.whole.clone()]);
    sandbox.exec(command, said, output).await?.success("answering over the relay").map(drop)
}

/// The name of a request, `VERB.PID.TIME.TRY`: only small letters, digits, `.` and `-`.
struct Name {
    whole: String,
}

impl Name {
    /// Checked here too: the script is ours, but what it reads is not.
    fn read(text: &[u8]) -> Option<Self> {
        let whole = std::str::from_utf8(text).ok()?;
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
        let is_good = !whole.is_empty()
            && whole.bytes().all(good)
            && !whole.starts_with(['.', '-'])
            && !whole.contains("..");
        is_good.then(|| Self { whole: whole.to_owned() })
    }

    fn verb(&self) -> &str {
        self.whole.split('.').next().unwrap_or_default()
    }
}

/// What the script in the sandbox says, line by line.
struct Asked {
    process: Process,
    held: BytesMut,
}

impl Asked {
    /// The next request. Safe to drop and call again.
    async fn next(&mut self) -> Result<Name, SandboxError> {
        loop {
            while let Some(end) = self.held.iter().position(|&byte| byte == b'\n') {
                let line = self.held.split_to(end + 1);
                let name = line.strip_prefix(b"ask ").and_then(|rest| rest.strip_suffix(b"\n"));
                if let Some(name) = name.and_then(Name::read) {
                    return Ok(name);
                }
            }
            if LINE_BYTES_MAX < self.held.len() {
                return Err(lost("the script in the sandbox said too long a line"));
            }
            match self.process.output.next().await? {
                Some(OutputChunk::Stdout(data)) => self.held.extend_from_slice(&data),
                Some(OutputChunk::Stderr(text)) => {
                    let said = String::from_utf8_lossy(&text);
                    tracing::debug!(said = &*said, "the relay's script complains");
                }
                None => {
                    let exit = self.process.output.exit().await?;
                    return Err(lost(&format!("the script in the sandbox ended ({exit})")));
                }
            }
        }
    }
}

fn lost(why: &str) -> SandboxError {
    SandboxError::Vendor { tried: "serving the relay".to_owned(), source: why.into() }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn a_request_is_a_name_and_never_a_path() {
        for bad in ["", ".", "..", "../x.1", "a/b", "-rf", "A.1", "a b", "a\n", "hook..1"] {
            assert!(Name::read(bad.as_bytes()).is_none(), "{bad:?}");
        }
        let name = Name::read(b"hook-event.17.12345.1").unwrap();
        assert_eq!(name.verb(), "hook-event");
    }
}
