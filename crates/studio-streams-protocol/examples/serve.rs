//! Serves streams of memory to everybody on this machine, for trying clients out:
//! `cargo run -p studio-streams-protocol --example serve -- 4437`.
#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::{error::Error, net::Ipv4Addr, sync::Arc, time::Duration};

use studio_streams::MemoryStreams;
use studio_streams_protocol::{Cors, ProtocolOptions, router};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(4437), |port| port.parse())?;
    let store = Arc::new(MemoryStreams::new());
    let options = ProtocolOptions {
        cors: Cors::Everybody,
        long_poll: Duration::from_secs(2),
        ..ProtocolOptions::default()
    };
    let stop = options.stop.clone();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("http://{}{}/<name>", listener.local_addr()?, options.mount);
    axum::serve(listener, router(store, options))
        .with_graceful_shutdown(async move {
            let _ = tokio::signal::ctrl_c().await;
            stop.cancel();
        })
        .await?;
    Ok(())
}
