//! Runs a command in a new local sandbox and removes the sandbox:
//! `cargo run -p studio-sandbox-local --example run -- sh -c 'id; pwd; ls -la /home'`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a terminal")]

use std::{collections::BTreeMap, sync::Arc};

use studio_ids::SessionId;
use studio_sandbox::{Command, Limits, OutputChunk, SandboxProvider, SandboxSpec};
use studio_sandbox_local::{LocalOptions, LocalProvider};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argv: Vec<String> = std::env::args().skip(1).collect();
    let root = std::env::temp_dir().join("studio-sandboxes");
    let provider = LocalProvider::open(root, LocalOptions::default()).await?;
    eprintln!("{}", provider.abilities().notice);

    let session = SessionId::random();
    let (project, env, ports) = ("example".parse()?, BTreeMap::new(), Vec::new());
    let (limits, lease) = (Limits::default(), 0);
    let spec = SandboxSpec { session, project, env, limits, ports, lease };
    let sandbox = provider.create(&spec, Arc::new(|progress| eprintln!("{}", progress.0))).await?;
    let mut process = sandbox.spawn(Command::new(argv).in_dir(sandbox.project_dir())).await?;
    process.input.close().await?;
    while let Some(chunk) = process.output.next().await? {
        match chunk {
            OutputChunk::Stdout(data) => print!("{}", String::from_utf8_lossy(&data)),
            OutputChunk::Stderr(data) => eprint!("{}", String::from_utf8_lossy(&data)),
        }
    }
    eprintln!("{}", process.output.exit().await?);
    provider.destroy_session(session).await?;
    Ok(())
}
