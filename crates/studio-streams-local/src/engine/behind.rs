use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::EngineError;

/// Whether the tables lack a commit that is on stable storage in the journal. Whoever reads the
/// tables waits for it: it was perhaps answered for.
#[derive(Debug, Default)]
pub(super) struct Behind {
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Now {
    state: State,
    /// Readers that wait; without any, telling them is a system call for nobody.
    waiting: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Level,
    /// A commit is on its way into the tables.
    Behind,
    /// It did not get there. The next open brings it there from the journal.
    ForGood,
}

impl Behind {
    /// A commit is in the journal.
    pub(super) fn begin(&self) {
        self.now().state = State::Behind;
    }

    /// It is in the tables too, or never will be.
    pub(super) fn end(&self, is_applied: bool) {
        let mut now = self.now();
        now.state = if is_applied { State::Level } else { State::ForGood };
        if 0 < now.waiting {
            self.changed.notify_all();
        }
    }

    /// Waits until the tables hold what was committed before this call.
    pub(super) fn wait(&self) -> Result<(), EngineError> {
        let mut now = self.now();
        if now.state == State::Behind {
            now.waiting += 1;
            let waited = self.changed.wait_while(now, |now| now.state == State::Behind);
            now = waited.unwrap_or_else(PoisonError::into_inner);
            now.waiting -= 1;
        }
        match now.state {
            State::Level | State::Behind => Ok(()),
            State::ForGood => Err(EngineError::Failed {
                tried: "read what was written last",
                source: "it is in the journal alone, since the tables could not be changed; a \
                         restart reads it from there"
                    .into(),
            }),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn a_reader_waits_for_what_was_committed_and_is_told_when_it_never_comes() {
        let behind = Arc::new(Behind::default());
        behind.wait().unwrap();
        behind.begin();
        let reader = thread::spawn({
            let behind = Arc::clone(&behind);
            move || behind.wait()
        });
        behind.end(true);
        reader.join().unwrap().unwrap();
        behind.begin();
        behind.end(false);
        assert!(behind.wait().unwrap_err().to_string().contains("read what was written last"));
    }
}
