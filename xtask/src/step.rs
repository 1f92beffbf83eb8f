//! Steps: told before, timed after, and their commands.

use std::process::Command;
use std::time::Instant;

/// What went wrong, in words for the person at the terminal.
pub(crate) type Done<T = ()> = Result<T, String>;

/// Runs one step and says how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Done<T>) -> Done<T> {
    println!("==> {name}");
    let start = Instant::now();
    let done = work();
    let took = start.elapsed().as_secs_f64();
    match &done {
        Ok(_) => println!("    {name}: done in {took:.1} s"),
        Err(_) => println!("    {name}: FAILED after {took:.1} s"),
    }
    done
}

/// Runs a command to its end, its output passed through. Standard input is empty: nobody is asked.
pub(crate) fn run(command: &mut Command) -> Done {
    command.stdin(std::process::Stdio::null());
    let status = command.status().map_err(|error| format!("{}: {error}", words(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", words(command))) }
}

/// Runs a command quietly; its output is told only when it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Done<String> {
    command.stdin(std::process::Stdio::null());
    let output = command.output().map_err(|error| format!("{}: {error}", words(command)))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!(
        "{} ended with {}\n{}\n{}",
        words(command),
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    ))
}

pub(crate) fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_told_with_its_words_its_status_and_its_output() {
        let mut shell = Command::new("sh");
        let why = run_quietly(shell.args(["-c", "echo out; echo err >&2; exit 3"])).unwrap_err();
        for part in ["sh -c echo out", "exit status: 3", "\nout\n", "\nerr"] {
            assert!(why.contains(part), "{part:?} in {why:?}");
        }
        let why = run(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(why.starts_with("no-such-program-here: "), "{why}");
    }

    #[test]
    fn a_command_has_no_input_to_wait_for() {
        assert_eq!(run_quietly(&mut Command::new("cat")), Ok(String::new()));
    }
}
