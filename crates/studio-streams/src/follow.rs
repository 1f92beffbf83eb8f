use std::{ops::Deref, sync::Arc};

use async_trait::async_trait;

use crate::{Frame, StreamError};

/// Frames for a follower, at least one, in order.
#[derive(Clone, Debug)]
pub struct Frames {
    frames: Vec<Arc<Frame>>,
    up_to_date: bool,
}

impl Frames {
    /// These frames; `up_to_date` = nothing was known to follow the last one.
    pub fn new(frames: Vec<Arc<Frame>>, up_to_date: bool) -> Self {
        Self { frames, up_to_date }
    }

    /// Whether nothing was known to follow when they were handed over.
    pub fn is_up_to_date(&self) -> bool {
        self.up_to_date
    }
}

impl Deref for Frames {
    type Target = [Arc<Frame>];

    fn deref(&self) -> &[Arc<Frame>] {
        &self.frames
    }
}

impl IntoIterator for Frames {
    type Item = Arc<Frame>;
    type IntoIter = std::vec::IntoIter<Arc<Frame>>;

    fn into_iter(self) -> Self::IntoIter {
        self.frames.into_iter()
    }
}

/// Where a [`Follow`] gets its frames; what a store implements.
#[async_trait]
pub trait FollowSource: Send {
    /// Waits until there is something after the last frame handed over, then hands over what is
    /// there, at least one frame, at most a page. `Ok(None)` = the stream was closed and all of
    /// it was handed over. Fails with [`StreamError::NotFound`] when the stream was deleted.
    ///
    /// Dropping the future loses nothing: the next call goes on at the same place.
    async fn next(&mut self) -> Result<Option<Frames>, StreamError>;
}

/// A reader that first catches up and then gets every record as it becomes durable: no gap, none
/// twice, in order. Costs the store no queue: a slow reader reads pages.
pub struct Follow(Box<dyn FollowSource>);

impl Follow {
    /// A reader fed by `source`.
    pub fn new(source: impl FollowSource + 'static) -> Self {
        Self(Box::new(source))
    }

    /// See [`FollowSource::next`].
    pub async fn next(&mut self) -> Result<Option<Frames>, StreamError> {
        self.0.next().await
    }
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Follow(..)")
    }
}
