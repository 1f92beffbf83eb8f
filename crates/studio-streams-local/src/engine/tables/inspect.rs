//! Looking at every row: whether each belongs to something, and all of them agree.

use std::collections::{BTreeMap, HashMap, HashSet};

use redb::ReadableTable;

use super::{
    APPENDS, APPLIED, DELETED, DUE, EngineError, FORMAT, NEXT_ID, NUMBERS, PRODUCER_COUNTS,
    PRODUCERS, RECORDS, REMOVED, SALT, STREAMS, StreamId, StreamInfo, Tables, begin_read, failed,
    table,
};
use crate::engine::examine::{Counts, EachStream, Problems, Tell};

/// How many rows are looked at before it is told again.
const TELL_EVERY: u64 = 10_000;

/// What is needed of each stream to judge the rows of the others. Memory for all of them.
struct Known {
    path: String,
    info: StreamInfo,
    tail: u64,
    producers: u64,
}

struct Inspection<'a> {
    read: redb::ReadTransaction,
    problems: &'a mut Problems,
    tell: Tell<'a>,
    streams: BTreeMap<u64, Known>,
    ids: HashMap<String, u64>,
    deleted: HashSet<u64>,
    counts: Counts,
}

fn unread(error: redb::StorageError) -> EngineError {
    failed("read rows", error)
}

impl Tables {
    /// Whether the file is as it should be; if not, and it can be, it is repaired.
    pub(in crate::engine) fn check_integrity(&self) -> Result<bool, EngineError> {
        let mut guard = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let opened = guard.as_mut().ok_or(EngineError::Stopped)?;
        opened.database.check_integrity().map_err(|e| failed("check the tables", e))
    }

    /// Looks at all rows.
    pub(in crate::engine) fn inspect(
        &self,
        problems: &mut Problems,
        tell: Tell<'_>,
    ) -> Result<Counts, EngineError> {
        let database = self.database()?;
        let mut inspection = Inspection {
            read: begin_read(database.get()?)?,
            problems,
            tell,
            streams: BTreeMap::new(),
            ids: HashMap::new(),
            deleted: HashSet::new(),
            counts: Counts::default(),
        };
        inspection.numbers()?;
        inspection.streams()?;
        inspection.records()?;
        inspection.lineages()?;
        inspection.appends()?;
        inspection.producers()?;
        inspection.due()?;
        Ok(inspection.counts)
    }

    /// Hands over all streams whose path begins with `prefix`.
    pub(in crate::engine) fn each_stream(
        &self,
        prefix: &str,
        each: EachStream<'_>,
    ) -> Result<(), EngineError> {
        let database = self.database()?;
        let read = begin_read(database.get()?)?;
        for row in table(&read, STREAMS)?.range(prefix..).map_err(unread)? {
            let (path, row) = row.map_err(unread)?;
            let (path, (id, info)) = (path.value(), row.value());
            if !path.starts_with(prefix) {
                break;
            }
            let info = StreamInfo::from_bytes(info, path).map(std::sync::Arc::unwrap_or_clone);
            each(path, StreamId(id), info)?;
        }
        Ok(())
    }
}

impl Inspection<'_> {
    fn told(&mut self, step: &'static str, rows: u64) {
        if rows.is_multiple_of(TELL_EVERY) {
            (self.tell)(step, rows);
        }
    }

    fn numbers(&mut self) -> Result<(), EngineError> {
        let numbers = table(&self.read, NUMBERS)?;
        for name in [FORMAT, NEXT_ID, APPLIED, SALT, REMOVED] {
            if numbers.get(name).map_err(unread)?.is_none() {
                self.problems.add(format!("the number {name} is missing"));
            }
        }
        for row in table(&self.read, DELETED)?.iter().map_err(unread)? {
            self.deleted.insert(row.map_err(unread)?.0.value());
        }
        self.counts.leftovers = self.deleted.len() as u64;
        Ok(())
    }

    fn streams(&mut self) -> Result<(), EngineError> {
        let next_id = table(&self.read, NUMBERS)?.get(NEXT_ID).map_err(unread)?;
        let next_id = next_id.map_or(u64::MAX, |number| number.value());
        for row in table(&self.read, STREAMS)?.iter().map_err(unread)? {
            let (path, row) = row.map_err(unread)?;
            let (path, (id, info)) = (path.value(), row.value());
            self.counts.streams += 1;
            self.told("streams", self.counts.streams);
            if path.parse::<studio_streams::StreamPath>().is_err() {
                self.problems.add(format!("a stream has the path {path:?}"));
            }
            if next_id <= id || self.deleted.contains(&id) {
                self.problems.add(format!("stream {path} has the id {id}, which is not in use"));
            }
            let info = match StreamInfo::from_bytes(info, path) {
                Ok(info) => std::sync::Arc::unwrap_or_clone(info),
                Err(error) => {
                    self.problems.add(error.to_string());
                    continue;
                }
            };
            if info.deleted && info.forks == 0 {
                self.problems.add(format!("stream {path} was deleted, has no forks and is kept"));
            }
            let known = Known { path: path.to_owned(), tail: info.begins(), info, producers: 0 };
            if let Some(other) = self.streams.insert(id, known) {
                self.problems.add(format!("streams {} and {path} have one id", other.path));
            }
            self.ids.insert(path.to_owned(), id);
        }
        Ok(())
    }

    fn records(&mut self) -> Result<(), EngineError> {
        for row in table(&self.read, RECORDS)?.iter().map_err(unread)? {
            let (key, data) = row.map_err(unread)?;
            let ((id, end), len) = (key.value(), data.value().len() as u64);
            self.counts.records += 1;
            self.counts.record_bytes += len;
            self.told("records", self.counts.records);
            if self.deleted.contains(&id) {
                continue;
            }
            let Some(stream) = self.streams.get_mut(&id) else {
                self.problems.add(format!("a record at {end} belongs to no stream (id {id})"));
                continue;
            };
            if len == 0 || stream.tail.checked_add(len) != Some(end) {
                let (path, tail) = (&stream.path, stream.tail);
                self.problems.add(format!(
                    "stream {path} has a record of {len} bytes that ends at {end}, behind {tail}"
                ));
            }
            stream.tail = end;
        }
        Ok(())
    }

    /// Whether forks begin where their sources have a place, and are counted there.
    fn lineages(&mut self) -> Result<(), EngineError> {
        let records = table(&self.read, RECORDS)?;
        let mut forks: HashMap<u64, u64> = HashMap::new();
        for known in self.streams.values() {
            let Known { path, info, .. } = known;
            let mut before = 0;
            for (id, up_to) in &info.lineage {
                if *up_to <= before {
                    self.problems.add(format!("the lineage of stream {path} does not go on"));
                }
                before = *up_to;
                let is_there = self.streams.contains_key(&id.0)
                    && records.get((id.0, *up_to)).map_err(unread)?.is_some();
                if !is_there {
                    self.problems.add(format!(
                        "stream {path} begins with a stream that has no place {up_to} (id {})",
                        id.0
                    ));
                }
            }
            let at = info.facts.fork.as_ref().map_or(0, |fork| fork.at);
            if at != info.begins() {
                self.problems.add(format!("stream {path} does not begin where it was forked"));
            }
            if let Some(fork) = &info.facts.fork {
                match self.ids.get(fork.source.as_str()) {
                    Some(id) => *forks.entry(*id).or_default() += 1,
                    None => self.problems.add(format!(
                        "stream {path} is a fork of {}, which is not there",
                        fork.source
                    )),
                }
            }
        }
        for (id, Known { path, info, .. }) in &self.streams {
            let found = forks.get(id).copied().unwrap_or_default();
            if info.forks != found {
                let counted = info.forks;
                self.problems.add(format!("stream {path} counts {counted} forks and has {found}"));
            }
        }
        Ok(())
    }

    fn appends(&mut self) -> Result<(), EngineError> {
        let records = table(&self.read, RECORDS)?;
        for (n, row) in (1..).zip(table(&self.read, APPENDS)?.iter().map_err(unread)?) {
            self.told("appends", n);
            let (key, end) = row.map_err(unread)?;
            let ((id, start), end) = (key.value(), end.value());
            if self.deleted.contains(&id) {
                continue;
            }
            let Some(stream) = self.streams.get(&id) else {
                self.problems.add(format!("an append at {start} belongs to no stream (id {id})"));
                continue;
            };
            let is_place = |at: u64| {
                let found = records.get((id, at)).map_err(unread)?;
                Ok::<_, EngineError>(at == stream.info.begins() || found.is_some())
            };
            if end <= start || !is_place(start)? || !is_place(end)? {
                let path = &stream.path;
                self.problems.add(format!("stream {path} has an append from {start} to {end}"));
            }
        }
        Ok(())
    }

    fn producers(&mut self) -> Result<(), EngineError> {
        for row in table(&self.read, PRODUCERS)?.iter().map_err(unread)? {
            let (key, _) = row.map_err(unread)?;
            let (id, producer) = key.value();
            self.counts.producers += 1;
            self.told("producers", self.counts.producers);
            match self.streams.get_mut(&id) {
                Some(stream) => stream.producers += 1,
                None if self.deleted.contains(&id) => {}
                None => {
                    self.problems
                        .add(format!("producer {producer} belongs to no stream (id {id})"));
                }
            }
        }
        let counts = table(&self.read, PRODUCER_COUNTS)?;
        for (id, Known { path, producers, .. }) in &self.streams {
            let counted = counts.get(*id).map_err(unread)?.map_or(0, |count| count.value());
            if counted != *producers {
                self.problems
                    .add(format!("stream {path} counts {counted} producers and has {producers}"));
            }
        }
        for row in counts.iter().map_err(unread)? {
            let id = row.map_err(unread)?.0.value();
            if !self.streams.contains_key(&id) && !self.deleted.contains(&id) {
                self.problems.add(format!("a count of producers belongs to no stream (id {id})"));
            }
        }
        Ok(())
    }

    fn due(&mut self) -> Result<(), EngineError> {
        let due = table(&self.read, DUE)?;
        let mut expected = 0;
        for (id, Known { path, info, .. }) in &self.streams {
            let Some(at) = info.due() else { continue };
            expected += 1;
            let row = due.get((at, *id)).map_err(unread)?;
            if row.is_none_or(|row| row.value() != path) {
                self.problems.add(format!("nobody looks at {at} whether stream {path} is over"));
            }
        }
        let mut found = 0;
        for row in due.iter().map_err(unread)? {
            row.map_err(unread)?;
            found += 1;
        }
        if found != expected {
            self.problems.add(format!("{found} streams are due where {expected} are to be"));
        }
        Ok(())
    }
}
