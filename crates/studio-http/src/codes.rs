use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use studio_auth::Code;

/// How long an installer may take to begin, and a person to follow a link.
pub(crate) const CODE_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Most codes of a kind that are good at a time.
const CODES_MAX: usize = 64;
/// How long a page may take from its ticket to its event stream.
pub(crate) const TICKET_LIFETIME: Duration = Duration::from_secs(30);
/// Most tickets that are good at a time.
const TICKETS_MAX: usize = 4_096;

/// Codes of one kind: each opens something once and soon. One more than may be good at a time
/// takes the place of the oldest. In memory alone: a server that was started anew knows none.
pub(crate) struct Codes<T> {
    lifetime: Duration,
    max: usize,
    /// What is kept of each, oldest first.
    given: Mutex<VecDeque<Given<T>>>,
}

struct Given<T> {
    digest: [u8; 32],
    at: Instant,
    what: T,
}

impl<T> Codes<T> {
    /// For installers and for links.
    pub(crate) fn for_people() -> Self {
        Self { lifetime: CODE_LIFETIME, max: CODES_MAX, given: Mutex::default() }
    }

    /// For event streams.
    pub(crate) fn tickets() -> Self {
        Self { lifetime: TICKET_LIFETIME, max: TICKETS_MAX, given: Mutex::default() }
    }

    /// A new one, for this.
    pub(crate) fn give(&self, what: T) -> Code {
        let code = Code::random();
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if self.max <= given.len() {
            given.pop_front();
        }
        given.push_back(Given { digest: Code::digest(code.expose()), at: Instant::now(), what });
        code
    }

    /// What it was given for, if it is good still; it is not any more after this.
    pub(crate) fn take(&self, code: &str) -> Option<T> {
        self.take_at(code, Instant::now())
    }

    fn take_at(&self, code: &str, now: Instant) -> Option<T> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|given| now.saturating_duration_since(given.at) < self.lifetime);
        let digest = Code::digest(code);
        let place = given.iter().position(|given| given.digest == digest)?;
        given.remove(place).map(|given| given.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_soon() {
        for (codes, lifetime) in
            [(Codes::for_people(), CODE_LIFETIME), (Codes::tickets(), TICKET_LIFETIME)]
        {
            let code = codes.give(7);
            let code = code.expose();
            for bad in ["", "0", &code[1..], &"0".repeat(64)] {
                assert_eq!(codes.take(bad), None, "{bad}");
            }
            assert_eq!(codes.take(code), Some(7));
            assert_eq!(codes.take(code), None);
            let late = codes.give(8);
            let late = late.expose();
            assert_eq!(codes.take_at(late, Instant::now() + lifetime), None);
            assert_eq!(codes.take(late), None);
        }
    }

    #[test]
    fn only_so_many_codes_are_good_at_a_time() {
        let codes = Codes::for_people();
        let all: Vec<_> = (0..=CODES_MAX).map(|n| codes.give(n)).collect();
        assert_eq!(codes.take(all[0].expose()), None);
        assert!(all[1..].iter().all(|code| codes.take(code.expose()).is_some()));
    }
}
