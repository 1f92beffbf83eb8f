use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use studio_events::{HookProject, RegistryEntry, Timestamp};
use studio_ids::{HookProjectId, HookSecretId, SessionId};
use studio_streams::RECORD_BYTES_MAX;

use crate::{
    HOOK_PROJECTS_MAX, RegistryError, SessionRecord, owner::What, registry::Shared, table::Table,
};

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
    /// Whether `after` has the projects.
    has_projects: bool,
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
            has_projects: false,
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
            What::Claim { names, record } => self.claim(names, *record, ts).map(Some),
            What::SetProject { directory, secret } => {
                self.set_project(directory, secret, ts).map(|()| None)
            }
            What::RevokeProject(id) => self.revoke_project(id, ts).map(|()| None),
            What::Lead => {
                let (instance, lease) = (self.shared.instance, self.lease);
                self.push(RegistryEntry::WriterStarted { instance, lease, ts })?;
                Ok(None)
            }
        }
    }

    fn claim(
        &mut self,
        names: Vec<String>,
        offered: SessionRecord,
        ts: Timestamp,
    ) -> Result<Arc<SessionRecord>, RegistryError> {
        let owners: Vec<Option<SessionId>> = names.iter().map(|name| self.owner(name)).collect();
        let record = match owners.iter().flatten().next() {
            Some(&id) => self.find(id)?,
            None => {
                let SessionRecord { info, internal } = offered;
                let session = info.id;
                self.look_up(session);
                self.push(RegistryEntry::SessionRegistered { session: info, internal, ts })?;
                self.find(session)?
            }
        };
        let session_id = record.info.id;
        for (name, owner) in names.into_iter().zip(owners) {
            // A name that belongs to another session stays there.
            if owner.is_none() {
                let entry = RegistryEntry::SessionMapped { transcript_path: name, session_id, ts };
                self.push(entry)?;
            }
        }
        Ok(record)
    }

    /// Whose the name is, unless that session is gone.
    fn owner(&mut self, name: &str) -> Option<SessionId> {
        let known = self.after.transcript(name);
        let known = known.or_else(|| self.shared.table().transcript(name))?;
        self.find(known).ok().map(|record| record.info.id)
    }

    fn set_project(
        &mut self,
        directory: String,
        secret: HookSecretId,
        ts: Timestamp,
    ) -> Result<(), RegistryError> {
        self.look_up_projects();
        let before = self.after.projects.in_directory(&directory).cloned();
        if before.is_none() && HOOK_PROJECTS_MAX <= self.after.projects.all().len() {
            let Some(project_id) = self.after.projects.to_forget() else {
                return Err(RegistryError::TooManyProjects);
            };
            self.push(RegistryEntry::HookProjectForgotten { project_id, ts })?;
        }
        let project = HookProject {
            id: before.as_ref().map_or_else(HookProjectId::random, |before| before.id),
            directory,
            secret: Some(secret),
            created_at: before.map_or(ts, |before| before.created_at),
            changed_at: ts,
        };
        self.push(RegistryEntry::HookProjectSet { project, ts })
    }

    fn revoke_project(&mut self, id: HookProjectId, ts: Timestamp) -> Result<(), RegistryError> {
        self.look_up_projects();
        // One that is unknown or revoked has no secret: that is what was asked for.
        let Some(before) = self.after.projects.get(id).filter(|p| p.secret.is_some()) else {
            return Ok(());
        };
        let project = HookProject { secret: None, changed_at: ts, ..HookProject::clone(before) };
        self.push(RegistryEntry::HookProjectSet { project, ts })
    }

    fn look_up_projects(&mut self) {
        if !self.has_projects {
            self.after.projects = self.shared.table().projects.clone();
            self.has_projects = true;
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
