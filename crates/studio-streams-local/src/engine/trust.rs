//! What becomes of the files once the disk has failed: they are not written any more.
//!
//! After a failed sync the system may have dropped what it could not write and say yes to the next
//! sync, so there is no next one. What lies on the disk then is what a crash at this moment would
//! have left, and the next open deals with it as after a crash.

use std::{
    io,
    ops::Bound,
    sync::{Arc, OnceLock},
};

use redb::{BackendError, StorageBackend};

use super::{files::Files, overlay::Overlay};

/// Whether the files of a store are still written: one trust for all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust(Arc<OnceLock<String>>);

impl Trust {
    /// Opens a file. A failed write is the caller's to deal with; after a failed sync all is over.
    pub(super) fn open(
        &self,
        files: &dyn Files,
        name: &str,
    ) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(Strict { file: files.open(name)?, trust: self.clone() }))
    }

    /// Opens a file that can be read for good: once the disk has failed, what is written to it is
    /// kept in memory and its syncs say yes. So whoever relies on a sync calls [`Self::check`]
    /// after it.
    pub(super) fn open_lasting(
        &self,
        files: &dyn Files,
        name: &str,
    ) -> io::Result<Box<dyn StorageBackend>> {
        let (file, memory) = (Arc::from(files.open(name)?), OnceLock::new());
        Ok(Box::new(Lasting { file, trust: self.clone(), memory }))
    }

    /// Fails once the disk has.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.0.get() {
            Some(reason) => Err(io::Error::other(reason.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn lose(&self, tried: &str, error: &io::Error) {
        self.0.get_or_init(|| {
            format!(
                "nothing is written any more until the next start: {tried} failed with: {error}"
            )
        });
    }
}

#[derive(Debug)]
struct Strict {
    file: Box<dyn StorageBackend>,
    trust: Trust,
}

impl StorageBackend for Strict {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.trust.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.trust.check()?;
        self.file.sync_data().inspect_err(|error| self.trust.lose("a sync", error))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.trust.check()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// Reads go on whatever happens: redb refuses them for good after a failed write, and what it
/// holds is as right as before.
#[derive(Debug)]
struct Lasting {
    file: Arc<dyn StorageBackend>,
    trust: Trust,
    /// What would have been written. It does not grow long: nothing is committed any more.
    memory: OnceLock<Overlay>,
}

impl Lasting {
    /// Does this to the file, or in memory once the disk has failed.
    fn change(
        &self,
        tried: &str,
        change: impl Fn(&dyn StorageBackend) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.trust.check().is_ok() {
            let Err(error) = change(&*self.file) else { return Ok(()) };
            self.trust.lose(tried, &error);
            tracing::error!(error = %error, "{tried} failed: the streams are kept in memory");
        }
        let memory = match self.memory.get() {
            Some(memory) => memory,
            None => {
                let memory = Overlay::over(self.file.clone())?;
                self.memory.get_or_init(|| memory)
            }
        };
        change(memory)
    }

    fn seen(&self) -> &dyn StorageBackend {
        match self.memory.get() {
            Some(memory) => memory,
            None => &*self.file,
        }
    }
}

impl StorageBackend for Lasting {
    fn len(&self) -> io::Result<u64> {
        self.seen().len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.seen().read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change("a change of the file's length", |file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change("a sync", |file| file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change("a write", |file| file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
