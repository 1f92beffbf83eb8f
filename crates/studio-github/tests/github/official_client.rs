use studio_testkit::{GitHubServer, GitHubTrouble, NodeTool};

/// The server is as good as what the vendor's own client makes of it.
#[tokio::test]
async fn githubs_own_client_works_with_the_server_that_these_tests_use() {
    let server = GitHubServer::start().await;
    let token = server.add_user("ada", &["acme"], &["repo", "read:org"]);
    for name in ["app", "other", "limited"] {
        server.add_repo("acme", name, true, true);
    }
    server.set_branches("acme", "app", (0..75).map(|n| format!("b{n}")).collect());
    server.trouble("/repos/acme/limited", 1, GitHubTrouble::Secondary { retry_after: Some(1) });
    let tool = NodeTool::github_fake();
    let mut node = tool.node("octokit.mjs");
    node.env("GITHUB_API", server.url())
        .env("GITHUB_APP", GitHubServer::APP_ID.to_string())
        .env("GITHUB_INSTALLATION", GitHubServer::INSTALLATION.to_string())
        .env("GITHUB_KEY", server.key_pem())
        .env("GITHUB_TOKEN", token);
    let ran = tokio::task::spawn_blocking(move || node.output()).await.unwrap();
    let output = ran.expect("node: run `cargo xtask setup`");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.ends_with("octokit is content\n"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// As the first test, with a server whose clock is another: the official client corrects its
/// own as ours does.
#[tokio::test]
async fn githubs_own_client_is_refused_for_a_wrong_clock_and_corrects_it() {
    let server = GitHubServer::start().await;
    server.set_clock_ahead(-600);
    server.add_repo("acme", "app", true, true);
    let tool = NodeTool::github_fake();
    let mut node = tool.node("clock.mjs");
    node.env("GITHUB_API", server.url())
        .env("GITHUB_APP", GitHubServer::APP_ID.to_string())
        .env("GITHUB_INSTALLATION", GitHubServer::INSTALLATION.to_string())
        .env("GITHUB_KEY", server.key_pem());
    let ran = tokio::task::spawn_blocking(move || node.output()).await.unwrap();
    let output = ran.expect("node: run `cargo xtask setup`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.count("GET", "/app"), 2, "refused once, then corrected");
}
