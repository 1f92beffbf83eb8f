use serde_json::json;
use studio_github::{By, GitHub, GitHubError, NewRepo, Visibility};
use studio_ids::OwnerName;
use studio_testkit::GitHubTrouble;

use crate::support::{repository, told, user, world};

fn new(name: &str) -> NewRepo {
    let (name, visibility) = (name.parse().unwrap(), Visibility::default());
    NewRepo { name, visibility, description: Some("Made\nhere".to_owned()) }
}

#[tokio::test]
async fn the_app_makes_a_private_repository_in_its_organisation() {
    let (server, github) = world().await;
    let made = github.create_repo(By::App, &new("fresh")).await.unwrap();
    assert_eq!(made.repository, repository("acme/fresh"));
    assert_eq!(made.clone_url, format!("{}/acme/fresh.git", server.url()));
    assert_eq!(made.url, format!("{}/acme/fresh", server.url()));
    let requests = server.requests();
    let [token, create, given_back] = &requests[..] else { panic!("{requests:?}") };
    // The token that can make repositories can do nothing else, and is gone afterwards.
    assert_eq!(token.body, json!({"permissions": {"administration": "write"}}));
    assert_eq!(create.target, "/orgs/acme/repos");
    assert_eq!(
        create.body,
        json!({"name": "fresh", "private": true, "visibility": "private", "auto_init": false,
               "description": "Madehere"})
    );
    assert_eq!((given_back.method.as_str(), given_back.by.as_str()), ("DELETE", "installation"));
    // The App can push to what it made.
    github.installation_token(&made.repository).await.unwrap();
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_and_nothing_is_changed() {
    let (server, github) = world().await;
    server.add_repo("acme", "taken", true, true);
    let error = github.create_repo(By::App, &new("Taken")).await.unwrap_err();
    assert_eq!(error.to_string(), "acme/Taken exists already");
    assert!(matches!(error, GitHubError::NameTaken { .. }));
    assert_eq!(server.count("DELETE", "/installation/token"), 1);
}

#[tokio::test]
async fn an_app_that_may_not_make_repositories_is_told_so() {
    let (server, github) = world().await;
    server.grant(&[("contents", "write"), ("pull_requests", "write"), ("metadata", "read")]);
    let error = github.create_repo(By::App, &new("fresh")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "creating acme/fresh: GitHub refuses it (422): The permissions requested are not granted \
         to this installation."
    );
}

#[tokio::test]
async fn a_repository_is_not_made_twice_when_the_answer_is_lost() {
    let (server, github) = world().await;
    server.trouble("/orgs/acme/repos", 1, GitHubTrouble::BreakAfterwards);
    let error = github.create_repo(By::App, &new("fresh")).await.unwrap_err();
    assert!(matches!(error, GitHubError::InDoubt { .. }), "{}", told(&error));
    assert_eq!(
        error.to_string(),
        "creating acme/fresh: GitHub did not answer; it may have been done all the same"
    );
    assert_eq!(server.count("POST", "/orgs/acme/repos"), 1);
    // And it was: which the next attempt tells.
    let error = github.create_repo(By::App, &new("fresh")).await.unwrap_err();
    assert!(matches!(error, GitHubError::NameTaken { .. }), "{error}");
}

#[tokio::test]
async fn a_limit_that_lifts_soon_is_waited_for_and_the_repository_is_made_once() {
    let (server, github) = world().await;
    let soon = GitHubTrouble::Secondary { retry_after: Some(1) };
    server.trouble("/orgs/acme/repos", 1, soon);
    github.create_repo(By::App, &new("fresh")).await.unwrap();
    assert_eq!(server.count("POST", "/orgs/acme/repos"), 2);
}

#[tokio::test]
async fn a_repository_that_came_out_public_is_told() {
    let (server, github) = world().await;
    server.make_public();
    let error = github.create_repo(By::App, &new("fresh")).await.unwrap_err();
    assert!(matches!(error, GitHubError::MadePublic { .. }), "{error}");
    let public = NewRepo { visibility: Visibility::Public, ..new("open") };
    github.create_repo(By::App, &public).await.unwrap();
}

#[tokio::test]
async fn a_person_makes_repositories_at_home_and_in_organisations() {
    let (server, github) = world().await;
    let token = user(&server, "ada", &["acme"]);
    let owner = |name: &str| name.parse::<OwnerName>().unwrap();
    let (home, acme, other) = (owner("Ada"), owner("acme"), owner("other"));
    let by = |owner| By::User { token: &token, owner };
    let made = github.create_repo(by(&home), &new("mine")).await.unwrap();
    assert_eq!(made.repository, repository("ada/mine"));
    assert_eq!(server.count("POST", "/user/repos"), 1);
    let made = github.create_repo(by(&acme), &new("ours")).await.unwrap();
    assert_eq!(made.repository, repository("acme/ours"));
    let _theirs = server.add_user("bob", &["other"], &[]);
    let error = github.create_repo(by(&other), &new("theirs")).await.unwrap_err();
    assert!(matches!(error, GitHubError::Forbidden { .. }), "{error}");
    assert!(error.to_string().contains("You need admin access"), "{error}");
    let nobody = owner("nobody");
    let error = github.create_repo(by(&nobody), &new("x")).await.unwrap_err();
    assert!(matches!(error, GitHubError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn what_was_made_without_an_answer_is_found_again_and_nothing_else_is() {
    let (server, github) = world().await;
    server.trouble("/orgs/acme/repos", 1, GitHubTrouble::BreakAfterwards);
    github.create_repo(By::App, &new("fresh")).await.unwrap_err();
    let found = github.find_made(By::App, &new("fresh")).await.unwrap().unwrap();
    assert_eq!(found.repository, repository("acme/fresh"));
    assert_eq!(found.clone_url, format!("{}/acme/fresh.git", server.url()));
    // The name alone tells nothing.
    let other = NewRepo { description: Some("Made elsewhere".to_owned()), ..new("fresh") };
    let unnamed = NewRepo { description: None, ..new("fresh") };
    server.add_repo("acme", "old", true, true);
    server.add_repo("acme", "hidden", true, false);
    for new in [other, unnamed, new("old"), new("hidden"), new("nothing")] {
        assert_eq!(github.find_made(By::App, &new).await.unwrap(), None, "{}", new.name);
    }
    let ada = user(&server, "ada", &["acme"]);
    let owner: OwnerName = "acme".parse().unwrap();
    let by = By::User { token: &ada, owner: &owner };
    assert_eq!(github.find_made(by, &new("fresh")).await.unwrap(), Some(found));
    assert_eq!(github.find_made(by, &new("nothing")).await.unwrap(), None);
}
