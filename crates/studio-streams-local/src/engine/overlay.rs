//! Files that are read as they are and changed in memory alone: for looking at a store.

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::{StorageBackend, backends::FileBackend};

use super::files::{Directory, Files};
use crate::OpenError;

/// What of a file is kept in memory at once, once it is changed.
const PAGE_BYTES: u64 = 4_096;

/// A store's directory, locked, whose files stay as they are.
#[derive(Debug)]
pub(super) struct Unchanged(Directory);

impl Unchanged {
    /// Locks the directory, which must be there.
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        if !dir.is_dir() {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(OpenError::Directory { dir: dir.to_owned(), source });
        }
        Directory::open(dir).map(Self)
    }
}

impl Files for Unchanged {
    fn dir(&self) -> &Path {
        self.0.dir()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let file = match File::open(self.dir().join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened?),
        };
        let overlay = match file {
            Some(file) => {
                let file = FileBackend::new(file).map_err(io::Error::other)?;
                Overlay::over(Arc::new(file))?
            }
            None => Overlay::new(None, 0),
        };
        Ok(Box::new(overlay))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.0.exists(name)
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.0.free_bytes()
    }

    fn close(&self) {
        self.0.close();
    }
}

/// A file, and what was written over it.
#[derive(Debug)]
pub(super) struct Overlay {
    file: Option<Arc<dyn StorageBackend>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// What of the file itself is still to be seen.
    len_of_file: u64,
    pages: HashMap<u64, Vec<u8>>,
}

impl Overlay {
    /// Over this file as it is now; from here on it is only read.
    pub(super) fn over(file: Arc<dyn StorageBackend>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self::new(Some(file), len))
    }

    fn new(file: Option<Arc<dyn StorageBackend>>, len: u64) -> Self {
        let state = State { len, len_of_file: len, pages: HashMap::new() };
        Self { file, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file itself from `offset` on; zeros where it has nothing.
    fn read_below(&self, state: &State, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        let there = state.len_of_file.saturating_sub(offset).min(out.len() as u64);
        match &self.file {
            Some(file) if 0 < there => file.read(offset, &mut out[..there as usize]),
            Some(_) | None => Ok(()),
        }
    }
}

/// Cuts a range of bytes at the borders of pages: page, first byte in it, how many.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, end) = (offset, offset + len as u64);
    std::iter::from_fn(move || {
        let (page, first) = (at / PAGE_BYTES, at % PAGE_BYTES);
        let count = (PAGE_BYTES - first).min(end - at);
        at += count;
        (0 < count).then_some((page, first as usize, count as usize))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if state.len < offset.saturating_add(out.len() as u64) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if state.pages.is_empty() {
            return self.read_below(&state, offset, out);
        }
        let mut done = 0;
        for (page, first, count) in pieces(offset, out.len()) {
            let out = &mut out[done..done + count];
            match state.pages.get(&page) {
                Some(changed) => out.copy_from_slice(&changed[first..first + count]),
                None => self.read_below(&state, page * PAGE_BYTES + first as u64, out)?,
            }
            done += count;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.len = len;
        state.len_of_file = state.len_of_file.min(len);
        state.pages.retain(|page, _| page * PAGE_BYTES < len);
        let (last, kept) = (len / PAGE_BYTES, (len % PAGE_BYTES) as usize);
        if let Some(page) = state.pages.get_mut(&last) {
            page[kept..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.len = state.len.max(offset + data.len() as u64);
        let mut done = 0;
        for (page, first, count) in pieces(offset, data.len()) {
            if !state.pages.contains_key(&page) {
                let mut below = vec![0; PAGE_BYTES as usize];
                self.read_below(&state, page * PAGE_BYTES, &mut below)?;
                state.pages.insert(page, below);
            }
            if let Some(changed) = state.pages.get_mut(&page) {
                changed[first..first + count].copy_from_slice(&data[done..done + count]);
            }
            done += count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_file_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let name = "file";
        std::fs::write(dir.path().join(name), [7; 10_000]).unwrap();
        let files = Unchanged::open(dir.path()).unwrap();
        let file = files.open(name).unwrap();
        let read = |from: u64, len: usize| {
            let mut out = vec![1; len];
            file.read(from, &mut out).map(|()| out)
        };
        file.write(4_090, &[8; 20]).unwrap();
        file.write(12_000, &[9; 5]).unwrap();
        assert_eq!(file.len().unwrap(), 12_005);
        assert_eq!(read(4_089, 22).unwrap(), [&[7][..], &[8; 20], &[7]].concat());
        assert_eq!(read(9_999, 3).unwrap(), [7, 0, 0]);
        assert_eq!(read(11_999, 6).unwrap(), [0, 9, 9, 9, 9, 9]);
        assert!(read(12_000, 6).is_err());
        // What was cut off is zeros when it comes back.
        file.set_len(4_095).unwrap();
        file.set_len(10_000).unwrap();
        assert_eq!(read(4_089, 22).unwrap(), [&[7][..], &[8; 5], &[0; 16]].concat());
        assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), [7; 10_000]);
        // One that is not there begins empty.
        assert_eq!(files.open("none").unwrap().len().unwrap(), 0);
        assert!(!dir.path().join("none").exists());
    }
}
