use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use studio_auth::Code;

/// How long an installer may take to begin.
const CODE_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Most codes that are good at a time; one more takes the place of the oldest.
const CODES_MAX: usize = 64;

/// Codes that installers were given: each opens the route that makes a project's secret, once and
/// soon. In memory alone: a server that was started anew knows none.
#[derive(Default)]
pub(crate) struct SetupCodes {
    /// What is kept of each, oldest first.
    given: Mutex<VecDeque<([u8; 32], Instant)>>,
}

impl SetupCodes {
    /// A new one.
    pub(crate) fn give(&self) -> Code {
        let code = Code::random();
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if CODES_MAX <= given.len() {
            given.pop_front();
        }
        given.push_back((Code::digest(code.expose()), Instant::now()));
        code
    }

    /// Whether it was given and is good still; it is not any more after this.
    pub(crate) fn take(&self, code: &str) -> bool {
        self.take_at(code, Instant::now())
    }

    fn take_at(&self, code: &str, now: Instant) -> bool {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|(_, at)| now.saturating_duration_since(*at) < CODE_LIFETIME);
        let digest = Code::digest(code);
        let place = given.iter().position(|(known, _)| *known == digest);
        place.is_some_and(|place| given.remove(place).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_soon() {
        let codes = SetupCodes::default();
        let code = codes.give();
        let code = code.expose();
        for bad in ["", "0", &code[1..], &"0".repeat(64)] {
            assert!(!codes.take(bad), "{bad}");
        }
        assert!(codes.take(code));
        assert!(!codes.take(code));
        let late = codes.give();
        let late = late.expose();
        assert!(!codes.take_at(late, Instant::now() + CODE_LIFETIME));
        assert!(!codes.take(late));
    }

    #[test]
    fn only_so_many_codes_are_good_at_a_time() {
        let codes = SetupCodes::default();
        let all: Vec<_> = (0..=CODES_MAX).map(|_| codes.give()).collect();
        assert!(!codes.take(all[0].expose()));
        assert!(all[1..].iter().all(|code| codes.take(code.expose())));
    }
}
