//! The credential helper, run by a real shell and by git itself.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers are tests")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use studio_assets::git::{
    CREDENTIAL_HELPER, GitOrigin, credential_answer, credential_config, credential_helper,
    credential_refusal,
};
use studio_testkit::write_program;

const REQUEST: &str = "protocol=https\nhost=github.com\npath=acme/app.git\n\n";

/// A sandbox's home; its name is one that a shell could misread.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("it's a $(home) {} {number}", std::process::id());
        let home = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(home.bin()).unwrap();
        let origin = GitOrigin::https("github.com").unwrap();
        home.put(CREDENTIAL_HELPER, &credential_helper(&origin));
        home
    }

    fn bin(&self) -> PathBuf {
        self.0.join(".studio/bin")
    }

    fn put(&self, name: &str, text: &str) {
        write_program(&self.bin().join(name), text);
    }

    /// A relay that keeps what it was asked and answers with `answer`.
    fn relay(&self, answer: &str) {
        fs::write(self.0.join("answer"), answer).unwrap();
        let script = "#!/bin/sh\nhome=${0%/*}/../..\n{ echo \"$*\"; cat; } >\"$home/asked\"\n\
                      cat \"$home/answer\"\n";
        self.put("studio-relay", script);
    }

    fn run(&self, program: &Path, args: &[&str], input: &str) -> Output {
        let mut child = Command::new(program)
            .args(args)
            .current_dir(&self.0)
            .env_remove("STUDIO_GIT_TOKEN_FILE")
            .env("HOME", &self.0)
            .env("XDG_CONFIG_HOME", &self.0)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env_remove("GIT_CONFIG_GLOBAL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh, bash, busybox and git: run `cargo xtask setup`");
        // Who has nothing to read ends without reading.
        let _broken_pipe = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn helper(&self, verb: &str, input: &str) -> (Option<i32>, String, String) {
        told(self.run(&self.bin().join(CREDENTIAL_HELPER), &[verb], input))
    }

    fn git(&self, args: &[&str], input: &str) -> (Option<i32>, String, String) {
        told(self.run(Path::new("git"), args, input))
    }

    fn configure(&self) {
        let origin = GitOrigin::https("github.com").unwrap();
        let helper = self.bin().join(CREDENTIAL_HELPER);
        for command in credential_config(&origin, helper.to_str().unwrap()) {
            let args: Vec<&str> = command[1..].iter().map(String::as_str).collect();
            assert_eq!(self.git(&args, "").0, Some(0), "{command:?}");
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A temporary folder that stays is no failure of a test.
        fs::remove_dir_all(&self.0).ok();
    }
}

fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_helper_is_what_was_reviewed() {
    let origin = GitOrigin::https("github.com").unwrap();
    insta::assert_snapshot!(credential_helper(&origin));
}

#[test]
fn a_token_comes_from_the_studio_through_the_relay() {
    let home = Home::new();
    home.relay(&credential_answer("ghs_token", 1_800_000_000));
    let (status, out, err) = home.helper("get", REQUEST);
    assert_eq!(
        out,
        "protocol=https\nhost=github.com\nusername=x-access-token\npassword=ghs_token\n\
         password_expiry_utc=1800000000\n"
    );
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let asked = fs::read_to_string(home.0.join("asked")).unwrap();
    assert_eq!(asked, "git-credential\nprotocol=https\nhost=github.com\npath=acme/app.git\n");
}

#[test]
fn a_refusal_is_told_and_ends_git() {
    let home = Home::new();
    home.relay(&credential_refusal("too many tokens in this hour"));
    let (status, out, err) = home.helper("get", REQUEST);
    assert_eq!(err, "git-credential-studio: too many tokens in this hour\n");
    assert_eq!((status, out.as_str()), (Some(1), "quit=1\n"));
    home.configure();
    let (status, _, err) = home.git(&["credential", "fill"], REQUEST);
    assert_ne!(status, Some(0));
    assert!(err.contains("too many tokens in this hour"), "{err}");
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let home = Home::new();
    home.relay(&credential_answer("ghs_token", 1));
    for request in [
        "protocol=https\nhost=evil.example\n\n",
        "protocol=http\nhost=github.com\n\n",
        "protocol=https\nhost=github.com.evil.example\n\n",
        "",
    ] {
        assert_eq!(home.helper("get", request), (Some(0), String::new(), String::new()));
    }
    for verb in ["store", "erase", ""] {
        assert_eq!(home.helper(verb, REQUEST), (Some(0), String::new(), String::new()));
    }
    assert!(!home.0.join("asked").exists(), "the studio was not asked");
}

#[test]
fn without_a_relay_or_an_answer_the_reason_is_told() {
    let home = Home::new();
    let (status, _, err) = home.helper("get", REQUEST);
    assert_eq!(err, "git-credential-studio: there is no relay to the studio here\n");
    assert_eq!(status, Some(1));
    home.relay("");
    assert_eq!(home.helper("get", REQUEST).2, "git-credential-studio: the studio gave no token\n");
    home.relay("password=a b\n");
    let (_, out, err) = home.helper("get", REQUEST);
    assert_eq!(err, "git-credential-studio: the token has characters that none has\n");
    assert_eq!(out, "quit=1\n");
}

#[test]
fn a_token_comes_from_a_file_where_the_environment_names_one() {
    let home = Home::new();
    let file = home.0.join("token");
    let helper = home.bin().join(CREDENTIAL_HELPER);
    let run = |text: &str| {
        fs::write(&file, text).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"printf "$1" | "$2" get"#, "sh", REQUEST]).arg(&helper);
        told(shell.env("STUDIO_GIT_TOKEN_FILE", &file).output().unwrap())
    };
    let good = "protocol=https\nhost=github.com\nusername=x-access-token\npassword=ghs_token\n";
    for text in ["ghs_token", "ghs_token\n", "ghs_token\nmore\n"] {
        assert_eq!(run(text), (Some(0), good.to_owned(), String::new()), "{text:?}");
    }
    let (status, out, err) = run("");
    assert_eq!((status, out.as_str()), (Some(1), "quit=1\n"));
    assert!(err.contains("nothing can be read from"), "{err}");
    assert_eq!(run("a b").0, Some(1));
}

#[test]
fn every_shell_reads_the_helper_alike() {
    let home = Home::new();
    home.relay(&credential_answer("ghs_token", 1_800_000_000));
    let helper = home.bin().join(CREDENTIAL_HELPER);
    let helper = helper.to_str().unwrap();
    let wanted = home.helper("get", REQUEST);
    assert_eq!(wanted.0, Some(0));
    for shell in [&["bash", "--posix"][..], &["bash"], &["busybox", "sh"]] {
        let args = [&shell[1..], &[helper, "get"]].concat();
        let got = told(home.run(Path::new(shell[0]), &args, REQUEST));
        assert_eq!(got, wanted, "{shell:?}");
    }
}

#[test]
fn git_takes_the_token_and_asks_no_other_helper() {
    let home = Home::new();
    home.relay(&credential_answer("ghs_token", 4_000_000_000));
    let other = format!("!touch '{}'; true", "other");
    assert_eq!(home.git(&["config", "--global", "credential.helper", &other], "").0, Some(0));
    home.configure();
    // Again is no harm.
    home.configure();
    let (status, out, err) = home.git(&["credential", "fill"], REQUEST);
    assert_eq!(status, Some(0), "{err}");
    assert!(out.contains("\nusername=x-access-token\npassword=ghs_token\n"), "{out}");
    assert_eq!(home.git(&["credential", "approve"], &out).0, Some(0));
    assert!(!home.0.join("other").exists(), "another helper was told the token");
}
