//! GitHub's limits: what an answer says of them, and what is not asked before they lift.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use tokio::time::Instant;

use crate::RateLimit;

/// The wait that GitHub's documentation asks for when an answer names none.
const UNSAID: Duration = Duration::from_secs(60);
/// Longest wait that an answer is believed, and shortest.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
const SHORTEST: Duration = Duration::from_secs(1);
/// Credentials whose limits are remembered.
const REMEMBERED_MAX: usize = 1_000;

/// Which limit an answer tells of, and when it lifts. `times` is how often in a row a limit was
/// met without a time.
pub(crate) fn limited(
    status: u16,
    headers: &HeaderMap,
    message: &str,
    times: u32,
) -> Option<(RateLimit, Duration)> {
    let (limit, wait) = told(status, headers, message, times)?;
    Some((limit, wait.clamp(SHORTEST, LONGEST)))
}

/// As it is said.
fn told(
    status: u16,
    headers: &HeaderMap,
    message: &str,
    times: u32,
) -> Option<(RateLimit, Duration)> {
    if !matches!(status, 403 | 429) {
        return None;
    }
    let number = |name: &str| {
        let text = headers.get(name).and_then(|value| value.to_str().ok())?;
        text.trim().parse::<i64>().ok()
    };
    let used_up = number("x-ratelimit-remaining") == Some(0);
    let lower = message.to_ascii_lowercase();
    let is_secondary = lower.contains("secondary rate limit") || lower.contains("abuse detection");
    if let Some(secs) = number(RETRY_AFTER.as_str()) {
        let limit =
            if used_up && !is_secondary { RateLimit::Primary } else { RateLimit::Secondary };
        return Some((limit, Duration::from_secs(u64::try_from(secs).unwrap_or(0))));
    }
    if used_up && !is_secondary {
        // By GitHub's own clock on both sides, so that this machine's does not matter.
        let reset = number("x-ratelimit-reset").zip(date(headers));
        // The reset is a whole second: in the last one the limit still holds.
        let left = reset.map(|(reset, now)| reset.saturating_sub(now).saturating_add(1));
        let left = left.map(|secs| Duration::from_secs(u64::try_from(secs).unwrap_or(0)));
        return Some((RateLimit::Primary, left.unwrap_or(UNSAID)));
    }
    let growing = UNSAID * 2u32.saturating_pow(times.min(6));
    (is_secondary || status == 429).then_some((RateLimit::Secondary, growing))
}

/// GitHub's clock, in seconds since 1970.
pub(crate) fn date(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(date.timestamp().as_second())
}

/// Which credentials have to wait, and how long. Who goes on asking is locked out for longer.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    hasher: RandomState,
    until: Mutex<HashMap<u64, (RateLimit, Instant)>>,
}

impl Limits {
    /// What of a credential is remembered: a number that tells nothing of it.
    pub(crate) fn mark(&self, credential: &[u8]) -> u64 {
        self.hasher.hash_one(credential)
    }

    pub(crate) fn met(&self, mark: u64, limit: RateLimit, wait: Duration) {
        let now = Instant::now();
        let mut until = self.lock();
        if REMEMBERED_MAX <= until.len() {
            until.retain(|_, (_, end)| now < *end);
        }
        // Full of limits that hold: this one is met again, at worst.
        if until.len() < REMEMBERED_MAX {
            until.insert(mark, (limit, now + wait));
        }
    }

    /// What is still to wait.
    pub(crate) fn left(&self, mark: u64) -> Option<(RateLimit, Duration)> {
        let mut until = self.lock();
        let (limit, end) = *until.get(&mark)?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            until.remove(&mark);
            return None;
        }
        Some((limit, left))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (RateLimit, Instant)>> {
        // Nothing here leaves the map half changed when it panics.
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        all.iter().map(pair).collect()
    }

    #[test]
    fn the_hourly_limit_lifts_by_githubs_clock() {
        let met = headers(&[
            ("date", "Thu, 01 Jan 1970 00:16:40 GMT"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1030"),
        ]);
        let lifts = Some((RateLimit::Primary, Duration::from_secs(31)));
        assert_eq!(limited(403, &met, "API rate limit exceeded for user ID 1.", 0), lifts);
        assert_eq!(limited(429, &met, "", 0), lifts);
        assert_eq!(limited(404, &met, "Not Found", 0), None);
    }

    #[test]
    fn the_secondary_limit_lifts_when_it_says_or_later_each_time() {
        let said = headers(&[("retry-after", "7"), ("x-ratelimit-remaining", "4000")]);
        let text = "You have exceeded a secondary rate limit.";
        let wait = |headers, times| limited(403, headers, text, times).unwrap();
        assert_eq!(wait(&said, 0), (RateLimit::Secondary, Duration::from_secs(7)));
        let unsaid = headers(&[("x-ratelimit-remaining", "4000")]);
        assert_eq!(wait(&unsaid, 0), (RateLimit::Secondary, Duration::from_secs(60)));
        assert_eq!(wait(&unsaid, 2), (RateLimit::Secondary, Duration::from_secs(240)));
        let used_up = headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "9")]);
        assert_eq!(wait(&used_up, 0).0, RateLimit::Secondary);
    }

    #[test]
    fn a_wait_that_nobody_can_mean_is_bounded() {
        let wait = |all: &[(&'static str, &'static str)]| limited(429, &headers(all), "", 0);
        let most = Some(LONGEST);
        let huge = "9223372036854775807";
        assert_eq!(wait(&[("retry-after", huge)]).map(|(_, wait)| wait), most);
        let date = ("date", "Thu, 01 Jan 1970 00:00:00 GMT");
        let used_up = ("x-ratelimit-remaining", "0");
        let reset = |at| wait(&[date, used_up, ("x-ratelimit-reset", at)]).map(|(_, wait)| wait);
        assert_eq!(reset(huge), most);
        assert_eq!(reset("-9223372036854775808"), Some(SHORTEST));
        assert_eq!(wait(&[("retry-after", "-5")]).map(|(_, wait)| wait), Some(SHORTEST));
        assert_eq!(wait(&[("retry-after", "soon")]).map(|(_, wait)| wait), Some(UNSAID));
    }

    #[test]
    fn a_refusal_is_no_limit() {
        let plenty = headers(&[("x-ratelimit-remaining", "4000")]);
        assert_eq!(limited(403, &plenty, "Resource not accessible by integration", 0), None);
        assert_eq!(limited(422, &headers(&[("retry-after", "7")]), "", 0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_is_remembered_until_it_lifts() {
        let limits = Limits::default();
        let (one, other) = (limits.mark(b"one"), limits.mark(b"other"));
        limits.met(one, RateLimit::Primary, Duration::from_secs(10));
        assert_eq!(limits.left(one), Some((RateLimit::Primary, Duration::from_secs(10))));
        assert_eq!(limits.left(other), None);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(limits.left(one), None);
    }
}
