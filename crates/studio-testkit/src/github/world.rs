use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use ring::rand::{SecureRandom, SystemRandom};
use tempfile::TempDir;
use tokio::sync::watch;

use super::{GitHubRequest, GitHubTrouble};

/// Names of permissions to `read` or `write`.
pub(super) type Grants = BTreeMap<String, String>;

#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
    git: TempDir,
    pub url: String,
    pub held: watch::Receiver<bool>,
}

impl Shared {
    pub(super) fn new(
        world: World,
        git: TempDir,
        url: String,
        held: watch::Receiver<bool>,
    ) -> Self {
        Self { world: Mutex::new(world), git, url, held }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn git_root(&self) -> PathBuf {
        self.git.path().to_owned()
    }

    pub(super) fn git_dir(&self, owner: &str, name: &str) -> PathBuf {
        self.git.path().join(owner).join(format!("{name}.git"))
    }
}

/// Who holds a token.
#[derive(Clone, Debug)]
pub(super) enum Holder {
    User {
        login: String,
        scopes: Vec<String>,
    },
    Installation {
        /// `None` = all that the installation covers.
        repos: Option<Vec<u64>>,
        permissions: Grants,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Repo {
    pub id: u64,
    pub owner: String,
    pub name: String,
    pub private: bool,
    pub in_installation: bool,
    pub updated_at: i64,
    pub branches: Vec<String>,
    pub description: Option<String>,
}

impl Repo {
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub public_der: Vec<u8>,
    pub account: String,
    pub orgs: Vec<String>,
    /// Logins to the organisations they are members of.
    pub users: HashMap<String, Vec<String>>,
    pub repos: Vec<Repo>,
    /// Old `owner/name` to id.
    pub renamed: HashMap<String, u64>,
    /// Tokens to holders and ends.
    pub tokens: HashMap<String, (Holder, i64)>,
    pub granted: Grants,
    pub token_life: i64,
    pub clock_ahead: i64,
    pub widens: bool,
    pub makes_public: bool,
    pub troubles: Vec<(String, u32, GitHubTrouble)>,
    pub requests: Vec<GitHubRequest>,
    hourly: u64,
    resets_at: Option<i64>,
    used: HashMap<String, u64>,
    next_id: u64,
}

impl World {
    pub(super) fn new(public_der: Vec<u8>) -> Self {
        let granted = [
            ("administration", "write"),
            ("contents", "write"),
            ("issues", "write"),
            ("metadata", "read"),
            ("pull_requests", "write"),
        ];
        Self {
            public_der,
            account: "acme".to_owned(),
            orgs: vec!["acme".to_owned()],
            users: HashMap::new(),
            repos: Vec::new(),
            renamed: HashMap::new(),
            tokens: HashMap::new(),
            granted: granted.map(|(name, access)| (name.into(), access.into())).into(),
            token_life: 3600,
            clock_ahead: 0,
            widens: false,
            makes_public: false,
            troubles: Vec::new(),
            requests: Vec::new(),
            hourly: 5_000,
            resets_at: None,
            used: HashMap::new(),
            next_id: 1_000,
        }
    }

    /// Seconds since 1970, by this GitHub's clock.
    pub(super) fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX / 2) + self.clock_ahead
    }

    pub(super) fn add_user(&mut self, login: &str, orgs: &[&str], scopes: &[&str]) -> String {
        for org in orgs {
            if !self.orgs.iter().any(|known| known == org) {
                self.orgs.push((*org).to_owned());
            }
        }
        self.users.insert(login.to_owned(), orgs.iter().map(|org| (*org).to_owned()).collect());
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.issue("ghp_", Holder::User { login: login.to_owned(), scopes }, i64::MAX)
    }

    pub(super) fn issue(&mut self, prefix: &str, holder: Holder, expires_at: i64) -> String {
        let mut bytes = [0; 18];
        SystemRandom::new().fill(&mut bytes).unwrap_or_else(|error| panic!("random: {error}"));
        let digits = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let token = format!("{prefix}{digits}");
        self.tokens.insert(token.clone(), (holder, expires_at));
        token
    }

    pub(super) fn holder(&self, token: &str) -> Option<Holder> {
        let (holder, expires_at) = self.tokens.get(token)?;
        (self.now() < *expires_at).then(|| holder.clone())
    }

    pub(super) fn add_repo(
        &mut self,
        owner: &str,
        name: &str,
        private: bool,
        in_installation: bool,
    ) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        // The one added last is the one updated last.
        let updated_at = 1_700_000_000 + i64::try_from(id).unwrap_or(0);
        let (owner, name, branches) = (owner.to_owned(), name.to_owned(), Vec::new());
        let description = None;
        self.repos.push(Repo {
            id,
            owner,
            name,
            private,
            in_installation,
            updated_at,
            branches,
            description,
        });
        id
    }

    /// The repository of that name, which GitHub reads without regard to case.
    pub(super) fn find(&self, owner: &str, name: &str) -> Option<u64> {
        let is = |repo: &&Repo| {
            repo.owner.eq_ignore_ascii_case(owner) && repo.name.eq_ignore_ascii_case(name)
        };
        self.repos.iter().find(is).map(|repo| repo.id)
    }

    pub(super) fn repo(&self, id: u64) -> Option<&Repo> {
        self.repos.iter().find(|repo| repo.id == id)
    }

    pub(super) fn describe(&mut self, id: u64, description: Option<&str>) {
        if let Some(repo) = self.repos.iter_mut().find(|repo| repo.id == id) {
            repo.description = description.map(str::to_owned);
        }
    }

    pub(super) fn set_branches(&mut self, id: u64, branches: Vec<String>) {
        if let Some(repo) = self.repos.iter_mut().find(|repo| repo.id == id) {
            repo.branches = branches;
        }
    }

    pub(super) fn rename(&mut self, owner: &str, from: &str, to: &str) {
        let Some(id) = self.find(owner, from) else { return };
        self.renamed.insert(format!("{owner}/{from}").to_ascii_lowercase(), id);
        if let Some(repo) = self.repos.iter_mut().find(|repo| repo.id == id) {
            repo.name = to.to_owned();
        }
    }

    /// Whether `holder` may see a repository.
    pub(super) fn sees(&self, holder: &Holder, repo: &Repo) -> bool {
        match holder {
            Holder::User { login, scopes } => {
                let orgs = self.users.get(login).into_iter().flatten();
                let member = orgs.into_iter().any(|org| *org == repo.owner);
                let private = scopes.iter().any(|scope| scope == "repo");
                !repo.private || (private && (*login == repo.owner || member))
            }
            Holder::Installation { repos: Some(repos), .. } => repos.contains(&repo.id),
            Holder::Installation { repos: None, .. } => repo.in_installation,
        }
    }

    pub(super) fn set_hourly_limit(&mut self, requests: u64, lifts_in: i64) {
        self.hourly = requests;
        self.resets_at = Some(self.now() + lifts_in);
        self.used.clear();
    }

    /// Counts one request: limit, used, and when it lifts. Over the limit nothing more counts.
    pub(super) fn count(&mut self, who: &str) -> (u64, u64, i64, bool) {
        let now = self.now();
        let resets_at = *self.resets_at.get_or_insert(now + 3600);
        if resets_at <= now {
            self.used.clear();
            self.resets_at = Some(now + 3600);
        }
        let used = self.used.entry(who.to_owned()).or_default();
        let over = self.hourly <= *used;
        if !over {
            *used += 1;
        }
        (self.hourly, *used, self.resets_at.unwrap_or(now), over)
    }

    /// What the next request to `target` meets.
    pub(super) fn next_trouble(&mut self, target: &str) -> Option<GitHubTrouble> {
        let found = self.troubles.iter_mut().find(|(part, _, _)| target.contains(part.as_str()))?;
        found.1 = found.1.saturating_sub(1);
        let trouble = found.2;
        self.troubles.retain(|(_, times, _)| 0 < *times);
        Some(trouble)
    }
}
