use std::{sync::Arc, time::Duration};

use studio_streams::{Offset, StreamError, StreamPath};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::tokens::Shared;

/// How often is looked for tokens that expired while something was open with them.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Wait before the stream is followed again, doubled up to the second.
const AGAIN_FIRST: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// Takes in what other servers over the same streams write down.
pub(crate) async fn follow(shared: Arc<Shared>, mut from: Offset) {
    let mut again = AGAIN_FIRST;
    loop {
        let before = from.clone();
        match follow_once(&shared, &mut from).await {
            Ok(()) => {}
            Err(error @ StreamError::BadOffset { .. }) => {
                // Another life of the stream. What was void stays so.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the list of tokens is another"
                );
                from = Offset::Start;
            }
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the list of tokens cannot be followed just now"
            ),
        }
        if before != from {
            again = AGAIN_FIRST;
        }
        sleep(again).await;
        again = (again * 2).min(AGAIN_MAX);
    }
}

/// `from` moves along.
async fn follow_once(shared: &Shared, from: &mut Offset) -> Result<(), StreamError> {
    let mut follow = shared.store.follow(&StreamPath::tokens(), from.clone()).await?;
    while let Some(frames) = follow.next().await? {
        let entries = frames.iter().filter_map(|frame| crate::tokens::entry(frame.data()));
        shared.take_in(entries);
        if let Some(last) = frames.last() {
            *from = last.offset().clone();
        }
    }
    Ok(())
}

/// Ends what is open with tokens that expire.
pub(crate) async fn expire(shared: Arc<Shared>) {
    let mut tick = interval(SWEEP_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        shared.sweep();
    }
}
