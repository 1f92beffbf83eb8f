//! Sessions out of repositories.

use std::{fs, process::Command as Here, time::Duration};

use studio_flows::{FlowError, Mode, Resume, words::Credentials};
use studio_testkit::GitHubServer;

use crate::support::{Watch, World, access, shell};

fn resume(address: String, branch: Option<&str>) -> Resume {
    let branch = branch.map(|branch| branch.parse().unwrap());
    Resume { address, branch, credentials: Credentials::default() }
}

/// A repository on the server with a commit on `main` and one more on `next`.
fn filled(server: &GitHubServer, owner: &str, name: &str) {
    server.add_repo(owner, name, true, true);
    let dir = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| {
        let identity = ["-c", "user.name=ada", "-c", "user.email=a@b.example"];
        let mut git = Here::new("git");
        let said = git.arg("-C").arg(dir.path()).args(identity).args(args).output().unwrap();
        assert!(said.status.success(), "git {args:?}: {said:?}");
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    fs::write(dir.path().join("CLAUDE.md"), "Our own words.\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "one"]);
    git(&["checkout", "--quiet", "-b", "next"]);
    fs::write(dir.path().join("b.txt"), "b\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "two"]);
    git(&["push", "--quiet", server.git_dir(owner, name).to_str().unwrap(), "main", "next"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn d30_73_d30_100_a_private_repository_is_cloned_worked_on_and_pushed_to() {
    let mut world = World::of("hello").await;
    let server = world.with_github().await;
    filled(&server, "acme", "kites.app");
    let studio = world.studio().await;
    let address = format!("{}/acme/kites.app", server.url());
    let session = studio.resume_session(resume(address.clone(), Some("next"))).await.unwrap();
    assert_eq!(session.project_name, "kites.app/next");
    assert_eq!(session.description, format!("Resumed from {address}"));
    assert_eq!(session.sandbox_project_dir, "/home/agent/workspace/kites-app");
    let mut watch = Watch::open(&studio, &session).await;
    assert_eq!(watch.until("user_prompt").await["message"], format!("Resume from {address}"));
    let mut said = Vec::new();
    while said.last().is_none_or(|line| line != "Repository cloned") {
        said.push(watch.until("log").await["message"].as_str().unwrap().to_owned());
    }
    assert!(said.contains(&"Cloning repository...".to_owned()), "{said:?}");
    assert_eq!(watch.until("session_end").await["success"], true);
    let git = studio.session(session.id).unwrap().git.unwrap();
    assert_eq!((git.branch.as_str(), git.last_commit_message.as_deref()), ("next", Some("two")));
    assert_eq!(git.remote_url, Some(format!("{address}.git")));
    let asked = serde_json::to_string(&world.model.requests().await).unwrap();
    assert!(asked.contains("You are resuming work on an existing project."), "{asked}");

    // The project's own words stay, and git sees nothing of what was put beside them.
    let sandbox = world.sandbox(&session).await;
    let here = shell(sandbox.as_ref(), "cat CLAUDE.md && git status --porcelain").await.text();
    assert_eq!(here, "Our own words.");
    let beside = shell(sandbox.as_ref(), "cat CLAUDE.local.md").await.text();
    assert!(beside.contains("a clone of `acme/kites.app`, branch `next`"), "{beside}");
    let push = "echo c >c.txt && git add . && git commit --quiet -m three && git push";
    let pushed = shell(sandbox.as_ref(), push).await;
    assert!(pushed.exit.is_success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d30_56_two_sessions_out_of_one_repository_do_not_meet() {
    let mut world = World::of("hello").await;
    let server = world.with_github().await;
    filled(&server, "acme", "kites");
    let studio = world.studio().await;
    let address = format!("{}/acme/kites.git", server.url());
    let first = studio.resume_session(resume(address.clone(), None)).await.unwrap();
    let second = studio.resume_session(resume(address, None)).await.unwrap();
    for session in [&first, &second] {
        Watch::open(&studio, session).await.until("session_end").await;
    }
    studio.git_token(first.id).await.unwrap();
    studio.delete(first.id).await.unwrap();
    let sandbox = world.sandbox(&second).await;
    assert_eq!(shell(sandbox.as_ref(), "git log --format=%s").await.text(), "one");
    // The second one works on with the same token.
    let fetched = shell(sandbox.as_ref(), "git fetch").await;
    assert!(fetched.exit.is_success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_cannot_be_cloned_is_told_and_no_agent_begins() {
    let mut world = World::of("hello").await;
    let server = GitHubServer::start().await;
    server.add_repo("acme", "kites", true, false);
    world.github = Some(access(&server, None));
    let studio = world.studio().await;
    let address = format!("{}/acme/kites", server.url());
    let session = studio.resume_session(resume(address, None)).await.unwrap();
    let mut watch = Watch::open(&studio, &session).await;
    let mut errors = Vec::new();
    let end = loop {
        let event = watch.next().await;
        if event["level"] == "error" {
            errors.push(event["message"].as_str().unwrap().to_owned());
        }
        if event["type"] == "session_end" {
            break event;
        }
    };
    assert_eq!(end["reason"], "preparation_failed");
    assert!(errors.last().unwrap().starts_with("Resume failed: "), "{errors:?}");
    assert!(world.model.requests().await.is_empty(), "an agent was started");
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_repositories_of_the_studios_github_are_taken_and_in_development_alone() {
    let mut world = World::of("hello").await;
    let server = world.with_github().await;
    let studio = world.studio().await;
    let here = server.url();
    for bad in [
        "https://evil.example/acme/kites".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://127.0.0.1:1/acme/kites".to_owned(),
        format!("{here}@evil.example/acme/kites"),
        format!("{here}.evil.example/acme/kites"),
        format!("{here}/acme/../kites"),
        format!("{here}/acme/kites?x"),
        format!("{here}/acme/-kites"),
        here.clone(),
        "ext::sh -c id".to_owned(),
        "--upload-pack=id".to_owned(),
    ] {
        let refused = studio.resume_session(resume(bad.clone(), None)).await.unwrap_err();
        assert!(matches!(refused, FlowError::BadRepository(_)), "{bad}: {refused}");
    }
    studio.stop().await;
    world.settings.mode = Mode::Production;
    let studio = world.studio().await;
    let good = resume(format!("{here}/acme/kites"), None);
    let refused = studio.resume_session(good).await.unwrap_err();
    assert!(matches!(refused, FlowError::ResumeNotAvailable), "{refused}");
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_one_server_began_is_there_once_with_the_next() {
    let mut world = World::of("hello").await;
    let server = world.with_github().await;
    filled(&server, "acme", "kites");
    // git waits for its token when the server ends.
    server.hold(true);
    let first = world.studio().await;
    let address = format!("{}/acme/kites", server.url());
    let session = first.resume_session(resume(address, None)).await.unwrap();
    let tokens = format!("/app/installations/{}/access_tokens", GitHubServer::INSTALLATION);
    let mut watch = Watch::open(&first, &session).await;
    while watch.until("log").await["message"] != "Cloning repository..." {}
    let sandbox = world.sandbox(&session).await;
    studio_testkit::wait_for("git's question", Duration::from_secs(20), async || {
        let asked = shell(sandbox.as_ref(), "ls ~/.studio/relay/asked").await.text();
        asked.contains("git-credential").then_some(())
    })
    .await;
    first.stop().await;
    server.hold(false);

    let second = world.studio().await;
    let mut watch = watch.moved_to(&second, &session).await;
    while watch.until("log").await["message"] != "Repository cloned" {}
    assert_eq!(watch.until("session_end").await["success"], true);
    let here =
        shell(sandbox.as_ref(), "git log --format=%s && git status --porcelain").await.text();
    assert_eq!(here, "one");
    assert!(0 < server.count("POST", &tokens));
    assert_eq!(second.session(session.id).unwrap().git.unwrap().branch, "main");
    second.stop().await;
}
