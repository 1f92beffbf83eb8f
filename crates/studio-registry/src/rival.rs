use std::{sync::Arc, time::Duration};

use studio_events::RegistryEntry;
use studio_streams::{Offset, StreamError, StreamPath, StreamStore};
use tokio::time::sleep;

use crate::{decode, registry::Shared};

/// Wait before the stream is followed again, doubled up to the second.
const AGAIN_FIRST: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// Follows the registry from `from` for a server with a newer lease, and notes it: this one
/// learns that its time is over also when it has nothing to write. Ends then; is to be dropped
/// with the registry else.
pub(crate) async fn watch(
    shared: Arc<Shared>,
    store: Arc<dyn StreamStore>,
    lease: u64,
    mut from: Offset,
) {
    let mut again = AGAIN_FIRST;
    loop {
        let before = from.clone();
        match follow(&store, lease, &mut from).await {
            Ok(Some(newer)) => return shared.fence(lease, &format!("lease {newer} is in force")),
            // Closed: nobody writes it any more.
            Ok(None) => return,
            Err(error @ StreamError::BadOffset { .. }) => {
                // Another life of the stream: all of it is news.
                tracing::warn!(error = &error as &dyn std::error::Error, "the registry is another");
                from = Offset::Start;
            }
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the registry cannot be followed just now"
            ),
        }
        if before != from {
            again = AGAIN_FIRST;
        }
        sleep(again).await;
        again = (again * 2).min(AGAIN_MAX);
    }
}

/// The newer lease, once there is one. `from` moves along.
async fn follow(
    store: &Arc<dyn StreamStore>,
    lease: u64,
    from: &mut Offset,
) -> Result<Option<u64>, StreamError> {
    let mut follow = store.follow(&StreamPath::registry(), from.clone()).await?;
    while let Some(frames) = follow.next().await? {
        for frame in frames {
            if let Some(newer) = lease_of(frame.data()).filter(|newer| lease < *newer) {
                return Ok(Some(newer));
            }
            *from = frame.offset().clone();
        }
    }
    Ok(None)
}

fn lease_of(data: &[u8]) -> Option<u64> {
    if decode::first_field(data).is_some_and(|kind| kind != "writer_started") {
        return None;
    }
    match decode::decode(data) {
        Ok(Some(RegistryEntry::WriterStarted { lease, .. })) => Some(lease),
        Ok(_) | Err(_) => None,
    }
}
