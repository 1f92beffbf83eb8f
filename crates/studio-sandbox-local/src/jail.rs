use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getgid, getuid},
};
use serde::{Deserialize, Serialize};
use studio_sandbox::{Isolation, SandboxError};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Command,
};

use crate::{
    provider::NAME,
    record::{Holder, Place},
};

/// Home of the user inside a bubblewrap jail.
const HOME_INSIDE: &str = "/home/agent";
/// How long namespaces may take to be made.
const HOLDER_PATIENCE: Duration = Duration::from_secs(10);
/// Number of the user inside when the studio runs as root: agents refuse to work as root.
const USER_INSIDE: &str = "1000";
/// Most that is read of what bubblewrap says.
const SAID_BYTES_MAX: u64 = 4096;

/// Says that the namespaces are ready, and holds them as long as the sandbox's directory is there:
/// without it nobody would ever find them again.
const HOLD: &str = "echo ready >&2; exec >/dev/null 2>&1; \
                    while ! grep -q '//deleted /home/agent ' /proc/self/mountinfo; do \
                    sleep 10; done";

/// What keeps an agent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jail {
    /// Nothing but a process group and a clean environment.
    Plain,
    /// The kernel limits which files can be read and written.
    Landlock,
    /// Namespaces of its own for processes, mounts, IPC and host name.
    Bubblewrap,
}

impl Jail {
    pub(crate) fn isolation(self) -> Isolation {
        match self {
            Self::Plain => Isolation::None,
            Self::Landlock => Isolation::Filesystem,
            Self::Bubblewrap => Isolation::Namespaces,
        }
    }

    /// For people.
    pub(crate) fn notice(self) -> &'static str {
        match self {
            Self::Bubblewrap => {
                "Agents run on this machine in a bubblewrap jail: they see neither your home \
                 directory nor the studio's data nor other processes, and can write only to their \
                 own home and temporary directory. They share the network and the kernel, can \
                 read the rest of the file system, and have no memory, CPU or process limits. \
                 This is no wall against hostile code; use Docker for that."
            }
            Self::Landlock => {
                "Agents run on this machine as your user, limited by Landlock: they can read \
                 system directories and write only to their own home and temporary directory. \
                 They share processes, network and kernel, and have no memory, CPU or process \
                 limits; a program that leaves its session can outlive the agent that started it until \
                 the sandbox is removed. This is no wall against hostile code; install bubblewrap \
                 for a stronger jail, or use Docker."
            }
            Self::Plain => {
                "Agents run on this machine as your user without any jail: they can read and \
                 write whatever you can. Only their environment is clean. Install bubblewrap, or \
                 use Docker, before an agent works on anything you did not write yourself."
            }
        }
    }

    /// Where a sandbox's home is, as seen from inside.
    pub(crate) fn home(self, place: &Place) -> PathBuf {
        match self {
            Self::Bubblewrap => HOME_INSIDE.into(),
            Self::Landlock | Self::Plain => place.home(),
        }
    }

    /// Where a sandbox's temporary directory is, as seen from inside.
    pub(crate) fn tmp(self, place: &Place) -> PathBuf {
        match self {
            Self::Bubblewrap => "/tmp".into(),
            Self::Landlock | Self::Plain => place.tmp(),
        }
    }
}

/// The programs of this machine that jails are made with, as absolute paths.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) setsid: PathBuf,
    pub(crate) sh: PathBuf,
    bwrap: Option<PathBuf>,
    nsenter: Option<PathBuf>,
    setpriv: Option<PathBuf>,
}

impl Tools {
    pub(crate) fn find() -> Result<Self, SandboxError> {
        let found = |name: &str| {
            ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"]
                .iter()
                .map(|dir| Path::new(dir).join(name))
                .find(|path| path.is_file())
        };
        let needed = |name: &str| {
            found(name).ok_or_else(|| SandboxError::NotSetUp {
                provider: NAME,
                what_to_do: format!("install the program {name} (package util-linux)"),
            })
        };
        Ok(Self {
            setsid: needed("setsid")?,
            sh: needed("sh")?,
            bwrap: found("bwrap"),
            nsenter: found("nsenter"),
            setpriv: found("setpriv"),
        })
    }

    /// The words before a command that runs inside the namespaces of `holder`.
    pub(crate) fn enter(&self, holder: &Holder) -> Option<Vec<OsString>> {
        let mut words: Vec<OsString> = vec![self.nsenter.clone()?.into()];
        let target = holder.pid.to_string();
        // Credentials stay: user 0 does not exist inside, and 1000 is this user already.
        let enter = ["-t", &target, "-U", "-m", "-p", "-i", "-u", "--preserve-credentials", "--"];
        words.extend(enter.map(OsString::from));
        if let Some(setpriv) = &self.setpriv {
            words.push(setpriv.into());
            words.extend(["--no-new-privs", "--"].map(OsString::from));
        }
        Some(words)
    }

    /// Makes namespaces and a process that holds them and outlives this one.
    pub(crate) async fn hold(
        &self,
        place: &Place,
        view: &View,
        marks: [(&str, &str); 2],
    ) -> Result<Holder, SandboxError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| SandboxError::Vendor {
            tried: "making a bubblewrap jail".to_owned(),
            source,
        };
        let Some(bwrap) = &self.bwrap else {
            return Err(failed("bubblewrap is not installed".into()));
        };
        let mut command = Command::new(&self.setsid);
        command.arg(bwrap).args(bwrap_words(place, view)).arg(&self.sh).args(["-c", HOLD]);
        command.env_clear().env("PATH", view.system_path()).envs(marks);
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(error.into()))?;
        let (Some(info), Some(said)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed("its pipes are missing".into()));
        };
        let making = async {
            let mut said = BufReader::new(said.take(SAID_BYTES_MAX));
            let mut complaint = String::new();
            while said.read_line(&mut complaint).await? != 0 {
                if complaint.ends_with("ready\n") {
                    let mut text = String::new();
                    info.take(SAID_BYTES_MAX).read_to_string(&mut text).await?;
                    let info: Info = serde_json::from_str(&text)?;
                    return Holder::of(info.child_pid);
                }
            }
            Err(io::Error::other(complaint.trim().to_owned()))
        };
        let made = tokio::time::timeout(HOLDER_PATIENCE, making).await;
        let made = made.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()));
        match made {
            Ok(holder) => {
                // The outer process of bubblewrap ends with the inner one; it is only reaped.
                tokio::spawn(async move { child.wait().await });
                Ok(holder)
            }
            Err(error) => {
                child.kill().await.ok();
                Err(failed(error.into()))
            }
        }
    }
}

/// What bubblewrap says of the process it made.
#[derive(Deserialize)]
struct Info {
    #[serde(rename = "child-pid")]
    child_pid: i32,
}

/// Kills process 1 of the namespaces; the kernel kills all others then.
pub(crate) fn kill_holder(holder: &Holder) {
    if holder.is_alive() {
        // Ended in between: just as well.
        kill(Pid::from_raw(holder.pid), Signal::SIGKILL).ok();
    }
}

/// What of this machine's files is seen inside, beside the system's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Seen as empty.
    pub(crate) hidden: Vec<PathBuf>,
    /// Seen read-only, also below a hidden one.
    pub(crate) readable: Vec<PathBuf>,
    /// As `readable`, and in front of `PATH`.
    pub(crate) path_dirs: Vec<PathBuf>,
}

impl View {
    fn system_path(&self) -> &'static str {
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    }

    /// `PATH` inside.
    pub(crate) fn path(&self) -> String {
        let dirs = self.path_dirs.iter().map(|dir| dir.to_string_lossy().into_owned());
        dirs.chain([self.system_path().to_owned()]).collect::<Vec<_>>().join(":")
    }
}

fn bwrap_words(place: &Place, view: &View) -> Vec<OsString> {
    let mut words = Vec::<OsString>::new();
    let mut add = |parts: &[&Path]| words.extend(parts.iter().map(OsString::from));
    let word = |text| Path::new(text);
    let (user, group) = (getuid(), getgid());
    let (user_inside, group_inside) = if user.is_root() {
        (USER_INSIDE.to_owned(), USER_INSIDE.to_owned())
    } else {
        (user.to_string(), group.to_string())
    };
    add(&[word("--unshare-user"), word("--uid"), Path::new(&user_inside)]);
    add(&[word("--gid"), Path::new(&group_inside)]);
    add(&["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "sandbox"].map(word));
    add(&["--ro-bind", "/", "/", "--proc", "/proc"].map(word));
    if user.is_root() {
        add(&["--dev", "/dev"].map(word));
    } else {
        // `--dev` would put a second user namespace over the first, and then this user could
        // not enter from outside. So: the same without terminals.
        add(&["--tmpfs", "/dev", "--dir", "/dev/shm"].map(word));
        for device in ["null", "zero", "full", "random", "urandom", "tty"] {
            let path = Path::new("/dev").join(device);
            add(&[word("--dev-bind"), &path, &path]);
        }
        add(&["--symlink", "/proc/self/fd", "/dev/fd"].map(word));
        for (number, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
            let (from, to) = (format!("/proc/self/fd/{number}"), format!("/dev/{name}"));
            add(&[word("--symlink"), Path::new(&from), Path::new(&to)]);
        }
    }
    // Sockets of services (an engine's among them) are in /run; names are resolved by a file there.
    add(&["--tmpfs", "/run", "--ro-bind-try"].map(word));
    add(&["/run/systemd/resolve", "/run/systemd/resolve"].map(word));
    add(&["--tmpfs", "/home", "--tmpfs", "/root"].map(word));
    add(&[word("--bind"), &place.home(), word(HOME_INSIDE)]);
    add(&[word("--bind"), &place.tmp(), word("/tmp")]);
    for dir in &view.hidden {
        let is_hidden_already =
            ["/home", "/root", "/run", "/tmp"].iter().any(|hidden| dir.starts_with(hidden));
        if !is_hidden_already && dir.parent().is_some() {
            add(&[word("--tmpfs"), dir]);
        }
    }
    for dir in view.readable.iter().chain(&view.path_dirs) {
        add(&[word("--ro-bind-try"), dir, dir]);
    }
    // The fixed words of the holder come after; its number is told on stdout.
    add(&["--chdir", "/", "--info-fd", "1", "--"].map(word));
    words
}
