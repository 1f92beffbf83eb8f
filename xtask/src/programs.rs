//! All test programs, a few at the same time. Most of them wait for agents, containers and disks,
//! so one after the other they would take more than twice as long on two processors.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::step::{Done, words};

/// How many run at the same time.
const AT_ONCE: usize = 3;

/// Those that take longest begin first, so that none of them runs on alone at the end.
const LONGEST_FIRST: &[&str] = &[
    "spine",
    "contract",
    "defects",
    "streams_crash",
    "conformance",
    "flows",
    "schemathesis",
    "disk_faults",
    "crash",
    "claude",
    "streams",
    "bad_input",
];

/// How often one is told what runs.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// A test program as cargo has built it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Program {
    /// `studio-flows: flows`
    name: String,
    /// Its file.
    file: PathBuf,
    /// Its package's folder, where it runs.
    folder: PathBuf,
}

/// How it ended.
struct Ended {
    program: Program,
    took: Duration,
    /// What it said stands in this file.
    said: PathBuf,
    done: Done,
}

/// Runs every test program of the workspace.
pub(crate) fn run_all(mut cargo: Command) -> Done {
    let programs = built(cargo.args(["test", "--workspace", "--no-run"]))?;
    if programs.is_empty() {
        return Err("cargo has built no test programs".to_owned());
    }
    let count = programs.len();
    let queue = Mutex::new(VecDeque::from(programs));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let (tell, told) = mpsc::channel();
    let mut failed = Vec::new();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let (tell, next) = (tell.clone(), &next);
            scope.spawn(move || {
                while let Some(program) = next() {
                    tell.send(Told::Begins(program.name.clone())).ok();
                    tell.send(Told::Ended(program.run())).ok();
                }
            });
        }
        drop(tell);
        let mut ended = 0;
        watch(&told, |end| {
            ended += 1;
            println!("    [{ended}/{count}] {}", end.line());
            failed.extend(end.done.is_err().then_some(end));
        });
    });
    // Last, where one looks first.
    for end in &failed {
        println!("\n==> FAILED: {}\n", end.program.name);
        match fs::read(&end.said) {
            Ok(said) => println!("{}", String::from_utf8_lossy(&said)),
            Err(error) => println!("    {}: {error}", end.said.display()),
        }
    }
    let failed: Vec<String> = failed.into_iter().filter_map(|end| end.done.err()).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// What is heard of the programs.
enum Told {
    Begins(String),
    Ended(Ended),
}

/// Hands each end on, and says now and then what runs, until nothing does.
fn watch(told: &mpsc::Receiver<Told>, mut ended: impl FnMut(Ended)) {
    let mut running: Vec<String> = Vec::new();
    loop {
        match told.recv_timeout(TOLD_EVERY) {
            Ok(Told::Begins(name)) => running.push(name),
            Ok(Told::Ended(end)) => {
                running.retain(|name| *name != end.program.name);
                ended(end);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => println!("    running: {}", running.join(", ")),
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Program {
    fn run(self) -> Ended {
        let began = Instant::now();
        let said = self.file.with_extension("said");
        let mut command = Command::new(&self.file);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        // Into a file: a process that a test has left behind may hold a pipe for ever.
        let done = into_file(&mut command, &said)
            .map_err(|why| format!("{} ({}): {why}", self.name, words(&command)));
        Ended { program: self, took: began.elapsed(), said, done }
    }
}

fn into_file(command: &mut Command, said: &PathBuf) -> Done {
    let told = |error: std::io::Error| error.to_string();
    let out = File::create(said).map_err(told)?;
    let also = out.try_clone().map_err(told)?;
    let status = command.stdin(Stdio::null()).stdout(out).stderr(also).status().map_err(told)?;
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

impl Ended {
    /// `studio-flows: flows: 12 passed, 3.4 s`
    fn line(&self) -> String {
        let said = fs::read(&self.said).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        // What a test prints by itself may stand before it in the line.
        let result = said.lines().rev().find_map(|line| Some(line.split_once("test result: ")?.1));
        let (name, took) = (&self.program.name, self.took.as_secs_f64());
        format!("{name}: {}, {took:.1} s", result.map_or("no result", counts))
    }
}

/// `ok. 12 passed; 0 failed` of `ok. 12 passed; 0 failed; 0 ignored; …`.
fn counts(result: &str) -> &str {
    let end = result.match_indices(';').nth(1).map_or(result.len(), |(at, _)| at);
    &result[..end]
}

/// The programs that this cargo command builds, those first that take longest.
fn built(cargo: &mut Command) -> Done<Vec<Program>> {
    let words = words(cargo);
    let told = |error: std::io::Error| format!("{words}: {error}");
    cargo.arg("--message-format=json-render-diagnostics").stdin(Stdio::null());
    let mut child = cargo.stdout(Stdio::piped()).spawn().map_err(told)?;
    let mut programs = Vec::new();
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            programs.extend(program(&line.map_err(told)?));
        }
    }
    let status = child.wait().map_err(told)?;
    if !status.success() {
        return Err(format!("{words} ended with {status}"));
    }
    let place = |program: &Program| {
        let name = program.name.rsplit(' ').next().unwrap_or_default();
        LONGEST_FIRST.iter().position(|long| *long == name).unwrap_or(LONGEST_FIRST.len())
    };
    programs.sort_by_key(place);
    Ok(programs)
}

/// The test program that a message of cargo's tells of. Read without a JSON library, which everybody
/// who clones the repository would wait for.
fn program(message: &str) -> Option<Program> {
    let is_test = message.contains(r#""reason":"compiler-artifact""#)
        && message.split_once(r#""profile":{"#)?.1.split_once('}')?.0.contains(r#""test":true"#);
    let file = text(message, "executable").filter(|_| is_test)?;
    let folder = PathBuf::from(text(message, "manifest_path")?).parent()?.to_owned();
    let package = folder.file_name()?.to_string_lossy().into_owned();
    let target = text(message.split_once(r#""target":{"#)?.1, "name")?;
    Some(Program { name: format!("{package}: {target}"), file: file.into(), folder })
}

/// The text of a field, if it has nothing escaped in it.
fn text<'a>(message: &'a str, field: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(&format!(r#""{field}":""#))?;
    let (text, _) = rest.split_once('"')?;
    (!text.contains('\\')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = r#"{"reason":"compiler-artifact","package_id":"path+file:///x/crates/studio-flows#0.1.0","manifest_path":"/x/crates/studio-flows/Cargo.toml","target":{"kind":["test"],"crate_types":["bin"],"name":"flows","src_path":"/x/crates/studio-flows/tests/flows.rs","edition":"2024","doc":false,"doctest":false,"test":true},"profile":{"opt_level":"0","debuginfo":1,"debug_assertions":true,"overflow_checks":true,"test":true},"features":[],"filenames":["/t/flows-1"],"executable":"/t/flows-1","fresh":true}"#;

    #[test]
    fn a_test_program_is_read_from_cargos_message() {
        let found = program(MESSAGE).unwrap();
        assert_eq!(found.name, "studio-flows: flows");
        assert_eq!(found.file, PathBuf::from("/t/flows-1"));
        assert_eq!(found.folder, PathBuf::from("/x/crates/studio-flows"));
        // A program of the package's own, an example, a library, another message.
        assert_eq!(
            program(&MESSAGE.replace(r#"true,"test":true}"#, r#"true,"test":false}"#)),
            None
        );
        assert_eq!(program(&MESSAGE.replace(r#""/t/flows-1","fresh"#, r#"null,"fresh"#)), None);
        assert_eq!(program(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(program("not a message"), None);
    }

    #[test]
    fn how_a_program_ended_is_told_and_what_it_said_is_kept() {
        let dir = std::env::temp_dir().join(format!("xtask-programs-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let said = dir.join("said");
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo out; echo err >&2; exit 3"]);
        assert_eq!(into_file(&mut shell, &said), Err("exit status: 3".to_owned()));
        assert_eq!(fs::read_to_string(&said).unwrap(), "out\nerr\n");
        assert_eq!(into_file(&mut Command::new("true"), &said), Ok(()));
        assert!(into_file(&mut Command::new("no-such-program-here"), &said).is_err());
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(
            counts("ok. 2 passed; 0 failed; 0 ignored; 1 measured"),
            "ok. 2 passed; 0 failed"
        );
        assert_eq!(counts("FAILED. 1 passed"), "FAILED. 1 passed");
    }
}
