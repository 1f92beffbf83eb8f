//! A session's repository and its tokens, on the real server.

use std::time::Duration;

use serde_json::json;
use studio_testkit::{GitHubServer, GitHubTrouble, ServerBuilder, wait_for};
use tokio::time::Instant;

use crate::{
    in_both,
    world::{Place, Rest, SOON, Session, Watch, World},
};

in_both! {
    a_repository_is_made_once_when_the_server_dies_in_the_middle
}

fn with(github: &GitHubServer) -> impl FnOnce(ServerBuilder) -> ServerBuilder {
    move |builder| {
        builder
            .env("GITHUB_API_URL", github.url())
            .env("GITHUB_APP_ID", GitHubServer::APP_ID.to_string())
            .env("GITHUB_INSTALLATION_ID", GitHubServer::INSTALLATION.to_string())
            // As it stands in a settings file of one line.
            .env("GITHUB_PRIVATE_KEY", github.key_pem().replace('\n', "\\n"))
            .env("GITHUB_ORG", "acme")
    }
}

async fn a_repository_is_made_once_when_the_server_dies_in_the_middle(place: Place) {
    let github = GitHubServer::start().await;
    // It is made, and the studio never hears of it.
    github.trouble("/orgs/acme/repos", 1, GitHubTrouble::SilentAfterwards);
    let mut world = World::start_with(place, "hello", with(&github)).await;
    let (session, mut watch) = with_repository(&world).await;
    wait_for("the request for a repository", SOON, async || {
        (github.count("POST", "/orgs/acme/repos") == 1).then_some(())
    })
    .await;
    world.server.crash().await;
    while watch.rest(Instant::now() + Duration::from_secs(5)).await == Rest::More {}
    world.server.restart().await;
    watch.resume(&world, &session).await;
    watch.turn_end().await;
    let made = format!("GitHub repo created: {}/acme/kites", github.url());
    let said = watch.texts("log", "message");
    assert_eq!(said.iter().filter(|line| **line == made).count(), 1, "{}", watch.told());
    let told = world.rests(&session).await;
    assert_eq!(told["status"], "complete", "{told}");
    assert_eq!(told["git"]["remoteUrl"], format!("{}/acme/kites.git", github.url()));
    assert_eq!(told["git"]["repoVisibility"], "private");
    assert_eq!(world.ask(&session, "git-status").await["initialized"], true);
    world.is_sound();
}

#[tokio::test]
async fn d30_7_a_session_gets_tokens_for_its_own_repository_over_http() {
    let github = GitHubServer::start().await;
    let world = World::start_with(Place::Local, "hello", with(&github)).await;
    let (session, mut watch) = with_repository(&world).await;
    watch.turn_end().await;
    let ask = async || world.try_to_tell(&session, "github-token", json!({})).await;
    let (status, first) = ask().await;
    assert_eq!(status, 200, "{first}");
    let token = first["token"].as_str().unwrap();
    assert!(github.knows(token));
    assert!(first["expires_at"].as_str().unwrap().ends_with('Z'), "{first}");
    for _ in 1..10 {
        assert_eq!(ask().await, (200, first.clone()));
    }
    let (status, refused) = ask().await;
    assert_eq!((status, &refused["error"]), (429, &json!("Too many token requests")));
    assert!(!world.server.output().contains(token), "the token is in the log");
    let (status, _) = world.delete(&session).await;
    assert_eq!((status, github.knows(token)), (200, false));
    world.is_sound();
}

/// A session whose person has just chosen a repository.
async fn with_repository(world: &World) -> (Session, Watch) {
    let session = world.session_of(json!({ "description": "a page with a clock" })).await;
    let mut watch = world.watch(&session).await;
    watch.next("infra_config_prompt").await;
    let answer = json!({
        "gate": "infra_config", "mode": "local", "repoAccount": "acme", "repoName": "kites",
    });
    world.tell(&session, "respond", answer).await;
    (session, watch)
}
