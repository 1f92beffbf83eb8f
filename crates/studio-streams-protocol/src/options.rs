use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::http::HeaderValue;
use tokio_util::sync::CancellationToken;

use crate::{Access, Everybody};

/// What time it is, for cursors.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Which pages of other origins may read the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// None.
    Nobody,
    /// All. Only where nothing is secret, or everybody needs a token.
    Everybody,
    /// These: `https://studio.example.com`.
    Origins(Vec<String>),
}

/// Who may keep the answer to a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Nobody: the streams hold what only some may see.
    Private,
    /// Whoever stands between, for a minute.
    Public,
}

impl Cache {
    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Private => "private, no-store",
            Self::Public => "public, max-age=60, stale-while-revalidate=300",
        })
    }
}

/// Everything that can be set about the router.
#[derive(Clone)]
pub struct ProtocolOptions {
    /// The path below which streams stand, as clients see it, without a slash at its end. A
    /// request's whole path must begin with it, wherever the router is mounted.
    pub mount: String,
    /// How long a long-poll waits before it is answered with nothing.
    pub long_poll: Duration,
    /// How long an event stream goes on before the client is to come back.
    pub sse_lifetime: Duration,
    /// Silence on an event stream after which a comment is sent.
    pub keep_alive: Duration,
    /// Largest body, in bytes. A store takes no record over 16 MiB.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_patience: Duration,
    /// Most messages in the answer to one read. A store has its own limit in bytes.
    pub page_records_max: usize,
    /// Which pages of other origins may read the answers.
    pub cors: Cors,
    /// Who may keep the answers to reads.
    pub cache: Cache,
    /// `Cross-Origin-Resource-Policy` of every answer: `cross-origin`, `same-site`, `same-origin`.
    pub resource_policy: &'static str,
    /// Who may do what.
    pub access: Arc<dyn Access>,
    /// What time it is.
    pub clock: Clock,
    /// Ends event streams and long-polls.
    pub stop: CancellationToken,
}

impl Default for ProtocolOptions {
    fn default() -> Self {
        Self {
            mount: "/v1/stream".to_owned(),
            long_poll: Duration::from_secs(20),
            sse_lifetime: Duration::from_secs(60),
            keep_alive: Duration::from_secs(15),
            body_bytes_max: 16 * 1024 * 1024,
            body_patience: Duration::from_secs(30),
            page_records_max: 10_000,
            cors: Cors::Nobody,
            cache: Cache::Private,
            resource_policy: "cross-origin",
            access: Arc::new(Everybody),
            clock: Arc::new(SystemTime::now),
            stop: CancellationToken::new(),
        }
    }
}

impl fmt::Debug for ProtocolOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtocolOptions")
            .field("mount", &self.mount)
            .field("long_poll", &self.long_poll)
            .field("sse_lifetime", &self.sse_lifetime)
            .field("body_bytes_max", &self.body_bytes_max)
            .field("cors", &self.cors)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
