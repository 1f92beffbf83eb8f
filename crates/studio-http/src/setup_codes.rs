use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use studio_ids::HookSecretId;

/// How long an installer may take to begin.
const CODE_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Most codes that are good at a time; one more takes the place of the oldest.
const CODES_MAX: usize = 64;

/// Codes that installers were given: each opens the route that makes a project's secret, once and
/// soon. In memory alone: a server that was started anew knows none.
#[derive(Default)]
pub(crate) struct SetupCodes {
    given: Mutex<VecDeque<(String, Instant)>>,
}

impl SetupCodes {
    /// A new one: 244 random bits.
    pub(crate) fn give(&self) -> String {
        let code = format!("sc1.{}{}", HookSecretId::random(), HookSecretId::random());
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if CODES_MAX <= given.len() {
            given.pop_front();
        }
        given.push_back((code.clone(), Instant::now()));
        code
    }

    /// Whether it was given and is good still; it is not any more after this.
    pub(crate) fn take(&self, code: &str) -> bool {
        self.take_at(code, Instant::now())
    }

    fn take_at(&self, code: &str, now: Instant) -> bool {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|(_, at)| now.saturating_duration_since(*at) < CODE_LIFETIME);
        // All are compared, each in the same time: the answer's time tells nothing.
        let mut found = None;
        for (place, (known, _)) in given.iter().enumerate() {
            if same(known.as_bytes(), code.as_bytes()) {
                found = Some(place);
            }
        }
        found.is_some_and(|place| given.remove(place).is_some())
    }
}

fn same(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b));
    one.len() == other.len() && differ == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_soon() {
        let codes = SetupCodes::default();
        let code = codes.give();
        for bad in ["", "sc1.", &code[1..], &code.to_uppercase()] {
            assert!(!codes.take(bad), "{bad}");
        }
        assert!(codes.take(&code));
        assert!(!codes.take(&code));
        let late = codes.give();
        assert!(!codes.take_at(&late, Instant::now() + CODE_LIFETIME));
        assert!(!codes.take(&late));
    }

    #[test]
    fn only_so_many_codes_are_good_at_a_time() {
        let codes = SetupCodes::default();
        let all: Vec<_> = (0..=CODES_MAX).map(|_| codes.give()).collect();
        assert!(!codes.take(&all[0]));
        assert!(all[1..].iter().all(|code| codes.take(code)));
    }
}
