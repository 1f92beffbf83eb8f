use std::sync::Arc;

use async_trait::async_trait;

use crate::{Frame, StreamError};

/// Where a [`Follow`] gets its frames; what a store implements.
#[async_trait]
pub trait FollowSource: Send {
    /// Waits until there is something after the last frame handed over, then hands over what is
    /// there, at least one frame, at most a page. `Ok(None)` = the stream was closed and all of
    /// it was handed over. Fails with [`StreamError::NotFound`] when the stream was deleted.
    ///
    /// Dropping the future loses nothing: the next call goes on at the same place.
    async fn next(&mut self) -> Result<Option<Vec<Arc<Frame>>>, StreamError>;
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
    pub async fn next(&mut self) -> Result<Option<Vec<Arc<Frame>>>, StreamError> {
        self.0.next().await
    }
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Follow(..)")
    }
}
