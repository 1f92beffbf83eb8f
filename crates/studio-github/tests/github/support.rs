use std::{error::Error, time::Duration};

use studio_github::{AppId, AppKey, AppOptions, GitHubOptions, RestGitHub, UserToken};
use studio_ids::{Repository, Secret};
use studio_testkit::GitHubServer;

/// A server, and the studio's GitHub with its App.
pub(crate) async fn world() -> (GitHubServer, RestGitHub) {
    let server = GitHubServer::start().await;
    let github = RestGitHub::new(options(&server)).unwrap();
    (server, github)
}

pub(crate) fn options(server: &GitHubServer) -> GitHubOptions {
    GitHubOptions {
        api: server.url(),
        app: Some(app(server, &GitHubServer::APP_ID.to_string())),
        deadline: Duration::from_secs(20),
        attempt: Duration::from_secs(10),
        ..Default::default()
    }
}

pub(crate) fn app(server: &GitHubServer, id: &str) -> AppOptions {
    let key = AppKey::from_pem(&Secret::new(server.key_pem())).unwrap();
    let id = AppId::new(id).unwrap();
    AppOptions::new(id, GitHubServer::INSTALLATION, key, "acme".parse().unwrap())
}

pub(crate) fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

pub(crate) fn user(server: &GitHubServer, login: &str, orgs: &[&str]) -> UserToken {
    UserToken::new(&server.add_user(login, orgs, &["repo", "read:org"])).unwrap()
}

/// An error and all its causes, as a log would have it.
pub(crate) fn told(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
