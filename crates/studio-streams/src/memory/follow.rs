use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{MemoryStream, MemoryStreams, lock};
use crate::{Expiry, FollowSource, Frames, StreamError};

/// Most frames that a follower is handed at once.
const FOLLOW_FRAMES_MAX: usize = 1_000;

/// A follower: a place in the stream.
pub(super) struct MemoryFollow {
    pub(super) store: MemoryStreams,
    pub(super) stream: Arc<MemoryStream>,
    pub(super) changed: watch::Receiver<()>,
    /// How many records were handed over or lie before the start.
    pub(super) next: usize,
}

impl MemoryFollow {
    /// Takes the stream away if its time is over; else says how long that will take.
    fn time_left(&self) -> Option<Duration> {
        let at = match lock(&self.stream.inner).facts.expiry {
            Some(Expiry::AtMillis(at)) => at,
            Some(Expiry::AfterSeconds(_)) | None => return None,
        };
        let now = self.store.clock.now();
        lock(&self.store.table).remove_expired(&self.stream.path, now);
        Some(Duration::from_millis(at.saturating_sub(now).max(1)))
    }
}

#[async_trait]
impl FollowSource for MemoryFollow {
    async fn next(&mut self) -> Result<Option<Frames>, StreamError> {
        loop {
            self.changed.mark_unchanged();
            let time_left = self.time_left();
            {
                let inner = self.stream.live()?;
                let records = inner.page(self.next, FOLLOW_FRAMES_MAX, self.store.page_bytes);
                if !records.is_empty() {
                    self.next += records.len();
                    let frames = records.iter().map(|record| record.frame.clone()).collect();
                    return Ok(Some(Frames::new(frames, self.next == inner.records.len())));
                }
                if inner.facts.closed {
                    return Ok(None);
                }
            }
            // The sender lives in `self.stream`, so it is never gone.
            let changed = self.changed.changed();
            match time_left {
                None => drop(changed.await),
                Some(time_left) => drop(tokio::time::timeout(time_left, changed).await),
            }
        }
    }
}

impl Drop for MemoryFollow {
    fn drop(&mut self) {
        let mut inner = lock(&self.stream.inner);
        inner.followers -= 1;
        inner.touch(self.store.clock.now());
    }
}
