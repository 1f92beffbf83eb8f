//! All rows into another file: what a compaction does.
//!
//! Rows that come in any order leave pages half full, and rows that are removed leave them emptier
//! still; moving pages within the file keeps them so. Written in order into a new file they fill
//! their pages.

use std::{collections::HashSet, mem, sync::PoisonError};

use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, Value, WriteTransaction};

use super::{
    APPENDS, DELETED, DUE, EngineError, NUMBERS, PRODUCER_COUNTS, PRODUCERS, RECORDS, REMOVED,
    STREAMS, Sync, Tables, begin_read, begin_write, commit, failed, table, write::Rows,
};

fn uncopied(error: redb::StorageError) -> EngineError {
    failed("copy the tables", error)
}

impl Tables {
    /// Writes everything into the new file of `to`, on stable storage when this returns, but what
    /// deleted streams left.
    pub(in crate::engine) fn copy_to(&self, to: &Self) -> Result<(), EngineError> {
        let (from, to) = (self.database()?, to.database()?);
        let read = begin_read(from.get()?)?;
        let write = begin_write(to.get()?, Sync::Stable)?;
        let mut deleted = HashSet::new();
        for row in table(&read, DELETED)?.iter().map_err(uncopied)? {
            deleted.insert(row.map_err(uncopied)?.0.value());
        }
        copy(&read, &write, STREAMS, |_| true)?;
        copy(&read, &write, RECORDS, |(id, _)| !deleted.contains(id))?;
        copy(&read, &write, APPENDS, |(id, _)| !deleted.contains(id))?;
        copy(&read, &write, PRODUCERS, |(id, _)| !deleted.contains(id))?;
        copy(&read, &write, PRODUCER_COUNTS, |id| !deleted.contains(id))?;
        copy(&read, &write, DUE, |_| true)?;
        copy(&read, &write, NUMBERS, |_| true)?;
        let mut rows = Rows::new(&write);
        rows.open_all()?;
        rows.set_number(REMOVED, 0)?;
        drop(rows);
        // Nothing is moved together here: that made a file that was just written longer.
        commit(write)
    }

    /// Moves pages within the file and cuts off what is free at its end; waits for reads that are
    /// under way, and other reads for it.
    pub(in crate::engine) fn move_together(&self) -> Result<(), EngineError> {
        let mut guard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let opened = guard.as_mut().ok_or(EngineError::Stopped)?;
        opened.database.compact().map_err(|e| failed("compact the tables", e))?;
        // With what a start after a kill goes by.
        let write = begin_write(&opened.database, Sync::Stable)?;
        Rows::new(&write).set_number(REMOVED, 0)?;
        commit(write)
    }

    /// Goes on with the file of `other`; waits for reads that are under way.
    pub(in crate::engine) fn take_over(&self, other: &Self) {
        let other = other.0.write().unwrap_or_else(PoisonError::into_inner).take();
        let mut guard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = mem::replace(&mut *guard, other);
        drop(guard);
        drop(before);
    }
}

fn copy<K: Key + 'static, V: Value + 'static>(
    read: &ReadTransaction,
    write: &WriteTransaction,
    definition: TableDefinition<'_, K, V>,
    wanted: impl Fn(&K::SelfType<'_>) -> bool,
) -> Result<(), EngineError> {
    let mut to = write.open_table(definition).map_err(|e| failed("make a table", e))?;
    for row in table(read, definition)?.iter().map_err(uncopied)? {
        let (key, value) = row.map_err(uncopied)?;
        let key = key.value();
        if wanted(&key) {
            to.insert(key, value.value()).map_err(uncopied)?;
        }
    }
    Ok(())
}
