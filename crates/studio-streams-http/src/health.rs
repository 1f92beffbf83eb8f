//! What the last answers say about the service.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;

use crate::error::Trouble;

/// Time without any answer after which a service counts as down.
const DOWN_AFTER: Duration = Duration::from_secs(15);

/// How the service is, by the answers to this studio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// It answers.
    Up,
    /// The last request got no good answer; what is tried again may still succeed.
    Degraded {
        /// When that began.
        since: SystemTime,
        /// What happened last.
        why: String,
    },
    /// It gave no good answer for a while, or does not let this studio in.
    Down {
        /// When that began.
        since: SystemTime,
        /// What happened last.
        why: String,
    },
    /// This studio has stopped using it.
    Stopped,
}

#[derive(Debug)]
pub(crate) struct Health {
    state: watch::Sender<ServiceState>,
    /// Since when every request failed.
    failing: Mutex<Option<(Instant, SystemTime)>>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self { state: watch::Sender::new(ServiceState::Up), failing: Mutex::default() }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<ServiceState> {
        self.state.subscribe()
    }

    pub(crate) fn is_up(&self) -> bool {
        *self.state.borrow() == ServiceState::Up
    }

    /// The service gave an answer that the protocol knows.
    pub(crate) fn answered(&self) {
        if self.is_up() {
            return;
        }
        let mut failing = self.failing();
        *failing = None;
        let changed = self.state.send_if_modified(|state| match state {
            ServiceState::Degraded { .. } | ServiceState::Down { .. } => {
                *state = ServiceState::Up;
                true
            }
            ServiceState::Up | ServiceState::Stopped => false,
        });
        if changed {
            tracing::info!("the streams service answers again");
        }
    }

    pub(crate) fn troubled(&self, trouble: &Trouble) {
        if matches!(trouble, Trouble::Stopped) {
            return;
        }
        let why = trouble.to_string();
        let mut failing = self.failing();
        let (began, since) = *failing.get_or_insert_with(|| (Instant::now(), SystemTime::now()));
        let hopeless = matches!(trouble, Trouble::NotLetIn { .. });
        let next = if hopeless || DOWN_AFTER <= began.elapsed() {
            ServiceState::Down { since, why }
        } else {
            ServiceState::Degraded { since, why }
        };
        self.state.send_if_modified(|state| {
            if *state == ServiceState::Stopped || *state == next {
                return false;
            }
            if std::mem::discriminant(state) != std::mem::discriminant(&next) {
                tracing::warn!(
                    error = trouble as &dyn std::error::Error,
                    "the streams service is in trouble: {next:?}"
                );
            }
            *state = next;
            true
        });
    }

    pub(crate) fn stopped(&self) {
        self.state.send_replace(ServiceState::Stopped);
    }

    fn failing(&self) -> MutexGuard<'_, Option<(Instant, SystemTime)>> {
        // Nothing here leaves the value half changed when it panics.
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
