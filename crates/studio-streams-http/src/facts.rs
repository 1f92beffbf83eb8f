//! What a stream is, apart from its records: asked once and remembered for a moment.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::Method;
use studio_streams::{ContentType, Expiry, Head, Offset, StreamError, StreamPath};
use tokio::time::Instant;

use crate::{
    error::Trouble,
    pages::failed,
    place::Place,
    service::{Answer, Told},
    store::Inner,
};

/// Streams that are remembered.
const REMEMBERED_MAX: usize = 10_000;
/// How long.
const REMEMBERED_TIME: Duration = Duration::from_secs(30);

/// What stays as it is for one life of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub content_type: ContentType,
    pub expiry: Option<Expiry>,
    pub life: LifeMark,
}

/// By what a life of a stream is told from the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LifeMark {
    /// The service's own.
    Tag(Arc<str>),
    /// The id in the index.
    Id(String),
    /// Nothing is known of it.
    Unknown,
}

impl LifeMark {
    /// As a number.
    fn incarnation(&self, path: &StreamPath) -> u64 {
        let text = match self {
            Self::Tag(tag) => tag.as_ref(),
            Self::Id(id) => id.as_str(),
            Self::Unknown => path.as_str(),
        };
        // FNV-1a: the same in every process.
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

impl Facts {
    pub(crate) fn incarnation(&self, path: &StreamPath) -> u64 {
        self.life.incarnation(path)
    }

    /// The stream at a moment.
    pub(crate) fn head(self, path: &StreamPath, tail: Offset, closed: bool) -> Head {
        let incarnation = self.incarnation(path);
        let Self { content_type, expiry, .. } = self;
        Head { tail, closed, content_type, expiry, incarnation }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<HashMap<StreamPath, (Instant, Facts)>>);

impl Remembered {
    fn get(&self, path: &StreamPath) -> Option<Facts> {
        let (since, facts) = self.lock().get(path)?.clone();
        (since.elapsed() < REMEMBERED_TIME).then_some(facts)
    }

    fn keep(&self, path: &StreamPath, facts: Facts) {
        let mut all = self.lock();
        if REMEMBERED_MAX <= all.len() {
            all.retain(|_, (since, _)| since.elapsed() < REMEMBERED_TIME);
        }
        if REMEMBERED_MAX <= all.len() {
            all.clear();
        }
        all.insert(path.clone(), (Instant::now(), facts));
    }

    pub(crate) fn forget(&self, path: &StreamPath) {
        self.lock().remove(path);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamPath, (Instant, Facts)>> {
        // Nothing here leaves the map half changed when it panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a HEAD came to.
pub(crate) enum Asked {
    There(Told),
    Missing,
    Gone,
}

impl Inner {
    pub(crate) async fn ask_head_whole(&self, path: &StreamPath) -> Result<Asked, Trouble> {
        let ask = self.service.ask(Method::HEAD, path.as_str());
        let settled = self.service.insist(&ask, self.service.deadline()).await?;
        let Answer { status, told, .. } = settled.answer;
        match status {
            200 | 204 => Ok(Asked::There(told)),
            404 => Ok(Asked::Missing),
            410 => Ok(Asked::Gone),
            status => Err(Trouble::strange(status)),
        }
    }

    /// What the stream is like now; `None` = there is none to be used.
    pub(crate) async fn ask_head(&self, path: &StreamPath) -> Result<Option<Told>, Trouble> {
        match self.ask_head_whole(path).await? {
            Asked::There(told) => Ok(Some(told)),
            Asked::Missing | Asked::Gone => Ok(None),
        }
    }

    /// The stream's end, if it can be told.
    pub(crate) async fn tail(&self, path: &StreamPath) -> Option<Offset> {
        let told = self.ask_head(path).await.ok()??;
        told.next.map(|next| Place::own(next).offset())
    }

    async fn head_and_facts(&self, path: &StreamPath) -> Result<(Told, Facts), StreamError> {
        let trouble = |trouble| failed(path, "looked at", trouble);
        let told = match self.ask_head_whole(path).await.map_err(trouble)? {
            Asked::There(told) => told,
            Asked::Missing => {
                self.facts.forget(path);
                return Err(StreamError::NotFound { path: path.clone() });
            }
            Asked::Gone => {
                self.facts.forget(path);
                return Err(StreamError::Gone { path: path.clone() });
            }
        };
        let life = match self.mark(&told) {
            Some(mark) => mark,
            None => {
                self.index.refresh(&self.pages).await.map_err(trouble)?;
                self.life(path)
            }
        };
        let facts = Facts {
            content_type: told.content_type.clone().unwrap_or_else(ContentType::octets),
            expiry: told.expiry,
            life,
        };
        self.facts.keep(path, facts.clone());
        Ok((told, facts))
    }

    fn mark(&self, told: &Told) -> Option<LifeMark> {
        let tag = told.tag.clone().filter(|_| self.probed.tag_tells_lives)?;
        Some(LifeMark::Tag(tag))
    }

    /// By what the index knows.
    fn life(&self, path: &StreamPath) -> LifeMark {
        let first = self.index.lives(path).into_iter().next();
        first.map_or(LifeMark::Unknown, |life| LifeMark::Id(life.id))
    }

    pub(crate) async fn head(&self, path: &StreamPath) -> Result<Head, StreamError> {
        let (told, facts) = self.head_and_facts(path).await?;
        let next = told.next().map_err(|trouble| failed(path, "looked at", trouble))?;
        Ok(facts.head(path, Place::own(next).offset(), told.closed))
    }

    pub(crate) async fn facts(&self, path: &StreamPath) -> Result<Facts, StreamError> {
        match self.facts.get(path) {
            Some(facts) => Ok(facts),
            None => self.head_and_facts(path).await.map(|(_, facts)| facts),
        }
    }

    /// As [`Self::facts`], for a stream of which an answer has come just now.
    pub(crate) async fn facts_beside(
        &self,
        path: &StreamPath,
        told: &Told,
    ) -> Result<Facts, StreamError> {
        if let Some(facts) = self.facts.get(path) {
            let like = told.content_type.as_ref().is_none_or(|is| is.is_like(&facts.content_type));
            let same = self.mark(told).is_none_or(|mark| mark == facts.life);
            if like && same {
                return Ok(facts);
            }
        }
        self.head_and_facts(path).await.map(|(_, facts)| facts)
    }

    /// Whether it is still the same life of the stream.
    pub(crate) async fn lives_on(
        &self,
        path: &StreamPath,
        was: &LifeMark,
    ) -> Result<bool, Trouble> {
        match was {
            LifeMark::Unknown => Ok(true),
            LifeMark::Tag(tag) => match self.ask_head(path).await? {
                Some(told) => Ok(told.tag.as_ref() == Some(tag)),
                // Who goes on is told in which way it is not there.
                None => Ok(true),
            },
            LifeMark::Id(id) => {
                self.index.refresh(&self.pages).await?;
                Ok(self.index.lives(path).iter().any(|life| life.id == *id))
            }
        }
    }
}
