use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, Weak},
};

use studio_auth::{Grant, Ledger, Scope};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// What is open as long as its token is good. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watched {
    pub(crate) id: u64,
    pub(crate) over: CancellationToken,
    pub(crate) all: Weak<Watches>,
}

impl Watched {
    /// Ends when the token is void, or when what the watch was begun with is cancelled.
    pub fn over(&self) -> WaitForCancellationFutureOwned {
        self.over.clone().cancelled_owned()
    }

    /// Cancelled at the same moment.
    pub fn token(&self) -> &CancellationToken {
        &self.over
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(all) = self.all.upgrade() {
            all.lock().all.remove(&self.id);
        }
    }
}

/// All that is watched.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<Numbered>);

#[derive(Debug, Default)]
pub(crate) struct Numbered {
    all: HashMap<u64, (Scope, Grant, CancellationToken)>,
    last: u64,
}

impl Watches {
    pub(crate) fn add(&self, scope: Scope, grant: Grant, over: CancellationToken) -> u64 {
        let mut numbered = self.lock();
        numbered.last += 1;
        let id = numbered.last;
        numbered.all.insert(id, (scope, grant, over));
        id
    }

    /// Ends those whose token is void or expired.
    pub(crate) fn sweep(&self, ledger: &Ledger, now: u64) {
        for (scope, grant, over) in self.lock().all.values() {
            let expired = grant.expires().is_some_and(|expires| expires <= now);
            if expired || ledger.check(*scope, grant).is_err() {
                over.cancel();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Numbered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
