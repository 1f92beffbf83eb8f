//! The `studio` command.
//!
//! Reading order: this file (what can be asked), [`client`] (requests and their failures),
//! [`sse`] (bytes to events), [`follow`] (events across reconnects), [`show`] (events to lines),
//! [`commands`] (one function for each command), [`streams`] (work on streams without a server).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to a person")]

mod client;
mod commands;
mod follow;
mod show;
mod sse;
mod streams;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use studio_ids::SessionId;
use studio_server::ServeArgs;

/// Agent Studio: describe a task, a real coding agent does it in a sandbox.
#[derive(Parser)]
#[command(name = "studio", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server
    Serve(ServeArgs),
    /// Give an agent something to do, and watch it until its turn ends
    Create {
        /// What you want
        description: String,
        /// Neither infrastructure question nor template: the description is the prompt
        /// (development mode only)
        #[arg(long)]
        freeform: bool,
        /// The model
        #[arg(long)]
        model: Option<String>,
        /// Do not watch
        #[arg(long)]
        detach: bool,
        #[command(flatten)]
        to: Server,
    },
    /// Follow a session: its history, then what happens, until ctrl-c
    Tail {
        /// The session's id
        session: SessionId,
        /// Where to begin: -1 (the beginning), now, or the id of an event
        #[arg(long, default_value = "-1", allow_hyphen_values = true, value_name = "PLACE")]
        from: String,
        /// Print events as JSON, one a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        to: Server,
    },
    /// Say something to a session's agent
    Say {
        /// The session's id
        session: SessionId,
        /// The words
        request: String,
        #[command(flatten)]
        to: Server,
    },
    /// Show what waits for an answer in a session, or answer it
    Answer {
        /// The session's id
        session: SessionId,
        /// The answer: `allow` or `deny` for a permission, `local` for the infrastructure, your
        /// words for a question (one for each question). Nothing shows what waits
        answer: Vec<String>,
        /// Which gate, when several wait
        #[arg(long)]
        gate: Option<String>,
        #[command(flatten)]
        to: Server,
    },
    /// Look at, compact, dump or copy streams, or make a token for them
    Streams {
        #[command(subcommand)]
        command: streams::StreamsCommand,
    },
    /// Say how a server with these settings stands with security: every route and who may use it,
    /// and a list of what such servers were broken by
    Doctor {
        /// The only thing that it looks at today
        #[arg(long, required = true)]
        security: bool,
        #[command(flatten)]
        serve: ServeArgs,
    },
    /// Look at the server's configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Make a link that logs a browser in, once, within ten minutes
    LoginLink {
        #[command(flatten)]
        to: Server,
    },
    /// List the sessions, newest first
    Sessions {
        /// Print them as JSON, one a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        to: Server,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Say whether a server would start with what is set
    Check(ServeArgs),
    /// Print every setting, its value and where it comes from, without secrets
    Show(ServeArgs),
}

impl ConfigCommand {
    fn run(self) -> Result<ExitCode, String> {
        let variable = |name: &str| std::env::var(name).ok();
        let told = match self {
            Self::Check(args) => studio_server::check_config(args, variable),
            Self::Show(args) => studio_server::show_config(args, variable),
        };
        let told = told.map_err(|error| error.to_string())?;
        println!("{}", told.trim_end());
        Ok(ExitCode::SUCCESS)
    }
}

/// Which server, and what opens it.
#[derive(Args, Clone, Debug)]
struct Server {
    /// The server
    #[arg(long, env = "STUDIO_URL", default_value = "http://127.0.0.1:4400", value_name = "URL")]
    server: String,
    /// The session's token (or the operator's); read from the data directory when absent
    #[arg(long, env = "STUDIO_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The server's data directory, on its own machine
    #[arg(long, env = "DATA_DIR", default_value = ".agent-studio", value_name = "DIR")]
    data_dir: PathBuf,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    if let Command::Serve(args) = command {
        return studio_server::main(args);
    }
    if let Command::Streams { command } = command {
        return tell(streams::run(command).map_err(|error| streams::causes(&error)));
    }
    if let Command::Config { command } = command {
        return tell(command.run());
    }
    if let Command::Doctor { serve, .. } = command {
        return tell(doctor(serve));
    }
    let done = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(commands::run(command)).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    tell(done)
}

/// Fails when a line of the list does, so that a script can look.
fn doctor(serve: ServeArgs) -> Result<ExitCode, String> {
    let report = studio_server::security_report(serve, |name| std::env::var(name).ok());
    let (text, holds) = report.map_err(|error| error.to_string())?;
    println!("{}", text.trim_end());
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(done: Result<ExitCode, String>) -> ExitCode {
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
