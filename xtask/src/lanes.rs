//! All tests, in two lanes side by side: the programs of `apps/studio-server`, which mostly wait for
//! agents and containers, and all others. One after the other they would take nearly twice as long.
//!
//! Both are `cargo test --workspace` with names of programs, so both use what one build has made.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::machine::root;
use crate::step::{Done, run, words};

/// What stands before each line of the first lane.
const FIRST: &str = "server | ";
/// How long the last lines may take once the command has ended.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Runs every test of the workspace, documentation tests too.
pub(crate) fn run_all(cargo: fn() -> Command) -> Done {
    let unreadable = |error: io::Error| format!("the tests' folders cannot be listed: {error}");
    let (first, second) = names().map_err(unreadable)?;
    let of_server = tests(cargo(), &first);
    let mut others = tests(cargo(), &second);
    others.args(["--lib", "--bins"]);
    let mut documentation = cargo();
    documentation.args(["test", "--workspace", "--no-fail-fast", "--doc"]);

    let lane = thread::spawn(move || run_marked(of_server, FIRST));
    let mut done = vec![run(&mut others), run(&mut documentation)];
    done.push(lane.join().unwrap_or_else(|_| Err("a lane of the tests broke".to_owned())));
    let failed: Vec<String> = done.into_iter().filter_map(Result::err).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// Runs a command to its end; each line that it says is passed on as it comes, with `mark` before
/// it, so that the lines of two commands can be told apart.
fn run_marked(mut command: Command, mark: &str) -> Done {
    let words = words(&command);
    let told = |error: io::Error| format!("{words}: {error}");
    let (said, say) = io::pipe().map_err(told)?;
    command.stdout(say.try_clone().map_err(told)?).stderr(say).stdin(Stdio::null());
    let mut child = command.spawn().map_err(told)?;
    // It holds the other ends of the pipe.
    drop(command);
    let (all_is_read, wait_for_all) = mpsc::channel();
    let mark = mark.to_owned();
    thread::spawn(move || {
        for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
            // A test may say what is no text.
            println!("{mark}{}", String::from_utf8_lossy(&line));
        }
        all_is_read.send(()).ok();
    });
    let status = child.wait().map_err(told)?;
    // A process that a test has left behind may hold the pipe for ever.
    wait_for_all.recv_timeout(LAST_LINES).ok();
    if status.success() { Ok(()) } else { Err(format!("{words} ended with {status}")) }
}

fn tests(mut cargo: Command, names: &BTreeSet<String>) -> Command {
    cargo.args(["test", "--workspace", "--no-fail-fast"]);
    for name in names {
        cargo.args(["--test", name]);
    }
    cargo
}

/// The names of all test programs: those of the server, and those that only others have.
fn names() -> io::Result<(BTreeSet<String>, BTreeSet<String>)> {
    let server = programs(&root().join("apps/studio-server/tests"))?;
    let mut others = BTreeSet::new();
    let mut members = vec![root().join("xtask")];
    for folder in ["crates", "apps"] {
        members.extend(entries(&root().join(folder))?);
    }
    for member in members {
        let tests = member.join("tests");
        if member.join("Cargo.toml").is_file() && tests.is_dir() {
            others.extend(programs(&tests)?);
        }
    }
    let others = others.difference(&server).cloned().collect();
    Ok((server, others))
}

/// As cargo finds them: every file, and every folder with a `main.rs`.
fn programs(tests: &Path) -> io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for path in entries(tests)? {
        let is_program =
            path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").is_file();
        if let (true, Some(name)) = (is_program, path.file_stem()) {
            found.insert(name.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_marked_command_says_is_read_and_its_end_is_told() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo out; echo err >&2; printf last; exit 3"]);
        let why = run_marked(shell, "").unwrap_err();
        assert!(why.ends_with("ended with exit status: 3"), "{why}");
        assert_eq!(run_marked(Command::new("true"), ""), Ok(()));
    }

    #[test]
    fn every_test_program_is_in_one_lane() {
        let (server, others) = names().unwrap();
        assert!(server.contains("spine") && server.contains("process"), "{server:?}");
        assert!(others.contains("arrows") && others.contains("claude"), "{others:?}");
        assert!(server.is_disjoint(&others));
        assert!(!others.contains("common"), "{others:?}");
    }
}
