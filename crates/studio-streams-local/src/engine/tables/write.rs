//! Changing the tables.

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{
    APPENDS, APPLIED, Change, DELETED, DUE, EngineError, FORMAT, NEXT_ID, NUMBERS, PRODUCER_COUNTS,
    PRODUCERS, ProducerValue, RECORDS, REMOVED, SALT, STREAMS, StreamId, StreamInfo, failed,
};

/// Makes all tables.
pub(super) fn make(write: &WriteTransaction, format: u64, salt: u64) -> Result<(), EngineError> {
    let mut rows = Rows::new(write);
    for (name, value) in [(FORMAT, format), (NEXT_ID, 1), (APPLIED, 0), (SALT, salt), (REMOVED, 0)]
    {
        rows.set_number(name, value)?;
    }
    rows.open_all()
}

/// The tables of one write, each opened when it is first needed: most writes need few.
pub(super) struct Rows<'t> {
    write: &'t WriteTransaction,
    streams: Option<Table<'t, &'static str, (u64, &'static [u8])>>,
    records: Option<Table<'t, (u64, u64), &'static [u8]>>,
    appends: Option<Table<'t, (u64, u64), u64>>,
    producers: Option<Table<'t, (u64, &'static str), ProducerValue>>,
    producer_counts: Option<Table<'t, u64, u64>>,
    due: Option<Table<'t, (u64, u64), &'static str>>,
    deleted: Option<Table<'t, u64, ()>>,
    numbers: Option<Table<'t, &'static str, u64>>,
}

/// The table, opened if need be.
fn open<'a, 't, K: redb::Key + 'static, V: redb::Value + 'static>(
    table: &'a mut Option<Table<'t, K, V>>,
    write: &'t WriteTransaction,
    definition: TableDefinition<'_, K, V>,
) -> Result<&'a mut Table<'t, K, V>, EngineError> {
    let opened = match table.take() {
        Some(table) => table,
        None => write.open_table(definition).map_err(|e| failed("open a table", e))?,
    };
    Ok(table.insert(opened))
}

fn unwritten(error: redb::StorageError) -> EngineError {
    failed("write rows", error)
}

impl<'t> Rows<'t> {
    pub(super) fn new(write: &'t WriteTransaction) -> Self {
        Self {
            write,
            streams: None,
            records: None,
            appends: None,
            producers: None,
            producer_counts: None,
            due: None,
            deleted: None,
            numbers: None,
        }
    }

    pub(super) fn open_all(&mut self) -> Result<(), EngineError> {
        let write = self.write;
        open(&mut self.streams, write, STREAMS)?;
        open(&mut self.records, write, RECORDS)?;
        open(&mut self.appends, write, APPENDS)?;
        open(&mut self.producers, write, PRODUCERS)?;
        open(&mut self.producer_counts, write, PRODUCER_COUNTS)?;
        open(&mut self.due, write, DUE)?;
        open(&mut self.deleted, write, DELETED)?;
        open(&mut self.numbers, write, NUMBERS).map(drop)
    }

    pub(super) fn set_number(&mut self, name: &str, value: u64) -> Result<(), EngineError> {
        let numbers = open(&mut self.numbers, self.write, NUMBERS)?;
        numbers.insert(name, value).map(drop).map_err(unwritten)
    }

    fn number(&mut self, name: &str) -> Result<u64, EngineError> {
        let numbers = open(&mut self.numbers, self.write, NUMBERS)?;
        let found = numbers.get(name).map_err(unwritten)?;
        Ok(found.map_or(0, |found| found.value()))
    }

    pub(super) fn apply(&mut self, number: u64, changes: &[Change]) -> Result<(), EngineError> {
        changes.iter().try_for_each(|change| self.apply_one(change))?;
        self.set_number(APPLIED, number)
    }

    fn apply_one(&mut self, change: &Change) -> Result<(), EngineError> {
        match change {
            Change::Put { path, id, info } => self.put(path, *id, info),
            Change::Append { id, start, records } => {
                let table = open(&mut self.records, self.write, RECORDS)?;
                let mut end = *start;
                for record in records {
                    end += record.len() as u64;
                    table.insert((id.0, end), &record[..]).map_err(unwritten)?;
                }
                if 1 < records.len() {
                    let appends = open(&mut self.appends, self.write, APPENDS)?;
                    appends.insert((id.0, *start), end).map_err(unwritten)?;
                }
                Ok(())
            }
            Change::Producer { id, producer, state, at } => {
                self.put_producer(*id, producer, (state.epoch, state.last_seq, *at))
            }
            Change::Forget { id, producer } => {
                let table = open(&mut self.producers, self.write, PRODUCERS)?;
                let before = table.remove((id.0, producer.as_str())).map_err(unwritten)?;
                let was_there = before.is_some();
                drop(before);
                if was_there { self.count_producers(*id, -1) } else { Ok(()) }
            }
            Change::Delete { path, id } => {
                let streams = open(&mut self.streams, self.write, STREAMS)?;
                let before = streams.remove(path.as_str()).map_err(unwritten)?;
                let due = before.map(|row| due(row.value().1, path)).transpose()?.flatten();
                self.set_due(path, *id, due, None)?;
                let deleted = open(&mut self.deleted, self.write, DELETED)?;
                deleted.insert(id.0, ()).map(drop).map_err(unwritten)
            }
            Change::Sweep { rows } => self.sweep(*rows as usize),
        }
    }

    pub(super) fn put(
        &mut self,
        path: &str,
        id: StreamId,
        info: &StreamInfo,
    ) -> Result<(), EngineError> {
        let bytes = info.to_bytes()?;
        let streams = open(&mut self.streams, self.write, STREAMS)?;
        let before = streams.insert(path, (id.0, &bytes[..])).map_err(unwritten)?;
        let is_new = before.is_none();
        let due_before = before.map(|row| due(row.value().1, path)).transpose()?.flatten();
        if is_new && self.number(NEXT_ID)? <= id.0 {
            self.set_number(NEXT_ID, id.0 + 1)?;
        }
        self.set_due(path, id, due_before, info.due())
    }

    fn set_due(
        &mut self,
        path: &str,
        id: StreamId,
        before: Option<u64>,
        after: Option<u64>,
    ) -> Result<(), EngineError> {
        if before == after {
            return Ok(());
        }
        let table = open(&mut self.due, self.write, DUE)?;
        if let Some(before) = before {
            table.remove((before, id.0)).map_err(unwritten)?;
        }
        if let Some(after) = after {
            table.insert((after, id.0), path).map_err(unwritten)?;
        }
        Ok(())
    }

    pub(super) fn put_producer(
        &mut self,
        id: StreamId,
        producer: &str,
        row: ProducerValue,
    ) -> Result<(), EngineError> {
        let table = open(&mut self.producers, self.write, PRODUCERS)?;
        let before = table.insert((id.0, producer), row).map_err(unwritten)?;
        let is_new = before.is_none();
        drop(before);
        if is_new { self.count_producers(id, 1) } else { Ok(()) }
    }

    fn count_producers(&mut self, id: StreamId, more: i64) -> Result<(), EngineError> {
        let counts = open(&mut self.producer_counts, self.write, PRODUCER_COUNTS)?;
        let before = counts.get(id.0).map_err(unwritten)?.map_or(0, |count| count.value());
        counts.insert(id.0, before.saturating_add_signed(more)).map(drop).map_err(unwritten)
    }

    fn sweep(&mut self, rows: usize) -> Result<(), EngineError> {
        let (mut left, mut bytes) = (rows, 0);
        while 0 < left {
            let deleted = open(&mut self.deleted, self.write, DELETED)?;
            let first = deleted.first().map_err(unwritten)?.map(|(id, _)| id.value());
            let Some(id) = first else { break };
            let removed = self.sweep_one(id, left)?;
            left -= removed.rows;
            bytes += removed.bytes;
            if removed.rows == 0 {
                let counts = open(&mut self.producer_counts, self.write, PRODUCER_COUNTS)?;
                counts.remove(id).map_err(unwritten)?;
                let deleted = open(&mut self.deleted, self.write, DELETED)?;
                deleted.remove(id).map_err(unwritten)?;
                left -= 1;
            }
        }
        if bytes == 0 {
            return Ok(());
        }
        let before = self.number(REMOVED)?;
        self.set_number(REMOVED, before.saturating_add(bytes))
    }

    /// Removes at most so many rows of this stream.
    fn sweep_one(&mut self, id: u64, max: usize) -> Result<Removed, EngineError> {
        let mut removed = Removed::default();
        let whole = (id, 0)..=(id, u64::MAX);
        let records = open(&mut self.records, self.write, RECORDS)?;
        let taken = records.extract_from_if(whole.clone(), |_, _| true).map_err(unwritten)?;
        for row in taken.take(max) {
            removed.add(row.map_err(unwritten)?.1.value().len());
        }
        let appends = open(&mut self.appends, self.write, APPENDS)?;
        let taken = appends.extract_from_if(whole, |_, _| true).map_err(unwritten)?;
        for row in taken.take(max - removed.rows) {
            row.map_err(unwritten)?;
            removed.add(0);
        }
        let producers = open(&mut self.producers, self.write, PRODUCERS)?;
        let whole = (id, "")..(id + 1, "");
        let taken = producers.extract_from_if(whole, |_, _| true).map_err(unwritten)?;
        for row in taken.take(max - removed.rows) {
            removed.add(row.map_err(unwritten)?.0.value().1.len());
        }
        Ok(removed)
    }
}

/// When the stream of this row was due.
fn due(info: &[u8], path: &str) -> Result<Option<u64>, EngineError> {
    Ok(StreamInfo::from_bytes(info, path)?.due())
}

/// What a sweep took away.
#[derive(Default)]
struct Removed {
    rows: usize,
    bytes: u64,
}

impl Removed {
    fn add(&mut self, bytes: usize) {
        /// About what a row takes beside its own bytes.
        const ROW_BYTES: u64 = 32;
        self.rows += 1;
        self.bytes += bytes as u64 + ROW_BYTES;
    }
}
