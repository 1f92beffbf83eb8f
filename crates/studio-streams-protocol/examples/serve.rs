//! Serves streams to everybody on this machine, for trying clients out: those of memory, or those
//! in a directory. `cargo run -p studio-streams-protocol --example serve -- 4437 DIR`.
#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::{error::Error, net::Ipv4Addr, sync::Arc};

use studio_streams::{MemoryStreams, StreamStore};
use studio_streams_local::{LocalStreams, Options};
use studio_streams_protocol::{Cors, ProtocolOptions, router};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let port = args.next().map_or(Ok(4437), |port| port.parse())?;
    let local = match args.next() {
        None => None,
        Some(dir) => Some(Arc::new(LocalStreams::open(dir, Options::default())?)),
    };
    let store: Arc<dyn StreamStore> = match &local {
        None => Arc::new(MemoryStreams::new()),
        Some(local) => local.clone(),
    };
    let options = ProtocolOptions { cors: Cors::Everybody, ..ProtocolOptions::default() };
    let stop = options.stop.clone();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("http://{}{}/NAME", listener.local_addr()?, options.mount);
    axum::serve(listener, router(store, options))
        .with_graceful_shutdown(async move {
            let _ = tokio::signal::ctrl_c().await;
            stop.cancel();
        })
        .await?;
    if let Some(local) = local {
        local.stop().await;
    }
    Ok(())
}
