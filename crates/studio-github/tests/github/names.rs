use std::process::{Command, Stdio};

use studio_ids::BranchName;

/// Pieces that make a name bad, or almost.
const PIECES: [&str; 12] =
    ["a", ".", "/", "-", "@", "{", "~", ".lock", "HEAD", "é", "\\", "\u{7f}"];

fn git_takes(name: &str) -> bool {
    let status = Command::new("git")
        .args(["check-ref-format", "--branch", name])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.expect("git: run `cargo xtask setup`").success()
}

#[test]
fn a_branch_is_what_git_itself_takes_for_one() {
    let one = PIECES.iter().map(|piece| (*piece).to_owned());
    let two = PIECES.iter().flat_map(|a| PIECES.iter().map(move |b| format!("{a}{b}")));
    let three = PIECES.iter().flat_map(|a| PIECES.iter().map(move |b| format!("a{a}{b}a")));
    for name in
        one.chain(two).chain(three).chain(["x^".into(), "x:y".into(), "refs/heads/x".into()])
    {
        let taken = name.parse::<BranchName>();
        // git takes it here, and reads it as `HEAD` wherever a commit is named.
        let stands_for_another = name == "@";
        let good = git_takes(&name) && !stands_for_another;
        assert_eq!(taken.is_ok(), good, "{name:?}: {taken:?}");
    }
}
