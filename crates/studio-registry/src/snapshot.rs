//! Snapshots of the table, so that a start reads a table and a short tail instead of everything
//! that ever happened.
//!
//! A snapshot is a stream of its own, `registry-snapshots/<lease>-<number>` (both with leading
//! zeros, so that the newest sorts last): one `snapshot` record that says which place of the
//! registry's stream it covers, one `session_registered` per session, one `session_mapped` per
//! transcript, one `hook_project_set` per project, one `snapshot_end` with their numbers. One that does not end so, or holds a
//! record that cannot be read, is not used; the next older one is, or the whole stream. Older
//! ones are removed when a new one is whole.

use std::{str::FromStr, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use studio_events::{HookProject, RegistryEntry};
use studio_ids::SessionId;
use studio_streams::{
    Batch, CreateOptions, Offset, SessionWriter, StreamError, StreamPath, StreamStore,
};

use crate::{
    SessionRecord, decode,
    load::{PAGE_RECORDS_MAX, Tail, producer},
    table::Table,
};

const PREFIX: &str = "registry-snapshots/";
/// The form of snapshots that this program writes and reads.
const VERSION: u32 = 1;
/// Entries behind a snapshot that are not worth a new one.
const TAIL_ENTRIES_MIN: usize = 1_000;
/// Records in one append, so that other writers come in between.
const BATCH_RECORDS: usize = 256;
/// Snapshots that are looked at; there are one or two.
const LIST_MAX: usize = 1_000;

/// The first and the last record.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Mark {
    Snapshot {
        version: u32,
        offset: String,
        lease: u64,
    },
    SnapshotEnd {
        sessions: usize,
        transcripts: usize,
        #[serde(default)]
        projects: usize,
    },
}

/// Whether a new snapshot is worth its bytes: the tail has grown to the table's own size, so
/// snapshots cost at most as much as the entries themselves.
pub(crate) fn is_due(tail: &Tail) -> bool {
    TAIL_ENTRIES_MIN <= tail.entries && tail.snapshot_bytes <= tail.bytes
}

/// The table at one moment: shares the records with it.
pub(crate) struct Taken {
    offset: Offset,
    lease: u64,
    sessions: Vec<Arc<SessionRecord>>,
    transcripts: Vec<(String, SessionId)>,
    projects: Vec<Arc<HookProject>>,
}

impl Taken {
    /// `offset`: the place in the registry's stream that `table` is a fold up to.
    pub(crate) fn new(table: &Table, offset: Offset) -> Self {
        Self {
            offset,
            lease: table.lease,
            sessions: table.oldest_first().cloned().collect(),
            transcripts: table.transcripts().map(|(path, id)| (path.clone(), *id)).collect(),
            projects: table.projects.all().cloned().collect(),
        }
    }
}

/// Which snapshot of which server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) lease: u64,
    pub(crate) number: u64,
}

/// A snapshot that is whole.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) bytes: usize,
}

/// Writes a snapshot and removes those before it. A failure is logged: the registry goes on
/// without, and tries again when the tail has grown again.
pub(crate) async fn write(
    store: Arc<dyn StreamStore>,
    place: Place,
    taken: Taken,
) -> Option<Written> {
    let path = StreamPath::from_str(&format!("{PREFIX}{:020}-{:010}", place.lease, place.number));
    // Digits make a good path.
    let path = path.ok()?;
    match try_write(&store, &path, place.lease, taken).await {
        Ok(bytes) => {
            remove_older(&store, &path).await;
            Some(Written { bytes })
        }
        Err(error) => {
            tracing::warn!(
                stream.path = %path,
                error = &error as &dyn std::error::Error,
                "a snapshot of the registry could not be written"
            );
            // A half one is recognised as such; it is only in the way.
            store.delete(&path).await.ok();
            None
        }
    }
}

async fn try_write(
    store: &Arc<dyn StreamStore>,
    path: &StreamPath,
    epoch: u64,
    taken: Taken,
) -> Result<usize, StreamError> {
    let Taken { offset, lease, sessions, transcripts, projects } = taken;
    let first = Mark::Snapshot { version: VERSION, offset: offset.to_string(), lease };
    let last = Mark::SnapshotEnd {
        sessions: sessions.len(),
        transcripts: transcripts.len(),
        projects: projects.len(),
    };
    store.create(path, CreateOptions::default()).await?;
    let mut writer =
        SessionWriter::take_over(store.clone(), path.clone(), producer()?, epoch, json(&first))
            .await?;

    let registered = sessions.iter().map(|record| {
        json(&RegistryEntry::SessionRegistered {
            session: record.info.clone(),
            internal: record.internal.clone(),
            ts: record.info.last_active_at,
        })
    });
    let ts = sessions.last().map(|record| record.info.created_at);
    let mapped = transcripts.into_iter().zip(ts.into_iter().cycle()).map(
        |((transcript_path, session_id), ts)| {
            json(&RegistryEntry::SessionMapped { transcript_path, session_id, ts })
        },
    );
    let projects = projects.into_iter().map(|project| {
        let ts = project.changed_at;
        json(&RegistryEntry::HookProjectSet { project: HookProject::clone(&project), ts })
    });
    let mut records = registered.chain(mapped).chain(projects).chain([json(&last)]);
    let mut bytes = 0;
    loop {
        let some: Vec<Bytes> = records.by_ref().take(BATCH_RECORDS).collect();
        if some.is_empty() {
            break;
        }
        let batch = Batch::new(some).map_err(|source| StreamError::Failed {
            path: path.clone(),
            tried: "appended to",
            source: Box::new(source),
        })?;
        bytes += batch.size_bytes();
        writer.append(batch).await?;
    }
    Ok(bytes)
}

async fn remove_older(store: &Arc<dyn StreamStore>, newest: &StreamPath) {
    let removed = async {
        for path in store.list(PREFIX, None, LIST_MAX).await? {
            if path < *newest {
                store.delete(&path).await?;
            }
        }
        Ok::<(), StreamError>(())
    };
    if let Err(error) = removed.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "old snapshots of the registry could not be removed"
        );
    }
}

/// A snapshot that was read.
pub(crate) struct Found {
    pub(crate) table: Table,
    pub(crate) offset: Offset,
    pub(crate) bytes: usize,
}

/// The newest snapshot that is whole.
pub(crate) async fn newest(store: &Arc<dyn StreamStore>) -> Result<Option<Found>, StreamError> {
    for path in store.list(PREFIX, None, LIST_MAX).await?.into_iter().rev() {
        match read(store, &path).await {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {
                tracing::warn!(stream.path = %path, "the snapshot {path} is not whole");
            }
            // A server that is still at work has removed it.
            Err(StreamError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// `Ok(None)`: it is not one, or not whole.
async fn read(
    store: &Arc<dyn StreamStore>,
    path: &StreamPath,
) -> Result<Option<Found>, StreamError> {
    let mut next = Offset::Start;
    let mut reading: Option<Reading> = None;
    loop {
        let page = store.read(path, next, PAGE_RECORDS_MAX).await?;
        for record in &page.records {
            reading = match reading {
                None => Reading::begin(&record.data),
                Some(reading) => reading.go_on(&record.data),
            };
            if reading.is_none() {
                return Ok(None);
            }
        }
        if page.up_to_date {
            return Ok(reading.and_then(Reading::end));
        }
        next = page.next;
    }
}

struct Reading {
    found: Found,
    transcripts: usize,
    ended: bool,
}

impl Reading {
    fn begin(data: &[u8]) -> Option<Self> {
        let Ok(Mark::Snapshot { version: VERSION, offset, lease }) = serde_json::from_slice(data)
        else {
            return None;
        };
        let mut table = Table::default();
        table.lease = lease;
        let found = Found { table, offset: offset.parse().ok()?, bytes: 0 };
        Some(Self { found, transcripts: 0, ended: false })
    }

    fn go_on(mut self, data: &[u8]) -> Option<Self> {
        if self.ended {
            return None;
        }
        self.found.bytes += data.len();
        if let Ok(Some(entry)) = decode::decode(data) {
            self.transcripts += usize::from(matches!(entry, RegistryEntry::SessionMapped { .. }));
            self.found.table.apply(entry);
            return Some(self);
        }
        let Ok(Mark::SnapshotEnd { sessions, transcripts, projects }) =
            serde_json::from_slice(data)
        else {
            return None;
        };
        self.ended = true;
        let whole = sessions == self.found.table.len()
            && transcripts == self.transcripts
            && projects == self.found.table.projects.all().len();
        whole.then_some(self)
    }

    fn end(self) -> Option<Found> {
        self.ended.then_some(self.found)
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // A value made of strings, numbers and maps with string keys always serialises.
    serde_json::to_vec(value).unwrap_or_default().into()
}
