use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a program that can be started at once.
///
/// A shell writes it and not this process: a file that is open for writing here is open, too, in
/// whatever another test of this process is starting at that moment, and as long as it is there
/// the file cannot be started ("Text file busy").
///
/// # Panics
/// When it cannot be written.
pub fn write_program(path: &Path, text: &str) {
    let mut shell = Command::new("sh")
        .args(["-c", r#"cat >"$1" && chmod 755 "$1""#, "sh"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("sh: {error}"));
    if let Some(mut input) = shell.stdin.take() {
        input
            .write_all(text.as_bytes())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let status = shell.wait().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(status.success(), "{}: the shell ended with {status}", path.display());
}
