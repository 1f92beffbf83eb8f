//! Which studio this is: what its sandboxes are labelled with, so that it finds them again.
//!
//! A studio whose streams lie in its data directory is that directory. One whose streams lie in a
//! service is that service: the first server writes its own word there, and whichever comes later
//! goes by it. So a second server over the same service finds the first one's sandboxes, and a
//! studio that moves its streams into a service keeps its own.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use studio_streams::{Batch, CreateOptions, Offset, StreamError, StreamPath, StreamStore};

use crate::StartError;

/// The stream with that word. Not one of those that are copied from store to store.
pub(crate) const STREAM: &str = "studio/owner";

#[derive(Serialize, Deserialize)]
struct Entry {
    owner: String,
}

/// The word in the streams; `mine` is written if there is none.
pub(crate) async fn agreed(
    streams: &Arc<dyn StreamStore>,
    mine: &str,
) -> Result<String, StartError> {
    let failed = |source| StartError::Owner { source };
    let path: StreamPath = STREAM.parse().map_err(|error| {
        let error: studio_streams::BadPath = error;
        failed(error.into())
    })?;
    if let Some(owner) = read(streams, &path).await.map_err(failed)? {
        return Ok(owner);
    }
    let entry = Entry { owner: mine.to_owned() };
    let entry = serde_json::to_vec(&entry).map_err(|error| failed(error.into()))?;
    let initial = Batch::new(vec![Bytes::from(entry)]).map_err(|error| failed(error.into()))?;
    let options = CreateOptions { initial: Some(initial), ..CreateOptions::default() };
    // Of two that write it at once one makes the stream, and both read what that one wrote.
    streams.create(&path, options).await.map_err(|error| failed(error.into()))?;
    let owner = read(streams, &path).await.map_err(failed)?;
    owner.ok_or_else(|| failed("the stream of that name is empty".into()))
}

async fn read(
    streams: &Arc<dyn StreamStore>,
    path: &StreamPath,
) -> Result<Option<String>, Box<dyn std::error::Error + Send + Sync>> {
    let page = match streams.read(path, Offset::Start, 1).await {
        Ok(page) => page,
        Err(StreamError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(first) = page.records.first() else { return Ok(None) };
    let Entry { owner } = serde_json::from_slice(&first.data)?;
    Ok(Some(owner))
}

#[cfg(test)]
mod tests {
    use studio_streams::MemoryStreams;

    use super::*;

    #[tokio::test]
    async fn the_first_word_counts_for_everybody() {
        let streams: Arc<dyn StreamStore> = Arc::new(MemoryStreams::new());
        let (one, other) = tokio::join!(agreed(&streams, "one"), agreed(&streams, "other"));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one, other);
        assert_eq!(agreed(&streams, "third").await.unwrap(), one);
    }

    #[tokio::test]
    async fn a_stream_without_a_word_is_told() {
        let streams: Arc<dyn StreamStore> = Arc::new(MemoryStreams::new());
        let path = STREAM.parse().unwrap();
        streams.create(&path, CreateOptions::default()).await.unwrap();
        assert!(agreed(&streams, "one").await.is_err());
    }
}
