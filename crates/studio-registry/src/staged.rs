use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use studio_events::RegistryEntry;
use studio_ids::SessionId;
use studio_streams::RECORD_BYTES_MAX;

use crate::{RegistryError, SessionRecord, owner::What, registry::Shared, table::Table};

/// What one append will write, and what the table will be after it: a later request of the same
/// batch sees the earlier ones, nobody else does.
pub(crate) struct Staged<'a> {
    shared: &'a Shared,
    /// Of the server that writes.
    lease: u64,
    /// The sessions that the batch touches, as they are after it. The same fold as the table.
    after: Table,
    /// The sessions that were copied into `after`, or were seen to be unknown.
    looked_up: HashSet<SessionId>,
    pub(crate) entries: Vec<RegistryEntry>,
    pub(crate) records: Vec<Bytes>,
    pub(crate) bytes: usize,
}

impl<'a> Staged<'a> {
    pub(crate) fn new(shared: &'a Shared, lease: u64) -> Self {
        Self {
            shared,
            lease,
            after: Table::default(),
            looked_up: HashSet::new(),
            entries: Vec::new(),
            records: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds what a request asks for; the session as it will be (`None` if it will be gone).
    pub(crate) fn add(&mut self, what: What) -> Result<Option<Arc<SessionRecord>>, RegistryError> {
        let ts = (self.shared.clock)();
        match what {
            What::Register(record) => {
                let SessionRecord { info, internal } = *record;
                let session = info.id;
                self.look_up(session);
                self.push(RegistryEntry::SessionRegistered { session: info, internal, ts })?;
                Ok(self.after.get(session).cloned())
            }
            What::Change { id, decide } => {
                let before = self.find(id)?;
                let Some(mut update) = decide(&before) else { return Ok(Some(before)) };
                drop(before);
                update.last_active_at.get_or_insert(ts);
                self.push(RegistryEntry::SessionUpdated { session_id: id, update, ts })?;
                Ok(self.after.get(id).cloned())
            }
            What::Delete(id) => {
                self.find(id)?;
                self.push(RegistryEntry::SessionDeleted { session_id: id, ts })?;
                Ok(None)
            }
            What::Map { transcript_path, id } => {
                let found = self.find(id)?;
                self.push(RegistryEntry::SessionMapped { transcript_path, session_id: id, ts })?;
                Ok(Some(found))
            }
            What::Lead => {
                let (instance, lease) = (self.shared.instance, self.lease);
                self.push(RegistryEntry::WriterStarted { instance, lease, ts })?;
                Ok(None)
            }
        }
    }

    fn find(&mut self, id: SessionId) -> Result<Arc<SessionRecord>, RegistryError> {
        self.look_up(id);
        self.after.get(id).cloned().ok_or(RegistryError::NotFound { session: id })
    }

    fn look_up(&mut self, id: SessionId) {
        if !self.looked_up.insert(id) {
            return;
        }
        if let Some(record) = self.shared.table().get(id) {
            self.after.insert(record.clone());
        }
    }

    fn push(&mut self, entry: RegistryEntry) -> Result<(), RegistryError> {
        // A value made of strings, numbers and maps with string keys always serialises.
        let record = serde_json::to_vec(&entry).unwrap_or_default();
        if RECORD_BYTES_MAX < record.len() {
            return Err(RegistryError::TooLarge { bytes: record.len() });
        }
        self.bytes += record.len();
        self.records.push(record.into());
        self.after.apply(entry.clone());
        self.entries.push(entry);
        Ok(())
    }
}
