//! Which streams there are. The protocol has no listing, so what this adapter makes and deletes
//! stands in a stream of its own.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use studio_streams::{Fork, Offset, StreamPath};

use crate::{
    error::Trouble,
    pages::{NoPage, Pages},
    service::{Service, random},
};

/// The stream's path under the service id.
pub(crate) const INDEX: &str = "studio-index";
/// Records that are read of it at once.
const PAGE_RECORDS: usize = 10_000;

/// One record. Written before a stream is made and after it was deleted, by any server; the same
/// one twice changes nothing, and no order between servers matters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// A stream is about to be made.
    Created {
        path: StreamPath,
        #[serde(flatten)]
        life: Life,
    },
    /// These lives of it are over.
    Deleted { path: StreamPath, ids: Vec<String> },
}

/// One life of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Life {
    /// Nothing else is called so.
    pub id: String,
    /// It may go by itself: whether it is there is to be asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fleeting: bool,
    /// How it was made, if it is a fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<ForkOf>,
}

/// As [`Fork`], by names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ForkOf {
    pub source: StreamPath,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Offset>,
    #[serde(default)]
    pub plus: u64,
}

impl From<&Fork> for ForkOf {
    fn from(fork: &Fork) -> Self {
        Self { source: fork.source.clone(), at: fork.at.clone(), plus: fork.plus }
    }
}

impl Life {
    pub(crate) fn new(fleeting: bool, fork: Option<ForkOf>) -> Self {
        Self { id: format!("{:016x}{:016x}", random(), random()), fleeting, fork }
    }
}

#[derive(Debug)]
pub(crate) struct Index {
    service: Arc<Service>,
    path: StreamPath,
    /// How far the stream was read; one reader at a time.
    read: tokio::sync::Mutex<Offset>,
    streams: Mutex<BTreeMap<StreamPath, Vec<Known>>>,
}

/// A life that is not over.
#[derive(Clone, Debug)]
struct Known {
    life: Life,
    /// Whether it was read in the stream, and not only written there by this adapter: only those
    /// stand in the order that every server sees.
    read: bool,
}

impl Index {
    pub(crate) fn new(service: Arc<Service>, path: StreamPath) -> Self {
        let read = tokio::sync::Mutex::new(Offset::Start);
        Self { service, path, read, streams: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &StreamPath {
        &self.path
    }

    /// Makes the stream, if it is not there.
    pub(crate) async fn create(&self) -> Result<(), Trouble> {
        let ask = self
            .service
            .ask(Method::PUT, self.path.as_str())
            .header("content-type", "application/json");
        let settled = self.service.insist(&ask, self.service.deadline()).await?;
        let status = settled.answer.status;
        settled.answer.body.drain().await;
        match status {
            200 | 201 => Ok(()),
            409 => Err(Trouble::Strange(format!("{INDEX} is another stream"))),
            status => Err(Trouble::strange(status)),
        }
    }

    /// Reads what was written since the last time.
    pub(crate) async fn refresh(&self, pages: &Pages) -> Result<(), Trouble> {
        let mut read = self.read.lock().await;
        loop {
            let page = match pages.page(&self.path, &read, PAGE_RECORDS).await {
                Ok(page) => page,
                Err(NoPage::Trouble(trouble)) => return Err(trouble),
                Err(NoPage::Missing | NoPage::Gone | NoPage::NoSuchPlace) => {
                    return Err(Trouble::Strange(format!("{INDEX} is not there any more")));
                }
            };
            for record in &page.records {
                match serde_json::from_slice(&record.data) {
                    Ok(entry) => self.fold(entry, true),
                    // A later version of this adapter may write more.
                    Err(error) => tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "a record of {INDEX} is not known and passed over"
                    ),
                }
            }
            *read = page.next;
            if page.up_to_date {
                return Ok(());
            }
        }
    }

    fn fold(&self, entry: Entry, read: bool) {
        let mut streams = self.streams();
        match entry {
            Entry::Created { path, life } => {
                let lives = streams.entry(path).or_default();
                let known = lives.iter().position(|known| known.life.id == life.id);
                if let Some(at) = known.filter(|&at| read && !lives[at].read) {
                    lives.remove(at);
                } else if known.is_some() {
                    return;
                }
                let at = if read {
                    lives.iter().take_while(|known| known.read).count()
                } else {
                    lives.len()
                };
                lives.insert(at, Known { life, read });
            }
            Entry::Deleted { path, ids } => {
                if let Some(lives) = streams.get_mut(&path) {
                    lives.retain(|known| !ids.contains(&known.life.id));
                    if lives.is_empty() {
                        streams.remove(&path);
                    }
                }
            }
        }
    }

    /// The lives of a stream that are not over, by what was read so far.
    pub(crate) fn lives(&self, path: &StreamPath) -> Vec<Life> {
        let streams = self.streams();
        let lives = streams.get(path).into_iter().flatten();
        lives.map(|known| known.life.clone()).collect()
    }

    /// The streams from `after` on that begin with `prefix`, and whether each may be gone.
    pub(crate) fn list(
        &self,
        prefix: &str,
        after: Option<&StreamPath>,
        max: usize,
    ) -> Vec<(StreamPath, bool)> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.streams()
            .range::<StreamPath, _>((after, Bound::Unbounded))
            .skip_while(|(path, _)| path.as_str() < prefix)
            .take_while(|(path, _)| path.as_str().starts_with(prefix))
            .take(max)
            .map(|(path, lives)| (path.clone(), lives.iter().any(|known| known.life.fleeting)))
            .collect()
    }

    /// Writes down that a stream is about to be made.
    pub(crate) async fn created(&self, path: &StreamPath, life: Life) -> Result<(), Trouble> {
        self.write(Entry::Created { path: path.clone(), life }).await
    }

    /// Writes down that these lives of a stream are over.
    pub(crate) async fn deleted(&self, path: &StreamPath, lives: &[Life]) -> Result<(), Trouble> {
        if lives.is_empty() {
            return Ok(());
        }
        let ids = lives.iter().map(|life| life.id.clone()).collect();
        self.write(Entry::Deleted { path: path.clone(), ids }).await
    }

    async fn write(&self, entry: Entry) -> Result<(), Trouble> {
        let body = serde_json::to_vec(&[&entry])
            .map_err(|error| Trouble::Strange(format!("an entry without text: {error}")))?;
        let mut ask = self
            .service
            .ask(Method::POST, self.path.as_str())
            .header("content-type", "application/json");
        ask.body = Some(Bytes::from(body));
        // Twice is as good as once.
        let settled = self.service.insist(&ask, self.service.deadline()).await?;
        let status = settled.answer.status;
        settled.answer.body.drain().await;
        match status {
            200 | 204 => {
                self.fold(entry, false);
                Ok(())
            }
            status => Err(Trouble::Strange(format!("status {status} for a record of {INDEX}"))),
        }
    }

    fn streams(&self) -> MutexGuard<'_, BTreeMap<StreamPath, Vec<Known>>> {
        // Nothing here leaves the map half changed when it panics.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let path: StreamPath = "session/a".parse().unwrap();
        let fork = ForkOf { source: path.clone(), at: Some(Offset::Start), plus: 3 };
        let life = Life::new(true, Some(fork));
        for entry in [
            Entry::Created { path: path.clone(), life: Life::new(false, None) },
            Entry::Created { path: path.clone(), life },
            Entry::Deleted { path, ids: vec!["a".to_owned()] },
        ] {
            let text = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry, "{text}");
        }
    }
}
