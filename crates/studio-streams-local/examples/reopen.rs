//! Writes to a store in a directory of its own, stops it, opens it again and reads.

use std::{error::Error, io::Write};

use bytes::Bytes;
use studio_streams::{Batch, CreateOptions, Offset, StreamPath, StreamStore};
use studio_streams_local::{LocalStreams, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("studio-streams-example-{}", std::process::id()));
    let path: StreamPath = "session/example".parse()?;

    let store = LocalStreams::open(&dir, Options::default())?;
    store.create(&path, CreateOptions::default()).await?;
    store.append(&path, Batch::new(vec![Bytes::from_static(br#"{"n":1}"#)])?, None).await?;
    store.stop().await;

    let store = LocalStreams::open(&dir, Options::default())?;
    let page = store.read(&path, Offset::Start, 100).await?;
    for record in page.records {
        let text = String::from_utf8_lossy(&record.data);
        writeln!(std::io::stdout(), "{} {text}", record.offset)?;
    }
    store.stop().await;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
