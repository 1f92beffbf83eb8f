//! The server as a program of its own; `studio serve` is the same.

use std::process::ExitCode;

use clap::Parser;
use studio_server::ServeArgs;

/// Agent Studio: real coding agents in sandboxes, every event durable.
#[derive(Parser)]
#[command(name = "studio-server", version)]
struct Args {
    #[command(flatten)]
    serve: ServeArgs,
}

fn main() -> ExitCode {
    studio_server::main(Args::parse().serve)
}
