//! A whole server inside another program, until ctrl-c:
//! `cargo run -p studio-server --example embedded`.

use studio_server::{Config, ServeArgs};
use tokio_util::sync::CancellationToken;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example that shows something")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = ServeArgs::default()
        .with("port", "0")
        .with("data-dir", std::env::temp_dir().join("studio-example").to_string_lossy())
        .with("sandbox", "local");
    let config = Config::read(args, |name| std::env::var(name).ok())?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stopped.cancel();
        }
    });
    studio_server::run(config, stop, |address| println!("http://{address}/api/health")).await?;
    Ok(())
}
