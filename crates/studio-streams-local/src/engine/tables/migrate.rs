//! From the layout of format 1 to that of format 2.

use redb::{ReadableTable, TableDefinition};

use super::{
    EngineError, FORMAT, REMOVED, SALT, StreamId, Sync, Tables, begin_write, commit, failed,
    write::Rows,
};
use crate::engine::{journal::Entry, wire};

/// Path → id, closed.
const STREAMS_1: TableDefinition<'_, &str, (u64, bool)> = TableDefinition::new("streams");
/// Stream and producer → epoch, last sequence number.
const PRODUCERS_1: TableDefinition<'_, (u64, &str), (u64, u64)> = TableDefinition::new("producers");

impl Tables {
    /// Brings tables of format 1 to format 2, with the commits that only their journal holds: in
    /// one transaction, so a kill leaves the one or the other.
    pub(in crate::engine) fn migrate_1(
        &self,
        missing: &[Entry],
        salt: u64,
        now: u64,
    ) -> Result<(), EngineError> {
        let failed = |e| failed("bring the tables to another format", e);
        let no_table = |e| super::failed("open a table", e);
        let database = self.database()?;
        let write = begin_write(database.get()?, Sync::Stable)?;
        {
            let mut rows = Rows::new(&write);
            rows.open_all()?;
            let streams = write.open_table(STREAMS_1).map_err(no_table)?;
            for row in streams.iter().map_err(failed)? {
                let (path, row) = row.map_err(failed)?;
                let (id, closed) = row.value();
                rows.put(path.value(), StreamId(id), &wire::format_1(closed))?;
            }
            let producers = write.open_table(PRODUCERS_1).map_err(no_table)?;
            for row in producers.iter().map_err(failed)? {
                let (key, value) = row.map_err(failed)?;
                let ((id, producer), (epoch, last_seq)) = (key.value(), value.value());
                rows.put_producer(StreamId(id), producer, (epoch, last_seq, now))?;
            }
            for (name, value) in [(FORMAT, 2), (SALT, salt), (REMOVED, 0)] {
                rows.set_number(name, value)?;
            }
            for entry in missing {
                rows.apply(entry.number, &entry.changes)?;
            }
        }
        write.delete_table(STREAMS_1).map_err(no_table)?;
        write.delete_table(PRODUCERS_1).map_err(no_table)?;
        commit(write)
    }
}
