//! When streams are over, and which of them are in use: what is known of that in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use studio_streams::{Clock, Expiry};

use crate::engine::{StreamId, StreamInfo};

/// Streams whose last use may be known here alone; further uses are brought to the disk at once.
const USES_MAX: usize = 50_000;

/// What readers, followers and the committer know of uses that the disk does not know yet.
#[derive(Debug)]
pub(crate) struct Expiries {
    clock: Clock,
    /// When the store was opened, in Unix milliseconds. What the disk says of an earlier use may
    /// be late by [`StreamInfo::touch_late_ms`].
    opened: u64,
    uses: Mutex<HashMap<StreamId, Use>>,
}

/// A use of a stream with [`Expiry::AfterSeconds`].
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// The last one, in Unix milliseconds.
    at: u64,
    /// When the committer was last asked to bring that to the disk.
    asked: u64,
    followers: u32,
    /// The stream is gone and the last follower takes this away.
    gone: bool,
}

impl Expiries {
    pub(crate) fn new(clock: Clock) -> Self {
        let opened = clock.now();
        Self { clock, opened, uses: Mutex::default() }
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Whether the stream's time is over. One that is deleted only waits for its forks.
    pub(crate) fn is_over(&self, id: StreamId, info: &StreamInfo) -> bool {
        match info.facts.expiry {
            None => false,
            Some(_) if info.deleted => false,
            Some(Expiry::AtMillis(at)) => at <= self.now(),
            Some(Expiry::AfterSeconds(seconds)) => {
                let now = self.now();
                let known = self.uses().get(&id).copied().unwrap_or_default();
                let late = if info.touched < self.opened { info.touch_late_ms() } else { 0 };
                let used = info.touched.saturating_add(late).max(known.at);
                known.followers == 0 && used.saturating_add(seconds.saturating_mul(1_000)) <= now
            }
        }
    }

    /// Notes a use of the stream; says whether it is to be brought to the disk now.
    #[must_use]
    pub(crate) fn touch(&self, id: StreamId, info: &StreamInfo) -> bool {
        if !matches!(info.facts.expiry, Some(Expiry::AfterSeconds(_))) {
            return false;
        }
        let now = self.now();
        let mut uses = self.uses();
        let many = USES_MAX <= uses.len();
        if many && 2 * USES_MAX <= uses.len() && !uses.contains_key(&id) {
            return true;
        }
        let known = uses.entry(id).or_default();
        known.at = known.at.max(now);
        let ask = many || info.touch_late_ms() <= now.saturating_sub(info.touched.max(known.asked));
        if ask {
            known.asked = now;
        }
        ask
    }

    /// Whether so much is known here alone that it is to be brought to the disk soon.
    pub(crate) fn is_crowded(&self) -> bool {
        USES_MAX <= self.uses().len()
    }

    /// The last use of the stream as it is known here, if that is later than what the disk knows.
    pub(crate) fn later_use(&self, id: StreamId, info: &StreamInfo) -> Option<u64> {
        let known = self.uses().get(&id).copied()?;
        let at = if 0 < known.followers { self.now() } else { known.at };
        (info.touched < at).then_some(at)
    }

    /// The disk knows of uses up to `touched`.
    pub(crate) fn is_kept(&self, id: StreamId, touched: u64) {
        let mut uses = self.uses();
        if uses.get(&id).is_some_and(|known| known.followers == 0 && known.at <= touched) {
            uses.remove(&id);
        }
    }

    /// The stream is gone.
    pub(crate) fn forget(&self, id: StreamId) {
        let mut uses = self.uses();
        match uses.get_mut(&id) {
            Some(known) if 0 < known.followers => known.gone = true,
            Some(_) | None => drop(uses.remove(&id)),
        }
    }

    /// Keeps the stream for as long as the guard lives, if it goes by its last use.
    pub(crate) fn hold(self: &Arc<Self>, id: StreamId, info: &StreamInfo) -> Option<Hold> {
        matches!(info.facts.expiry, Some(Expiry::AfterSeconds(_))).then(|| {
            self.uses().entry(id).or_default().followers += 1;
            Hold { expiries: self.clone(), id }
        })
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<StreamId, Use>> {
        // Nothing here leaves a value half changed when it panics.
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Expiries::hold`].
#[derive(Debug)]
pub(crate) struct Hold {
    expiries: Arc<Expiries>,
    id: StreamId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let now = self.expiries.now();
        let mut uses = self.expiries.uses();
        if let Some(known) = uses.get_mut(&self.id) {
            known.followers = known.followers.saturating_sub(1);
            known.at = known.at.max(now);
            if known.gone && known.followers == 0 {
                uses.remove(&self.id);
            }
        }
    }
}
