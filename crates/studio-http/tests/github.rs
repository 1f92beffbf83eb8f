//! GitHub over the API: what a person's own token lists, and who may ask for tokens.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::json;
use studio_assets::git::GitOrigin;
use studio_auth::Scope;
use studio_flows::{GitHubAccess, Mode};
use studio_github::{GitHubOptions, RestGitHub};
use studio_http::Creation;
use studio_testkit::{GitHubServer, GitHubTrouble};
use support::{Ask, World};

async fn world(mode: Mode) -> (GitHubServer, World) {
    let server = GitHubServer::start().await;
    let options = GitHubOptions { api: server.url(), ..GitHubOptions::default() };
    let github = Arc::new(RestGitHub::new(options).unwrap());
    let port = server.url().rsplit_once(':').unwrap().1.parse().unwrap();
    let access = GitHubAccess { github, origin: GitOrigin::http_here(port) };
    (server, World::beside(Some(access), mode, true, |_http| {}).await)
}

#[tokio::test]
async fn a_persons_token_lists_accounts_repositories_and_branches() {
    let (server, world) = world(Mode::Production).await;
    let token = server.add_user("ada", &["acme"], &["repo", "read:org"]);
    server.add_repo("acme", "kites", true, true);
    server.set_branches("acme", "kites", vec!["main".to_owned(), "next".to_owned()]);
    let list = async |path: &str| {
        let ask = Ask::get(format!("/api/github/{path}")).header("x-gh-token", token.as_str());
        let told = world.send(ask).await;
        assert_eq!(told.status, StatusCode::OK, "{}", told.text);
        told.json
    };
    let accounts = json!([{"login": "ada", "type": "user"}, {"login": "acme", "type": "org"}]);
    assert_eq!(list("accounts").await, json!({ "accounts": accounts }));
    let repos = list("repos").await;
    let url = format!("{}/acme/kites", server.url());
    assert_eq!(repos["repos"][0]["nameWithOwner"], "acme/kites");
    assert_eq!(repos["repos"][0]["url"], json!(url));
    assert!(repos["repos"][0]["updatedAt"].as_str().unwrap().ends_with('Z'), "{repos}");
    let branches =
        json!([{"name": "main", "isDefault": true}, {"name": "next", "isDefault": false}]);
    assert_eq!(list("repos/acme/kites/branches").await, json!({ "branches": branches }));
    // What is no repository's name is not asked for.
    let asked = server.requests().len();
    assert_eq!(list("repos/acme/..%2fkites/branches").await, json!({ "branches": [] }));
    assert_eq!(server.requests().len(), asked);
}

#[tokio::test]
async fn a_list_that_github_refuses_is_empty_and_says_why() {
    let (server, world) = world(Mode::Dev).await;
    for path in ["accounts", "repos", "repos/acme/kites/branches"] {
        let name = path.rsplit('/').next().unwrap();
        let ask = Ask::get(format!("/api/github/{path}"));
        // Nobody's list is empty, and GitHub is not asked for it.
        let asked = server.requests().len();
        for ask in [ask.clone(), ask.clone().header("x-gh-token", "a b")] {
            assert_eq!(world.send(ask).await.json, json!({ name: [] }));
        }
        assert_eq!(server.requests().len(), asked);
        let told = world.send(ask.header("x-gh-token", "ghp_unknown")).await;
        assert_eq!((told.status, &told.json[name]), (StatusCode::OK, &json!([])));
        let why = told.json["incomplete"].as_str().unwrap();
        assert!(why.contains("GitHub does not know this credential"), "{why}");
        assert!(!told.text.contains("ghp_unknown"), "{}", told.text);
    }
    // Organisations that cannot be listed take nothing else along.
    let token = server.add_user("ada", &["acme"], &["repo"]);
    server.trouble("/user/orgs", 1, GitHubTrouble::Status(403));
    let told = world.send(Ask::get("/api/github/accounts").header("x-gh-token", token)).await;
    assert_eq!(told.json["accounts"], json!([{"login": "ada", "type": "user"}]));
    assert!(told.json["incomplete"].is_string(), "{}", told.text);
}

#[tokio::test]
async fn who_may_not_create_sessions_does_not_list_through_the_studio() {
    let world = World::with(Mode::Production, |http| http.creation = Creation::Operator).await;
    for path in ["accounts", "repos", "repos/acme/kites/branches"] {
        let ask = Ask::get(format!("/api/github/{path}")).header("x-gh-token", "ghp_x");
        assert_eq!(world.send(ask.clone()).await.status, StatusCode::UNAUTHORIZED);
        let told = world.send(ask.token(&world.token(Scope::Operator))).await;
        assert_eq!(told.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn d30_8_d31_51_gits_own_capability_asks_for_tokens_and_for_nothing_else() {
    let world = World::new(Mode::Production).await;
    let (id, session, hook) = world.local_session().await;
    let path = format!("/api/sessions/{id}/github-token");
    for token in [world.token(Scope::Git(id)), session.clone(), world.token(Scope::Operator)] {
        let told = world.send(Ask::post(&path).token(&token)).await;
        assert_eq!(
            told.line(),
            "500 application/problem+json github_not_configured: GitHub App not configured"
        );
    }
    for token in [hook, world.token(Scope::Relay(id)), world.token(Scope::Read(id))] {
        let told = world.send(Ask::post(&path).token(&token)).await;
        assert_eq!(told.line(), "401 application/problem+json unauthenticated: Unauthorized");
    }
    let told = world.send(Ask::post(format!("{path}?token={session}"))).await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED, "in the header only");
    let dev = World::new(Mode::Dev).await;
    let (id, session, _) = dev.local_session().await;
    let told =
        dev.send(Ask::post(format!("/api/sessions/{id}/github-token")).token(&session)).await;
    assert_eq!(
        told.line(),
        "403 application/problem+json github_not_available: Not available in dev mode"
    );
}

#[tokio::test]
async fn a_session_is_made_out_of_a_repository_of_this_github_alone() {
    let (server, dev) = world(Mode::Dev).await;
    let ask = |body: &serde_json::Value| Ask::post("/api/sessions/resume").json(body);
    let address = format!("{}/acme/kites.git", server.url());
    let told = dev.send(ask(&json!({"repoUrl": address, "branch": "next"}))).await;
    assert_eq!(told.status, StatusCode::CREATED, "{}", told.text);
    assert_eq!(told.json["session"]["projectName"], "kites/next");
    assert_eq!(told.json["session"]["description"], json!(format!("Resumed from {address}")));
    assert!(told.json["sessionToken"].is_string());
    let told = dev.send(ask(&json!({"repoUrl": "https://evil.example/acme/kites"}))).await;
    assert_eq!((told.status, &told.json["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")));
    let bad = json!({"repoUrl": "ext::sh -c id", "branch": "--upload-pack=id", "apiKey": 7});
    let told = dev.send(ask(&bad)).await;
    assert_eq!(
        told.json["details"],
        json!([
            "repoUrl: Invalid repo URL",
            "branch: Invalid branch name",
            "apiKey: Expected string, received number"
        ])
    );
    let (_server, production) = world(Mode::Production).await;
    let told = production.send(Ask::post("/api/sessions/resume").bytes("{")).await;
    assert_eq!(
        told.line(),
        "403 application/problem+json resume_not_available: Resume from repo not available"
    );
}
