//! The cursor of live answers: it changes with time, so that what stands between does not give
//! the same answer for ever.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 2024-10-09T00:00:00Z, in seconds after 1970.
const BEGIN: Duration = Duration::from_secs(1_728_432_000);
/// How long one cursor lasts, in seconds.
const INTERVAL: u64 = 20;

/// The cursor for a client that came with `given`: always a greater one.
pub(crate) fn next(now: SystemTime, given: Option<u64>) -> u64 {
    let since = now.duration_since(UNIX_EPOCH + BEGIN).unwrap_or_default();
    let current = since.as_secs() / INTERVAL;
    match given.and_then(|given| given.checked_add(1)) {
        Some(after) => current.max(after),
        None => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_the_interval_or_more_than_was_given() {
        let at = |seconds| UNIX_EPOCH + BEGIN + Duration::from_secs(seconds);
        assert_eq!(next(at(0), None), 0);
        assert_eq!(next(at(19), None), 0);
        assert_eq!(next(at(20), None), 1);
        assert_eq!(next(at(2_000), Some(7)), 100);
        assert_eq!(next(at(2_000), Some(100)), 101);
        assert_eq!(next(at(2_000), Some(5_000)), 5_001);
        assert_eq!(next(at(2_000), Some(u64::MAX)), 100, "nothing is greater");
        assert_eq!(next(UNIX_EPOCH, None), 0, "a clock that is wrong");
    }
}
