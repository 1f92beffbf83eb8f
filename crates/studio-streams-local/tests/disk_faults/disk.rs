//! A disk that is not there: it forgets what was not synced, tears writes, and fails when asked.
//!
//! What the model holds to be true of a disk and its file system:
//! - a sector (512 bytes) is written whole or not at all; of a larger write any sectors may be
//!   missing after a power cut, and writes that were not synced may be there in any order;
//! - a new length of a file may be there without the bytes that made it so long (zeros then);
//! - names (new files, removed ones, renames) are there after a power cut once the directory was
//!   synced, before that in any combination; a rename is there whole or not at all;
//! - after a failed sync the bytes may be lost for good although they can be read until the power
//!   goes, and the next sync of the same file succeeds without bringing them to the disk;
//! - room is taken by writes, not by lengths.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use redb::StorageBackend;
use studio_streams_local::engine::Files;

use super::{
    inode::{Change, Inode, survivors},
    plan::{Plan, Tally},
    random::Random,
};

const BLOCK: usize = 4096;

#[derive(Clone, Debug)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

/// A sync that waits for its end.
pub(crate) struct Hold(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    reached: tokio::sync::Notify,
    over: Mutex<bool>,
    told: Condvar,
}

impl Hold {
    /// A sync waits.
    pub(crate) async fn reached(&self) {
        self.0.reached.notified().await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        *self.0.over.lock().unwrap() = true;
        self.0.told.notify_all();
    }
}

impl Held {
    fn wait(&self) {
        self.reached.notify_one();
        let over = self.over.lock().unwrap();
        drop(self.told.wait_while(over, |over| !*over).unwrap());
    }
}

#[derive(Debug)]
struct State {
    random: Random,
    plan: Plan,
    /// Operations, and reads, in this life.
    done: u64,
    reads: u64,
    /// Files and handles belong to one life; those of an earlier one are dead.
    life: u64,
    powered: bool,
    room: u64,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<Naming>,
    files: Vec<Inode>,
    tally: Tally,
    hold: Option<Arc<Held>>,
    /// What the store must not do, found while it ran.
    wrong: Vec<String>,
}

#[derive(Clone, Debug)]
enum Naming {
    Made(String, usize),
    Removed(String),
    Renamed(String, String, usize),
}

fn gone() -> io::Error {
    io::Error::other("the power is off")
}

fn broken() -> io::Error {
    // EIO, as the kernel says it.
    io::Error::from_raw_os_error(5)
}

fn full() -> io::Error {
    // ENOSPC.
    io::Error::from_raw_os_error(28)
}

impl State {
    fn alive(&self, life: u64) -> io::Result<()> {
        if self.powered && life == self.life { Ok(()) } else { Err(gone()) }
    }

    /// Counts an operation that changes something. `Ok(false)` = it is under way when the power
    /// goes.
    fn operate(&mut self, life: u64) -> io::Result<bool> {
        self.alive(life)?;
        self.done += 1;
        self.tally.operations += 1;
        if self.plan.full_at.is_some_and(|(at, _)| at <= self.done)
            && let Some((_, room)) = self.plan.full_at.take()
        {
            self.room = room;
        }
        if self.plan.cut_at.is_some_and(|at| at <= self.done) {
            self.powered = false;
            return Ok(false);
        }
        Ok(true)
    }

    fn inode(&mut self, inode: usize) -> &mut Inode {
        &mut self.files[inode]
    }

    fn read(&mut self, life: u64, inode: usize, at: usize, out: &mut [u8]) -> io::Result<()> {
        self.alive(life)?;
        self.reads += 1;
        if self.plan.read_fails_at.is_some_and(|fails| fails <= self.reads) {
            if !self.plan.stays {
                self.plan.read_fails_at = None;
            }
            self.tally.failed_reads += 1;
            return Err(broken());
        }
        let from = &self.files[inode].current;
        let found = from.get(at..at + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&mut self, life: u64, inode: usize, at: usize, bytes: &[u8]) -> io::Result<()> {
        let goes_on = self.operate(life)?;
        if goes_on && self.plan.write_fails_at.is_some_and(|fails| fails <= self.done) {
            if !self.plan.stays {
                self.plan.write_fails_at = None;
            }
            self.tally.failed_writes += 1;
            let part = self.random.below(bytes.len() as u64 + 1) as usize;
            self.put(inode, at, &bytes[..part]);
            return Err(broken());
        }
        let fits = self.take_room(inode, at, bytes.len());
        self.put(inode, at, &bytes[..fits]);
        if !goes_on {
            return Err(gone());
        }
        if fits < bytes.len() {
            self.tally.no_room += 1;
            return Err(full());
        }
        Ok(())
    }

    fn put(&mut self, inode: usize, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let change = Change::Bytes(at, bytes.to_vec());
        let inode = self.inode(inode);
        change.apply(&mut inode.current);
        inode.pending.push(change);
    }

    /// How many of these bytes find room.
    fn take_room(&mut self, inode: usize, at: usize, len: usize) -> usize {
        if len == 0 {
            return 0;
        }
        for block in at / BLOCK..=(at + len - 1) / BLOCK {
            if self.files[inode].blocks.contains(&block) {
                continue;
            }
            if self.room < BLOCK as u64 {
                return (block * BLOCK).saturating_sub(at);
            }
            self.room -= BLOCK as u64;
            self.files[inode].blocks.insert(block);
        }
        len
    }

    fn set_len(&mut self, life: u64, inode: usize, len: usize) -> io::Result<()> {
        let goes_on = self.operate(life)?;
        let file = self.inode(inode);
        let change = Change::Length(len);
        change.apply(&mut file.current);
        file.pending.push(change);
        let beyond = file.blocks.split_off(&len.div_ceil(BLOCK));
        self.room += (beyond.len() * BLOCK) as u64;
        if goes_on { Ok(()) } else { Err(gone()) }
    }

    fn sync(&mut self, life: u64, inode: usize) -> io::Result<()> {
        let goes_on = self.operate(life)?;
        if self.files[inode].sync_failed {
            self.wrong.push("a sync was tried again after it had failed".to_owned());
        }
        if !goes_on {
            return Err(gone());
        }
        if self.plan.sync_fails_at.is_some_and(|fails| fails <= self.done) {
            if !self.plan.stays {
                self.plan.sync_fails_at = None;
            }
            self.tally.failed_syncs += 1;
            let file = &mut self.files[inode];
            file.sync_failed = true;
            file.tear(&mut self.random);
            return Err(broken());
        }
        let file = self.inode(inode);
        for change in std::mem::take(&mut file.pending) {
            change.apply(&mut file.durable);
        }
        Ok(())
    }

    fn name(&mut self, life: u64, naming: Naming) -> io::Result<()> {
        let goes_on = self.operate(life)?;
        let named = self.named_bytes();
        rename(&mut self.names, &naming);
        self.room += named.saturating_sub(self.named_bytes());
        self.pending_names.push(naming);
        if goes_on { Ok(()) } else { Err(gone()) }
    }

    /// Bytes of blocks in files that have a name; the others are as good as gone.
    fn named_bytes(&self) -> u64 {
        let blocks = |inode: &usize| self.files[*inode].blocks.len() * BLOCK;
        self.names.values().map(|inode| blocks(inode) as u64).sum()
    }

    fn begin_life(&mut self) {
        self.life += 1;
        self.powered = true;
        self.done = 0;
        self.reads = 0;
        self.plan = Plan::default();
        self.files.iter_mut().for_each(|file| file.sync_failed = false);
    }
}

fn rename(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    match naming {
        Naming::Made(name, inode) => drop(names.insert(name.clone(), *inode)),
        Naming::Removed(name) => drop(names.remove(name)),
        Naming::Renamed(from, to, inode) => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
    }
}

impl SimDisk {
    pub(crate) fn new(random: Random, room: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random,
            plan: Plan::default(),
            done: 0,
            reads: 0,
            life: 0,
            powered: true,
            room,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            files: Vec::new(),
            tally: Tally::default(),
            hold: None,
            wrong: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The files for one life of a store.
    pub(crate) fn files(&self) -> Arc<dyn Files> {
        Arc::new(SimFiles { state: self.0.clone(), life: self.state().life })
    }

    /// What goes wrong from now on.
    pub(crate) fn plan(&self, plan: Plan) {
        let mut state = self.state();
        state.done = 0;
        state.reads = 0;
        state.plan = plan;
    }

    /// So much room from now on.
    pub(crate) fn set_room(&self, room: u64) {
        self.state().room = room;
    }

    /// The power is off: the disk has what was synced, and of the rest what chance left.
    pub(crate) fn cut(&self) {
        let mut guard = self.state();
        let state = &mut *guard;
        state.tally.cuts += 1;
        let pending = std::mem::take(&mut state.pending_names);
        for naming in survivors(&mut state.random, pending) {
            rename(&mut state.durable_names, &naming);
        }
        let (named, room) = (state.named_bytes(), state.room);
        state.names = state.durable_names.clone();
        for file in &mut state.files {
            file.tear(&mut state.random);
            file.current = file.durable.clone();
            drop(file.blocks.split_off(&file.current.len().div_ceil(BLOCK)));
        }
        state.room = (room + named).saturating_sub(state.named_bytes());
        state.begin_life();
    }

    /// The process is gone, the machine runs on: everything is there, nothing more is synced.
    pub(crate) fn kill(&self) {
        let mut state = self.state();
        state.tally.kills += 1;
        state.begin_life();
    }

    /// The store was stopped and its files closed.
    pub(crate) fn stopped(&self) {
        self.state().begin_life();
    }

    /// From now on nothing reaches the disk any more.
    pub(crate) fn freeze(&self) {
        self.state().powered = false;
    }

    /// Nothing more goes wrong until the next plan; gives the one that was in force.
    pub(crate) fn pause_plan(&self) -> Plan {
        std::mem::take(&mut self.state().plan)
    }

    /// The next sync waits until this is dropped.
    pub(crate) fn hold_next_sync(&self) -> Hold {
        let hold = Hold(Arc::default());
        self.state().hold = Some(hold.0.clone());
        hold
    }

    pub(crate) fn is_powered(&self) -> bool {
        self.state().powered
    }

    pub(crate) fn tally(&self) -> Tally {
        self.state().tally
    }

    pub(crate) fn wrong(&self) -> Vec<String> {
        self.state().wrong.clone()
    }
}

#[derive(Debug)]
struct SimFiles {
    state: Arc<Mutex<State>>,
    life: u64,
}

impl SimFiles {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state.lock().unwrap();
        state.alive(self.life)?;
        Ok(state)
    }
}

impl Files for SimFiles {
    fn dir(&self) -> &Path {
        Path::new("simulated")
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let mut state = self.state()?;
        let inode = match state.names.get(name) {
            Some(inode) => *inode,
            None => {
                let inode = state.files.len();
                state.files.push(Inode::default());
                state.name(self.life, Naming::Made(name.to_owned(), inode))?;
                inode
            }
        };
        Ok(Box::new(SimFile { state: self.state.clone(), life: self.life, inode }))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        Ok(self.state()?.names.contains_key(name))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state()?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.name(self.life, Naming::Removed(name.to_owned()))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state()?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.name(self.life, Naming::Renamed(from.to_owned(), to.to_owned(), inode))
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state()?;
        if !state.operate(self.life)? {
            return Err(gone());
        }
        let state = &mut *state;
        for naming in state.pending_names.drain(..) {
            rename(&mut state.durable_names, &naming);
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.state()?.room)
    }

    fn close(&self) {}
}

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    life: u64,
    inode: usize,
}

impl SimFile {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl StorageBackend for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.state();
        state.alive(self.life)?;
        Ok(state.inode(self.inode).current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.state().read(self.life, self.inode, offset as usize, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state().set_len(self.life, self.inode, len as usize)
    }

    fn sync_data(&self) -> io::Result<()> {
        let hold = self.state().hold.take();
        if let Some(hold) = hold {
            hold.wait();
        }
        self.state().sync(self.life, self.inode)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.state().write(self.life, self.inode, offset as usize, data)
    }
}
