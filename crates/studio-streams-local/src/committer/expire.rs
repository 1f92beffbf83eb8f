//! Taking away streams whose time is over.

use std::sync::Arc;

use studio_streams::StreamPath;

use super::{Committer, StreamId, StreamRow};

/// Streams that one commit takes away because their time is over.
const EXPIRE_MAX: usize = 64;
/// Shortest time between two looks that did not find many, in milliseconds.
const LOOK_AGAIN_MS: u64 = 50;

impl Committer {
    /// Whether it is time to look whose time is over.
    pub(super) fn is_due(&self) -> bool {
        let due = |at| at <= self.expiries.now();
        self.next_due.is_some_and(due) && !self.holds_back && self.refusal.is_open()
    }

    /// Looks at this time at the latest.
    pub(super) fn is_due_at(&mut self, at: Option<u64>) {
        if let Some(at) = at {
            self.next_due = Some(self.next_due.map_or(at, |next| next.min(at)));
        }
    }

    /// Takes away streams whose time is over, in a commit of their own.
    pub(super) fn expire(&mut self) {
        let now = self.expiries.now();
        let due = match self.engine.due(EXPIRE_MAX) {
            Ok(due) => due,
            Err(error) => return self.fail(&error),
        };
        let mut over = 0;
        for due in due.iter().filter(|due| due.at <= now) {
            over += 1;
            // Every path in the engine was one when it came.
            let Ok(path) = due.path.parse::<StreamPath>() else { continue };
            let Ok(Some(row)) = self.stream(&path) else { continue };
            if row.id != due.id {
                continue;
            }
            if self.expiries.is_over(row.id, &row.info) {
                if self.remove(&path, &row).is_ok() {
                    tracing::debug!(stream.path = %path, "the time of {path} is over");
                }
            } else if let Some(at) = self.expiries.later_use(row.id, &row.info) {
                self.put_touched(&path, &row, at);
            }
        }
        self.commit();
        if !self.refusal.is_open() {
            return;
        }
        match self.engine.due(1) {
            Ok(next) => {
                let pause = if over < EXPIRE_MAX { LOOK_AGAIN_MS } else { 0 };
                self.next_due = next.first().map(|due| due.at.max(now.saturating_add(pause)));
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Notes a use of the stream.
    pub(super) fn touch(&mut self, path: &StreamPath, row: &StreamRow) {
        if self.expiries.touch(row.id, &row.info) {
            self.put_touched(path, row, self.expiries.now());
        }
    }

    /// Brings a use that a reader told of to the disk, if what that knows is old.
    pub(super) fn bring_touch(&mut self, path: &StreamPath, id: StreamId, at: u64) {
        if let Ok(Some(row)) = self.stream(path)
            && row.id == id
            && !row.info.deleted
        {
            let at = self.expiries.later_use(id, &row.info).map_or(at, |later| later.max(at));
            let is_old = row.info.touch_late_ms() <= at.saturating_sub(row.info.touched);
            if row.info.touched < at && (is_old || self.expiries.is_crowded()) {
                self.put_touched(path, &row, at);
            }
        }
    }

    fn put_touched(&mut self, path: &StreamPath, row: &StreamRow, at: u64) {
        let mut info = row.info.clone();
        Arc::make_mut(&mut info).touched = at;
        self.put(path, row.id, info);
    }
}
