//! What becomes of each command.

use std::sync::Arc;

use studio_streams::{
    Batch, Deleted, Offset, ProducerId, ProducerStamp, ProducerState, StreamError, StreamPath,
    Write, WriteVerdict, Written,
};

use super::{
    Answer, Change, Command, Committer, EngineError, StreamId, StreamInfo, StreamRow, What,
};
use crate::{
    command::failed,
    store::{gone, not_found},
};

impl Committer {
    pub(super) fn decide(&mut self, command: Command) {
        let Command { path, what } = command;
        let answer = match what {
            What::Create { options, reply } => Answer::new(reply, self.create(&path, options)),
            What::Write { write, reply } => Answer::new(reply, self.write(&path, write)),
            What::Delete { reply } => Answer::new(reply, self.delete(&path)),
            What::Touch { id, at } => return self.bring_touch(&path, id, at),
            What::Compact { reply } => {
                // What was decided is committed first, so that its callers do not wait.
                self.commit();
                let compacted = self.engine.compact().map_err(|source| {
                    let error = &source as &dyn std::error::Error;
                    tracing::warn!(error, "the streams were not compacted: {error}");
                    StreamError::Failed { path, tried: "compacted", source: Box::new(source) }
                });
                // A compaction may have left them out.
                self.look_for_leftovers();
                return drop(reply.send(compacted));
            }
            What::Probe { reply } => {
                let result = self.stream(&path).map(|_row| ());
                if self.holds_back {
                    // The disk was full a moment ago: whether it still is shows when one writes.
                    self.changes.push(Change::Sweep { rows: 0 });
                }
                Answer::new(reply, result)
            }
        };
        self.answers.push((path, answer));
    }

    fn write(&mut self, path: &StreamPath, write: Write) -> Result<Written, StreamError> {
        let row = self.there(path)?;
        self.touch(path, &row);
        // The touch may have changed it.
        let row = self.there(path)?;
        let known = match &write.by {
            Some(stamp) => self.producer(path, row.id, &stamp.id)?,
            None => None,
        };
        let facts = &row.info.facts;
        let verdict = facts.judge(known, &write);
        let tail = Offset::Position(row.tail);
        if let Some(refusal) = StreamError::refusal(path, facts, tail.clone(), &write, &verdict) {
            return Err(refusal);
        }
        let state = match verdict {
            WriteVerdict::Take(state) => state,
            // Its original is in an earlier commit or in this one: either way it is durable when
            // the answer is given.
            WriteVerdict::Duplicate { last_seq } => {
                let closed = facts.closed;
                return Ok(Written { next: tail, duplicate: true, closed, last_seq });
            }
            WriteVerdict::Closed
            | WriteVerdict::WrongContentType
            | WriteVerdict::Stamp(_)
            | WriteVerdict::OutOfOrder => return Err(not_found(path)),
        };
        if let (Some(state), Some(stamp)) = (state, &write.by) {
            if known.is_none() {
                self.one_more_producer(path, row.id)?;
            }
            self.put_producer(row.id, stamp, state);
        }
        let mut info = row.info.clone();
        if write.order.is_some() || write.closes() {
            Arc::make_mut(&mut info).facts.take(&write);
        }
        let mut next = row.tail;
        if let Some(batch) = write.into_batch() {
            next = self.add(path, row.id, row.tail, batch);
        }
        let closed = info.facts.closed;
        if !Arc::ptr_eq(&info, &row.info) {
            self.put(path, row.id, info);
        }
        let next = Offset::Position(next);
        let last_seq = state.map(|state| state.last_seq);
        Ok(Written { next, duplicate: false, closed, last_seq })
    }

    /// Adds the records behind the stream's tail, which this moves; says where it is then.
    pub(super) fn add(&mut self, path: &StreamPath, id: StreamId, start: u64, batch: Batch) -> u64 {
        let tail = start + batch.size_bytes() as u64;
        if let Some(Some(row)) = self.streams.get(path) {
            row.tail = tail;
        }
        self.changes.push(Change::Append { id, start, records: batch.into_records() });
        tail
    }

    /// Changes what is kept of a stream.
    pub(super) fn put(&mut self, path: &StreamPath, id: StreamId, info: Arc<StreamInfo>) {
        if let Some(Some(row)) = self.streams.get(path) {
            row.info = info.clone();
        }
        self.changes.push(Change::Put { path: path.as_str().to_owned(), id, info });
    }

    fn put_producer(&mut self, id: StreamId, stamp: &ProducerStamp, state: ProducerState) {
        let (producer, at) = (stamp.id.as_str().to_owned(), self.expiries.now());
        self.changes.push(Change::Producer { id, producer, state, at });
        self.producers.insert((id, stamp.id.clone()), Some(state));
    }

    fn delete(&mut self, path: &StreamPath) -> Result<Deleted, StreamError> {
        match self.live(path)? {
            None => Ok(Deleted::Before),
            Some(row) if row.info.deleted => Ok(Deleted::KeptByForks),
            Some(row) => self.remove(path, &row).map(|()| Deleted::Now),
        }
    }

    /// Takes the stream away, or keeps it for its forks alone.
    pub(super) fn remove(&mut self, path: &StreamPath, row: &StreamRow) -> Result<(), StreamError> {
        if 0 < row.info.forks {
            let mut info = row.info.clone();
            Arc::make_mut(&mut info).deleted = true;
            self.put(path, row.id, info);
            return Ok(());
        }
        // First all that may fail, then the changes: they are made whole or not at all.
        let mut above = Vec::new();
        let mut source = row.info.facts.fork.as_ref().map(|fork| fork.source.clone());
        while let Some(path) = source.take() {
            let row = self.stream(&path)?.ok_or_else(|| not_found(&path))?;
            if row.info.deleted && row.info.forks <= 1 {
                source = row.info.facts.fork.as_ref().map(|fork| fork.source.clone());
            }
            above.push((path, row));
        }
        self.take_away(path, row.id);
        for (path, row) in above {
            if row.info.deleted && row.info.forks <= 1 {
                self.take_away(&path, row.id);
            } else {
                let mut info = row.info.clone();
                let forks = &mut Arc::make_mut(&mut info).forks;
                *forks = forks.saturating_sub(1);
                self.put(&path, row.id, info);
            }
        }
        Ok(())
    }

    fn take_away(&mut self, path: &StreamPath, id: StreamId) {
        self.changes.push(Change::Delete { path: path.as_str().to_owned(), id });
        self.streams.insert(path.clone(), None);
    }

    /// The stream that is written to.
    fn there(&mut self, path: &StreamPath) -> Result<StreamRow, StreamError> {
        match self.live(path)? {
            None => Err(not_found(path)),
            Some(row) if row.info.deleted => Err(gone(path)),
            Some(row) => Ok(row),
        }
    }

    /// The stream of this path, which is taken away if its time is over.
    pub(super) fn live(&mut self, path: &StreamPath) -> Result<Option<StreamRow>, StreamError> {
        match self.stream(path)? {
            Some(row) if self.expiries.is_over(row.id, &row.info) => {
                self.remove(path, &row)?;
                self.stream(path)
            }
            found => Ok(found),
        }
    }

    pub(super) fn stream(&mut self, path: &StreamPath) -> Result<Option<StreamRow>, StreamError> {
        if let Some(row) = self.streams.get(path) {
            return Ok(row.clone());
        }
        let row = self.engine.stream(path.as_str()).map_err(|e| self.unread(path, e))?;
        self.streams.insert(path.clone(), row.clone());
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
            self.engine.producer(id, producer.as_str()).map_err(|e| self.unread(path, e))?;
        self.producers.insert(key, state);
        Ok(state)
    }

    /// Makes room for a producer that the stream does not know.
    fn one_more_producer(&mut self, path: &StreamPath, id: StreamId) -> Result<(), StreamError> {
        let (mut count, mut none_before) = match self.producer_counts.get(&id) {
            Some(known) => *known,
            None => (self.engine.producer_count(id).map_err(|e| self.unread(path, e))?, 0),
        };
        let now = self.expiries.now();
        if self.producers_max <= count && none_before <= now {
            let heard = self.engine.producers(id).map_err(|e| self.unread(path, e))?;
            none_before = u64::MAX;
            for heard in heard {
                let end = heard.at.saturating_add(self.producer_ms);
                if now < end {
                    none_before = none_before.min(end);
                } else if let Ok(producer) = heard.producer.parse::<ProducerId>()
                    && !self.writes_now(id, producer.as_str())
                {
                    self.producers.insert((id, producer), None);
                    self.changes.push(Change::Forget { id, producer: heard.producer });
                    count = count.saturating_sub(1);
                }
            }
        }
        let is_full = self.producers_max <= count;
        self.producer_counts.insert(id, (if is_full { count } else { count + 1 }, none_before));
        if is_full {
            let max = self.producers_max;
            return Err(StreamError::TooManyProducers { path: path.clone(), max });
        }
        Ok(())
    }

    /// What a command could not be decided by. A disk that fails to read is not written to any
    /// more: what comes after this command is refused. A damaged stream harms no other.
    pub(super) fn unread(&self, path: &StreamPath, error: EngineError) -> StreamError {
        match &error {
            EngineError::Failed { .. } => self.fail(&error),
            EngineError::Full { .. } | EngineError::Stopped | EngineError::Damaged { .. } => {}
        }
        failed(path, Box::new(error))
    }

    /// Whether a commit that is not yet made has something of this producer.
    fn writes_now(&self, id: StreamId, name: &str) -> bool {
        self.changes.iter().any(|change| match change {
            Change::Producer { id: of, producer, .. } => *of == id && producer == name,
            Change::Put { .. }
            | Change::Append { .. }
            | Change::Forget { .. }
            | Change::Delete { .. }
            | Change::Sweep { .. } => false,
        })
    }
}
