//! The one owner of all writes: takes everything that waits, decides each in order, commits all of
//! it at once, publishes what is durable and then answers.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::Duration,
};

use studio_streams::{
    Appended, Batch, Created, Offset, ProducerId, ProducerStamp, ProducerState, StreamError,
    StreamPath, Verdict,
};
use tokio::sync::oneshot;

use crate::{
    cache::Cache,
    engine::{Change, EngineError, LogEngine, StreamId, StreamRow},
    live::{End, Hub},
    store::{Refusal, not_found},
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

/// Something to be written, and who waits for it.
pub(crate) struct Command {
    pub(crate) path: StreamPath,
    pub(crate) what: What,
}

pub(crate) enum What {
    Create {
        initial: Option<Batch>,
        reply: Reply<Created>,
    },
    Append {
        batch: Batch,
        by: Option<ProducerStamp>,
        reply: Reply<Appended>,
    },
    Close {
        reply: Reply<()>,
    },
    Delete {
        reply: Reply<()>,
    },
    /// Writes nothing; the answer shows that a write would be taken.
    Probe {
        reply: Reply<()>,
    },
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, StreamError>>;

impl Command {
    /// Bytes of the records it brings.
    pub(crate) fn size_bytes(&self) -> usize {
        match &self.what {
            What::Create { initial, .. } => initial.as_ref().map_or(0, Batch::size_bytes),
            What::Append { batch, .. } => batch.size_bytes(),
            What::Close { .. } | What::Delete { .. } | What::Probe { .. } => 0,
        }
    }
}

impl Command {
    fn refuse(self, error: StreamError) {
        match self.what {
            What::Create { reply, .. } => drop(reply.send(Err(error))),
            What::Append { reply, .. } => drop(reply.send(Err(error))),
            What::Close { reply } | What::Delete { reply } | What::Probe { reply } => {
                drop(reply.send(Err(error)));
            }
        }
    }
}

/// An answer that waits for the commit.
enum Answer {
    Create(Reply<Created>, Result<Created, StreamError>),
    Append(Reply<Appended>, Result<Appended, StreamError>),
    Done(Reply<()>, Result<(), StreamError>),
}

impl Answer {
    fn give(self) {
        // Who dropped the future does not want to know.
        match self {
            Self::Create(reply, result) => drop(reply.send(result)),
            Self::Append(reply, result) => drop(reply.send(result)),
            Self::Done(reply, result) => drop(reply.send(result)),
        }
    }

    fn give_instead(self, error: StreamError) {
        match self {
            Self::Create(reply, _) => drop(reply.send(Err(error))),
            Self::Append(reply, _) => drop(reply.send(Err(error))),
            Self::Done(reply, _) => drop(reply.send(Err(error))),
        }
    }
}

pub(crate) struct Committer {
    engine: Arc<dyn LogEngine>,
    hub: Arc<Hub>,
    refusal: Arc<Refusal>,
    queued_bytes: Arc<AtomicUsize>,
    next_id: u64,
    leftovers: bool,
    /// Rows as they are once everything decided so far is committed. `None` = there is none.
    streams: Cache<StreamPath, Option<StreamRow>>,
    producers: Cache<(StreamId, ProducerId), Option<ProducerState>>,
    changes: Vec<Change>,
    answers: Vec<(StreamPath, Answer)>,
}

impl Committer {
    pub(crate) fn new(
        engine: Arc<dyn LogEngine>,
        hub: Arc<Hub>,
        refusal: Arc<Refusal>,
        queued_bytes: Arc<AtomicUsize>,
    ) -> Result<Self, EngineError> {
        let next_id = engine.next_id()?.0;
        let leftovers = engine.has_leftovers()?;
        Ok(Self {
            engine,
            hub,
            refusal,
            queued_bytes,
            next_id,
            leftovers,
            streams: Cache::new(ROWS_CACHED_HALF),
            producers: Cache::new(ROWS_CACHED_HALF),
            changes: Vec::new(),
            answers: Vec::new(),
        })
    }

    /// Runs until all senders are gone and everything they sent is written.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        let mut restless = false;
        loop {
            let first = if self.leftovers && self.refusal.is_open() {
                match commands.try_recv() {
                    Ok(command) => Some(command),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => break,
                }
            } else if restless {
                match commands.recv_timeout(IDLE) {
                    Ok(command) => Some(command),
                    Err(RecvTimeoutError::Timeout) => {
                        restless = self.rest();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            } else {
                match commands.recv() {
                    Ok(command) => Some(command),
                    Err(_all_senders_gone) => break,
                }
            };
            restless = true;
            match first {
                Some(first) => self.take_all(first, commands),
                None => self.changes.push(Change::Sweep { rows: SWEEP_ROWS }),
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

    /// Nothing came for a while. Says whether there is more to do after the next while.
    fn rest(&mut self) -> bool {
        if self.refusal.is_open() {
            self.settle();
        }
        self.hub.free_idle_rings()
    }

    fn settle(&self) {
        if let Err(error) = self.engine.settle() {
            self.fail(&Arc::new(error));
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

        let refused = self.refusal.reason();
        let no_room = self.engine.room_for(bytes as u64).err().map(|error| in_full(&error));
        if let (None, Some(reason)) = (&refused, &no_room) {
            tracing::warn!(error = reason, "{} appends are refused: {reason}", taken.len());
        }
        for command in taken {
            match (&refused, &no_room, &command.what) {
                // What makes room is done also when there is little left.
                (None, None, _) | (None, Some(_), What::Delete { .. }) => self.decide(command),
                (Some(reason), _, _) | (None, Some(reason), _) => {
                    command.refuse(StreamError::ReadOnly { reason: reason.clone() });
                }
            }
        }
    }

    /// Writes what was decided, then publishes it, then answers.
    fn commit(&mut self) {
        let changes = mem::take(&mut self.changes);
        let answers = mem::take(&mut self.answers);
        if !changes.is_empty()
            && let Err(error) = self.engine.commit(&changes)
        {
            let error = Arc::new(error);
            self.fail(&error);
            for (path, answer) in answers {
                answer.give_instead(failed(&path, Box::new(error.clone())));
            }
            return;
        }
        for change in changes {
            match change {
                Change::Append { id, start, records } => self.hub.publish(id, start, records),
                Change::Close { id, .. } => self.hub.end(id, End::Closed),
                Change::Delete { id, .. } => {
                    self.leftovers = true;
                    self.hub.end(id, End::Deleted);
                }
                Change::Sweep { .. } => self.look_for_leftovers(),
                Change::Create { .. } | Change::Producer { .. } => {}
            }
        }
        for (_, answer) in answers {
            answer.give();
        }
        self.streams.trim();
        self.producers.trim();
    }

    fn look_for_leftovers(&mut self) {
        match self.engine.has_leftovers() {
            Ok(leftovers) => self.leftovers = leftovers,
            Err(error) => self.fail(&Arc::new(error)),
        }
    }

    /// Nothing is written any more: what the engine holds is only known after the next open.
    fn fail(&self, error: &Arc<EngineError>) {
        let reason = in_full(error);
        tracing::error!(error = reason, "the stream store takes no more appends: {reason}");
        self.refusal.close(&reason);
    }

    fn decide(&mut self, command: Command) {
        let Command { path, what } = command;
        let answer = match what {
            What::Create { initial, reply } => {
                let result = self.create(&path, initial);
                Answer::Create(reply, result)
            }
            What::Append { batch, by, reply } => {
                let result = self.append(&path, batch, by);
                Answer::Append(reply, result)
            }
            What::Close { reply } => {
                let result = self.close(&path);
                Answer::Done(reply, result)
            }
            What::Delete { reply } => {
                let result = self.delete(&path);
                Answer::Done(reply, result)
            }
            What::Probe { reply } => {
                let result = self.stream(&path).map(|_row| ());
                Answer::Done(reply, result)
            }
        };
        self.answers.push((path, answer));
    }

    fn create(
        &mut self,
        path: &StreamPath,
        initial: Option<Batch>,
    ) -> Result<Created, StreamError> {
        if self.stream(path)?.is_some() {
            return Ok(Created::Existing);
        }
        let id = StreamId(self.next_id);
        self.next_id += 1;
        self.changes.push(Change::Create { path: path.as_str().to_owned(), id });
        self.streams.insert(path.clone(), Some(StreamRow { id, tail: 0, closed: false }));
        if let Some(initial) = initial {
            self.write(path, initial)?;
        }
        Ok(Created::New)
    }

    fn append(
        &mut self,
        path: &StreamPath,
        batch: Batch,
        by: Option<ProducerStamp>,
    ) -> Result<Appended, StreamError> {
        let row = self.stream(path)?.ok_or_else(|| not_found(path))?;
        if row.closed {
            return Err(StreamError::Closed { path: path.clone() });
        }
        if let Some(stamp) = by {
            let known = self.producer(path, row.id, &stamp.id)?;
            match ProducerState::judge(known, &stamp) {
                Verdict::Take(state) => {
                    let producer = stamp.id.as_str().to_owned();
                    self.changes.push(Change::Producer { id: row.id, producer, state });
                    self.producers.insert((row.id, stamp.id), Some(state));
                }
                // Its original is in an earlier commit or in this one: either way it is durable
                // when the answer is given.
                Verdict::Duplicate => {
                    return Ok(Appended::Duplicate { next: Offset::Position(row.tail) });
                }
                Verdict::Fenced { current } => {
                    return Err(StreamError::fenced(path, &stamp, current));
                }
                Verdict::Gap { expected } => return Err(StreamError::gap(path, &stamp, expected)),
            }
        }
        let next = self.write(path, batch)?;
        Ok(Appended::Written { next })
    }

    /// Adds the records behind the stream's tail, which this moves.
    fn write(&mut self, path: &StreamPath, batch: Batch) -> Result<Offset, StreamError> {
        let Some(Some(row)) = self.streams.get(path) else { return Err(not_found(path)) };
        let (id, start) = (row.id, row.tail);
        row.tail += batch.size_bytes() as u64;
        let next = Offset::Position(row.tail);
        self.changes.push(Change::Append { id, start, records: batch.into_records() });
        Ok(next)
    }

    fn close(&mut self, path: &StreamPath) -> Result<(), StreamError> {
        let row = self.stream(path)?.ok_or_else(|| not_found(path))?;
        if !row.closed {
            self.changes.push(Change::Close { path: path.as_str().to_owned(), id: row.id });
            self.streams.insert(path.clone(), Some(StreamRow { closed: true, ..row }));
        }
        Ok(())
    }

    fn delete(&mut self, path: &StreamPath) -> Result<(), StreamError> {
        if let Some(row) = self.stream(path)? {
            self.changes.push(Change::Delete { path: path.as_str().to_owned(), id: row.id });
            self.streams.insert(path.clone(), None);
        }
        Ok(())
    }

    fn stream(&mut self, path: &StreamPath) -> Result<Option<StreamRow>, StreamError> {
        if let Some(row) = self.streams.get(path) {
            return Ok(*row);
        }
        let row = self.engine.stream(path.as_str()).map_err(|e| failed(path, Box::new(e)))?;
        self.streams.insert(path.clone(), row);
        Ok(row)
    }

    fn producer(
        &mut self,
        path: &StreamPath,
        id: StreamId,
        producer: &ProducerId,
    ) -> Result<Option<ProducerState>, StreamError> {
        let key = (id, producer.clone());
        if let Some(state) = self.producers.get(&key) {
            return Ok(*state);
        }
        let state =
            self.engine.producer(id, producer.as_str()).map_err(|e| failed(path, Box::new(e)))?;
        self.producers.insert(key, state);
        Ok(state)
    }
}

fn failed(path: &StreamPath, source: Box<dyn std::error::Error + Send + Sync>) -> StreamError {
    StreamError::Failed { path: path.clone(), tried: "written to", source }
}

/// `outer: inner: innermost`, for a reason that stands alone.
fn in_full(error: &EngineError) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
