//! Reading what is there, in pages. A service may answer without any page limit: what a page has
//! no room for stays in the connection, and the next page goes on there.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use studio_streams::{Offset, PAGE_BYTES_SOFT_MAX, Record, StreamError, StreamPath};
use tokio::{sync::Notify, time::Instant};

use crate::{
    error::Trouble,
    place::Place,
    scan::{Opened, Scan},
    service::{Patience, Service, Told},
};

/// Answers that are kept half read.
const KEPT_MAX: usize = 16;
/// How long one of them waits for the next page's reader.
const KEPT_TIME: Duration = Duration::from_secs(10);
/// Answers without records in a row after which a service is taken at its word.
const EMPTY_ANSWERS_MAX: usize = 8;

#[derive(Debug)]
pub(crate) struct Pages {
    service: Arc<Service>,
    kept: Mutex<Vec<Kept>>,
    kept_one: Notify,
}

#[derive(Debug)]
struct Kept {
    path: StreamPath,
    place: Offset,
    until: Instant,
    scan: Box<Scan>,
}

/// A page, and what its answer said.
#[derive(Debug)]
pub(crate) struct RawPage {
    pub records: Vec<Record>,
    pub next: Offset,
    /// Whether nothing followed for certain.
    pub up_to_date: bool,
    /// Whether `next` is where the service's answer ended.
    pub whole: bool,
    pub told: Told,
    /// The stream's tail and whether it is closed there, if the answer reached so far.
    pub tail: Option<(Offset, bool)>,
}

/// Why there is no page.
pub(crate) enum NoPage {
    Missing,
    Gone,
    NoSuchPlace,
    Trouble(Trouble),
}

impl From<Trouble> for NoPage {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl NoPage {
    pub(crate) fn error(self, path: &StreamPath, offset: &Offset) -> StreamError {
        let path = path.clone();
        match self {
            Self::Missing => StreamError::NotFound { path },
            Self::Gone => StreamError::Gone { path },
            Self::NoSuchPlace => StreamError::BadOffset { path, offset: offset.clone() },
            Self::Trouble(trouble) => failed(&path, "read", trouble),
        }
    }
}

pub(crate) fn failed(path: &StreamPath, tried: &'static str, trouble: Trouble) -> StreamError {
    StreamError::Failed { path: path.clone(), tried, source: Box::new(trouble) }
}

impl Pages {
    pub(crate) fn new(service: Arc<Service>) -> Self {
        Self { service, kept: Mutex::default(), kept_one: Notify::new() }
    }

    /// One page after `from`, which is not `now`.
    pub(crate) async fn page(
        &self,
        path: &StreamPath,
        from: &Offset,
        max: usize,
    ) -> Result<RawPage, NoPage> {
        let mut patience = Patience::new(self.service.deadline());
        loop {
            match self.page_once(path, from, max).await {
                Err(NoPage::Trouble(trouble)) => {
                    self.service.health.troubled(&trouble);
                    self.service.again(&mut patience, trouble).await?;
                }
                answer @ (Ok(_) | Err(NoPage::Missing | NoPage::Gone | NoPage::NoSuchPlace)) => {
                    return answer;
                }
            }
        }
    }

    async fn page_once(
        &self,
        path: &StreamPath,
        from: &Offset,
        max: usize,
    ) -> Result<RawPage, NoPage> {
        let kept = self.take(path, from);
        let fresh = kept.is_none();
        let mut scan = match kept {
            Some(scan) => scan,
            None => self.open(path, Place::of(from)).await?,
        };
        let mut records: Vec<Record> = Vec::new();
        let mut bytes = 0;
        for _ in 0..EMPTY_ANSWERS_MAX {
            while let Some(record) = scan.next().await? {
                if !records.is_empty() && PAGE_BYTES_SOFT_MAX < bytes + record.data.len() {
                    scan.put_back(record);
                    break;
                }
                bytes += record.data.len();
                records.push(record);
                if max <= records.len() {
                    break;
                }
            }
            let cut = !scan.is_ended();
            if !records.is_empty() || cut || scan.told.up_to_date {
                break;
            }
            // An empty page that is not the last one.
            let more = Place { base: scan.next.clone(), skip: scan.missing() };
            if more == Place::of(from) {
                break;
            }
            scan = self.open(path, more).await?;
        }
        if records.is_empty() && 0 < scan.missing() {
            return Err(NoPage::NoSuchPlace);
        }
        let told = scan.told.clone();
        let tail = (fresh && told.up_to_date).then(|| (scan.end(), told.closed));
        let whole = scan.is_ended();
        let next = match records.last() {
            Some(last) if !whole => last.offset.clone(),
            Some(_) | None => scan.end(),
        };
        // What was kept says nothing of records that came since.
        let up_to_date = whole && (records.is_empty() || (fresh && told.up_to_date));
        if !whole {
            self.keep(path, &next, scan);
        }
        Ok(RawPage { records, next, up_to_date, whole, told, tail })
    }

    async fn open(&self, path: &StreamPath, place: Place) -> Result<Box<Scan>, NoPage> {
        match self.service.open_until(path, &place, self.service.deadline()).await? {
            Opened::Records(scan) => Ok(scan),
            Opened::Nothing(_) => Err(Trouble::Strange("status 204 for a page".to_owned()).into()),
            Opened::Missing => Err(NoPage::Missing),
            Opened::Gone => Err(NoPage::Gone),
            Opened::NoSuchPlace => Err(NoPage::NoSuchPlace),
        }
    }

    fn take(&self, path: &StreamPath, from: &Offset) -> Option<Box<Scan>> {
        let mut kept = self.kept();
        kept.retain(|kept| Instant::now() < kept.until);
        let at = kept.iter().position(|kept| kept.path == *path && kept.place == *from)?;
        Some(kept.swap_remove(at).scan)
    }

    fn keep(&self, path: &StreamPath, place: &Offset, scan: Box<Scan>) {
        let until = Instant::now() + KEPT_TIME;
        let mut kept = self.kept();
        if KEPT_MAX <= kept.len() {
            kept.remove(0);
        }
        kept.push(Kept { path: path.clone(), place: place.clone(), until, scan });
        drop(kept);
        self.kept_one.notify_one();
    }

    /// Drops what was kept of a stream.
    pub(crate) fn forget(&self, path: &StreamPath) {
        self.kept().retain(|kept| kept.path != *path);
    }

    /// Drops what was kept too long.
    pub(crate) fn forget_old(&self) {
        let now = Instant::now();
        self.kept().retain(|kept| now < kept.until);
    }

    pub(crate) fn forget_all(&self) {
        self.kept().clear();
    }

    /// Waits until something is kept.
    pub(crate) async fn kept_one(&self) {
        self.kept_one.notified().await;
    }

    /// How long until something that was kept is to be dropped.
    pub(crate) fn next_forget(&self) -> Option<Instant> {
        self.kept().iter().map(|kept| kept.until).min()
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        // Nothing here leaves the list half changed when it panics.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
