use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

use studio_events::{RegistryEntry, Timestamp};
use studio_ids::SessionId;

use crate::{SessionRecord, projects::Projects};

/// The fold over the registry's stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    sessions: HashMap<SessionId, Arc<SessionRecord>>,
    /// The sessions by age: what a page walks.
    by_age: BTreeSet<(Timestamp, SessionId)>,
    transcripts: HashMap<String, SessionId>,
    pub(crate) projects: Projects,
    /// The last lease that was taken; 0 = none yet.
    pub(crate) lease: u64,
}

impl Table {
    /// The only place where the table changes. Replay after a start and live writes both come
    /// here.
    pub(crate) fn apply(&mut self, entry: RegistryEntry) {
        match entry {
            RegistryEntry::WriterStarted { lease, instance: _, ts: _ } => {
                self.lease = self.lease.max(lease);
            }
            RegistryEntry::SessionRegistered { session, internal, ts: _ } => {
                self.insert(Arc::new(SessionRecord { info: session, internal }));
            }
            RegistryEntry::SessionUpdated { session_id, update, ts: _ } => {
                if let Some(record) = self.sessions.get_mut(&session_id) {
                    // Copied only if somebody still looks at the old one.
                    Arc::make_mut(record).apply(update);
                }
            }
            RegistryEntry::SessionDeleted { session_id, ts: _ } => self.remove(session_id),
            RegistryEntry::SessionMapped { transcript_path, session_id, ts: _ } => {
                if self.sessions.contains_key(&session_id) {
                    self.transcripts.insert(transcript_path, session_id);
                }
            }
            RegistryEntry::HookProjectSet { project, ts: _ } => self.projects.insert(project),
            RegistryEntry::HookProjectForgotten { project_id, ts: _ } => {
                self.projects.remove(project_id);
            }
        }
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<&Arc<SessionRecord>> {
        self.sessions.get(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn transcript(&self, path: &str) -> Option<SessionId> {
        self.transcripts.get(path).copied()
    }

    pub(crate) fn transcripts(&self) -> impl Iterator<Item = (&String, &SessionId)> {
        self.transcripts.iter()
    }

    /// Oldest first.
    pub(crate) fn oldest_first(&self) -> impl DoubleEndedIterator<Item = &Arc<SessionRecord>> {
        self.by_age.iter().filter_map(|(_, id)| self.sessions.get(id))
    }

    /// Newest first, from the one after (older than) this place.
    pub(crate) fn older_than(
        &self,
        place: Option<(Timestamp, SessionId)>,
    ) -> impl Iterator<Item = &Arc<SessionRecord>> {
        let end = place.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = self.by_age.range((Bound::Unbounded, end)).rev();
        ids.filter_map(|(_, id)| self.sessions.get(id))
    }

    /// Takes a record in as it is: a registration, or one that another table holds too.
    pub(crate) fn insert(&mut self, record: Arc<SessionRecord>) {
        let (id, created_at) = (record.info.id, record.info.created_at);
        if let Some(before) = self.sessions.insert(id, record) {
            self.by_age.remove(&(before.info.created_at, id));
        }
        self.by_age.insert((created_at, id));
    }

    fn remove(&mut self, id: SessionId) {
        if let Some(before) = self.sessions.remove(&id) {
            self.by_age.remove(&(before.info.created_at, id));
            self.transcripts.retain(|_, session| *session != id);
        }
    }
}
