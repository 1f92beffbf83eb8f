//! Makes a database that goes after three days, and prints where it is claimed:
//! `cargo run -p studio-electric --example provision`
#![allow(clippy::print_stdout, reason = "an example speaks to a person")]

use std::error::Error;

use studio_electric::{Databases, ElectricCloud, ElectricOptions};
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut options = ElectricOptions::default();
    if let Ok(api) = std::env::var("ELECTRIC_API_BASE_URL") {
        options.api = api;
    }
    let made = ElectricCloud::new(options)?.provision(&CancellationToken::new()).await?;
    println!("claim it within three days: {}", made.claim_url);
    Ok(())
}
