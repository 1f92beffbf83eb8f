use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use studio_streams::{
    CreateOptions, Created, Deleted, Follow, Head, Offset, Page, StreamError, StreamPath,
    StreamStore, Write, Written,
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::{
    ConnectError, HttpOptions, ServiceState,
    error::Trouble,
    facts::{Facts, Remembered},
    follow::HttpFollow,
    index::{INDEX, Index},
    live::{End, Hub, Live},
    pages::{Pages, failed},
    probe::{self, Probed},
    service::{Service, with_jitter},
    upstream::Upstream,
    write::{Lanes, Spool, refused},
};

/// How long an answer about readiness is good.
const READY_TIME: Duration = Duration::from_secs(1);
/// Longest wait for it.
const READY_WAIT: Duration = Duration::from_secs(2);
/// Waits between two looks at a service that is in trouble.
const LOOK_FIRST: Duration = Duration::from_millis(500);
const LOOK_MAX: Duration = Duration::from_secs(15);
/// What a waiting write takes besides its records.
const WRITE_BYTES: usize = 512;
/// Why a follower ends when the store is stopped.
pub(crate) const STOPPED: &str = "the store was stopped";
/// Records of a page that decides where a follower begins.
const FIRST_PAGE_RECORDS: usize = 1_000;

/// The streams of a Durable Streams service. Clones share everything.
#[derive(Clone)]
pub struct HttpStreams(Arc<Handle>);

/// Stops what works in the background when nobody uses the store any more.
struct Handle {
    inner: Arc<Inner>,
    tasks: TaskTracker,
}

/// What the handle and the tasks in the background share.
pub(crate) struct Inner {
    pub service: Arc<Service>,
    pub pages: Pages,
    pub index: Index,
    pub facts: Remembered,
    pub hub: Arc<Hub>,
    pub lanes: Lanes,
    pub probed: Probed,
    spool: Arc<Spool>,
    ready: tokio::sync::Mutex<Option<(Instant, Result<(), String>)>>,
    tasks: TaskTracker,
}

impl HttpStreams {
    /// Connects to a service and tries it out: what does not keep the protocol is refused here
    /// and not when something was lost. One that does not answer is asked again until
    /// [`HttpOptions::deadline`].
    pub async fn connect(options: HttpOptions) -> Result<Self, ConnectError> {
        let service = Arc::new(Service::new(options)?);
        let probed = probe::probe(&service).await?;
        let path = INDEX.parse().map_err(|_bad_path| ConnectError::BadService)?;
        let index = Index::new(service.clone(), path);
        index.create().await.map_err(probe::not_connected)?;
        let tasks = TaskTracker::new();
        let inner = Arc::new(Inner {
            pages: Pages::new(service.clone()),
            index,
            facts: Remembered::default(),
            hub: Hub::new(service.options.ring_frames_max, service.options.ring_bytes_max),
            lanes: Lanes::default(),
            probed,
            spool: Spool::new(service.options.spool_bytes_max),
            ready: tokio::sync::Mutex::default(),
            tasks: tasks.clone(),
            service,
        });
        inner.index.refresh(&inner.pages).await.map_err(probe::not_connected)?;
        tasks.spawn(look_after(inner.clone()));
        tasks.spawn(forget_old(inner.clone()));
        Ok(Self(Arc::new(Handle { inner, tasks })))
    }

    /// How the service is, by the answers to this studio, and every change of it.
    pub fn state(&self) -> watch::Receiver<ServiceState> {
        self.0.inner.service.health.subscribe()
    }

    /// Ends everything that is under way: followers and waiting calls fail. Writes that were sent
    /// may have been written.
    pub async fn stop(&self) {
        self.0.inner.stop();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl fmt::Debug for HttpStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.0.inner.service.options;
        f.debug_struct("HttpStreams").field("options", options).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.stop();
        self.tasks.close();
    }
}

impl Inner {
    fn stop(&self) {
        self.service.stop.cancel();
        self.service.health.stopped();
        self.hub.end_all(&End::Lost(STOPPED));
        self.pages.forget_all();
    }

    /// Starts the one reader of the service for a followed stream.
    pub(crate) fn read_for_all(self: &Arc<Self>, live: &Arc<Live>, at: Arc<str>, head: &Head) {
        let (store, live, head) = (self.clone(), live.clone(), head.clone());
        self.tasks.spawn(async move {
            match store.facts_of(&live, &head).await {
                Ok(facts) => Upstream::new(store, live, at, facts).run().await,
                Err(end) => store.hub.end_this(&live, end),
            }
        });
    }

    /// What a followed stream is, asked until the service answers: the page that the followers
    /// began with did not say all of it.
    async fn facts_of(&self, live: &Live, head: &Head) -> Result<Facts, End> {
        loop {
            match self.facts(&live.path).await {
                Ok(facts) if facts.incarnation(&live.path) == head.incarnation => {
                    return Ok(facts);
                }
                Ok(_) | Err(StreamError::NotFound { .. }) => return Err(End::Missing),
                Err(StreamError::Gone { .. }) => return Err(End::Gone),
                Err(_) => {}
            }
            tokio::select! {
                () = live.stop.cancelled() => return Err(End::Lost("nobody follows it")),
                () = self.service.stop.cancelled() => return Err(End::Lost(STOPPED)),
                () = tokio::time::sleep(with_jitter(LOOK_FIRST)) => {}
            }
        }
    }

    async fn ask_ready(&self) -> Result<(), String> {
        let ask = self.service.ask(reqwest::Method::HEAD, INDEX);
        match tokio::time::timeout(READY_WAIT, self.service.send(&ask)).await {
            Ok(Ok(answer)) if answer.status < 300 => Ok(()),
            Ok(Ok(answer)) => {
                Err(format!("the service answered {} for its index of streams", answer.status))
            }
            Ok(Err(trouble)) => Err(trouble.to_string()),
            Err(_elapsed) => {
                let trouble = Trouble::Timeout(READY_WAIT);
                self.service.health.troubled(&trouble);
                Err(trouble.to_string())
            }
        }
    }
}

/// Looks whether a service in trouble is back, also when nobody asks for anything.
async fn look_after(inner: Arc<Inner>) {
    let mut state = inner.service.health.subscribe();
    loop {
        tokio::select! {
            () = inner.service.stop.cancelled() => return,
            // The sender lives in `inner`.
            _ = state.wait_for(|state| *state != ServiceState::Up) => {}
        }
        let mut wait = LOOK_FIRST;
        while !inner.service.health.is_up() {
            tokio::select! {
                () = inner.service.stop.cancelled() => return,
                () = tokio::time::sleep(with_jitter(wait)) => {}
            }
            // What it says is noted by the request itself.
            drop(inner.ask_ready().await);
            wait = (wait * 2).min(LOOK_MAX);
        }
    }
}

/// Drops half-read pages that nobody came back for.
async fn forget_old(inner: Arc<Inner>) {
    loop {
        let next = inner.pages.next_forget();
        tokio::select! {
            () = inner.service.stop.cancelled() => return,
            () = inner.pages.kept_one() => {}
            () = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            } => inner.pages.forget_old(),
        }
    }
}

#[async_trait]
impl StreamStore for HttpStreams {
    async fn create(
        &self,
        path: &StreamPath,
        options: CreateOptions,
    ) -> Result<Created, StreamError> {
        self.0.inner.create(path, options).await
    }

    async fn write(&self, path: &StreamPath, write: Write) -> Result<Written, StreamError> {
        let inner = self.0.inner.clone();
        inner.is_not_ours(path)?;
        let Some(room) = inner.spool.take(write.size_bytes() + WRITE_BYTES) else {
            return Err(StreamError::Busy);
        };
        let tried = path.clone();
        let path = path.clone();
        // In a task of its own: dropping the future does not take the write back.
        let task = inner.tasks.clone().spawn(async move {
            let written = inner.write_now(&path, write).await;
            drop(room);
            written
        });
        task.await.unwrap_or_else(|error| {
            let source = Box::new(error);
            Err(StreamError::Failed { path: tried, tried: "appended to", source })
        })
    }

    async fn read(&self, path: &StreamPath, from: Offset, max: usize) -> Result<Page, StreamError> {
        self.0.inner.read(path, from, max).await
    }

    async fn read_back(
        &self,
        path: &StreamPath,
        before: Offset,
        max: usize,
    ) -> Result<Page, StreamError> {
        self.0.inner.read_back(path, before, max).await
    }

    async fn follow(&self, path: &StreamPath, from: Offset) -> Result<Follow, StreamError> {
        let inner = self.0.inner.clone();
        // Before the first look: what is deleted from here on is told.
        let seat = inner.hub.join(path);
        let page = inner.read(path, from, FIRST_PAGE_RECORDS).await?;
        Ok(Follow::new(HttpFollow::new(self.clone(), inner, seat, page)))
    }

    async fn head(&self, path: &StreamPath) -> Result<Head, StreamError> {
        self.0.inner.is_not_ours(path)?;
        self.0.inner.head(path).await
    }

    async fn delete(&self, path: &StreamPath) -> Result<Deleted, StreamError> {
        self.0.inner.delete(path).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&StreamPath>,
        max: usize,
    ) -> Result<Vec<StreamPath>, StreamError> {
        self.0.inner.list(prefix, after, max).await
    }

    fn remembers_producers(&self) -> bool {
        self.0.inner.service.options.remembers_producers
    }

    async fn ready(&self) -> Result<(), StreamError> {
        let inner = &self.0.inner;
        let mut ready = inner.ready.lock().await;
        let answer = match &*ready {
            Some((since, answer)) if since.elapsed() < READY_TIME => answer.clone(),
            Some(_) | None => {
                let answer = inner.ask_ready().await;
                *ready = Some((Instant::now(), answer.clone()));
                answer
            }
        };
        answer.map_err(|reason| StreamError::ReadOnly { reason })
    }
}

impl Inner {
    /// The index is not a stream of the application.
    pub(crate) fn is_not_ours(&self, path: &StreamPath) -> Result<(), StreamError> {
        if path == self.index.path() {
            return Err(refused(path, "it is where this adapter keeps which streams there are"));
        }
        Ok(())
    }
}

/// A trouble of the index, as a failure of a call on some stream.
pub(crate) fn index_failed(path: &StreamPath) -> impl Fn(Trouble) -> StreamError {
    |trouble| failed(path, "looked up in the index of streams", trouble)
}
