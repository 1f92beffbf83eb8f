use std::time::Duration;

use futures::StreamExt as _;
use studio_ids::SessionId;

use crate::{
    client::{Client, ClientError, innermost},
    sse::{SseEvent, SseReader},
};

/// Wait before the first reconnect; each further one waits twice as long.
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
/// Longest wait before a reconnect.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Silence after which a connection counts as dead: the server says something every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What the one who listens wants next.
pub(crate) enum Go<T> {
    /// More events.
    On,
    /// No more; this is the result.
    Stop(T),
}

/// Follows a session from the place `from` on, across lost connections and restarts of the
/// server: every event once, in order. Ends when `heard` wants it to, or with the refusal of a
/// server that will not give more (the session was deleted, the token does not fit).
pub(crate) async fn follow<T>(
    client: &Client,
    session: SessionId,
    from: &str,
    mut heard: impl FnMut(SseEvent) -> Go<T>,
) -> Result<T, ClientError> {
    let path = format!("/api/sessions/{session}/events");
    let mut place = from.to_owned();
    let mut back_off = BACK_OFF_FIRST;
    let mut has_connected = false;
    loop {
        let why = match client.events(&path, &place).await {
            Ok(response) => {
                has_connected = true;
                let mut pieces = response.bytes_stream();
                let mut reader = SseReader::default();
                loop {
                    let piece = match tokio::time::timeout(SILENCE_MAX, pieces.next()).await {
                        Ok(Some(Ok(piece))) => piece,
                        Ok(Some(Err(error))) => break innermost(&error),
                        Ok(None) => break "the server ended the stream".to_owned(),
                        Err(_elapsed) => break format!("silence for {SILENCE_MAX:?}"),
                    };
                    let Ok(events) = reader.read(&piece) else {
                        break "an event was too long".to_owned();
                    };
                    back_off = BACK_OFF_FIRST;
                    for event in events {
                        if !event.id.is_empty() {
                            place.clone_from(&event.id);
                        }
                        if let Go::Stop(result) = heard(event) {
                            return Ok(result);
                        }
                    }
                }
            }
            Err(refused @ ClientError::Refused(_)) if is_final(&refused) => return Err(refused),
            Err(never_there) if !has_connected => return Err(never_there),
            Err(error) => error.to_string(),
        };
        eprintln!("connection lost ({why}); trying again in {} s", back_off.as_secs());
        tokio::time::sleep(back_off).await;
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

/// Whether asking again can only bring the same answer.
fn is_final(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(problem) if (400..500).contains(&problem.status))
}
