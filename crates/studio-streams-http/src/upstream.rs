//! The one reader of the service for a followed stream: by events, or by long-polls where events
//! do not get through.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use studio_streams::{ContentType, Expiry, Offset, Record};
use tokio::time::Instant;

use crate::{
    error::Trouble,
    facts::{Facts, LifeMark},
    json::ArraySplitter,
    live::{End, Live},
    pages::NoPage,
    place::{Place, is_before, is_good_base},
    scan::{Mode, Opened},
    service::{Service, with_jitter},
    sse::{EVENT_BYTES_MAX, Event, Events},
    store::{Inner, STOPPED},
};

/// A long-poll that is answered sooner than this with nothing was not one.
const SHORT: Duration = Duration::from_secs(1);
/// So many connections in a row that end without having told a place, and long-polls take over.
const SHORT_MAX: u32 = 2;
/// How long the first event of a connection is awaited.
const FIRST_EVENT: Duration = Duration::from_secs(10);
/// How long long-polls are made before events are tried again.
const LONG_POLL_TIME: Duration = Duration::from_secs(300);
/// A connection that holds this long costs no wait before the next one.
const STEADY: Duration = Duration::from_secs(5);
/// First and longest wait between two connections; each is up to twice the one before.
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest wait after one that brought something and ended soon.
const WAIT_WORKING_MAX: Duration = Duration::from_secs(1);
/// Records of one page that are handed on at once.
const PAGE_RECORDS: usize = 1_000;

/// What a control event says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Control {
    stream_next_offset: String,
    stream_cursor: Option<String>,
    #[serde(default)]
    stream_closed: bool,
}

/// How one connection ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// By the service, which told so many places before.
    Here { told: u64 },
    /// The events are too large: read pages.
    TooLarge,
    /// The stream is over.
    Over(End),
}

/// Where a control event is.
#[derive(Debug, PartialEq, Eq)]
enum At {
    Open,
    /// At the end of a closed stream.
    End,
    /// Before a place that was reached already.
    Before,
}

pub(crate) struct Upstream {
    store: Arc<Inner>,
    live: Arc<Live>,
    content_type: ContentType,
    expiry: Option<Expiry>,
    life: LifeMark,
    /// Up to where everything was handed on.
    at: Arc<str>,
    cursor: Option<String>,
    /// Connections in a row that did not work.
    short: u32,
    /// When events are tried again.
    long_poll_until: Option<Instant>,
    wait: Duration,
}

impl Upstream {
    pub(crate) fn new(store: Arc<Inner>, live: Arc<Live>, at: Arc<str>, facts: Facts) -> Self {
        Self {
            store,
            live,
            content_type: facts.content_type,
            expiry: facts.expiry,
            life: facts.life,
            at,
            cursor: None,
            short: 0,
            long_poll_until: None,
            wait: WAIT_FIRST,
        }
    }

    /// Reads until the stream is over or nobody follows it.
    pub(crate) async fn run(mut self) {
        let (stop, all) = (self.live.stop.clone(), self.store.service.stop.clone());
        let (store, live, expiry) = (self.store.clone(), self.live.clone(), self.expiry);
        let end = tokio::select! {
            () = stop.cancelled() => return,
            () = all.cancelled() => End::Lost(STOPPED),
            end = self.read_on() => end,
            end = watch_expiry(&store, &live, expiry) => end,
        };
        match end {
            End::Closed => live.end(End::Closed),
            broken @ (End::Missing | End::Gone | End::Lost(_)) => {
                store.hub.end_this(&live, broken);
            }
        }
    }

    async fn read_on(&mut self) -> End {
        let mut look_again = false;
        loop {
            let by_events = self.is_by_events();
            let began = Instant::now();
            let is_another = look_again && self.is_another_life().await;
            look_again = by_events;
            if is_another {
                return End::Missing;
            }
            let ended = if by_events { self.events().await } else { self.long_poll().await };
            let lasted = began.elapsed();
            let trouble = match ended {
                Ok(Ended::Over(end)) => return end,
                Ok(Ended::TooLarge) => match self.pages().await {
                    Ok(Some(end)) => return end,
                    Ok(None) => continue,
                    Err(trouble) => Some(trouble),
                },
                Ok(Ended::Here { told }) => {
                    // A service tells a place at once, so that events get through is soon seen.
                    let works = 0 < told || !by_events;
                    self.short = if works { 0 } else { self.short + 1 };
                    let steady = if by_events { STEADY } else { SHORT };
                    if works && (steady <= lasted || (!by_events && 0 < told)) {
                        self.wait = WAIT_FIRST;
                        continue;
                    }
                    if works {
                        self.wait = self.wait.min(WAIT_WORKING_MAX);
                    }
                    None
                }
                Err(trouble) => Some(trouble),
            };
            if let Some(trouble) = trouble {
                look_again = true;
                tracing::debug!(
                    stream.path = %self.live.path,
                    error = &trouble as &dyn std::error::Error,
                    "following {} was interrupted and is taken up again",
                    self.live.path
                );
                if by_events && matches!(trouble, Trouble::Broken(_)) && lasted < SHORT {
                    self.short += 1;
                }
                let floor = trouble.retry_after().unwrap_or_default();
                tokio::time::sleep(floor).await;
            }
            if by_events && SHORT_MAX <= self.short {
                tracing::info!("events of {} do not get through: polling", self.live.path);
                self.long_poll_until = Some(Instant::now() + LONG_POLL_TIME);
                self.short = 0;
            }
            tokio::time::sleep(with_jitter(self.wait)).await;
            self.wait = (self.wait * 2).min(WAIT_MAX);
        }
    }

    /// Whether the stream was deleted and made again while nobody looked.
    async fn is_another_life(&self) -> bool {
        match self.store.lives_on(&self.live.path, &self.life).await {
            Ok(lives_on) => !lives_on,
            // The connection will tell what the matter is.
            Err(_trouble) => false,
        }
    }

    fn is_by_events(&mut self) -> bool {
        if self.long_poll_until.is_some_and(|until| until <= Instant::now()) {
            self.long_poll_until = None;
        }
        // Of text, events do not keep how lines ended, and what is not text they make longer.
        self.content_type.is_json() && self.long_poll_until.is_none()
    }

    /// One connection with events.
    async fn events(&mut self) -> Result<Ended, Trouble> {
        let service = self.store.service.clone();
        let mut ask = service
            .ask(Method::GET, self.live.path.as_str())
            .query("offset", self.at.as_ref())
            .query("live", "sse")
            .header("accept", "text/event-stream");
        if let Some(cursor) = &self.cursor {
            ask = ask.query("cursor", cursor.clone());
        }
        let mut answer = service.send(&ask).await?;
        match answer.status {
            200 => {}
            404 => return Ok(Ended::Over(End::Missing)),
            410 => return Ok(Ended::Over(End::Gone)),
            400 => return Ok(Ended::Over(LOST_PLACE)),
            status => return Err(Trouble::strange(status)),
        }
        let is_events =
            answer.told.content_type.as_ref().is_some_and(|is| {
                is.as_str().to_ascii_lowercase().starts_with("text/event-stream")
            });
        if !is_events {
            // Something in between does not pass events on.
            return Ok(Ended::Here { told: 0 });
        }
        // Before the first event only a service that does not send them, or something in between
        // that holds them back, is silent.
        answer.body.wait(FIRST_EVENT.min(service.options.silence));
        let mut events = Events::default();
        let mut data: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        let mut told = 0;
        loop {
            let chunk = match answer.body.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(Ended::Here { told }),
                // Half an event is nothing: what it brought comes again after the last place.
                Err(Trouble::Broken(_)) if 0 < told => return Ok(Ended::Here { told }),
                Err(Trouble::Timeout(_)) if told == 0 => return Ok(Ended::Here { told }),
                Err(trouble) => return Err(trouble),
            };
            service.health.answered();
            events.feed(&chunk);
            loop {
                let event = match events.next() {
                    Ok(Some(event)) => event,
                    Ok(None) => break,
                    Err(_too_large) => return Ok(Ended::TooLarge),
                };
                match event.name.as_str() {
                    "data" => {
                        bytes += event.data.len();
                        if EVENT_BYTES_MAX < bytes {
                            return Ok(Ended::TooLarge);
                        }
                        data.push(event.data);
                    }
                    "control" => {
                        told += 1;
                        answer.body.wait(service.options.silence);
                        bytes = 0;
                        match self.control(&event, std::mem::take(&mut data))? {
                            At::Open => {}
                            At::End => return Ok(Ended::Over(End::Closed)),
                            At::Before => return Ok(Ended::Here { told }),
                        }
                    }
                    // What the protocol adds later.
                    _ => {}
                }
            }
        }
    }

    /// Hands on what came before a control event.
    fn control(&mut self, event: &Event, data: Vec<Bytes>) -> Result<At, Trouble> {
        let strange = || Trouble::Strange("a control event that says no place".to_owned());
        let control: Control = serde_json::from_slice(&event.data).map_err(|_bad| strange())?;
        if !is_good_base(&control.stream_next_offset) {
            return Err(strange());
        }
        if is_before(&control.stream_next_offset, &self.at) {
            // It has shown a record that it does not count yet, and would show it again here.
            return Ok(At::Before);
        }
        let base = Place::own(self.at.clone());
        let mut records = Vec::new();
        for array in data {
            let mut splitter = ArraySplitter::default();
            splitter.feed(&array);
            while let Some(element) = splitter.next()? {
                let offset = base.plus(records.len() as u64 + 1).offset();
                records.push(Record { offset, data: element.data });
            }
            splitter.end()?;
        }
        let next: Arc<str> = control.stream_next_offset.into();
        if let Some(last) = records.last_mut() {
            last.offset = Place::own(next.clone()).offset();
        }
        self.at = next;
        self.cursor = control.stream_cursor.or(self.cursor.take());
        self.live.push(records);
        Ok(if control.stream_closed { At::End } else { At::Open })
    }

    /// One long-poll.
    async fn long_poll(&mut self) -> Result<Ended, Trouble> {
        let place = Place::own(self.at.clone());
        let mode = Mode::LongPoll { cursor: self.cursor.clone() };
        let service = self.store.service.clone();
        match service.open(&self.live.path, &place, &mode).await? {
            Opened::Missing => Ok(Ended::Over(End::Missing)),
            Opened::Gone => Ok(Ended::Over(End::Gone)),
            Opened::NoSuchPlace => Ok(Ended::Over(LOST_PLACE)),
            Opened::Nothing(told) => {
                self.cursor = told.cursor.or(self.cursor.take());
                if let Some(next) = told.next.filter(|next| !is_before(next, &self.at)) {
                    self.at = next;
                }
                Ok(if told.closed { Ended::Over(End::Closed) } else { Ended::Here { told: 0 } })
            }
            Opened::Records(mut scan) => {
                let mut records = Vec::new();
                let mut bytes = 0;
                while let Some(record) = scan.next().await? {
                    bytes += record.data.len();
                    records.push(record);
                    if EVENT_BYTES_MAX < bytes {
                        return Ok(Ended::TooLarge);
                    }
                }
                let brought = u64::from(!records.is_empty());
                self.at = scan.next.clone();
                self.cursor = scan.told.cursor.clone().or(self.cursor.take());
                self.live.push(records);
                let closed = scan.told.closed;
                Ok(if closed { Ended::Over(End::Closed) } else { Ended::Here { told: brought } })
            }
        }
    }

    /// Reads what is there in pages, up to the tail.
    async fn pages(&mut self) -> Result<Option<End>, Trouble> {
        let mut from = Place::own(self.at.clone()).offset();
        loop {
            let page = match self.store.pages.page(&self.live.path, &from, PAGE_RECORDS).await {
                Ok(page) => page,
                Err(NoPage::Missing) => return Ok(Some(End::Missing)),
                Err(NoPage::Gone) => return Ok(Some(End::Gone)),
                Err(NoPage::NoSuchPlace) => return Ok(Some(LOST_PLACE)),
                Err(NoPage::Trouble(trouble)) => return Err(trouble),
            };
            let place = Place::of(&page.next);
            self.live.push(page.records);
            // Only such a place can be asked for by events.
            if place.skip == 0 {
                self.at = place.base;
                if page.up_to_date {
                    let closed = page.tail.is_some_and(|(_, closed)| closed);
                    return Ok(closed.then_some(End::Closed));
                }
            }
            from = page.next;
        }
    }
}

const LOST_PLACE: End = End::Lost("the service does not know the place any more");

/// Who follows a stream uses it, and hears of its end in time. A service does not see to either
/// by itself as long as a connection is quiet.
async fn watch_expiry(store: &Inner, live: &Live, expiry: Option<Expiry>) -> End {
    let service: &Service = &store.service;
    loop {
        match expiry {
            None => std::future::pending().await,
            Some(Expiry::AfterSeconds(seconds)) => {
                let third = Duration::from_millis(seconds.clamp(1, 3 * 86_400) * 1_000 / 3);
                tokio::time::sleep(third).await;
                // Any read puts the end off, but not every service counts one of `now`.
                let Some(tail) = store.tail(&live.path).await else { continue };
                let place = Place::of(&tail);
                let read = service.open(&live.path, &Place::own(place.base), &Mode::CatchUp).await;
                if let Ok(Opened::Records(mut scan)) = read {
                    drop(scan.next().await);
                }
            }
            Some(Expiry::AtMillis(at)) => {
                let now = jiff::Timestamp::now().as_millisecond();
                let left = i64::try_from(at).unwrap_or(i64::MAX).saturating_sub(now);
                let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
                // Longer sleeps than this are a matter of days.
                tokio::time::sleep(left.min(Duration::from_secs(86_400))).await;
                match store.ask_head(&live.path).await {
                    Ok(None) => return End::Missing,
                    Ok(Some(_)) | Err(_) => tokio::time::sleep(WAIT_FIRST * 2).await,
                }
            }
        }
    }
}

/// The place after which a reader of the service is to begin.
pub(crate) fn begins_at(place: &Offset) -> Option<Arc<str>> {
    let place = Place::of(place);
    (place.skip == 0).then_some(place.base)
}
