use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use studio_streams::{FollowSource, Frame, Frames, Offset, Record, StreamError, StreamPath};

use crate::{
    engine::{Answer, Ask, Place, StreamId, StreamInfo, Way},
    expiry::Hold,
    live::{End, Heard, Seat},
    store::{LocalStreams, gone, not_found},
};

/// Most frames that a follower is handed at once.
const FRAMES_MAX: usize = 512;

/// A follower: a place in the stream and a seat at its ring. It has no queue and no task; one who
/// is too slow for the ring reads pages from the disk.
pub(crate) struct LocalFollow {
    pub(crate) store: LocalStreams,
    pub(crate) path: StreamPath,
    pub(crate) id: StreamId,
    /// Taken before the first read, so nothing falls between reading and hearing.
    pub(crate) seat: Seat,
    /// Everything up to here was handed over.
    pub(crate) place: u64,
    /// Keeps a stream that goes by its last use.
    pub(crate) hold: Option<Held>,
}

/// What a follower of a stream that goes by its last use has.
pub(crate) struct Held {
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) hold: Hold,
    pub(crate) info: Arc<StreamInfo>,
    pub(crate) touched: tokio::time::Instant,
}

impl Held {
    /// When the disk is next to be told that the stream is in use: it may be killed at any time.
    fn tell_at(&self) -> tokio::time::Instant {
        let late = Duration::from_millis(self.info.touch_late_ms());
        self.touched + late.max(Duration::from_millis(50))
    }
}

impl LocalFollow {
    /// The next page from the disk; empty at the tail.
    async fn page(&mut self) -> Result<Frames, StreamError> {
        let (path, id, place) = (self.path.clone(), self.id, Place::At(self.place));
        let bytes_max = self.store.page_bytes();
        let answer = self
            .store
            .reads()
            .run(&self.path, "followed", move |engine| {
                let (id, way, max) = (Some(id), Way::On, FRAMES_MAX);
                engine.read(Ask { path: path.as_str(), id, place, way, max, bytes_max })
            })
            .await?;
        match answer {
            Answer::NoStream => Err(not_found(&self.path)),
            Answer::NoPlace { row } | Answer::Chunk { row, .. } if row.info.deleted => {
                Err(gone(&self.path))
            }
            Answer::NoPlace { .. } => {
                let offset = Offset::Position(self.place);
                Err(StreamError::BadOffset { path: self.path.clone(), offset })
            }
            Answer::Chunk { row, records, next } => {
                self.place = next;
                let up_to_date = next == row.tail;
                if up_to_date {
                    self.seat.saw_tail(row.tail, row.info.facts.closed);
                }
                let frame = |(end, data)| {
                    Arc::new(Frame::new(Record { offset: Offset::Position(end), data }))
                };
                Ok(Frames::new(records.into_iter().map(frame).collect(), up_to_date))
            }
        }
    }

    fn ended(&self, end: End) -> Result<Option<Frames>, StreamError> {
        match end {
            End::Closed => Ok(None),
            End::Deleted => Err(not_found(&self.path)),
            End::KeptByForks => Err(gone(&self.path)),
            End::Stopped => Err(StreamError::Failed {
                path: self.path.clone(),
                tried: "followed",
                source: "the store was stopped".into(),
            }),
        }
    }

    /// Waits for a change of the stream.
    async fn changed(&mut self) {
        let Some(held) = &mut self.hold else { return self.seat.changed().await };
        if tokio::time::timeout_at(held.tell_at(), self.seat.changed()).await.is_err() {
            held.touched = tokio::time::Instant::now();
            self.store.tell_of_use(&self.path, self.id);
        }
    }
}

#[async_trait]
impl FollowSource for LocalFollow {
    async fn next(&mut self) -> Result<Option<Frames>, StreamError> {
        loop {
            match self.seat.after(self.place, FRAMES_MAX, self.store.page_bytes()) {
                Heard::Frames(frames, up_to_date) => {
                    if let Some(Offset::Position(end)) = frames.last().map(|last| last.offset()) {
                        self.place = *end;
                    }
                    return Ok(Some(Frames::new(frames, up_to_date)));
                }
                Heard::Behind => {
                    let frames = self.page().await?;
                    if !frames.is_empty() {
                        return Ok(Some(frames));
                    }
                }
                Heard::Ended(end) => return self.ended(end),
                Heard::UpToDate => self.changed().await,
            }
        }
    }
}
