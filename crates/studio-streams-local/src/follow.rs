use std::sync::Arc;

use async_trait::async_trait;
use studio_streams::{FollowSource, Frame, Offset, Record, StreamError, StreamPath};

use crate::{
    engine::{Answer, Ask, Place, StreamId, Way},
    live::{End, Heard, Seat},
    store::{Reads, not_found},
};

/// Most frames that a follower is handed at once.
const FRAMES_MAX: usize = 512;

/// A follower: a place in the stream and a seat at its ring. It has no queue and no task; one who
/// is too slow for the ring reads pages from the disk.
pub(crate) struct LocalFollow {
    pub(crate) reads: Reads,
    pub(crate) path: StreamPath,
    pub(crate) id: StreamId,
    /// Taken before the first read, so nothing falls between reading and hearing.
    pub(crate) seat: Seat,
    /// Everything up to here was handed over.
    pub(crate) place: u64,
}

impl LocalFollow {
    /// The next page from the disk; empty at the tail.
    async fn page(&mut self) -> Result<Vec<Arc<Frame>>, StreamError> {
        let (path, id, place) = (self.path.clone(), self.id, Place::At(self.place));
        let answer = self
            .reads
            .run(&self.path, "followed", move |engine| {
                let id = Some(id);
                engine.read(Ask { path: path.as_str(), id, place, way: Way::On, max: FRAMES_MAX })
            })
            .await?;
        match answer {
            Answer::NoStream => Err(not_found(&self.path)),
            Answer::NoPlace => {
                let offset = Offset::Position(self.place);
                Err(StreamError::BadOffset { path: self.path.clone(), offset })
            }
            Answer::Chunk { row, records, next } => {
                self.place = next;
                if next == row.tail {
                    self.seat.saw_tail(row.tail, row.closed);
                }
                let frame = |(end, data)| {
                    Arc::new(Frame::new(Record { offset: Offset::Position(end), data }))
                };
                Ok(records.into_iter().map(frame).collect())
            }
        }
    }

    fn ended(&self, end: End) -> Result<Option<Vec<Arc<Frame>>>, StreamError> {
        match end {
            End::Closed => Ok(None),
            End::Deleted => Err(not_found(&self.path)),
            End::Stopped => Err(StreamError::Failed {
                path: self.path.clone(),
                tried: "followed",
                source: "the store was stopped".into(),
            }),
        }
    }
}

#[async_trait]
impl FollowSource for LocalFollow {
    async fn next(&mut self) -> Result<Option<Vec<Arc<Frame>>>, StreamError> {
        loop {
            match self.seat.after(self.place, FRAMES_MAX) {
                Heard::Frames(frames) => {
                    if let Some(Offset::Position(end)) = frames.last().map(|last| last.offset()) {
                        self.place = *end;
                    }
                    return Ok(Some(frames));
                }
                Heard::Behind => {
                    let frames = self.page().await?;
                    if !frames.is_empty() {
                        return Ok(Some(frames));
                    }
                }
                Heard::Ended(end) => return self.ended(end),
                Heard::UpToDate => self.seat.changed().await,
            }
        }
    }
}
