//! Set-up, tests and benchmarks of this workspace. `cargo xtask` lists the commands.
//!
//! Reading order: this file (what can be asked), [`setup`] (what the tests need of a machine),
//! [`checks`] (what is run), [`programs`] (tests side by side), [`step`] (how a step is told and timed), [`machine`] (what is here).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to a person")]

mod checks;
mod machine;
mod node;
mod programs;
mod python;
mod setup;
mod step;

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask COMMAND

  setup          install what the tests need and is missing here: system packages, a running
                 Docker engine, the agents' programs, the sandbox images, the npm packages
                 that tests need; nothing is done twice
  test           setup, then everything: format, lints, tests
  test ARGS...   setup, then only `cargo test ARGS...`, for example: test -p studio-flows
  bench          setup, then the benchmarks: about twelve minutes
  bench WORDS... setup, then only the figures whose names have one of WORDS: bench start fan-out
  help           this text
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next();
    let rest: Vec<String> = args.collect();
    let done = match command.as_deref() {
        Some("setup") if rest.is_empty() => setup::run(),
        Some("test") => setup::run().and_then(|()| checks::test(&rest)),
        Some("bench") => {
            setup::run().and_then(|()| setup::for_bench()).and_then(|()| checks::bench(&rest))
        }
        None | Some("help" | "-h" | "--help") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("no such command: {other} {}\n\n{HELP}", rest.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\nxtask: {why}");
            ExitCode::FAILURE
        }
    }
}
