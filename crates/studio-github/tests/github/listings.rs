use studio_github::{
    Account, AccountKind, BRANCHES_MAX, Branch, GitHub, GitHubError, REPOS_RECENT, UserToken,
};

use crate::support::{repository, user, world};

#[tokio::test]
async fn accounts_are_the_user_and_all_organisations() {
    let (server, github) = world().await;
    let orgs: Vec<String> = (0..130).map(|n| format!("org-{n}")).collect();
    let orgs: Vec<&str> = orgs.iter().map(String::as_str).collect();
    let token = user(&server, "ada", &orgs);
    let found = github.accounts(&token).await.unwrap();
    assert!(found.incomplete.is_none());
    let json = serde_json::to_value(&found.accounts[..2]).unwrap();
    let first = serde_json::json!([{"login": "ada", "type": "user"},
                                   {"login": "org-0", "type": "org"}]);
    assert_eq!(json, first);
    assert_eq!(found.accounts.len(), 131);
    assert_eq!(server.count("GET", "/user/orgs"), 2);
}

#[tokio::test]
async fn a_token_that_may_not_see_organisations_still_shows_its_user() {
    let (server, github) = world().await;
    let token = UserToken::new(&server.add_user("ada", &["acme"], &["repo"])).unwrap();
    let found = github.accounts(&token).await.unwrap();
    let ada = Account { login: "ada".parse().unwrap(), kind: AccountKind::User };
    assert_eq!(found.accounts, [ada]);
    let why = found.incomplete.unwrap().to_string();
    assert!(why.contains("You need at least read:org scope"), "{why}");
}

#[tokio::test]
async fn a_token_that_nobody_knows_is_told() {
    let (_server, github) = world().await;
    let token = UserToken::new("ghp_nothing").unwrap();
    let error = github.accounts(&token).await.unwrap_err();
    assert!(matches!(error, GitHubError::NotLetIn { .. }), "{error}");
    let error = github.repos(&token, REPOS_RECENT).await.unwrap_err();
    assert!(matches!(error, GitHubError::NotLetIn { .. }), "{error}");
    for bad in ["", "a b", "a\n", "ä", &"x".repeat(1_001)] {
        assert!(UserToken::new(bad).is_err(), "{bad:?}");
    }
    assert_eq!(format!("{token:?}"), "UserToken(..)");
}

#[tokio::test]
async fn repositories_come_latest_first_and_as_many_as_wanted() {
    let (server, github) = world().await;
    let token = user(&server, "ada", &["acme"]);
    for n in 0..55 {
        server.add_repo(if n % 2 == 0 { "ada" } else { "acme" }, &format!("r{n}"), true, false);
    }
    server.add_repo("other", "secret", true, false);
    // A name that would be taken for an option is left out.
    server.add_repo("ada", "-x", true, false);
    let recent = github.repos(&token, REPOS_RECENT).await.unwrap();
    assert_eq!(recent.items.len(), 49);
    assert!(!recent.is_complete);
    let first = &recent.items[0];
    assert_eq!(first.repository, repository("ada/r54"));
    assert_eq!(first.url, format!("{}/ada/r54", server.url()));
    assert!(first.is_private && recent.items[1].updated_at < first.updated_at);
    let all = github.repos(&token, 1_000).await.unwrap();
    assert_eq!((all.items.len(), all.is_complete), (55, true));
}

#[tokio::test]
async fn branches_come_from_all_pages_and_know_the_default() {
    let (server, github) = world().await;
    let token = user(&server, "ada", &["acme"]);
    server.add_repo("acme", "app", true, false);
    let mut names: Vec<String> = (0..240).map(|n| format!("feature/{n}")).collect();
    names.push("main".to_owned());
    server.set_branches("acme", "app", names);
    let app = repository("acme/app");
    let found = github.branches(&token, &app).await.unwrap();
    assert_eq!((found.items.len(), found.is_complete), (241, true));
    let main = Branch { name: "main".parse().unwrap(), is_default: true };
    assert_eq!(found.items.iter().filter(|branch| branch.is_default).collect::<Vec<_>>(), [&main]);
    let json = serde_json::json!({"name": "main", "isDefault": true});
    assert_eq!(serde_json::to_value(&main).unwrap(), json);
    // Too many to be listed: the default one is there all the same.
    let mut names: Vec<String> = (0..=BRANCHES_MAX).map(|n| format!("feature/{n}")).collect();
    names.push("main".to_owned());
    server.set_branches("acme", "app", names);
    let found = github.branches(&token, &app).await.unwrap();
    assert!(!found.is_complete);
    assert_eq!(found.items[0], main);
}

#[tokio::test]
async fn an_empty_repository_has_no_branches() {
    let (server, github) = world().await;
    let token = user(&server, "ada", &["acme"]);
    server.add_repo("acme", "app", true, false);
    server.set_branches("acme", "app", vec![]);
    let found = github.branches(&token, &repository("acme/app")).await.unwrap();
    assert_eq!((found.items.len(), found.is_complete), (0, true));
}

#[tokio::test]
async fn a_repository_that_was_renamed_is_followed() {
    let (server, github) = world().await;
    let token = user(&server, "ada", &["acme"]);
    server.add_repo("acme", "old", true, false);
    server.rename("acme", "old", "new");
    let found = github.branches(&token, &repository("acme/old")).await.unwrap();
    assert_eq!(found.items.len(), 1);
}

#[tokio::test]
async fn a_repository_that_is_not_there_or_not_to_be_seen_is_not_found() {
    let (server, github) = world().await;
    let token = user(&server, "ada", &[]);
    server.add_repo("acme", "secret", true, false);
    for name in ["acme/secret", "acme/nothing"] {
        let error = github.branches(&token, &repository(name)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("listing branches of {name}: not found, or not visible with this credential")
        );
    }
}
