//! The repository of a session: made on a GitHub of our own, pushed to out of a real sandbox.

use std::{process::Command as Here, time::Duration};

use studio_events::SessionInfo;
use studio_flows::{
    FlowError, Studio,
    words::{GateAnswer, Infra, RepoChoice, Response},
};
use studio_testkit::{GitHubServer, GitHubTrouble};

use crate::support::{Watch, World, access, app, freeform, shell};

const COMMIT: &str = "git add -A && git commit --quiet -m first";

/// An app whose person wants this repository.
async fn with_repository(studio: &Studio, account: &str, name: &str) -> (SessionInfo, Watch) {
    let session = studio.create_session(app("a page with a clock")).await.unwrap();
    let mut watch = Watch::open(studio, &session).await;
    watch.until("infra_config_prompt").await;
    studio.respond(session.id, choice(account, name)).await.unwrap();
    (session, watch)
}

fn choice(account: &str, name: &str) -> Response {
    let visibility = "private".to_owned();
    let repo = RepoChoice { account: account.to_owned(), name: name.to_owned(), visibility };
    let answer = GateAnswer::Infra { infra: Infra::Local, repo: Some(repo) };
    Response { answer, summary: None, resolved_by: None }
}

/// What the studio said up to the end of the first turn.
async fn lines(watch: &mut Watch) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let event = watch.next().await;
        if event["type"] == "session_end" {
            assert_eq!(event["success"], true, "{lines:?}");
            return lines;
        }
        lines.extend(event["message"].as_str().map(str::to_owned));
    }
}

/// A repository's history, as its server has it.
fn history(server: &GitHubServer, name: &str) -> String {
    let dir = server.git_dir("acme", name);
    let mut git = Here::new("git");
    let said = git.arg("-C").arg(dir).args(["log", "--format=%s", "main"]).output().unwrap();
    String::from_utf8(said.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn d30_7_d30_92_d31_51_an_agent_pushes_to_the_one_repository_of_its_session() {
    let mut world = World::of("hello").await;
    let server = world.with_github().await;
    server.add_repo("acme", "other", true, true);
    let studio = world.studio().await;
    let (session, mut watch) = with_repository(&studio, "acme", "kites").await;
    let said = lines(&mut watch).await;
    let made = format!("GitHub repo created: {}/acme/kites", server.url());
    assert!(said.contains(&"Creating GitHub repository...".to_owned()), "{said:?}");
    assert!(said.contains(&made), "{said:?}");
    let created = server.requests().into_iter().find(|one| one.target == "/orgs/acme/repos");
    assert_eq!(created.unwrap().body["visibility"], "private");
    let git = studio.session(session.id).unwrap().git.unwrap();
    assert_eq!(git.remote_url, Some(format!("{}/acme/kites.git", server.url())));
    assert_eq!(git.repo_name.as_deref(), Some("acme/kites"));

    let sandbox = world.sandbox(&session).await;
    let pushed = shell(sandbox.as_ref(), &format!("{COMMIT} && git push -u origin main")).await;
    assert!(pushed.exit.is_success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    assert_eq!(history(&server, "kites"), "first\n");
    let text = shell(sandbox.as_ref(), "cat CLAUDE.md").await.text();
    assert!(text.contains("The repository `acme/kites` is there"), "{text}");

    // The token was for this repository alone, and lies nowhere.
    let token = studio.git_token(session.id).await.unwrap();
    let narrowed = server.requests().into_iter().rfind(|one| one.body["repositories"].is_array());
    assert_eq!(narrowed.unwrap().body["repositories"], serde_json::json!(["kites"]));
    let search = format!("grep -rqF {} ~ && echo found; env", token.token.expose());
    let found = shell(sandbox.as_ref(), &search).await.text();
    assert!(!found.contains("found") && !found.contains(token.token.expose()), "{found}");

    let other = format!("git push {}/acme/other.git main", server.url());
    let refused = shell(sandbox.as_ref(), &other).await;
    assert!(!refused.exit.is_success());
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("has no repository"), "{told}");

    // With the session the token ends.
    assert!(server.knows(token.token.expose()));
    studio.cancel(session.id).await.unwrap();
    assert!(!server.knows(token.token.expose()));
    let refused = studio.git_token(session.id).await.unwrap_err();
    assert!(matches!(refused, FlowError::Cancelled(_)), "{refused}");
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d30_91_d31_55_a_repository_that_cannot_be_made_is_told_and_the_session_goes_on() {
    let mut world = World::of("hello").await;
    let server = world.with_github().await;
    server.add_repo("acme", "taken", true, true);
    let studio = world.studio().await;
    for (account, name, why) in [
        ("acme", "taken", "acme/taken exists already"),
        ("elsewhere", "kites", "no GitHub App is configured"),
    ] {
        let (session, mut watch) = with_repository(&studio, account, name).await;
        let said = lines(&mut watch).await;
        let told = format!("The session goes on without the GitHub repo {account}/{name}: {why}");
        assert!(said.contains(&told), "{said:?}");
        // Somebody else's repository is not the session's.
        let git = studio.session(session.id).unwrap().git.unwrap();
        assert_eq!(git.remote_url, None);
        let refused = studio.git_token(session.id).await.unwrap_err();
        assert!(matches!(refused, FlowError::NoRepository(_)), "{refused}");
    }
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_whose_answer_was_lost_is_found_again() {
    let mut world = World::of("hello").await;
    let server = world.with_github().await;
    server.trouble("/orgs/acme/repos", 1, GitHubTrouble::BreakAfterwards);
    let studio = world.studio().await;
    let (_session, mut watch) = with_repository(&studio, "acme", "kites").await;
    let said = lines(&mut watch).await;
    assert!(
        said.contains(&format!("GitHub repo created: {}/acme/kites", server.url())),
        "{said:?}"
    );
    assert_eq!(server.count("POST", "/orgs/acme/repos"), 1);
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_an_app_gets_a_repository_with_their_own_token() {
    let mut world = World::of("hello").await;
    let server = GitHubServer::start().await;
    world.github = Some(access(&server, None));
    let token = server.add_user("ada", &[], &["repo"]);
    let studio = world.studio().await;
    let mut new = app("a page with a clock");
    new.credentials.gh_token = Some(studio_sandbox::Secret::new(&token));
    let session = studio.create_session(new).await.unwrap();
    let mut watch = Watch::open(&studio, &session).await;
    watch.until("infra_config_prompt").await;
    studio.respond(session.id, choice("ada", "kites")).await.unwrap();
    lines(&mut watch).await;
    let sandbox = world.sandbox(&session).await;
    let pushed = shell(sandbox.as_ref(), &format!("{COMMIT} && git push -u origin main")).await;
    assert!(pushed.exit.is_success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    let refused = studio.git_token(session.id).await.unwrap_err();
    assert!(matches!(refused, FlowError::NoTokensHere), "{refused}");
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d30_98_a_session_gets_so_many_tokens_an_hour_and_failures_do_not_count() {
    let mut world = World::of("hello").await;
    let server = world.with_github().await;
    let studio = world.studio().await;
    let (session, mut watch) = with_repository(&studio, "acme", "kites").await;
    lines(&mut watch).await;
    server.trouble("/access_tokens", 2, GitHubTrouble::Status(422));
    for _ in 0..2 {
        let failed = studio.git_token(session.id).await.unwrap_err();
        assert!(matches!(failed, FlowError::GitHub(_)), "{failed}");
    }
    for _ in 0..10 {
        studio.git_token(session.id).await.unwrap();
    }
    let refused = studio.git_token(session.id).await.unwrap_err();
    let FlowError::TooManyTokenRequests(wait) = refused else { panic!("{refused}") };
    assert!(Duration::from_secs(3_500) < wait, "{wait:?}");
    // One without a repository gets none at all.
    let other = studio.create_session(freeform("say hello")).await.unwrap();
    let refused = studio.git_token(other.id).await.unwrap_err();
    assert!(matches!(refused, FlowError::NoRepository(_)), "{refused}");
    studio.stop().await;
}
