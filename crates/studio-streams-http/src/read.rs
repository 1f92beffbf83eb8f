//! Reading forwards and backwards.

use std::collections::VecDeque;

use studio_streams::{Head, Offset, PAGE_BYTES_SOFT_MAX, Page, Record, StreamError, StreamPath};

use crate::{
    error::Trouble,
    pages::{RawPage, failed},
    place::Place,
    scan::{Mode, Opened, Scan},
    store::Inner,
};

/// Records of one page while a stream is counted.
const COUNT_RECORDS: usize = 10_000;
/// How often two ends of a stream are compared before it counts as too busy for that.
const TRIES_MAX: usize = 50;

impl Inner {
    pub(crate) async fn read(
        &self,
        path: &StreamPath,
        from: Offset,
        max: usize,
    ) -> Result<Page, StreamError> {
        self.is_not_ours(path)?;
        if from == Offset::Now {
            return self.read_nothing(path).await;
        }
        let page = self.raw_page(path, &from, max.max(1)).await?;
        let head = match page.tail {
            Some((tail, closed)) => {
                let facts = self.facts_beside(path, &page.told).await?;
                facts.head(path, tail, closed)
            }
            None => self.head(path).await?,
        };
        let up_to_date = page.whole && page.next == head.tail;
        Ok(Page { records: page.records, next: page.next, up_to_date, head })
    }

    async fn raw_page(
        &self,
        path: &StreamPath,
        from: &Offset,
        max: usize,
    ) -> Result<RawPage, StreamError> {
        match self.pages.page(path, from, max).await {
            Ok(page) => Ok(page),
            Err(no_page) => {
                self.facts.forget(path);
                Err(no_page.error(path, from))
            }
        }
    }

    /// The empty page at the stream's end.
    async fn read_nothing(&self, path: &StreamPath) -> Result<Page, StreamError> {
        let trouble = |trouble| failed(path, "read", trouble);
        let ask = self.service.ask_read(path, "now", &Mode::CatchUp);
        let settled = self.service.insist(&ask, self.service.deadline()).await.map_err(trouble)?;
        match Scan::of(settled.answer, &Place::own("now")).await.map_err(trouble)? {
            Opened::Records(mut scan) => {
                if scan.next().await.map_err(trouble)?.is_some() {
                    return Err(trouble(Trouble::Strange("records after the end".to_owned())));
                }
                let facts = self.facts_beside(path, &scan.told).await?;
                let head = facts.head(path, scan.end(), scan.told.closed);
                Ok(Page { records: vec![], next: head.tail.clone(), up_to_date: true, head })
            }
            Opened::Missing => {
                self.facts.forget(path);
                Err(StreamError::NotFound { path: path.clone() })
            }
            Opened::Gone => {
                self.facts.forget(path);
                Err(StreamError::Gone { path: path.clone() })
            }
            Opened::NoSuchPlace | Opened::Nothing(_) => {
                Err(trouble(Trouble::Strange("no answer to a read of `now`".to_owned())))
            }
        }
    }

    /// The protocol only reads forwards, so this reads the whole stream up to the place, in
    /// bounded memory; unless it is followed and the last frames reach back far enough.
    pub(crate) async fn read_back(
        &self,
        path: &StreamPath,
        before: Offset,
        max: usize,
    ) -> Result<Page, StreamError> {
        self.is_not_ours(path)?;
        let max = max.max(1);
        // Also whether there is such a stream and such a place.
        let first = self.read(path, before.clone(), COUNT_RECORDS).await?;
        if before == Offset::Start {
            let Page { head, .. } = first;
            return Ok(Page { records: vec![], next: Offset::Start, up_to_date: true, head });
        }
        let place = if before == Offset::Now { &first.next } else { &before };
        if let Some(page) = self.read_back_live(path, place, max, &first.head) {
            return Ok(page);
        }
        // Often the place is called now as it was then, and nothing after it matters.
        let mut window = Window::new(max);
        let mut total = 0;
        let mut end = self
            .each(path, &Offset::Start, |record| {
                total += 1;
                let found = record.offset == *place;
                window.push(record);
                !found
            })
            .await?;
        if end.is_none() || before == Offset::Now {
            return Ok(window.page(first.head));
        }
        // It is not: so many records stand after it, counted to the same end.
        let mut after = 0;
        let mut place_end = self
            .each(path, place, |_| {
                after += 1;
                true
            })
            .await?;
        for _ in 0..TRIES_MAX {
            if end == place_end {
                break;
            }
            if let Some(from) = &end {
                end = self
                    .each(path, from, |_| {
                        total += 1;
                        true
                    })
                    .await?;
            }
            if let Some(from) = &place_end {
                place_end = self
                    .each(path, from, |_| {
                        after += 1;
                        true
                    })
                    .await?;
            }
        }
        let wanted = u64::checked_sub(total, after).filter(|_| end == place_end);
        let Some(wanted) = wanted else {
            let moves = "the stream grows too fast to be counted".to_owned();
            return Err(failed(path, "read backwards", Trouble::Strange(moves)));
        };
        let mut window = Window::new(max);
        let mut seen = 0;
        if 0 < wanted {
            self.each(path, &Offset::Start, |record| {
                window.push(record);
                seen += 1;
                seen < wanted
            })
            .await?;
        }
        Ok(window.page(first.head))
    }

    /// Hands every record after a place to `take` until that has enough (`None`) or the stream
    /// ends (where).
    async fn each(
        &self,
        path: &StreamPath,
        from: &Offset,
        mut take: impl FnMut(Record) -> bool + Send,
    ) -> Result<Option<Offset>, StreamError> {
        let mut from = from.clone();
        loop {
            let page = self.raw_page(path, &from, COUNT_RECORDS).await?;
            for record in page.records {
                if !take(record) {
                    return Ok(None);
                }
            }
            if page.up_to_date {
                return Ok(Some(page.next));
            }
            from = page.next;
        }
    }

    /// The page before a place, if what is kept for followers has it.
    fn read_back_live(
        &self,
        path: &StreamPath,
        place: &Offset,
        max: usize,
        head: &Head,
    ) -> Option<Page> {
        let live = self.hub.find(path).filter(|live| live.broken().is_none())?;
        let (begin, frames) = live.before(place)?;
        let mut window = Window { begin, ..Window::new(max) };
        let mut has_dropped = false;
        for frame in frames {
            has_dropped |= window.push(frame.record().clone());
        }
        // Else more may stand before what is kept.
        has_dropped.then(|| window.page(head.clone()))
    }
}

/// The last records of a scan, at most `max` and about a mebibyte.
struct Window {
    max: usize,
    records: VecDeque<Record>,
    bytes: usize,
    /// The place before the first one.
    begin: Offset,
    has_dropped: bool,
}

impl Window {
    fn new(max: usize) -> Self {
        let records = VecDeque::new();
        Self { max, records, bytes: 0, begin: Offset::Start, has_dropped: false }
    }

    /// Says whether an older one went for it.
    fn push(&mut self, record: Record) -> bool {
        self.bytes += record.data.len();
        self.records.push_back(record);
        let mut dropped = false;
        while self.max < self.records.len()
            || (PAGE_BYTES_SOFT_MAX < self.bytes && 1 < self.records.len())
        {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes -= oldest.data.len();
            self.begin = oldest.offset;
            dropped = true;
        }
        self.has_dropped |= dropped;
        dropped
    }

    fn page(self, head: Head) -> Page {
        let up_to_date = !self.has_dropped;
        Page { records: self.records.into(), next: self.begin, up_to_date, head }
    }
}
