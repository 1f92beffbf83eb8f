//! A GitHub of our own: as strict as the real one in what the studio uses of it, with repositories
//! that git pushes to. GitHub's official client is held against it too (`tools/github-fake`).

mod answer;
mod auth;
mod git;
mod key;
mod routes;
mod tokens;
mod world;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use axum::Router;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

pub use key::RsaKey;
use world::{Shared, World};

/// The App's key: making one takes a moment, so all servers of a process share it.
static KEY: OnceLock<RsaKey> = OnceLock::new();

/// What the server was asked.
#[derive(Clone, Debug)]
pub struct GitHubRequest {
    /// `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// `app`, `installation`, the user's login, or empty.
    pub by: String,
    /// The body, if it was JSON.
    pub body: Value,
}

/// How the next answers fail. Each is for so many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitHubTrouble {
    /// Nothing is done; the answer has this status.
    Status(u16),
    /// Nothing is done; the secondary limit is met, and lifts after so many seconds, if it says.
    Secondary {
        /// What `Retry-After` says.
        retry_after: Option<u64>,
    },
    /// It is done, and the connection breaks before the answer is whole.
    BreakAfterwards,
    /// It is done, and the answer never comes.
    SilentAfterwards,
}

/// A GitHub on this machine: one organisation `acme` where an App is installed that may make
/// repositories, push and propose. Stops when it is dropped.
#[derive(Debug)]
pub struct GitHubServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    key: &'static RsaKey,
    task: JoinHandle<()>,
    hold: watch::Sender<bool>,
}

impl GitHubServer {
    /// The App's number.
    pub const APP_ID: u64 = 4242;
    /// The number of its installation in `acme`.
    pub const INSTALLATION: u64 = 77;

    /// Starts one.
    ///
    /// # Panics
    /// When `openssl` or `git` is missing, or no port is free.
    pub async fn start() -> Self {
        let key = KEY.get_or_init(RsaKey::generate);
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.unwrap_or_else(|error| panic!("no port for a test: {error}"));
        let address = listener.local_addr();
        let address = address.unwrap_or_else(|error| panic!("no port for a test: {error}"));
        let git = TempDir::with_prefix("github-").unwrap_or_else(|error| panic!("{error}"));
        let (hold, held) = watch::channel(false);
        let world = World::new(key.public_der().to_owned());
        let shared = Arc::new(Shared::new(world, git, format!("http://{address}"), held));
        let router = Router::new().fallback(routes::answer).with_state(shared.clone());
        let serve = async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the test GitHub ended");
            }
        };
        Self { shared, address, key, task: tokio::spawn(serve), hold }
    }

    /// Where the API is, and the repositories: `<url>/acme/app.git`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The App's private key, as GitHub hands it out.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        self.key.pem()
    }

    /// A person, a member of `orgs`; gives a token with the scopes, as `["repo", "read:org"]`.
    #[must_use]
    pub fn add_user(&self, login: &str, orgs: &[&str], scopes: &[&str]) -> String {
        self.shared.world().add_user(login, orgs, scopes)
    }

    /// A repository with a branch `main` in the API's eyes, and nothing to be cloned yet.
    ///
    /// # Panics
    /// When git cannot make it.
    pub fn add_repo(&self, owner: &str, name: &str, private: bool, in_installation: bool) {
        let id = self.shared.world().add_repo(owner, name, private, in_installation);
        self.shared.init(owner, name);
        self.shared.world().set_branches(id, vec!["main".to_owned()]);
    }

    /// Which branches the API lists.
    pub fn set_branches(&self, owner: &str, name: &str, branches: Vec<String>) {
        let mut world = self.shared.world();
        if let Some(id) = world.find(owner, name) {
            world.set_branches(id, branches);
        }
    }

    /// Renames a repository; the old name answers with a redirect.
    pub fn rename(&self, owner: &str, from: &str, to: &str) {
        self.shared.world().rename(owner, from, to);
    }

    /// Where a repository lies, for git itself.
    #[must_use]
    pub fn git_dir(&self, owner: &str, name: &str) -> PathBuf {
        self.shared.git_dir(owner, name)
    }

    /// Lets the server's clock be so many seconds ahead.
    pub fn set_clock_ahead(&self, seconds: i64) {
        self.shared.world().clock_ahead = seconds;
    }

    /// How long tokens last, in seconds; an hour at first.
    pub fn set_token_life(&self, seconds: i64) {
        self.shared.world().token_life = seconds;
    }

    /// Lets every credential make so many requests until the limit lifts, in so many seconds.
    pub fn set_hourly_limit(&self, requests: u64, lifts_in: i64) {
        self.shared.world().set_hourly_limit(requests, lifts_in);
    }

    /// The next `times` requests to a path that holds `part` meet `trouble`.
    pub fn trouble(&self, part: &str, times: u32, trouble: GitHubTrouble) {
        self.shared.world().troubles.push((part.to_owned(), times, trouble));
    }

    /// Gives out tokens for everything, whatever is asked, as no GitHub should.
    pub fn widen_tokens(&self) {
        self.shared.world().widens = true;
    }

    /// Makes public what is to be private, as no GitHub should.
    pub fn make_public(&self) {
        self.shared.world().makes_public = true;
    }

    /// What the installation was granted, as `[("contents", "write")]`.
    pub fn grant(&self, permissions: &[(&str, &str)]) {
        let all = permissions.iter().map(|(name, access)| ((*name).into(), (*access).into()));
        self.shared.world().granted = all.collect();
    }

    /// Ends a token.
    pub fn revoke(&self, token: &str) {
        self.shared.world().tokens.remove(token);
    }

    /// Whether a token lets anybody in now.
    #[must_use]
    pub fn knows(&self, token: &str) -> bool {
        self.shared.world().holder(token).is_some()
    }

    /// Lets requests for tokens wait, or lets them go on.
    pub fn hold(&self, yes: bool) {
        self.hold.send_replace(yes);
    }

    /// Everything that was asked of the API, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<GitHubRequest> {
        self.shared.world().requests.clone()
    }

    /// How many requests were for this method and path.
    #[must_use]
    pub fn count(&self, method: &str, path: &str) -> usize {
        let is = |one: &&GitHubRequest| {
            one.method == method && one.target.split('?').next() == Some(path)
        };
        self.shared.world().requests.iter().filter(is).count()
    }
}

impl Drop for GitHubServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
