//! Everything that must hold for a change to land.

use std::process::Command;

use crate::machine::root;
use crate::programs;
use crate::step::{Done, run, step};

/// The lints of the workspace; a warning is an error.
const LINTS: &[&str] = &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];

/// All checks, or with `args` only `cargo test` with them. One failure does not hide the next:
/// every check runs, and the failed ones are named at the end.
pub(crate) fn test(args: &[String]) -> Done {
    if !args.is_empty() {
        return step("tests", || run(cargo().arg("test").args(args)));
    }
    let model_server = root().join("tools/model-server/model-server.test.mjs");
    let checks = [
        ("format", command(cargo(), &["fmt", "--all", "--check"])),
        ("lints", command(cargo(), LINTS)),
        ("the model server's tests", {
            let mut node = command(Command::new("node"), &["--test"]);
            node.arg(model_server);
            node
        }),
        ("build of the tests", command(cargo(), &["test", "--workspace", "--no-run"])),
    ];
    let mut failed = Vec::new();
    for (name, mut command) in checks {
        if let Err(why) = step(name, || run(&mut command)) {
            println!("    {why}");
            failed.push(name);
        }
    }
    if let Err(why) = step("tests", || programs::run_all(cargo())) {
        println!("    {why}");
        failed.push("tests");
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// The figures of `docs/benchmarks.md`, or only those whose names contain one of `words`; without
/// words the store's own too.
pub(crate) fn bench(words: &[String]) -> Done {
    let figures = ["bench", "--package", "studio-server", "--bench", "figures", "--"];
    step("figures", || run(cargo().args(figures).args(words)))?;
    let streams = ["bench", "--package", "studio-server", "--bench", "streams", "--"];
    step("streams, beside the official servers", || run(cargo().args(streams).args(words)))?;
    if !words.is_empty() {
        return Ok(());
    }
    let store = ["bench", "--package", "studio-streams-local", "--bench", "store"];
    step("figures of the store alone", || run(cargo().args(store)))
}

/// The cargo that runs this, so that a chosen toolchain stays the chosen one.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

fn command(mut program: Command, args: &[&str]) -> Command {
    program.args(args);
    program
}
