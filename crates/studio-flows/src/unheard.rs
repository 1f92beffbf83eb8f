//! Local sessions of which nothing is heard any more (`D30-94`), and how many one source may make.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use studio_events::{Phase, SessionStatus, Timestamp};
use studio_registry::SessionRecord;

use crate::{
    FlowError,
    inner::{Inner, lock},
    words::HookSource,
};

/// Most sessions that the hooks of one source make in an hour: a person starts an agent now and
/// then; a hook that names a new transcript each time is broken, or worse.
const SESSIONS_PER_HOUR_MAX: usize = 120;
const HOUR_MILLIS: i64 = 60 * 60 * 1_000;

/// Counts the sessions that hooks made. Bounded: a source is a project that the registry knows,
/// and what is older than an hour goes.
#[derive(Default)]
pub(crate) struct HookLimit {
    made: Mutex<HashMap<HookSource, VecDeque<Timestamp>>>,
}

impl HookLimit {
    /// Counts one, if there may be one more.
    pub(crate) fn take(&self, from: HookSource, now: Timestamp) -> Result<Timestamp, FlowError> {
        let mut made = lock(&self.made);
        let is_old = |at: &Timestamp| HOUR_MILLIS <= now.unix_millis() - at.unix_millis();
        made.retain(|_, times| {
            while times.front().is_some_and(is_old) {
                times.pop_front();
            }
            !times.is_empty()
        });
        let times = made.entry(from).or_default();
        if SESSIONS_PER_HOUR_MAX <= times.len() {
            return Err(FlowError::TooManyHookSessions);
        }
        times.push_back(now);
        Ok(now)
    }

    /// Nothing was made after all.
    pub(crate) fn give_back(&self, from: HookSource, at: Timestamp) {
        let mut made = lock(&self.made);
        if let Some(times) = made.get_mut(&from)
            && let Some(place) = times.iter().position(|&time| time == at)
        {
            times.remove(place);
        }
    }
}

impl Inner {
    /// Ends local sessions of which nothing was heard for long, until the studio stops.
    pub(crate) async fn end_unheard_sessions(self: Arc<Self>) {
        let after = self.parts.settings.local_idle_after;
        let every = (after / 4).clamp(Duration::from_millis(100), Duration::from_secs(60));
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            let long_ago = self.now().unix_millis() - millis(after);
            // What came while no server ran is not known: the time begins with this one.
            if long_ago < self.started_at.unix_millis() {
                continue;
            }
            let is_unheard = |record: &SessionRecord| {
                record.internal.phase == Phase::Hosted
                    && record.info.status == SessionStatus::Running
                    && record.info.last_active_at.unix_millis() <= long_ago
            };
            for id in self.registry.ids_where(is_unheard) {
                // Activity is written once a minute; who is in use knows it sooner. A question
                // that waits has a deadline of its own.
                let used = self.live_now(id).is_some_and(|live| live.idle_for() < after);
                if used || self.gates.has_pending(id) {
                    continue;
                }
                if let Err(error) = self.end_unheard(id).await {
                    tracing::warn!(session.id = %id, "session {id}, of which nothing is heard, is not ended: {error}");
                }
            }
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use studio_ids::HookProjectId;

    use super::*;

    #[test]
    fn hooks_make_only_so_many_sessions_an_hour() {
        let limit = HookLimit::default();
        let at = Timestamp::from_unix_millis;
        let one = HookSource::Project(HookProjectId::random());
        for n in 0..120 {
            limit.take(one, at(n)).unwrap();
        }
        assert!(matches!(limit.take(one, at(200)), Err(FlowError::TooManyHookSessions)));
        limit.take(HookSource::Anybody, at(200)).unwrap();
        limit.give_back(one, at(7));
        limit.take(one, at(201)).unwrap();
        assert!(limit.take(one, at(202)).is_err());
        limit.take(one, at(HOUR_MILLIS)).unwrap();
        assert!(limit.take(one, at(HOUR_MILLIS)).is_err());
    }
}
