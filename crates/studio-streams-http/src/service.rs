//! One request to the service and its answer: deadlines, the secret, headers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect,
};
use studio_streams::{ContentType, Expiry, StreamPath};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{ConnectError, HttpOptions, error::Trouble, health::Health, place::is_good_base};

/// Longest wait that a service's `Retry-After` is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// First wait before a request is made again; each further one is up to twice as long.
const BACK_OFF_FIRST: Duration = Duration::from_millis(50);
/// Connections that are kept open without use.
const IDLE_CONNECTIONS_MAX: usize = 32;

/// The service, as far as requests go.
#[derive(Debug)]
pub(crate) struct Service {
    client: reqwest::Client,
    /// `<url>/v1/stream/<service>/`
    base: Url,
    secret: Option<HeaderValue>,
    pub(crate) health: Health,
    pub(crate) options: HttpOptions,
    pub(crate) stop: CancellationToken,
}

/// A request; what is not given is not sent.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub method: Method,
    pub path: Arc<str>,
    pub query: Vec<(&'static str, String)>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Bytes>,
    /// Longest wait for the answer's head.
    pub wait: Duration,
}

impl Ask {
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }
}

/// An answer with a status that the protocol knows; its body was not read yet.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub told: Told,
    pub body: Body,
}

/// What an answer's headers say of the stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub next: Option<Arc<str>>,
    pub up_to_date: bool,
    pub closed: bool,
    pub cursor: Option<String>,
    pub content_type: Option<ContentType>,
    pub expiry: Option<Expiry>,
    /// The first part of the ETag: another one for another life of the stream, with services
    /// that have the protocol's advice.
    pub tag: Option<Arc<str>>,
    pub producer_epoch: Option<u64>,
    pub producer_seq: Option<u64>,
    pub expected_seq: Option<u64>,
}

impl Told {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|text| text.trim().parse().ok());
        let is_true = |name: &str| text(name).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let expires_at = text("stream-expires-at")
            .and_then(|text| text.parse::<jiff::Timestamp>().ok())
            .and_then(|at| u64::try_from(at.as_millisecond()).ok());
        let tag = text("etag").map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
        Self {
            next: text("stream-next-offset").filter(|text| is_good_base(text)).map(Arc::from),
            up_to_date: is_true("stream-up-to-date"),
            closed: is_true("stream-closed"),
            cursor: text("stream-cursor").map(str::to_owned),
            content_type: text(CONTENT_TYPE.as_str()).and_then(|text| text.parse().ok()),
            expiry: match (number("stream-ttl"), expires_at) {
                (Some(seconds), _) => Some(Expiry::AfterSeconds(seconds)),
                (None, Some(at)) => Some(Expiry::AtMillis(at)),
                (None, None) => None,
            },
            tag: tag.and_then(|tag| tag.split(':').next()).map(Arc::from),
            producer_epoch: number("producer-epoch"),
            producer_seq: number("producer-seq"),
            expected_seq: number("producer-expected-seq"),
        }
    }

    /// Where the stream goes on; every answer that says so must.
    pub(crate) fn next(&self) -> Result<Arc<str>, Trouble> {
        let missing = || Trouble::Strange("an answer without a usable Stream-Next-Offset".into());
        self.next.clone().ok_or_else(missing)
    }
}

/// An answer's body, piece by piece, each awaited for a bounded time.
#[derive(Debug)]
pub(crate) struct Body {
    response: reqwest::Response,
    wait: Duration,
}

impl Body {
    /// Sets how long each further piece is awaited.
    pub(crate) fn wait(&mut self, wait: Duration) {
        self.wait = wait;
    }

    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Trouble> {
        match tokio::time::timeout(self.wait, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(Trouble::Broken(error.without_url())),
            Err(_elapsed) => Err(Trouble::Timeout(self.wait)),
        }
    }

    /// Reads what is left, if it is little, so that the connection can be used again.
    pub(crate) async fn drain(mut self) {
        for _ in 0..4 {
            match self.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}

/// An answer, and whether an earlier attempt of the same request may have been done too.
pub(crate) struct Settled {
    pub answer: Answer,
    pub in_doubt: bool,
}

impl Service {
    pub(crate) fn new(options: HttpOptions) -> Result<Self, ConnectError> {
        let url = Url::parse(options.url.trim_end_matches('/'))
            .map_err(|_not_a_url| ConnectError::BadUrl("it is not like https://host"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(ConnectError::BadUrl("it is not like https://host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConnectError::BadUrl("a secret is not a part of it"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ConnectError::BadUrl("it has a query or a fragment"));
        }
        let good = options.service.parse::<StreamPath>().is_ok() && !options.service.contains('/');
        if !good {
            return Err(ConnectError::BadService);
        }
        let path = url.path().trim_end_matches('/');
        let base = format!("{path}/v1/stream/{}/", options.service);
        let mut with_path = url.clone();
        with_path.set_path(&base);
        let client = reqwest::Client::builder()
            // A redirect would carry records, and not the secret, to somebody else.
            .redirect(redirect::Policy::none())
            .connect_timeout(options.attempt)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(20))
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(Duration::from_secs(20))
            .user_agent(concat!("agent-studio/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ConnectError::Client(Box::new(error)))?;
        let secret = options.secret.as_ref().map(crate::Secret::bearer);
        let (health, stop) = (Health::new(), CancellationToken::new());
        Ok(Self { client, base: with_path, secret, health, options, stop })
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask {
        let wait = self.options.attempt;
        Ask { method, path: path.into(), query: vec![], headers: vec![], body: None, wait }
    }

    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.options.deadline
    }

    /// The path of a stream as other requests name it in a header.
    pub(crate) fn full_path(&self, path: &StreamPath) -> String {
        format!("{}{path}", self.base.path())
    }

    /// Makes one request.
    pub(crate) async fn send(&self, ask: &Ask) -> Result<Answer, Trouble> {
        let answer = tokio::select! {
            () = self.stop.cancelled() => Err(Trouble::Stopped),
            answer = self.send_now(ask) => answer,
        };
        match &answer {
            Ok(_) => self.health.answered(),
            Err(trouble) => self.health.troubled(trouble),
        }
        answer
    }

    async fn send_now(&self, ask: &Ask) -> Result<Answer, Trouble> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path(), ask.path));
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        let mut headers = HeaderMap::new();
        if let Some(secret) = &self.secret {
            headers.insert(AUTHORIZATION, secret.clone());
        }
        for (name, value) in &ask.headers {
            let value = HeaderValue::from_str(value)
                .map_err(|_bad| Trouble::Strange(format!("a value that {name} cannot hold")))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let mut request = self.client.request(ask.method.clone(), url).headers(headers);
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        let response = match tokio::time::timeout(ask.wait, request.send()).await {
            Err(_elapsed) => return Err(Trouble::Timeout(ask.wait)),
            Ok(Err(error)) if error.is_connect() => {
                return Err(Trouble::NoConnection(error.without_url()));
            }
            Ok(Err(error)) => return Err(Trouble::Broken(error.without_url())),
            Ok(Ok(response)) => response,
        };
        let told = Told::of(response.headers());
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        match status {
            200..=299 | 400 | 404 | 409 | 410 | 413 | 415 => {}
            403 if told.producer_epoch.is_some() => {}
            401 | 403 | 407 => return Err(Trouble::NotLetIn { status }),
            429 | 503 => return Err(Trouble::Busy { status, retry_after }),
            408 | 500..=599 => return Err(Trouble::Failed { status }),
            _ => return Err(Trouble::strange(status)),
        }
        let body = Body { response, wait: ask.wait };
        Ok(Answer { status, told, body })
    }

    /// Makes a request that may be made twice, again and again until `deadline`.
    pub(crate) async fn insist(&self, ask: &Ask, deadline: Instant) -> Result<Settled, Trouble> {
        let mut patience = Patience::new(deadline);
        let mut in_doubt = false;
        loop {
            let trouble = match self.send(ask).await {
                Ok(answer) => return Ok(Settled { answer, in_doubt }),
                Err(trouble) => trouble,
            };
            in_doubt |= trouble.is_in_doubt();
            self.again(&mut patience, trouble).await?;
        }
    }

    /// Waits before the next attempt, or gives the trouble back when there is to be none.
    pub(crate) async fn again(
        &self,
        patience: &mut Patience,
        trouble: Trouble,
    ) -> Result<(), Trouble> {
        let Some(wait) = patience.next(&trouble) else { return Err(trouble) };
        tokio::select! {
            () = self.stop.cancelled() => Err(Trouble::Stopped),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }
}

/// How long to wait between the attempts of one call.
pub(crate) struct Patience {
    deadline: Instant,
    back_off: Duration,
}

impl Patience {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self { deadline, back_off: BACK_OFF_FIRST }
    }

    /// The wait before another attempt; `None` = there is no time for one, or no use in it.
    fn next(&mut self, trouble: &Trouble) -> Option<Duration> {
        if !trouble.is_passing() {
            return None;
        }
        let floor = trouble.retry_after().unwrap_or_default();
        let wait = floor + with_jitter(self.back_off);
        self.back_off = (self.back_off * 2).min(Duration::from_secs(2));
        (Instant::now() + wait < self.deadline).then_some(wait)
    }
}

/// Between a half and all of it, so that many callers do not come at once.
pub(crate) fn with_jitter(wait: Duration) -> Duration {
    let half = wait / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_nanos(random() % nanos)
}

/// A number that nobody can guess or repeats.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::time::Instant::now())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    // The other form, a date, is not used by any service of this kind; it is as good as none.
    let seconds: u64 = text.parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
