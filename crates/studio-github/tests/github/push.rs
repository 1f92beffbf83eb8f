use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use studio_assets::git::{
    CREDENTIAL_HELPER, GitOrigin, credential_answer, credential_config, credential_helper,
    credential_request,
};
use studio_github::{By, GitHub, NewRepo, Visibility};
use studio_ids::Repository;
use studio_testkit::{GitHubServer, write_program};
use tempfile::TempDir;

use crate::support::{repository, world};

/// A sandbox's home, with the helper as it lies there, and a relay whose answer is a file.
struct Sandbox {
    home: TempDir,
    origin: GitOrigin,
}

impl Sandbox {
    fn new(server: &GitHubServer) -> Self {
        let port = server.url().rsplit_once(':').unwrap().1.parse().unwrap();
        let sandbox = Self { home: TempDir::new().unwrap(), origin: GitOrigin::http_here(port) };
        fs::create_dir_all(sandbox.bin()).unwrap();
        sandbox.put(CREDENTIAL_HELPER, &credential_helper(&sandbox.origin));
        let relay = "#!/bin/sh\nhome=${0%/*}/../..\ncat >\"$home/asked\"\ncat \"$home/answer\"\n";
        sandbox.put("studio-relay", relay);
        let helper = sandbox.bin().join(CREDENTIAL_HELPER);
        for command in credential_config(&sandbox.origin, helper.to_str().unwrap()) {
            sandbox.good(&command[1..].iter().map(String::as_str).collect::<Vec<_>>());
        }
        sandbox
    }

    fn bin(&self) -> PathBuf {
        self.home.path().join(".studio/bin")
    }

    fn put(&self, name: &str, text: &str) {
        write_program(&self.bin().join(name), text);
    }

    fn git(&self, args: &[&str]) -> Output {
        Command::new("git")
            .args(args)
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "agent")))
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "a@b.example")))
            .stdin(Stdio::null())
            .output()
            .expect("git: run `cargo xtask setup`")
    }

    fn good(&self, args: &[&str]) {
        let output = self.git(args);
        assert!(output.status.success(), "git {args:?}: {output:?}");
    }

    /// What git says when it cannot.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.git(args);
        assert!(!output.status.success(), "git {args:?} went through");
        String::from_utf8(output.stderr).unwrap()
    }

    /// A commit in a new project whose `origin` is `url`.
    fn project(&self, url: &str) {
        self.good(&["init", "--quiet", "--initial-branch=main", "app"]);
        fs::write(self.home.path().join("app/README.md"), "# app\n").unwrap();
        self.good(&["-C", "app", "add", "."]);
        self.good(&["-C", "app", "commit", "--quiet", "-m", "first"]);
        self.good(&["-C", "app", "remote", "add", "origin", url]);
    }

    /// Puts a token for `repository` where the relay finds it.
    async fn token(&self, github: &dyn GitHub, repository: &Repository) -> String {
        let token = github.installation_token(repository).await.unwrap();
        let text = credential_answer(token.token.expose(), token.expires_at.as_second());
        fs::write(self.home.path().join("answer"), text).unwrap();
        token.token.expose().to_owned()
    }

    /// Whether any file below the home holds `text`; the relay's answer stands for the studio.
    fn holds(&self, text: &str) -> bool {
        fn any(dir: &Path, text: &[u8]) -> bool {
            fs::read_dir(dir).unwrap().map(Result::unwrap).any(|entry| {
                let path = entry.path();
                if path.is_dir() {
                    return any(&path, text);
                }
                let bytes = fs::read(&path).unwrap();
                !path.ends_with("answer") && bytes.windows(text.len()).any(|part| part == text)
            })
        }
        any(self.home.path(), text.as_bytes())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_pushes_to_the_repository_that_the_studio_made_for_it() {
    let (server, github) = world().await;
    let (name, visibility) = ("fresh".parse().unwrap(), Visibility::Private);
    let new = NewRepo { name, visibility, description: None };
    let made = github.create_repo(By::App, &new).await.unwrap();
    let sandbox = Sandbox::new(&server);
    let token = sandbox.token(&github, &made.repository).await;
    sandbox.project(&made.clone_url);
    tokio::task::block_in_place(|| sandbox.good(&["-C", "app", "push", "-u", "origin", "main"]));
    let head = sandbox.git(&["-C", "app", "rev-parse", "HEAD"]).stdout;
    let there = server.git_dir("acme", "fresh");
    let there = format!("--git-dir={}", there.display());
    assert_eq!(sandbox.git(&[&there, "rev-parse", "refs/heads/main"]).stdout, head);
    assert_eq!(head.len(), 41);
    // The studio was asked for this repository, and can tell.
    let asked = fs::read(sandbox.home.path().join("asked")).unwrap();
    assert_eq!(credential_request(&sandbox.origin, &asked), Some(made.repository));
    assert!(!sandbox.holds(&token), "a token was left in the sandbox");
    // And back.
    tokio::task::block_in_place(|| sandbox.good(&["clone", "--quiet", &made.clone_url, "again"]));
    assert!(sandbox.home.path().join("again/README.md").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_no_other_repository() {
    let (server, github) = world().await;
    server.add_repo("acme", "app", true, true);
    server.add_repo("acme", "other", true, true);
    let sandbox = Sandbox::new(&server);
    sandbox.token(&github, &repository("acme/app")).await;
    sandbox.project(&format!("{}/acme/other.git", server.url()));
    let push = ["-C", "app", "push", "origin", "main"];
    let told = tokio::task::block_in_place(|| sandbox.refused(&push));
    assert!(told.contains("not found"), "{told}");
    let told = tokio::task::block_in_place(|| {
        sandbox.refused(&["clone", &format!("{}/acme/other.git", server.url()), "other"])
    });
    assert!(told.contains("not found"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_has_ended_pushes_nothing() {
    let (server, github) = world().await;
    server.add_repo("acme", "app", true, true);
    let sandbox = Sandbox::new(&server);
    let token = sandbox.token(&github, &repository("acme/app")).await;
    server.revoke(&token);
    sandbox.project(&format!("{}/acme/app.git", server.url()));
    let push = ["-C", "app", "push", "origin", "main"];
    let told = tokio::task::block_in_place(|| sandbox.refused(&push));
    assert!(told.contains("Authentication failed"), "{told}");
    assert!(!told.contains(&token), "{told}");
}
