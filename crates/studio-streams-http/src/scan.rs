//! One answer with records, taken piece by piece: nothing of it is gathered that nobody asked
//! for, however much the service sends.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use reqwest::Method;
use studio_streams::{Offset, Record, StreamPath};
use tokio::time::Instant;

use crate::{
    error::Trouble,
    json::ArraySplitter,
    place::{Place, is_before},
    service::{Answer, Ask, Body, Service, Told},
};

/// Largest record that is made of a stream whose records have no bounds of their own.
const PIECE_BYTES_MAX: usize = 256 * 1024;

/// How to read.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// What is there.
    CatchUp,
    /// Wait for something, and echo this.
    LongPoll { cursor: Option<String> },
}

/// What a read was answered with.
pub(crate) enum Opened {
    Records(Box<Scan>),
    /// Nothing came.
    Nothing(Told),
    Missing,
    Gone,
    NoSuchPlace,
}

/// An answer that is being read.
#[derive(Debug)]
pub(crate) struct Scan {
    pub told: Told,
    /// Where the answer begins.
    base: Place,
    /// Where the stream goes on after it.
    pub next: Arc<str>,
    /// Records (or bytes) that went by.
    taken: u64,
    /// How many of them were not asked for.
    to_skip: u64,
    body: Body,
    cutter: Cutter,
    put_back: Option<Record>,
    ended: bool,
}

#[derive(Debug)]
enum Cutter {
    Json(ArraySplitter),
    Bytes { buffer: BytesMut, is_text: bool },
}

/// A piece, how many units of the place's count it is, and whether it is the last one.
struct Piece {
    data: Bytes,
    units: u64,
    last: bool,
}

impl Service {
    /// A request for what stands after a place that has a name of its own.
    pub(crate) fn ask_read(&self, path: &StreamPath, base: &str, mode: &Mode) -> Ask {
        let ask = self.ask(Method::GET, path.as_str()).query("offset", base);
        match mode {
            Mode::CatchUp => ask,
            Mode::LongPoll { cursor } => {
                let mut ask = ask.query("live", "long-poll");
                ask.wait = self.options.silence;
                match cursor {
                    Some(cursor) => ask.query("cursor", cursor.clone()),
                    None => ask,
                }
            }
        }
    }

    /// Begins to read after a place.
    pub(crate) async fn open(
        &self,
        path: &StreamPath,
        place: &Place,
        mode: &Mode,
    ) -> Result<Opened, Trouble> {
        Scan::of(self.send(&self.ask_read(path, &place.base, mode)).await?, place).await
    }

    /// As [`Self::open`] for what is there, again and again until the deadline.
    pub(crate) async fn open_until(
        &self,
        path: &StreamPath,
        place: &Place,
        deadline: Instant,
    ) -> Result<Opened, Trouble> {
        let ask = self.ask_read(path, &place.base, &Mode::CatchUp);
        Scan::of(self.insist(&ask, deadline).await?.answer, place).await
    }
}

impl Scan {
    pub(crate) async fn of(answer: Answer, place: &Place) -> Result<Opened, Trouble> {
        let Answer { status, told, body } = answer;
        let opened = match status {
            200 => {
                // A service may show a record before it counts it (the official one on disk does):
                // then the end that it tells lies before where we are. We never go back.
                let told_next = told.next()?;
                let goes_back = is_before(&told_next, &place.base);
                let next = if goes_back { place.base.clone() } else { told_next };
                let cutter = match &told.content_type {
                    Some(content_type) if content_type.is_json() => {
                        Cutter::Json(ArraySplitter::default())
                    }
                    other => {
                        let is_text = other.as_ref().is_some_and(|is| is.is_text());
                        Cutter::Bytes { buffer: BytesMut::new(), is_text }
                    }
                };
                return Ok(Opened::Records(Box::new(Self {
                    told,
                    base: Place::own(place.base.clone()),
                    next,
                    taken: 0,
                    to_skip: place.skip,
                    body,
                    cutter,
                    put_back: None,
                    ended: false,
                })));
            }
            204 => Opened::Nothing(told),
            404 => Opened::Missing,
            410 => Opened::Gone,
            400 => Opened::NoSuchPlace,
            status => return Err(Trouble::strange(status)),
        };
        body.drain().await;
        Ok(opened)
    }

    /// The next record; `None` = that was all.
    ///
    /// Dropping the future may lose bytes: drop the scan with it.
    pub(crate) async fn next(&mut self) -> Result<Option<Record>, Trouble> {
        if let Some(record) = self.put_back.take() {
            return Ok(Some(record));
        }
        while let Some(piece) = self.piece().await? {
            self.taken += piece.units;
            if self.taken <= self.to_skip {
                continue;
            }
            let Piece { mut data, units, last } = piece;
            // Only of bytes a part may be skipped.
            let before = self.to_skip.saturating_sub(self.taken - units);
            drop(data.split_to(usize::try_from(before).unwrap_or(0).min(data.len())));
            if last && self.next == self.base.base {
                return Err(Trouble::Strange("a page that ends where it begins".to_owned()));
            }
            let offset = if last { self.end() } else { self.base.plus(self.taken).offset() };
            return Ok(Some(Record { offset, data }));
        }
        Ok(None)
    }

    pub(crate) fn put_back(&mut self, record: Record) {
        self.put_back = Some(record);
    }

    /// Whether nothing is left of the answer.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended && self.put_back.is_none()
    }

    /// The place after the answer.
    pub(crate) fn end(&self) -> Offset {
        Place::own(self.next.clone()).offset()
    }

    /// So much of what was to be skipped did not come.
    pub(crate) fn missing(&self) -> u64 {
        self.to_skip.saturating_sub(self.taken)
    }

    async fn piece(&mut self) -> Result<Option<Piece>, Trouble> {
        while !self.ended {
            let cut = match &mut self.cutter {
                Cutter::Json(splitter) => splitter.next()?.map(|element| Piece {
                    data: element.data,
                    units: 1,
                    last: element.last,
                }),
                Cutter::Bytes { buffer, is_text } if PIECE_BYTES_MAX < buffer.len() => {
                    let at =
                        if *is_text { char_end(buffer, PIECE_BYTES_MAX) } else { PIECE_BYTES_MAX };
                    let data = buffer.split_to(at).freeze();
                    Some(Piece { units: data.len() as u64, data, last: false })
                }
                Cutter::Bytes { .. } => None,
            };
            if let Some(piece) = cut {
                if piece.last {
                    self.finish().await?;
                }
                return Ok(Some(piece));
            }
            match (self.body.chunk().await?, &mut self.cutter) {
                (Some(chunk), Cutter::Json(splitter)) => splitter.feed(&chunk),
                (Some(chunk), Cutter::Bytes { buffer, .. }) => buffer.extend_from_slice(&chunk),
                (None, Cutter::Json(splitter)) => {
                    splitter.end()?;
                    self.ended = true;
                }
                (None, Cutter::Bytes { buffer, .. }) => {
                    self.ended = true;
                    let data = buffer.split().freeze();
                    if !data.is_empty() {
                        return Ok(Some(Piece { units: data.len() as u64, data, last: true }));
                    }
                }
            }
        }
        Ok(None)
    }

    /// After the array: the answer must end here.
    async fn finish(&mut self) -> Result<(), Trouble> {
        while let Some(chunk) = self.body.chunk().await? {
            if let Cutter::Json(splitter) = &mut self.cutter {
                splitter.feed(&chunk);
                splitter.next()?;
            }
        }
        if let Cutter::Json(splitter) = &mut self.cutter {
            splitter.next()?;
        }
        self.ended = true;
        Ok(())
    }
}

/// The largest place up to `at` where no character is cut.
fn char_end(text: &[u8], at: usize) -> usize {
    let begins = |&at: &usize| text.get(at).is_none_or(|b| b & 0xC0 != 0x80);
    (at.saturating_sub(3)..=at).rev().find(begins).unwrap_or(at)
}
