//! The one owner of all writes: takes everything that waits, decides each in order, commits all of
//! it at once, publishes what is durable, answers, and then makes it ready to be read.

mod create;
mod decide;
mod expire;

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::{Duration, Instant},
};

use studio_streams::{ProducerId, ProducerState, StreamError, StreamPath};

use crate::{
    Options,
    cache::Cache,
    command::{Answer, Command, Reason, What},
    engine::{Change, EngineError, LogEngine, StreamId, StreamInfo, StreamRow},
    error::in_full,
    expiry::Expiries,
    live::{End, Hub},
    store::Refusal,
};

/// Commands that go into one commit at most; the rest waits for the next.
const COMMIT_COMMANDS_MAX: usize = 1_024;
/// Bytes of records after which a commit takes no further command.
const COMMIT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Rows of deleted streams that one commit removes.
const SWEEP_ROWS: u32 = 2_000;
/// Streams, and producers, whose rows are kept in memory for the next append: twice this.
const ROWS_CACHED_HALF: usize = 512;
/// After this long without a command, rings that nobody needs are freed and the engine settles.
const IDLE: Duration = Duration::from_secs(2);
/// Longest wait without a look at the clock, which may have been set.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(60);

pub(crate) struct Committer {
    engine: Arc<dyn LogEngine>,
    hub: Arc<Hub>,
    refusal: Arc<Refusal>,
    expiries: Arc<Expiries>,
    queued_bytes: Arc<AtomicUsize>,
    producers_max: u64,
    producer_ms: u64,
    next_id: u64,
    leftovers: bool,
    /// When to look whose time is over, in Unix milliseconds.
    next_due: Option<u64>,
    /// The disk is full: nothing is tried that nobody waits for, until a while has passed.
    holds_back: bool,
    /// It was logged that the disk is full.
    told_full: bool,
    /// Rows as they are once everything decided so far is committed. `None` = there is none.
    streams: Cache<StreamPath, Option<StreamRow>>,
    producers: Cache<(StreamId, ProducerId), Option<ProducerState>>,
    /// How many producers streams know, and the time before which none of them is forgotten.
    producer_counts: Cache<StreamId, (u64, u64)>,
    changes: Vec<Change>,
    answers: Vec<(StreamPath, Answer)>,
}

/// What the committer shares with the store's callers.
pub(crate) struct Common {
    pub(crate) hub: Arc<Hub>,
    pub(crate) refusal: Arc<Refusal>,
    pub(crate) expiries: Arc<Expiries>,
    pub(crate) queued_bytes: Arc<AtomicUsize>,
}

/// What comes next.
enum Next {
    Command(Command),
    /// Nothing that somebody waits for.
    Nothing,
    End,
}

impl Committer {
    pub(crate) fn new(
        engine: Arc<dyn LogEngine>,
        common: Common,
        options: &Options,
    ) -> Result<Self, EngineError> {
        let Common { hub, refusal, expiries, queued_bytes } = common;
        let next_id = engine.next_id()?.0;
        let leftovers = engine.has_leftovers()?;
        let next_due = engine.due(1)?.first().map(|due| due.at);
        Ok(Self {
            engine,
            hub,
            refusal,
            expiries,
            queued_bytes,
            producers_max: options.producers_max.max(1),
            producer_ms: options.producer_days.saturating_mul(24 * 3_600_000),
            next_id,
            leftovers,
            next_due,
            holds_back: false,
            told_full: false,
            streams: Cache::new(ROWS_CACHED_HALF),
            producers: Cache::new(ROWS_CACHED_HALF),
            producer_counts: Cache::new(ROWS_CACHED_HALF),
            changes: Vec::new(),
            answers: Vec::new(),
        })
    }

    /// Runs until all senders are gone and everything they sent is written.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        let mut restless = None;
        loop {
            let next = self.next(commands, &mut restless);
            if self.is_due() {
                self.expire();
            }
            match next {
                Next::Command(first) => {
                    restless = Some(Instant::now());
                    self.take_all(first, commands);
                }
                Next::Nothing if self.may_sweep() => {
                    restless = Some(Instant::now());
                    self.changes.push(Change::Sweep { rows: SWEEP_ROWS });
                }
                Next::Nothing => {}
                Next::End => break,
            }
            self.commit();
        }
        if self.refusal.is_open() {
            self.settle();
        }
        self.refusal.close("the store was stopped");
        self.hub.stop();
        self.engine.close();
    }

    /// Waits for a command, or until there is something else to do. `restless` = since when
    /// nothing came that will want a rest.
    fn next(&mut self, commands: &Receiver<Command>, restless: &mut Option<Instant>) -> Next {
        if self.may_sweep() || self.is_due() {
            return match commands.try_recv() {
                Ok(command) => Next::Command(command),
                Err(TryRecvError::Empty) => Next::Nothing,
                Err(TryRecvError::Disconnected) => Next::End,
            };
        }
        let patience = [
            restless.map(|since| IDLE.saturating_sub(since.elapsed())),
            self.holds_back.then_some(IDLE),
            self.next_due.filter(|_| self.refusal.is_open()).map(|at| {
                let left = Duration::from_millis(at.saturating_sub(self.expiries.now()));
                left.clamp(Duration::from_millis(1), LOOK_AT_CLOCK)
            }),
        ];
        let received = match patience.into_iter().flatten().min() {
            Some(patience) => commands.recv_timeout(patience),
            None => commands.recv().map_err(|_all_senders_gone| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(command) => Next::Command(command),
            Err(RecvTimeoutError::Disconnected) => Next::End,
            Err(RecvTimeoutError::Timeout) => {
                self.holds_back = false;
                if restless.is_some_and(|since| IDLE <= since.elapsed()) {
                    *restless = self.rest().then(Instant::now);
                }
                Next::Nothing
            }
        }
    }

    fn may_sweep(&self) -> bool {
        self.leftovers && !self.holds_back && self.refusal.is_open()
    }

    /// Nothing came for a while. Says whether there is more to do after the next while.
    fn rest(&mut self) -> bool {
        if self.refusal.is_open() {
            self.settle();
        }
        self.hub.free_idle_rings()
    }

    fn settle(&self) {
        if let Err(error) = self.engine.settle() {
            self.fail(&error);
        }
    }

    /// Decides on everything that waits, up to the size of a commit.
    fn take_all(&mut self, first: Command, commands: &Receiver<Command>) {
        let mut bytes = first.size_bytes();
        let mut taken = vec![first];
        while taken.len() < COMMIT_COMMANDS_MAX && bytes < COMMIT_BYTES_MAX {
            let Ok(command) = commands.try_recv() else { break };
            bytes += command.size_bytes();
            taken.push(command);
        }
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);

        let no_room = self.engine.room_for(bytes as u64).err().map(|error| in_full(&error));
        if let Some(reason) = no_room.as_ref().filter(|_| self.refusal.is_open()) {
            self.tell_full(reason);
        }
        for command in taken {
            // Asked for each: what was decided before may have been committed on the way.
            let refused = self.refusal.reason();
            match refused.or_else(|| no_room.clone().filter(|_| !command.makes_room())) {
                None => self.decide(command),
                Some(reason) => command.refuse(StreamError::ReadOnly { reason }),
            }
        }
    }

    /// Writes what was decided, then publishes it, then answers, then makes it ready to be read:
    /// whoever reads meanwhile waits, and who was answered already prepares what comes next.
    fn commit(&mut self) {
        let changes = mem::take(&mut self.changes);
        let answers = mem::take(&mut self.answers);
        if !changes.is_empty()
            && let Err(error) = self.engine.commit(&changes)
        {
            let reason = self.not_committed(error);
            for (path, answer) in answers {
                answer.give(Err(reason.for_path(&path)));
            }
            return;
        }
        self.holds_back &= changes.is_empty();
        self.told_full &= changes.is_empty();
        for change in &changes {
            self.publish(change);
        }
        for (_, answer) in answers {
            answer.give(Ok(()));
        }
        if !changes.is_empty()
            && let Err(error) = self.engine.apply(&changes)
        {
            self.fail(&error);
            return;
        }
        if changes.iter().any(|change| matches!(change, Change::Sweep { .. })) {
            self.look_for_leftovers();
        }
        self.streams.trim();
        self.producers.trim();
        self.producer_counts.trim();
    }

    fn publish(&mut self, change: &Change) {
        match change {
            Change::Append { id, start, records } => self.hub.publish(*id, *start, records),
            Change::Put { id, info, .. } => {
                self.is_due_at(info.due());
                self.expiries.is_kept(*id, info.touched);
                if info.deleted {
                    self.expiries.forget(*id);
                    self.hub.end(*id, End::KeptByForks);
                } else if info.facts.closed {
                    self.hub.end(*id, End::Closed);
                }
            }
            Change::Delete { id, .. } => {
                self.leftovers = true;
                self.expiries.forget(*id);
                self.hub.end(*id, End::Deleted);
            }
            Change::Sweep { .. } | Change::Producer { .. } | Change::Forget { .. } => {}
        }
    }

    fn look_for_leftovers(&mut self) {
        match self.engine.has_leftovers() {
            Ok(leftovers) => self.leftovers = leftovers,
            Err(error) => self.fail(&error),
        }
    }

    /// What a commit that failed means.
    fn not_committed(&mut self, error: EngineError) -> Reason {
        if let EngineError::Full { .. } = error {
            // Nothing of it is there, so neither is what was decided on top of it.
            let reason = in_full(&error);
            self.tell_full(&reason);
            self.streams.clear();
            self.producers.clear();
            self.producer_counts.clear();
            self.holds_back = true;
            return Reason::NotTaken(reason);
        }
        self.fail(&error);
        Reason::Unknown(Arc::new(error))
    }

    /// Said once for all that is refused until something is written again.
    fn tell_full(&mut self, reason: &str) {
        if !mem::replace(&mut self.told_full, true) {
            tracing::warn!(error = reason, "appends are refused: {reason}");
        }
    }

    /// Nothing is written any more: what the engine holds is only known after the next open.
    fn fail(&self, error: &EngineError) {
        let reason = in_full(error);
        tracing::error!(error = reason, "the stream store takes no more appends: {reason}");
        self.refusal.close(&reason);
    }
}
