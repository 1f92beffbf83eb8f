use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use studio_ids::SessionId;

/// Where the locks lie. Not a session's id, so never taken for a sandbox.
const LOCKS: &str = ".locks";
/// The lock that whoever makes a directory holds together with others, and whoever clears away
/// what was never finished holds alone.
const MAKING: &str = "making";
/// Longest wait for a lock: who holds one kills processes at most, which has a shorter limit. A
/// server that was stopped (`SIGSTOP`) while it holds one makes others give up after this.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(2);

/// A lock between all servers over one root (`flock`), of this process or another. Given back when
/// it is dropped, and by the kernel when its process ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// The lock of a session: what lies in its place, and its holder, change only under it.
    /// Blocking. There are 256 of them, so sessions may share one.
    pub(crate) fn session(root: &Path, session: SessionId) -> io::Result<Self> {
        let [first, ..] = *session.as_bytes();
        let file = open(root, &format!("{first:02x}"))?;
        wait(|| file.try_lock())?;
        Ok(Self(file))
    }

    /// Held while a directory is made. Blocking.
    pub(crate) fn making(root: &Path) -> io::Result<Self> {
        let file = open(root, MAKING)?;
        wait(|| file.try_lock_shared())?;
        Ok(Self(file))
    }

    /// Held while directories that nobody makes any more are removed; `None` when somebody makes
    /// one.
    pub(crate) fn clearing(root: &Path) -> io::Result<Option<Self>> {
        let file = open(root, MAKING)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave it with a child that has not called exec yet.
        self.0.unlock().ok();
    }
}

/// The file is never removed: somebody may wait for it.
fn open(root: &Path, name: &str) -> io::Result<File> {
    let dir = root.join(LOCKS);
    std::fs::create_dir_all(&dir)?;
    OpenOptions::new().create(true).append(true).open(dir.join(name))
}

fn wait(mut attempt: impl FnMut() -> Result<(), TryLockError>) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                let why = "another server over this directory does not let go of the sandbox";
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}
