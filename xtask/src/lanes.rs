//! All tests, in two lanes side by side: the programs of `apps/studio-server`, which mostly wait for
//! agents and containers, and all others. One after the other they would take nearly twice as long.
//!
//! Both are `cargo test --workspace` with names of programs, so both use what one build has made.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use crate::machine::root;
use crate::step::{Done, run, words};

/// Runs every test of the workspace, documentation tests too. The first lane's output comes after
/// the second's.
pub(crate) fn run_all(cargo: fn() -> Command) -> Done {
    let unreadable = |error: io::Error| format!("the tests' folders cannot be listed: {error}");
    let (first, second) = names().map_err(unreadable)?;
    let log = std::env::temp_dir().join(format!("agent-studio-tests-{}.log", std::process::id()));
    let mut of_server = tests(cargo(), &first);
    let mut others = tests(cargo(), &second);
    others.args(["--lib", "--bins"]);
    let mut documentation = cargo();
    documentation.args(["test", "--workspace", "--no-fail-fast", "--doc"]);

    let server_log = log.clone();
    let lane = thread::spawn(move || run_into(&mut of_server, &server_log));
    let mut done = vec![run(&mut others), run(&mut documentation)];
    done.push(lane.join().unwrap_or_else(|_| Err("a lane of the tests broke".to_owned())));
    // What is not there was told by the lane.
    if let Ok(mut file) = File::open(&log) {
        io::copy(&mut file, &mut io::stdout()).ok();
        fs::remove_file(&log).ok();
    }
    let failed: Vec<String> = done.into_iter().filter_map(Result::err).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

fn run_into(command: &mut Command, log: &Path) -> Done {
    let told = |error: io::Error| format!("{}: {error}", words(command));
    let file = File::create(log).map_err(told)?;
    let same = file.try_clone().map_err(told)?;
    command.stdout(Stdio::from(file)).stderr(Stdio::from(same));
    run(command)
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
    fn every_test_program_is_in_one_lane() {
        let (server, others) = names().unwrap();
        assert!(server.contains("spine") && server.contains("process"), "{server:?}");
        assert!(others.contains("arrows") && others.contains("claude"), "{others:?}");
        assert!(server.is_disjoint(&others));
        assert!(!others.contains("common"), "{others:?}");
    }
}
