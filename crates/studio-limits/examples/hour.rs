//! Three creations in an hour of two.
#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::time::Duration;

use studio_events::Timestamp;
use studio_limits::{Subject, Windows};

fn main() {
    let mut limit = Windows::new(2, Duration::from_secs(60 * 60), 10_000);
    let who = Subject::address([192, 0, 2, 1].into());
    for minute in [0, 10, 20] {
        let now = Timestamp::from_unix_millis(minute * 60_000);
        match limit.take(who.clone(), now) {
            Ok(_counted) => println!("minute {minute}: {who} may"),
            Err(wait) => println!("minute {minute}: {who} waits for {} s", wait.as_secs()),
        }
    }
}
