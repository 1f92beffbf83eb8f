//! Makes a sandbox of an image that the engine has, runs a command in it, removes it:
//! `cargo run -p studio-sandbox-docker --example one_sandbox -- IMAGE`.

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use studio_ids::SessionId;
use studio_sandbox::{Command, Limits, Output, SandboxProvider, SandboxSpec};
use studio_sandbox_docker::{DockerOptions, DockerProvider, ImageSource, Recipe};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "that is what it is for")]
async fn main() -> Result<(), Box<dyn Error>> {
    let image = match std::env::args().nth(1) {
        Some(tag) => ImageSource::Tag(tag),
        None => ImageSource::Recipe(Recipe::agent()),
    };
    let options = DockerOptions { engine: None, owner: "example".parse()?, image };
    let provider = DockerProvider::connect(options).await?;
    println!("{}", provider.abilities().notice);
    let spec = SandboxSpec {
        session: SessionId::random(),
        project: "app".parse()?,
        env: [].into(),
        limits: Limits::default(),
        ports: vec![3000],
        lease: 0,
    };
    let sandbox = provider.create(&spec, Arc::new(|line| println!("{}", line.0))).await?;
    let command = Command::new(["ls", "-la"]).in_dir(sandbox.project_dir());
    let output = sandbox.exec(command, Bytes::new(), Output::default()).await?;
    println!("{}\nports: {:?}", output.text(), sandbox.ports().await?);
    provider.destroy(sandbox.reference()).await?;
    Ok(())
}
