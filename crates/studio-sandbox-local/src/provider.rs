use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use studio_ids::SessionId;
use studio_sandbox::{
    Abilities, Enforced, Progress, ProgressSink, Sandbox, SandboxError, SandboxProvider,
    SandboxRef, SandboxSpec,
};

use crate::{
    jail::{Jail, Tools, View, kill_holder},
    landlocked,
    lock::Lock,
    record::{Place, Record},
    sandbox::LocalSandbox,
    sweep,
};

/// The provider's name.
pub(crate) const NAME: &str = "local";
/// Carried by everything that runs in a sandbox.
pub(crate) const MARK: &str = "STUDIO_SANDBOX";
/// Carried besides by what belongs to one making of a sandbox.
pub(crate) const MAKING_MARK: &str = "STUDIO_SANDBOX_MAKING";
/// How long killed processes may take to be gone.
const SWEEP_PATIENCE: Duration = Duration::from_secs(10);
/// Directories that are being removed. Not a session's id, so never taken for a sandbox.
const TRASH: &str = ".removed";
/// Directories that are being made. As before.
const HALF_MADE: &str = ".making";

/// What can be chosen of the local provider.
#[derive(Clone, Debug, Default)]
pub struct LocalOptions {
    /// Directories with programs (the agents' command lines): read-only inside, and in front of
    /// `PATH`. Absolute.
    pub path_dirs: Vec<PathBuf>,
    /// More directories that are read-only inside, also below a hidden one: what the programs of
    /// `path_dirs` point to. Absolute.
    pub readable: Vec<PathBuf>,
    /// Directories that are empty inside: the home of the user who runs the studio, its data.
    /// `/home`, `/root`, `/run`, `/tmp` and the provider's own root always are.
    pub hidden: Vec<PathBuf>,
    /// A jail that must be used; otherwise the strongest that works here.
    pub jail: Option<Jail>,
}

/// What all sandboxes of a provider share.
pub(crate) struct Shared {
    pub(crate) root: PathBuf,
    pub(crate) tools: Tools,
    pub(crate) view: View,
}

/// Sandboxes that are jailed processes of this machine, each with a directory below one root.
///
/// They go on while the studio is away, and a new provider over the same root finds them again.
pub struct LocalProvider {
    shared: Arc<Shared>,
    jail: Jail,
}

impl std::fmt::Debug for LocalProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalProvider")
            .field("root", &self.shared.root)
            .field("jail", &self.jail)
            .finish()
    }
}

impl LocalProvider {
    /// Opens the sandboxes below `root`, which is made if it is not there, and tries which jail
    /// works here (some 20 ms).
    ///
    /// Errors: [`SandboxError::NotSetUp`] when the machine lacks a program, when the jail that
    /// was asked for does not work, or when `root` cannot be used.
    pub async fn open(root: PathBuf, options: LocalOptions) -> Result<Self, SandboxError> {
        let unusable = |error: io::Error| SandboxError::NotSetUp {
            provider: NAME,
            what_to_do: format!(
                "make {} a directory that can be written ({error})",
                root.display()
            ),
        };
        let made = root.clone();
        let root = blocking(move || open_root(&made)).await.map_err(unusable)?;
        let mut hidden = options.hidden;
        hidden.push(root.clone());
        let view = View { hidden, readable: options.readable, path_dirs: options.path_dirs };
        let shared = Arc::new(Shared { root, tools: Tools::find()?, view });
        let jail = match options.jail {
            Some(jail) => {
                try_jail(&shared, jail).await.map_err(|why| SandboxError::NotSetUp {
                    provider: NAME,
                    what_to_do: format!("mend the jail {jail:?}, or choose another: {why}"),
                })?;
                jail
            }
            None => strongest(&shared).await,
        };
        Ok(Self { shared, jail })
    }

    /// Which jail new sandboxes get.
    pub fn jail(&self) -> Jail {
        self.jail
    }

    fn sandbox(&self, record: Record) -> Result<LocalSandbox, SandboxError> {
        LocalSandbox::new(Arc::clone(&self.shared), record)
    }
}

/// Makes the root, removes what an earlier removal left half done, and gives its real path.
fn open_root(root: &Path) -> io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
    let root = root.canonicalize()?;
    for dir in [TRASH, HALF_MADE] {
        std::fs::create_dir_all(root.join(dir))?;
    }
    // What a killed server left. An older one that still runs may be making one just now: then
    // the next start clears up. The directories themselves stay, for it may use them.
    remove_children(&root.join(TRASH))?;
    if let Some(_nobody_makes_one) = Lock::clearing(&root)? {
        remove_children(&root.join(HALF_MADE))?;
    }
    Ok(root)
}

async fn strongest(shared: &Arc<Shared>) -> Jail {
    for jail in [Jail::Bubblewrap, Jail::Landlock] {
        match try_jail(shared, jail).await {
            Ok(()) => return jail,
            Err(why) => tracing::info!(sandbox.jail = ?jail, why, "a jail does not work here"),
        }
    }
    Jail::Plain
}

/// Makes a sandbox of the kind, runs a program in it and removes it.
async fn try_jail(shared: &Arc<Shared>, jail: Jail) -> Result<(), String> {
    match jail {
        Jail::Plain => Ok(()),
        Jail::Landlock if landlocked::works().await => Ok(()),
        Jail::Landlock => Err("this kernel has no Landlock, or too old a one".to_owned()),
        Jail::Bubblewrap => {
            let provider = LocalProvider { shared: Arc::clone(shared), jail };
            let session = SessionId::random();
            let probe = Record::probe(session, jail).map_err(|error| error.to_string())?;
            let made = provider.make(probe).await;
            let tried = match made {
                Ok(sandbox) => sandbox.project_works().await,
                Err(error) => Err(error),
            };
            let removed = provider.destroy_session(session).await;
            tried.and(removed).map_err(|error| {
                let source = std::error::Error::source(&error);
                format!("{error}{}", source.map(|s| format!(": {s}")).unwrap_or_default())
            })
        }
    }
}

#[async_trait]
impl SandboxProvider for LocalProvider {
    fn name(&self) -> &'static str {
        NAME
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            isolation: self.jail.isolation(),
            notice: self.jail.notice().to_owned(),
            // Limits need a control group of one's own, which an ordinary user has not.
            enforced: Enforced::default(),
            outlives_server: true,
            // The network is shared: a port inside is a port of this machine.
            ports: true,
        }
    }

    async fn ready(&self) -> Result<(), SandboxError> {
        let root = self.shared.root.clone();
        let written = blocking(move || tempfile::tempfile_in(root).map(drop)).await;
        written.map_err(|error| SandboxError::Unavailable { provider: NAME, source: error.into() })
    }

    async fn create(
        &self,
        spec: &SandboxSpec,
        progress: ProgressSink,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        progress(Progress("Starting a jail on this machine".to_owned()));
        Ok(Arc::new(self.make(Record::of(spec, self.jail)).await?))
    }

    async fn find(&self, reference: &SandboxRef) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        let Some(session) = session_of(reference) else { return Ok(None) };
        let place = Place::new(&self.shared.root, session);
        let record = blocking(move || place.record()).await.map_err(unavailable)?;
        Ok(match record {
            Some(record) => Some(Arc::new(self.sandbox(record)?)),
            None => None,
        })
    }

    async fn list(&self) -> Result<Vec<(SessionId, SandboxRef)>, SandboxError> {
        let root = self.shared.root.clone();
        let sessions = blocking(move || {
            let mut sessions = Vec::new();
            for entry in std::fs::read_dir(root)? {
                let name = entry?.file_name();
                sessions.extend(name.to_str().and_then(|name| name.parse::<SessionId>().ok()));
            }
            Ok(sessions)
        });
        let sessions = sessions.await.map_err(unavailable)?;
        Ok(sessions.into_iter().map(|session| (session, reference(session))).collect())
    }

    async fn destroy(&self, reference: &SandboxRef) -> Result<(), SandboxError> {
        match session_of(reference) {
            Some(session) => self.destroy_session(session).await,
            None => Ok(()),
        }
    }

    async fn destroy_session(&self, session: SessionId) -> Result<(), SandboxError> {
        self.remove(session, |_whatever| Ok(true)).await
    }

    async fn destroy_up_to(&self, session: SessionId, lease: u64) -> Result<(), SandboxError> {
        self.remove(session, move |place| Ok(place.lease()? <= lease)).await
    }
}

impl LocalProvider {
    async fn remove(
        &self,
        session: SessionId,
        is_meant: impl FnOnce(&Place) -> io::Result<bool> + Send + 'static,
    ) -> Result<(), SandboxError> {
        let root = self.shared.root.clone();
        let removed = blocking(move || destroy_if(&root, session, is_meant));
        removed.await.map_err(|error| SandboxError::Vendor {
            tried: format!("removing the local sandbox of session {session}"),
            source: error.into(),
        })
    }

    async fn make(&self, record: Record) -> Result<LocalSandbox, SandboxError> {
        let session = record.session;
        let place = Place::new(&self.shared.root, session);
        let failed = |error: io::Error| {
            let taken = [io::ErrorKind::AlreadyExists, io::ErrorKind::DirectoryNotEmpty];
            if taken.contains(&error.kind()) {
                return SandboxError::Exists { id: session.to_string() };
            }
            let tried = "making a local sandbox".to_owned();
            SandboxError::Vendor { tried, source: error.into() }
        };
        // From here on there is something to be removed, whatever cuts this off.
        let mut half_made = HalfMade::new(self.shared.root.clone(), &record);
        let (making, written) = (Arc::clone(&half_made.making), record.clone());
        blocking(move || making.put_in_place(&place, &written)).await.map_err(failed)?;
        let sandbox = self.sandbox(record)?;
        sandbox.hold().await?;
        half_made.is_whole = true;
        Ok(sandbox)
    }
}

/// Removes a sandbox whose making failed or was dropped.
///
/// Another server may take the session over meanwhile, remove the sandbox and make its own: that
/// one is not ours to remove. So each making has a name of its own, which lies in its sandbox.
struct HalfMade {
    making: Arc<Making>,
    is_whole: bool,
}

struct Making {
    root: PathBuf,
    session: SessionId,
    name: String,
    /// Whether nobody wants it any more. Held while the directory is made.
    dropped: Mutex<bool>,
}

impl Making {
    fn half(&self) -> Place {
        Place::half_made(self.root.join(HALF_MADE).join(&self.name))
    }

    /// Makes the directory under another name and then gives it its own, whole: one that is made
    /// by somebody else at the same time is neither touched nor mixed with.
    fn put_in_place(&self, place: &Place, record: &Record) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        if *dropped {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let half = self.half();
        let _not_cleared_away = Lock::making(&self.root)?;
        std::fs::create_dir_all(self.root.join(HALF_MADE))?;
        std::fs::DirBuilder::new().mode(0o700).create(half.dir())?;
        std::fs::create_dir(half.tmp())?;
        std::fs::create_dir_all(half.home().join("workspace").join(record.project.as_str()))?;
        half.write_record(record)?;
        // Not while somebody judges what lies there, kills its processes and takes it away.
        let _nobody_removes = Lock::session(&self.root, self.session)?;
        // Refused where something lies: a sandbox is never empty.
        std::fs::rename(half.dir(), place.dir())
    }

    fn undo(&self) -> io::Result<()> {
        *self.dropped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        remove_tree(self.half().dir())?;
        destroy_if(&self.root, self.session, |place| place.is_of(&self.name))?;
        // A jail that came up when another's sandbox lay there already.
        sweep(&self.marks())
    }

    fn marks(&self) -> String {
        format!("{MAKING_MARK}={}", self.name)
    }
}

impl HalfMade {
    fn new(root: PathBuf, record: &Record) -> Self {
        let (session, name) = (record.session, record.making.clone());
        let making = Making { root, session, name, dropped: Mutex::default() };
        Self { making: Arc::new(making), is_whole: false }
    }
}

impl Drop for HalfMade {
    fn drop(&mut self) {
        if self.is_whole {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let making = Arc::clone(&self.making);
        runtime.spawn_blocking(move || {
            if let Err(error) = making.undo() {
                let session = making.session;
                tracing::warn!(
                    session.id = %session, %error,
                    "a half-made local sandbox could not be removed; deleting its session tries again"
                );
            }
        });
    }
}

/// If what lies in the session's place is as `is_meant` says: kills all of it, looks whether all
/// is dead, removes its directory. Blocking.
///
/// All but the last under the session's lock, so nobody puts another sandbox there meanwhile, and
/// what carries the session's mark is of the one that was judged.
fn destroy_if(
    root: &Path,
    session: SessionId,
    is_meant: impl FnOnce(&Place) -> io::Result<bool>,
) -> io::Result<()> {
    let place = Place::new(root, session);
    let trash = root.join(TRASH);
    std::fs::create_dir_all(&trash)?;
    let removed = trash.join(SessionId::random().to_string());
    {
        let _nobody_else = Lock::session(root, session)?;
        if !is_meant(&place)? {
            return Ok(());
        }
        // One that cannot be read is found by its mark.
        if let Ok(Some(holder)) = place.holder() {
            kill_holder(&holder);
        }
        sweep(&format!("{MARK}={session}"))?;
        // Under another name first, so that a removal that is cut off leaves no half sandbox.
        match std::fs::rename(place.dir(), &removed) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    remove_tree(&removed)
}

/// Kills everything that carries `mark`.
fn sweep(mark: &str) -> io::Result<()> {
    let left = sweep::sweep(mark, SWEEP_PATIENCE);
    if left.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(format!("processes {left:?} cannot be killed")))
}

fn remove_children(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        remove_tree(&entry?.path())?;
    }
    Ok(())
}

/// Removes a directory. Package managers make directories that cannot be written: those are
/// opened up and tried again.
fn remove_tree(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(dir)?;
            std::fs::remove_dir_all(dir)
        }
        done => done,
    }
}

fn open_up(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // Of the entry itself: a link is never followed.
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// How the sandbox of `session` is called.
pub(crate) fn reference(session: SessionId) -> SandboxRef {
    SandboxRef { provider: NAME.to_owned(), id: session.to_string() }
}

fn session_of(reference: &SandboxRef) -> Option<SessionId> {
    (reference.provider == NAME).then(|| reference.id.parse().ok()).flatten()
}

pub(crate) fn unavailable(error: io::Error) -> SandboxError {
    SandboxError::Unavailable { provider: NAME, source: error.into() }
}

/// Runs what waits for the disk beside the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
