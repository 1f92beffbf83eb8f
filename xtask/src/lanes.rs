//! All tests, in three lanes side by side. Most of them wait for agents, containers and disks, so
//! one after the other they would take more than twice as long on two processors.
//!
//! Each lane is `cargo test --workspace` with names of programs, so all use what one build has made.

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

/// How long the last lines may take once the command has ended.
const LAST_LINES: Duration = Duration::from_secs(5);

/// A lane beside the last one, which runs whatever no other lane has.
struct Lane {
    /// What stands before each of its lines.
    mark: &'static str,
    /// Its programs: all below a folder, or one.
    places: &'static [&'static str],
}

/// So that all three take about the same time.
const LANES: [Lane; 2] = [
    Lane { mark: "spine | ", places: &["apps/studio-server/tests/spine"] },
    Lane {
        mark: "server | ",
        places: &[
            "apps/studio-server/tests",
            "crates/studio-flows/tests",
            "crates/studio-sandbox-local/tests",
        ],
    },
];

/// Runs every test of the workspace.
pub(crate) fn run_all(cargo: fn() -> Command) -> Done {
    let unreadable = |error: io::Error| format!("the tests' folders cannot be listed: {error}");
    let (lanes, last) = names().map_err(unreadable)?;
    let mut under_way = Vec::new();
    for (lane, names) in LANES.iter().zip(lanes) {
        let (command, mark) = (tests(cargo(), &names), lane.mark);
        under_way.push(thread::spawn(move || run_marked(command, mark)));
    }
    let mut others = tests(cargo(), &last);
    others.args(["--lib", "--bins"]);
    let mut done = vec![run(&mut others)];
    for lane in under_way {
        done.push(lane.join().unwrap_or_else(|_| Err("a lane of the tests broke".to_owned())));
    }
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

/// The names of all test programs: those of each lane, and those that only the last one has.
/// Crates may have programs of one name; these run in the first lane that has the name.
fn names() -> io::Result<(Vec<BTreeSet<String>>, BTreeSet<String>)> {
    let mut taken = BTreeSet::new();
    let mut lanes = Vec::new();
    for lane in &LANES {
        let mut names = BTreeSet::new();
        for place in lane.places {
            names.extend(programs(&root().join(place))?);
        }
        names.retain(|name| taken.insert(name.clone()));
        lanes.push(names);
    }
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
    Ok((lanes, others.difference(&taken).cloned().collect()))
}

/// As cargo finds them: every file of the folder, and every folder with a `main.rs`; or the folder
/// alone if it has one.
fn programs(place: &Path) -> io::Result<BTreeSet<String>> {
    let paths =
        if place.join("main.rs").is_file() { vec![place.to_owned()] } else { entries(place)? };
    let mut found = BTreeSet::new();
    for path in paths {
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
        let (lanes, others) = names().unwrap();
        let [spine, server] = &lanes[..] else { panic!("{lanes:?}") };
        assert_eq!(spine.iter().collect::<Vec<_>>(), ["spine"]);
        assert!(server.contains("process") && server.contains("flows"), "{server:?}");
        assert!(others.contains("arrows") && others.contains("claude"), "{others:?}");
        assert!(server.is_disjoint(&others) && !server.contains("spine"));
        assert!(!others.contains("common") && !others.contains("spine"), "{others:?}");
    }
}
