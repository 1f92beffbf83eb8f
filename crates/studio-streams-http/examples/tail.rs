//! Prints what a stream of a service has and gets:
//! `DS_URL=… DS_SERVICE_ID=… DS_SECRET=… cargo run --example tail -- session/<id>`

use std::{env, error::Error, io::Write};

use studio_streams::{Offset, StreamPath, StreamStore};
use studio_streams_http::{HttpOptions, HttpStreams, Secret};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path: StreamPath = env::args().nth(1).ok_or("which stream?")?.parse()?;
    let secret = env::var("DS_SECRET").ok().filter(|text| !text.is_empty());
    let secret = secret.as_deref().map(Secret::new).transpose()?;
    let options = HttpOptions::new(env::var("DS_URL")?, env::var("DS_SERVICE_ID")?, secret);
    let streams = HttpStreams::connect(options).await?;
    let mut follow = streams.follow(&path, Offset::Start).await?;
    let mut out = std::io::stdout();
    while let Some(frames) = follow.next().await? {
        for frame in frames {
            writeln!(out, "{} {}", frame.offset(), String::from_utf8_lossy(frame.data()))?;
        }
    }
    streams.stop().await;
    Ok(())
}
