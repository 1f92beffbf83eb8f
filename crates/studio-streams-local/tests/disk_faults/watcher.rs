//! Followers of the store under test: what they are shown is durable, has no gap and comes once.

use std::time::Duration;

use bytes::Bytes;
use studio_streams::{Follow, MemoryStreams, Offset, StreamError, StreamPath, StreamStore};
use studio_streams_local::LocalStreams;

use super::world::{Violation, records};

/// How long a follower waits for a record that is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Followers of one life.
#[derive(Default)]
pub(crate) struct Watcher(Vec<One>);

struct One {
    path: StreamPath,
    follow: Follow,
    seen: Vec<(Offset, Bytes)>,
    /// It gets nothing more.
    over: bool,
}

impl Watcher {
    pub(crate) async fn follow(&mut self, store: &LocalStreams, path: StreamPath) {
        if let Ok(follow) = store.follow(&path, Offset::Start).await {
            self.0.push(One { path, follow, seen: Vec::new(), over: false });
        }
    }

    /// The stream was deleted or begins anew.
    pub(crate) fn forget(&mut self, path: &StreamPath) {
        self.0.retain(|one| one.path != *path);
    }

    /// Everything was answered: each follower is shown all of it.
    pub(crate) async fn catch_up(&mut self, model: &MemoryStreams) -> Result<(), Violation> {
        for one in &mut self.0 {
            let there = records(model, &one.path).await;
            while !one.over {
                let there = there.as_deref().unwrap_or_default();
                if one.seen.len() >= there.len() && there.starts_with(&one.seen) {
                    break;
                }
                let next = tokio::time::timeout(PATIENCE, one.follow.next()).await;
                match next.map_err(|_late| format!("a follower of {} misses records", one.path))? {
                    Ok(Some(frames)) => {
                        let seen = frames.iter().map(|f| (f.offset().clone(), f.data().clone()));
                        one.seen.extend(seen);
                    }
                    // It has all of it, or the disk fails.
                    Ok(None) | Err(StreamError::Failed { .. }) => one.over = true,
                    Err(error) => return Err(format!("a follower failed: {error}")),
                }
            }
        }
        Ok(())
    }

    /// What was seen is part of the history.
    pub(crate) async fn check(self, model: &MemoryStreams) -> Result<(), Violation> {
        for one in self.0 {
            let there = records(model, &one.path).await.unwrap_or_default();
            if !there.starts_with(&one.seen) {
                return Err(format!("a follower of {} saw what is not there", one.path));
            }
        }
        Ok(())
    }
}
