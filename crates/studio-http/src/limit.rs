use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Over which time is counted.
const WINDOW: Duration = Duration::from_secs(60 * 60);
/// Most addresses remembered; the one that was quiet longest is forgotten first.
const ADDRESSES_MAX: usize = 10_000;

/// Counts per address and hour: creations of sessions (`D30-14`, `D30-15`, `D30-98`; what failed
/// is given back), databases (nothing is), tries to log in and to find shared sessions (what
/// succeeded is), and joins. Bounded and purged.
pub(crate) struct HourlyLimit {
    max: Option<u32>,
    taken: Mutex<HashMap<IpAddr, VecDeque<Instant>>>,
}

/// What was counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    who: IpAddr,
    at: Instant,
}

impl HourlyLimit {
    pub(crate) fn new(max: Option<u32>) -> Self {
        Self { max, taken: Mutex::default() }
    }

    /// Counts one, or tells how long to wait for the next.
    pub(crate) fn take(&self, who: IpAddr, now: Instant) -> Result<Option<Counted>, Duration> {
        let Some(max) = self.max else { return Ok(None) };
        let who = household(who);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if ADDRESSES_MAX <= taken.len() && !taken.contains_key(&who) {
            forget_one(&mut taken, now);
        }
        let times = taken.entry(who).or_default();
        while times.front().is_some_and(|&at| WINDOW <= now.duration_since(at)) {
            times.pop_front();
        }
        if times.len() < usize::try_from(max).unwrap_or(usize::MAX) {
            times.push_back(now);
            return Ok(Some(Counted { who, at: now }));
        }
        let oldest = times.front().copied().unwrap_or(now);
        Err(WINDOW.saturating_sub(now.duration_since(oldest)))
    }

    /// It does not count after all.
    pub(crate) fn give_back(&self, counted: Counted) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = taken.get_mut(&counted.who)
            && let Some(at) = times.iter().position(|&at| at == counted.at)
        {
            times.remove(at);
        }
    }
}

/// Who holds one IPv6 address holds the whole /64.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

fn forget_one(taken: &mut HashMap<IpAddr, VecDeque<Instant>>, now: Instant) {
    taken.retain(|_, times| times.back().is_some_and(|&at| now.duration_since(at) < WINDOW));
    if ADDRESSES_MAX <= taken.len() {
        let quietest = taken.iter().min_by_key(|(_, times)| times.back().copied());
        if let Some(who) = quietest.map(|(&who, _)| who) {
            taken.remove(&who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn an_address_may_create_so_many_sessions_an_hour() {
        let limit = HourlyLimit::new(Some(2));
        let start = Instant::now();
        let later = |minutes: u64| start + Duration::from_secs(minutes * 60);
        assert!(limit.take(address(1), later(0)).is_ok());
        let second = limit.take(address(1), later(10)).unwrap().unwrap();
        assert_eq!(limit.take(address(1), later(20)).unwrap_err(), Duration::from_secs(40 * 60));
        assert!(limit.take(address(2), later(20)).is_ok(), "another address");
        limit.give_back(second);
        assert!(limit.take(address(1), later(21)).is_ok(), "what failed does not count");
        assert!(limit.take(address(1), later(22)).is_err());
        assert!(limit.take(address(1), later(60)).is_ok(), "the first one's hour is over");
    }

    #[test]
    fn zero_allows_nothing_and_none_allows_all() {
        let now = Instant::now();
        assert!(HourlyLimit::new(Some(0)).take(address(1), now).is_err());
        assert!(HourlyLimit::new(None).take(address(1), now).is_ok());
    }

    #[test]
    fn many_addresses_do_not_fill_the_memory_and_a_v6_network_is_one() {
        let limit = HourlyLimit::new(Some(1));
        let now = Instant::now();
        for n in 0..10_200_u32 {
            assert!(limit.take(IpAddr::V4(n.into()), now).is_ok());
        }
        assert!(limit.taken.lock().unwrap().len() <= ADDRESSES_MAX);
        assert!(limit.take("2001:db8::1".parse().unwrap(), now).is_ok());
        assert!(limit.take("2001:db8::ffff".parse().unwrap(), now).is_err());
    }
}
