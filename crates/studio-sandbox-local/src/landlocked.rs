//! Programs under Landlock: the kernel limits which files they and all that they start can use.

use std::{io, path::PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, path_beneath_rules,
};
use tokio::process::{Child, Command};

/// Must hold, or Landlock does not count as a jail. Before this version a file could not be moved
/// to another directory at all, which breaks git and package managers.
const ABI_NEEDED: ABI = ABI::V2;
/// Is asked for as far as the kernel knows it.
const ABI_WANTED: ABI = ABI::V7;

/// System directories that can be read.
const READABLE: &[&str] = &[
    "/bin",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/proc",
    "/run/systemd/resolve",
    "/sbin",
    "/sys",
    "/usr",
    "/dev",
];
/// Devices that can be written.
const WRITABLE: &[&str] =
    &["/dev/full", "/dev/null", "/dev/random", "/dev/shm", "/dev/tty", "/dev/urandom", "/dev/zero"];

/// Which files a program may use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// Read and executed, beside the system's own directories.
    pub(crate) readable: Vec<PathBuf>,
    /// Everything.
    pub(crate) writable: Vec<PathBuf>,
}

impl Rules {
    /// Limits the calling thread, and with it all that it starts, for ever.
    fn restrict(&self) -> Result<RulesetStatus, RulesetError> {
        let (all, read) = (AccessFs::from_all(ABI_WANTED), AccessFs::from_read(ABI_WANTED));
        // Signals and sockets are not limited: every exec is a domain of its own, and the one
        // that stops an agent must reach it.
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI_NEEDED))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .create()?;
        // Paths that do not exist are left out.
        let readable = READABLE.iter().map(PathBuf::from).chain(self.readable.iter().cloned());
        let writable = WRITABLE.iter().map(PathBuf::from).chain(self.writable.iter().cloned());
        let status = ruleset
            .add_rules(path_beneath_rules(readable, read))?
            .add_rules(path_beneath_rules(writable, all))?
            .restrict_self()?;
        Ok(status.ruleset)
    }

    /// Starts `command` under these rules. Only from an own thread, since the thread never gets
    /// rid of them.
    pub(crate) async fn spawn(self, mut command: Command) -> io::Result<Child> {
        let runtime = tokio::runtime::Handle::current();
        let (done, started) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("landlocked".to_owned()).spawn(move || {
            let _inside = runtime.enter();
            let child = match self.restrict() {
                Ok(RulesetStatus::NotEnforced) => Err(io::Error::other("Landlock is not there")),
                Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => {
                    command.spawn()
                }
                Err(error) => Err(io::Error::other(error)),
            };
            // Nobody waits any more: the child is dropped, and its starter's mark is swept.
            done.send(child).ok();
        })?;
        started.await.map_err(io::Error::other)?
    }
}

/// Whether this kernel can limit files. Tried, on a thread that ends.
pub(crate) async fn works() -> bool {
    let (done, tried) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("landlock-try".to_owned()).spawn(move || {
        let status = Rules::default().restrict();
        // Nobody waits any more.
        done.send(matches!(status, Ok(status) if status != RulesetStatus::NotEnforced)).ok();
    });
    thread.is_ok() && tried.await.unwrap_or(false)
}
