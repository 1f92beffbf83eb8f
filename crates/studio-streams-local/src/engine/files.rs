//! Where the disk's engine keeps its files: a directory, or what a test puts in its place.

use std::{
    fmt::Debug,
    fs::{self, File, TryLockError},
    io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use redb::{BackendError, StorageBackend, backends::FileBackend};

use crate::OpenError;

/// A flat directory of files. Everything that the engine does to a disk goes through this and
/// through the files that [`Self::open`] gives.
pub trait Files: Debug + Send + Sync + 'static {
    /// What errors call the directory.
    fn dir(&self) -> &Path;

    /// Opens a file for reading and writing, an empty one if there is none.
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>>;

    /// Whether there is a file of this name.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name, all at once.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Brings the names of all files to stable storage.
    fn sync_names(&self) -> io::Result<()>;

    /// Free bytes on the disk.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Lets others use the directory.
    fn close(&self);
}

/// A directory of this machine, locked for as long as this lives or until it is closed.
#[derive(Debug)]
pub(super) struct Directory {
    dir: PathBuf,
    lock: Mutex<Option<File>>,
}

impl Directory {
    /// Makes the directory if need be, and locks it.
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Directory { dir: dir.to_owned(), source };
        make(dir).map_err(unusable)?;
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join("streams.lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        Ok(Self { dir: dir.to_owned(), lock: Mutex::new(Some(lock)) })
    }
}

/// Makes the directory with all above it. Their names survive a power cut when this returns.
fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(above) = dir.parent() else { return Err(error) };
            make(above)?;
            make(dir)
        }
        Ok(()) => match dir.parent() {
            Some(above) if above != Path::new("") => sync_names(above),
            Some(_) | None => sync_names(Path::new(".")),
        },
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_names(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

impl Files for Directory {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let path = self.dir.join(name);
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let backend = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Box::new(backend))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.dir.join(name).try_exists()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_names(&self.dir)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = nix::sys::statvfs::statvfs(&self.dir)?;
        Ok(wide(stat.blocks_available()).saturating_mul(wide(stat.fragment_size())))
    }

    fn close(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// These numbers have other sizes on other systems.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

/// A file as redb takes it: it wants a type, and which one is known only at run time.
#[derive(Clone, Debug)]
pub(super) struct AnyFile(pub(super) Arc<dyn StorageBackend>);

impl StorageBackend for AnyFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
