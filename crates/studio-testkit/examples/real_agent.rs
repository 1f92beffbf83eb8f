//! A real agent, a played model: `cargo run -p studio-testkit --example real_agent [PROMPT]`.
#![allow(clippy::print_stdout, reason = "an example speaks to a person")]

use std::process::{Command, Stdio};

use studio_testkit::{ModelServer, needs};

fn main() -> std::io::Result<()> {
    let prompt = std::env::args().nth(1).unwrap_or_else(|| "hello".to_owned());
    let model = ModelServer::start();
    let home = tempfile::tempdir()?;
    let output = Command::new(needs::claude_cli())
        .args(["-p", "--output-format", "text", "--", &prompt])
        .env("ANTHROPIC_BASE_URL", model.url("hello"))
        .env("ANTHROPIC_API_KEY", "any")
        .env("HOME", home.path())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()?;
    println!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
