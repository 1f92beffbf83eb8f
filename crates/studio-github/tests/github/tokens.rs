use std::{sync::Arc, time::Duration};

use serde_json::json;
use studio_github::{Access, AppKey, GitHub, GitHubError, GitHubOptions, Permission, RestGitHub};
use studio_ids::Secret;
use studio_testkit::{GitHubServer, GitHubTrouble, RsaKey};
use tokio::net::TcpSocket;

use crate::support::{app, options, repository, told, world};

const TOKENS: &str = "/app/installations/77/access_tokens";

#[tokio::test]
async fn a_token_is_for_one_repository_and_for_pushing_and_proposing() {
    let (server, github) = world().await;
    server.add_repo("acme", "app", true, true);
    server.add_repo("acme", "other", true, true);
    let token = github.installation_token(&repository("acme/app")).await.unwrap();
    assert!(token.token.expose().starts_with("ghs_"));
    let asked = server.requests().pop().unwrap();
    assert_eq!((asked.by.as_str(), asked.target.as_str()), ("app", TOKENS));
    let permissions = json!({"contents": "write", "pull_requests": "write"});
    assert_eq!(asked.body, json!({"repositories": ["app"], "permissions": permissions}));
}

#[tokio::test]
async fn a_token_is_handed_out_again_until_shortly_before_its_end() {
    let (server, github) = world().await;
    server.add_repo("acme", "app", true, true);
    let app = repository("acme/app");
    let first = github.installation_token(&app).await.unwrap();
    assert_eq!(github.installation_token(&repository("ACME/App")).await.unwrap(), first);
    assert_eq!(server.count("POST", TOKENS), 1);
    github.forget_token(&app);
    // Less than the margin of five minutes: never kept.
    server.set_token_life(299);
    let second = github.installation_token(&app).await.unwrap();
    let third = github.installation_token(&app).await.unwrap();
    assert!(first != second && second != third);
    assert_eq!(server.count("POST", TOKENS), 3);
}

#[tokio::test]
async fn many_who_want_a_token_at_once_ask_once() {
    let (server, github) = world().await;
    server.add_repo("acme", "app", true, true);
    server.add_repo("acme", "other", true, true);
    server.hold(true);
    let github = Arc::new(github);
    let ask = |name: &str| {
        let (github, repository) = (github.clone(), repository(name));
        tokio::spawn(async move { github.installation_token(&repository).await.unwrap() })
    };
    let asked: Vec<_> = (0..20).map(|_| ask("acme/app")).collect();
    let other = ask("acme/other");
    server.hold(false);
    let mut tokens = Vec::new();
    for one in asked {
        tokens.push(one.await.unwrap());
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    assert_ne!(other.await.unwrap(), tokens[0]);
    assert_eq!(server.count("POST", TOKENS), 2);
}

#[tokio::test]
async fn a_caller_who_leaves_leaves_nothing_behind() {
    let (server, github) = world().await;
    server.add_repo("acme", "app", true, true);
    server.hold(true);
    let app = repository("acme/app");
    let asking = github.installation_token(&app);
    assert!(tokio::time::timeout(Duration::from_millis(100), asking).await.is_err());
    server.hold(false);
    github.installation_token(&app).await.unwrap();
    // What the first one asked for came to nobody.
    assert!(server.count("POST", TOKENS) <= 2);
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_corrected_by_githubs() {
    for ahead in [-3600, -240, -59, 0, 59, 240, 3600] {
        let (server, github) = world().await;
        server.add_repo("acme", "app", true, true);
        server.set_clock_ahead(ahead);
        let app = repository("acme/app");
        github
            .installation_token(&app)
            .await
            .unwrap_or_else(|error| panic!("with a clock {ahead} seconds ahead: {}", told(&error)));
        // Kept by GitHub's clock too.
        github.installation_token(&app).await.unwrap();
        // Within a minute nothing is lost; beyond, one request.
        let most = if ahead.abs() < 60 { 1 } else { 2 };
        assert!(server.count("POST", TOKENS) <= most, "{ahead}");
    }
}

#[tokio::test]
async fn a_key_in_either_form_and_in_one_line_signs() {
    let key = RsaKey::generate();
    for pem in [key.pem().to_owned(), key.pkcs8_pem(), key.pem().replace('\n', "\\n")] {
        let key = AppKey::from_pem(&Secret::new(pem)).unwrap();
        assert_eq!(format!("{key:?}"), "AppKey(..)");
    }
}

#[tokio::test]
async fn a_wrong_key_or_app_is_told() {
    let (server, _) = world().await;
    server.add_repo("acme", "app", true, true);
    let with = |app| RestGitHub::new(GitHubOptions { app: Some(app), ..options(&server) }).unwrap();
    let mut strange = app(&server, "4242");
    strange.key = AppKey::from_pem(&Secret::new(RsaKey::generate().pem())).unwrap();
    let error = with(strange).installation_token(&repository("acme/app")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "asking for a token for acme/app: GitHub does not know this credential: A JSON web token \
         could not be decoded"
    );
    let error = with(app(&server, "1")).installation_token(&repository("acme/app")).await;
    assert!(matches!(error.unwrap_err(), GitHubError::NotFound { .. }));
    let mut elsewhere = app(&server, "4242");
    elsewhere.installation = 1;
    let error = with(elsewhere).installation_token(&repository("acme/app")).await;
    assert!(matches!(error.unwrap_err(), GitHubError::NotFound { .. }));
}

#[tokio::test]
async fn a_repository_outside_of_the_installation_gets_no_token() {
    let (server, github) = world().await;
    server.add_repo("acme", "hidden", true, false);
    server.add_repo("acme", "app", true, true);
    for name in ["acme/hidden", "acme/nothing"] {
        let error = github.installation_token(&repository(name)).await.unwrap_err();
        assert!(matches!(error, GitHubError::Refused { status: 422, .. }), "{error}");
        assert!(error.to_string().contains("does not exist or is not accessible"), "{error}");
    }
    // The request names no owner: the same name of somebody else must not lead to ours.
    let error = github.installation_token(&repository("mallory/app")).await.unwrap_err();
    assert_eq!(error.to_string(), "the token for mallory/app was not used: it is for acme/app");
    assert_eq!(server.count("DELETE", "/installation/token"), 1);
}

#[tokio::test]
async fn a_permission_that_the_installation_lacks_is_told() {
    let (server, _) = world().await;
    server.add_repo("acme", "app", true, true);
    let mut app = app(&server, "4242");
    app.permissions = app.permissions.and(Permission::Workflows, Access::Write);
    let options = GitHubOptions { app: Some(app), ..options(&server) };
    let github = RestGitHub::new(options).unwrap();
    let error = github.installation_token(&repository("acme/app")).await.unwrap_err();
    assert!(error.to_string().contains("not granted to this installation"), "{error}");
    assert!(!error.is_passing());
}

#[tokio::test]
async fn a_token_that_is_wider_than_asked_is_not_used_but_given_back() {
    let (server, github) = world().await;
    server.add_repo("acme", "app", true, true);
    server.widen_tokens();
    let error = github.installation_token(&repository("acme/app")).await.unwrap_err();
    assert!(matches!(error, GitHubError::NotNarrow { .. }), "{error}");
    assert_eq!(server.count("DELETE", "/installation/token"), 1);
}

#[tokio::test]
async fn what_fails_for_a_moment_is_asked_again_and_what_stays_away_is_told() {
    let (server, github) = world().await;
    server.add_repo("acme", "app", true, true);
    server.trouble("access_tokens", 2, GitHubTrouble::Status(502));
    github.installation_token(&repository("acme/app")).await.unwrap();
    assert_eq!(server.count("POST", TOKENS), 3);
    github.forget_token(&repository("acme/app"));
    let patience = GitHubOptions { deadline: Duration::from_secs(3), ..options(&server) };
    let github = RestGitHub::new(patience).unwrap();
    server.trouble("access_tokens", 1_000, GitHubTrouble::Status(503));
    let error = github.installation_token(&repository("acme/app")).await.unwrap_err();
    assert!(matches!(error, GitHubError::Unreachable { .. }), "{error}");
    assert!(error.is_passing());
    assert!(told(&error).ends_with("GitHub failed (503)"), "{}", told(&error));
    // Held, so that nobody else takes it, and not listened at.
    let held = TcpSocket::new_v4().unwrap();
    held.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let nobody = GitHubOptions {
        api: format!("http://{}", held.local_addr().unwrap()),
        deadline: Duration::from_secs(1),
        ..options(&server)
    };
    let github = RestGitHub::new(nobody).unwrap();
    let error = github.installation_token(&repository("acme/app")).await.unwrap_err();
    assert!(told(&error).contains("no connection could be made"), "{}", told(&error));
}

#[tokio::test]
async fn without_an_app_there_are_no_tokens() {
    let server = GitHubServer::start().await;
    let github = RestGitHub::new(GitHubOptions { app: None, ..options(&server) }).unwrap();
    let error = github.installation_token(&repository("acme/app")).await.unwrap_err();
    assert_eq!(error.to_string(), "no GitHub App is configured");
    assert_eq!(github.app(), None);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn nothing_that_is_printed_has_a_secret_in_it() {
    let (server, github) = world().await;
    server.add_repo("acme", "app", true, true);
    let token = github.installation_token(&repository("acme/app")).await.unwrap();
    let printed = format!("{github:?} {token:?} {:?}", options(&server));
    assert!(!printed.contains(token.token.expose()), "{printed}");
    assert!(!printed.contains("ghs_") && !printed.contains("PRIVATE KEY"), "{printed}");
}

#[tokio::test]
async fn a_token_that_is_ended_opens_nothing_and_the_next_is_another() {
    let (server, github) = world().await;
    server.add_repo("acme", "app", true, true);
    let app = repository("acme/app");
    let token = github.installation_token(&app).await.unwrap();
    assert!(server.knows(token.token.expose()));
    github.end_token(&repository("Acme/App")).await;
    assert!(!server.knows(token.token.expose()));
    // With none at hand nothing is asked.
    let asked = server.requests().len();
    github.end_token(&app).await;
    assert_eq!(server.requests().len(), asked);
    assert_ne!(github.installation_token(&app).await.unwrap(), token);
}
