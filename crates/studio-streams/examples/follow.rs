//! Writes two records as a session's one writer and follows them until the stream is closed.

use std::{error::Error, io::Write, sync::Arc};

use bytes::Bytes;
use studio_streams::{
    Batch, CreateOptions, MemoryStreams, Offset, SessionWriter, StreamPath, StreamStore,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let store: Arc<dyn StreamStore> = Arc::new(MemoryStreams::new());
    let path: StreamPath = "session/example".parse()?;
    store.create(&path, CreateOptions::default()).await?;

    let producer = "session:example".parse()?;
    let first = Bytes::from_static(br#"{"type":"writer_started"}"#);
    let mut writer =
        SessionWriter::take_over(store.clone(), path.clone(), producer, 1, first).await?;
    writer.append(Batch::new(vec![Bytes::from_static(br#"{"type":"hello"}"#)])?).await?;
    store.close(&path).await?;

    let mut follow = store.follow(&path, Offset::Start).await?;
    let mut out = std::io::stdout();
    while let Some(frames) = follow.next().await? {
        for frame in frames {
            writeln!(out, "{} {}", frame.offset(), String::from_utf8_lossy(frame.data()))?;
        }
    }
    Ok(())
}
