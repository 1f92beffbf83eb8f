//! Files of a process that dies at a moment that the test chooses, as by `kill -9`.

use std::{
    fs::{self, File},
    io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use redb::{BackendError, StorageBackend, backends::FileBackend};
use studio_streams_local::engine::Files;

/// A directory whose files change only so many times: then the process is as good as dead.
#[derive(Debug)]
pub(crate) struct Dying {
    pub(crate) dir: PathBuf,
    pub(crate) life: Life,
}

#[derive(Clone, Debug)]
pub(crate) struct Life(Arc<AtomicI64>);

impl Life {
    /// Ends with the change after so many.
    pub(crate) fn of(changes: i64) -> Self {
        Self(Arc::new(AtomicI64::new(changes)))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::SeqCst) < 0
    }

    /// Nothing is written from now on, as by one that is dead.
    pub(crate) fn end(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    fn spend(&self) -> io::Result<()> {
        if self.0.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(io::Error::other("dead"));
        }
        Ok(())
    }
}

impl Files for Dying {
    fn dir(&self) -> &Path {
        &self.dir
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file =
            FileBackend::new(options.open(self.dir.join(name))?).map_err(io::Error::other)?;
        Ok(Box::new(DyingFile { file, life: self.life.clone() }))
    }
    fn exists(&self, name: &str) -> io::Result<bool> {
        self.dir.join(name).try_exists()
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.life.spend()?;
        fs::remove_file(self.dir.join(name))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.life.spend()?;
        fs::rename(self.dir.join(from), self.dir.join(to))
    }
    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    fn close(&self) {}
}

#[derive(Debug)]
struct DyingFile {
    file: FileBackend,
    life: Life,
}

impl StorageBackend for DyingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.life.spend()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.life.spend()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.life.spend()?;
        self.file.write(offset, data)
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}
