use std::future::Future;
use std::time::{Duration, Instant};

/// Pause between two looks. Short, so that waiting costs a test little.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks `look` again and again until it answers, for at most `deadline`.
///
/// For state outside of this process that sends no event (a file, a container, another process);
/// where there is a channel or a stream to wait on, wait on that.
///
/// # Panics
/// When the deadline passes; the message names `what` was awaited.
pub async fn wait_for<T, F, Fut>(what: &str, deadline: Duration, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain for {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
