//! How often: against a plain model, and at the edges.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use studio_events::Timestamp;
use studio_limits::Windows;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000 + minute * 60_000)
}

#[test]
fn so_many_an_hour_and_the_next_one_when_the_first_is_an_hour_old() {
    let mut limit = Windows::new(2, HOUR, 10);
    assert!(limit.take("a", minute(0)).is_ok());
    let second = limit.take("a", minute(10)).unwrap();
    assert_eq!(limit.take("a", minute(20)), Err(Duration::from_secs(40 * 60)));
    assert!(limit.take("b", minute(20)).is_ok(), "somebody else");
    limit.give_back(&second);
    assert!(limit.take("a", minute(21)).is_ok(), "what failed does not count");
    assert!(limit.take("a", minute(22)).is_err());
    assert!(limit.take("a", minute(60)).is_ok(), "the first one's hour is over");
    assert!(limit.take("a", minute(61)).is_err());
}

#[test]
fn nothing_is_allowed_by_zero() {
    assert_eq!(Windows::new(0, HOUR, 10).take("a", minute(0)), Err(HOUR));
}

#[test]
fn d30_98_who_was_quiet_for_a_window_is_forgotten_and_many_do_not_fill_the_memory() {
    let mut limit = Windows::new(1, HOUR, 100);
    for n in 0..10_000 {
        assert!(limit.take(n, minute(0)).is_ok());
        assert!(limit.len() <= 100);
    }
    assert!(limit.take(9_999, minute(1)).is_err(), "the newest are remembered");
    assert!(limit.take(0, minute(60)).is_ok());
    assert_eq!(limit.len(), 1, "all others were quiet for an hour");
    let counted = limit.take(1, minute(60)).unwrap();
    limit.give_back(&counted);
    assert_eq!(limit.len(), 1, "who has nothing counted is not remembered");
}

#[test]
fn what_was_written_down_counts_again_after_a_restart() {
    let mut limit = Windows::new(2, HOUR, 10);
    for at in [-90, -10, -30] {
        limit.remember("a", minute(at), minute(0));
    }
    assert_eq!(limit.take("a", minute(0)), Err(Duration::from_secs(30 * 60)));
    assert!(limit.take("a", minute(30)).is_ok());
}

#[test]
fn a_clock_that_was_set_back_shuts_nobody_out_for_longer_than_a_window() {
    let mut limit = Windows::new(1, HOUR, 10);
    assert!(limit.take("a", minute(30)).is_ok());
    assert_eq!(limit.take("a", minute(0)), Err(HOUR), "half an hour back");
    assert!(limit.take("a", minute(-60 * 24)).is_ok(), "a day back");
}

proptest! {
    /// As a model that remembers everything, as long as the keys fit.
    #[test]
    fn it_counts_as_a_plain_list_does(
        max in 0_u32..4,
        steps in prop::collection::vec((0_u8..4, 0_i64..30, any::<bool>()), 0..80),
    ) {
        let mut limit = Windows::new(max, HOUR, 10);
        let mut model: BTreeMap<u8, Vec<Timestamp>> = BTreeMap::new();
        let mut now = 0;
        for (key, later, keep) in steps {
            now += later;
            let at = minute(now);
            let taken = model.entry(key).or_default();
            taken.retain(|t| at.unix_millis() - t.unix_millis() < 3_600_000);
            let free = taken.len() < max as usize;
            let counted = limit.take(key, at);
            prop_assert_eq!(counted.is_ok(), free);
            if let Ok(counted) = counted {
                if keep {
                    taken.push(at);
                } else {
                    limit.give_back(&counted);
                }
            }
        }
    }
}
