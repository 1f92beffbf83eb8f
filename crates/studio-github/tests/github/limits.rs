use std::time::{Duration, Instant};

use studio_github::{GitHub, GitHubError, GitHubOptions, RateLimit, RestGitHub};
use studio_testkit::GitHubTrouble;

use crate::support::{options, repository, user, world};

#[tokio::test]
async fn the_hourly_limit_is_waited_for_when_it_lifts_in_time() {
    let (server, github) = world().await;
    let token = user(&server, "ada", &[]);
    server.set_clock_ahead(7_200);
    server.set_hourly_limit(2, 2);
    let begin = Instant::now();
    for _ in 0..3 {
        github.repos(&token, 1).await.unwrap();
    }
    assert!(Duration::from_secs(1) < begin.elapsed(), "{:?}", begin.elapsed());
    assert_eq!(server.count("GET", "/user/repos"), 4, "one was refused");
}

#[tokio::test]
async fn the_hourly_limit_is_told_when_it_lifts_too_late_and_github_is_left_alone() {
    let (server, github) = world().await;
    let (ada, bob) = (user(&server, "ada", &[]), user(&server, "bob", &[]));
    server.set_hourly_limit(1, 1_800);
    github.repos(&ada, 1).await.unwrap();
    for _ in 0..5 {
        let error = github.repos(&ada, 1).await.unwrap_err();
        let GitHubError::RateLimited { limit, retry_after, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*limit, RateLimit::Primary);
        assert!((1_790..=1_801).contains(&retry_after.as_secs()), "{retry_after:?}");
        assert!(error.is_passing() && error.retry_after() == Some(*retry_after));
        let told = error.to_string();
        assert!(
            told.starts_with("listing repositories: GitHub's hourly limit is used up"),
            "{told}"
        );
    }
    assert_eq!(server.count("GET", "/user/repos"), 2, "asked once too often, and no more");
    // It is ada's limit alone.
    github.repos(&bob, 1).await.unwrap();
}

#[tokio::test]
async fn the_secondary_limit_is_waited_for_as_long_as_it_says() {
    let (server, github) = world().await;
    let token = user(&server, "ada", &[]);
    server.trouble("/user/repos", 2, GitHubTrouble::Secondary { retry_after: Some(1) });
    let begin = Instant::now();
    github.repos(&token, 1).await.unwrap();
    assert!(Duration::from_secs(2) <= begin.elapsed());
    assert_eq!(server.count("GET", "/user/repos"), 3);
}

#[tokio::test]
async fn the_secondary_limit_without_a_time_is_a_minute_and_is_told() {
    let (server, github) = world().await;
    let token = user(&server, "ada", &[]);
    server.trouble("/user/repos", 1, GitHubTrouble::Secondary { retry_after: None });
    let error = github.repos(&token, 1).await.unwrap_err();
    let GitHubError::RateLimited { limit, retry_after, .. } = error else { panic!("{error}") };
    assert_eq!(limit, RateLimit::Secondary);
    assert!((58..=60).contains(&retry_after.as_secs()), "{retry_after:?}");
    assert_eq!(server.count("GET", "/user/repos"), 1);
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_whatever_github_does() {
    let (server, _) = world().await;
    server.add_repo("acme", "app", true, true);
    server.hold(true);
    let impatient = GitHubOptions {
        deadline: Duration::from_millis(600),
        attempt: Duration::from_millis(200),
        ..options(&server)
    };
    let github = RestGitHub::new(impatient).unwrap();
    let begin = Instant::now();
    let error = github.installation_token(&repository("acme/app")).await.unwrap_err();
    assert!(matches!(error, GitHubError::Unreachable { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
}
