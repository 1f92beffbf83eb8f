use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::Router;
use studio_auth::Keys;
use studio_flows::Studio;
use studio_ids::SessionId;
use tokio_util::sync::CancellationToken;

use crate::{
    Network,
    codes::Codes,
    limit::HourlyLimit,
    locks::{Locks, Pass},
    streams,
};

/// How often an address may try to log in in vain, in an hour.
const LOGIN_TRIES_MAX: u32 = 30;
/// How often an address may come into shared sessions, or try a code in vain, in an hour.
const JOINS_MAX: u32 = 120;

/// Who may create sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// Whoever reaches the port. Right on loopback.
    Open,
    /// Who holds the operator's token. Right when others reach the port.
    Operator,
}

/// Everything that can be set about the routes.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Names under which this studio is known, without ports (`D30-4`).
    pub allowed_hosts: Vec<String>,
    /// Origins besides the studio's own that may use it: `https://studio.example.com`.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed (`D30-14`).
    pub trusted_proxies: Vec<Network>,
    /// Who may create sessions.
    pub creation: Creation,
    /// Silence on an event stream after which a comment is sent.
    pub keep_alive: Duration,
    /// How long a request's body may take to arrive.
    pub body_patience: Duration,
    /// Whether whoever reaches the port may use all streams. For tests and tools on this machine
    /// alone: right on loopback only.
    pub streams_open: bool,
    /// How long a reader of a stream goes on, in the protocol's own form of events, before its
    /// client is to come back.
    pub streams_sse_lifetime: Duration,
    /// How long a read of a stream waits at most for something to come (`live=long-poll`).
    pub streams_long_poll: Duration,
    /// Most bytes of a project's file in one answer; larger files are read piece by piece.
    pub file_bytes_max: u64,
    /// A sentence for people: what keeps an agent in. Shown by `/api/health`.
    pub isolation: Option<String>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            allowed_hosts: ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            creation: Creation::Open,
            keep_alive: Duration::from_secs(15),
            body_patience: Duration::from_secs(30),
            streams_open: false,
            streams_sse_lifetime: Duration::from_secs(60),
            streams_long_poll: Duration::from_secs(20),
            file_bytes_max: 16 * 1024 * 1024,
            isolation: None,
        }
    }
}

/// What every route can get at. Cheap to clone.
#[derive(Clone)]
pub struct HttpState {
    inner: Arc<Inner>,
}

struct Inner {
    studio: Studio,
    locks: Locks,
    settings: HttpSettings,
    limit: HourlyLimit,
    database_limit: HourlyLimit,
    setup_codes: Codes<()>,
    login_codes: Codes<()>,
    login_limit: HourlyLimit,
    join_limit: HourlyLimit,
    tickets: Codes<(SessionId, Pass)>,
    streams: Router,
    stop: CancellationToken,
}

impl HttpState {
    /// The studio behind routes that open with `keys` and end when `stop` does.
    pub fn new(
        studio: Studio,
        keys: Keys,
        settings: HttpSettings,
        stop: CancellationToken,
    ) -> Self {
        // A session needs one database, so there are as many of those; counted for themselves.
        let max = studio.settings().max_sessions_per_ip_per_hour;
        let (limit, database_limit) = (HourlyLimit::new(max), HourlyLimit::new(max));
        let locks = Locks::new(keys, studio.clone());
        let streams = streams::over(studio.streams(), &locks, &settings, &stop);
        let inner = Inner {
            studio,
            locks,
            settings,
            limit,
            database_limit,
            setup_codes: Codes::for_people(),
            login_codes: Codes::for_people(),
            login_limit: HourlyLimit::new(Some(LOGIN_TRIES_MAX)),
            join_limit: HourlyLimit::new(Some(JOINS_MAX)),
            tickets: Codes::tickets(),
            streams,
            stop,
        };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn studio(&self) -> &Studio {
        &self.inner.studio
    }

    pub(crate) fn locks(&self) -> &Locks {
        &self.inner.locks
    }

    pub(crate) fn settings(&self) -> &HttpSettings {
        &self.inner.settings
    }

    pub(crate) fn limit(&self) -> &HourlyLimit {
        &self.inner.limit
    }

    pub(crate) fn database_limit(&self) -> &HourlyLimit {
        &self.inner.database_limit
    }

    /// A link that logs one browser in, once and soon. `base`: where it finds the studio, like
    /// `https://studio.example.com`.
    pub fn login_link(&self, base: &str) -> String {
        format!("{base}/login?code={}", self.inner.login_codes.give(()).expose())
    }

    pub(crate) fn setup_codes(&self) -> &Codes<()> {
        &self.inner.setup_codes
    }

    pub(crate) fn login_codes(&self) -> &Codes<()> {
        &self.inner.login_codes
    }

    pub(crate) fn login_limit(&self) -> &HourlyLimit {
        &self.inner.login_limit
    }

    pub(crate) fn join_limit(&self) -> &HourlyLimit {
        &self.inner.join_limit
    }

    pub(crate) fn tickets(&self) -> &Codes<(SessionId, Pass)> {
        &self.inner.tickets
    }

    pub(crate) fn streams(&self) -> &Router {
        &self.inner.streams
    }

    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.inner.stop
    }
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
