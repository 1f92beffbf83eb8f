//! One local follower: pages until it is where the others are, then what all of them share.

use std::{pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use studio_streams::{FollowSource, Frame, Frames, Offset, Page, StreamError};

use crate::{
    HttpStreams,
    live::{Heard, Seat},
    service::with_jitter,
    store::Inner,
    upstream::begins_at,
};

/// Most frames that a follower is handed at once.
const FRAMES_MAX: usize = 1_000;
/// Wait after a read that failed for good.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

type Reading = Pin<Box<dyn Future<Output = Result<Page, StreamError>> + Send>>;

pub(crate) struct HttpFollow {
    store: Arc<Inner>,
    /// Who follows uses the store.
    _open: HttpStreams,
    seat: Seat,
    /// Up to where everything was handed over.
    place: Offset,
    /// The number of the next frame in the ring, while it is known.
    number: Option<u64>,
    /// A page under way. Kept between calls, so that an impatient caller still gets on.
    reading: Option<Reading>,
    /// A page that was read and not handed over.
    page: Option<Page>,
    ended: bool,
}

impl HttpFollow {
    pub(crate) fn new(open: HttpStreams, store: Arc<Inner>, seat: Seat, page: Page) -> Self {
        let place = page.next.clone();
        let (number, reading, page) = (None, None, Some(page));
        Self { store, _open: open, seat, place, number, reading, page, ended: false }
    }

    fn page(&mut self, page: Page) -> Option<Frames> {
        self.place = page.next;
        if page.up_to_date {
            self.ended = page.head.closed;
            // From here on the service is read once for all.
            let begins = begins_at(&self.place).filter(|_| !self.ended);
            if let Some(at) = begins.filter(|_| self.seat.live.begin(&self.place)) {
                self.store.read_for_all(&self.seat.live, at, &page.head);
            }
        }
        let frames: Vec<_> = page.records.into_iter().map(Frame::new).map(Arc::new).collect();
        (!frames.is_empty()).then(|| Frames::new(frames, page.up_to_date))
    }
}

#[async_trait]
impl FollowSource for HttpFollow {
    async fn next(&mut self) -> Result<Option<Frames>, StreamError> {
        loop {
            let live = self.seat.live.clone();
            if let Some(error) = live.broken().and_then(|end| end.error(&live.path)) {
                return Err(error);
            }
            if let Some(page) = self.page.take() {
                if let Some(frames) = self.page(page) {
                    return Ok(Some(frames));
                }
                continue;
            }
            if self.ended {
                return Ok(None);
            }
            if self.reading.is_none() {
                // What comes from here on is either seen below or waited for.
                self.seat.told.mark_unchanged();
            }
            if self.number.is_none() {
                self.number = live.find(&self.place);
            }
            if let Some(number) = self.number {
                self.reading = None;
                match live.after(number, FRAMES_MAX) {
                    Heard::Frames(frames, all) => {
                        self.number = Some(number + frames.len() as u64);
                        if let Some(last) = frames.last() {
                            self.place = last.offset().clone();
                        }
                        return Ok(Some(Frames::new(frames, all)));
                    }
                    Heard::Nothing => {
                        // The sender lives in `live`, so it is never gone.
                        drop(self.seat.told.changed().await);
                    }
                    Heard::Behind => self.number = None,
                    Heard::Ended(end) => match end.error(&live.path) {
                        Some(error) => return Err(error),
                        None => self.ended = true,
                    },
                }
                continue;
            }
            let reading = self.reading.get_or_insert_with(|| {
                let (store, from) = (self.store.clone(), self.place.clone());
                let path = live.path.clone();
                Box::pin(async move {
                    let page = store.read(&path, from, FRAMES_MAX).await;
                    if matches!(page, Err(StreamError::Failed { .. })) {
                        tokio::time::sleep(with_jitter(AFTER_FAILURE)).await;
                    }
                    page
                })
            });
            let page = reading.as_mut().await;
            self.reading = None;
            let page = match page {
                Ok(page) => page,
                // The service is away, not the stream: it is waited for, as when all is read.
                Err(StreamError::Failed { .. }) if !self.store.service.stop.is_cancelled() => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let nothing = page.records.is_empty() && page.up_to_date && !page.head.closed;
            self.page = Some(page);
            if nothing {
                let page = self.page.take();
                let handed = page.and_then(|page| self.page(page));
                debug_assert!(handed.is_none());
                // Either the place is where the reader of the service began, or that one is
                // somewhere before it and will tell when it is not.
                if live.find(&self.place).is_none() && live.broken().is_none() {
                    drop(self.seat.told.changed().await);
                }
            }
        }
    }
}
