//! One request, made until it is answered, refused or out of time.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Method, Url,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER},
    redirect,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use studio_ids::Secret;
use tokio::time::{Instant, timeout};

use crate::{
    GitHubError, GitHubOptions, RateLimit, SetupError,
    error::Source,
    rate::{self, Limits},
    wire::Complaint,
};

/// Longest answer, in bytes. A full page of repositories has less than one MiB.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Redirects that are followed: a repository that was renamed leads to one.
const REDIRECTS_MAX: u32 = 3;
/// Wait before another attempt, doubled each time.
const BACK_OFF_FIRST: Duration = Duration::from_millis(200);
const BACK_OFF_MAX: Duration = Duration::from_secs(2);
/// Longer than anybody waits: a longer time is no time.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// GitHub's API as it was documented on that day.
const API_VERSION: &str = "2022-11-28";

#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    deadline: Duration,
    attempt: Duration,
    limits: Limits,
}

/// A request.
pub(crate) struct Ask<'a> {
    /// The deed, for errors: `listing branches of acme/app`.
    pub what: String,
    pub method: Method,
    pub url: Url,
    pub secret: &'a Secret,
    /// Whose limits are met: a token itself, or the App, whose signature is another each time.
    pub limited_as: &'a str,
    pub body: Option<Value>,
    /// Not to be made again when it may have been done.
    pub once: bool,
    pub until: Instant,
}

/// A good answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self, what: &str) -> Result<T, GitHubError> {
        serde_json::from_slice(&self.body).map_err(|error| GitHubError::Strange {
            what: what.to_owned(),
            // Where, and never what: an answer may hold a token.
            why: format!("what cannot be read (line {}, column {})", error.line(), error.column()),
        })
    }
}

/// A request that came to nothing.
#[derive(Debug)]
pub(crate) struct Failure {
    pub error: GitHubError,
    /// GitHub's clock, if it answered.
    pub date: Option<i64>,
    /// What GitHub says field by field.
    pub complaint: Complaint,
}

impl From<GitHubError> for Failure {
    fn from(error: GitHubError) -> Self {
        Self { error, date: None, complaint: Complaint::default() }
    }
}

impl From<Failure> for GitHubError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// What a request met on its way.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("no connection could be made")]
    NoConnection(#[source] reqwest::Error),
    #[error("the connection broke")]
    Broken(#[source] reqwest::Error),
    #[error("no answer within {0:?}")]
    Slow(Duration),
    #[error("GitHub failed ({status})")]
    Failed { status: u16, retry_after: Option<Duration> },
    #[error("the answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
}

struct Raw {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    pub(crate) fn new(options: &GitHubOptions) -> Result<Self, SetupError> {
        let base = base(&options.api)?;
        let http = reqwest::Client::builder()
            // Followed by hand, to the same server only: a token is for nobody else.
            .redirect(redirect::Policy::none())
            .connect_timeout(options.attempt)
            .tcp_nodelay(true)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(8)
            .user_agent(concat!("agent-studio/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SetupError::Client(Arc::new(error)))?;
        let (deadline, attempt) = (options.deadline.min(DAY), options.attempt.min(DAY));
        Ok(Self { http, base, deadline, attempt, limits: Limits::default() })
    }

    /// Until when a call that begins now may take.
    pub(crate) fn until(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// Where `parts` are in the API.
    pub(crate) fn url(&self, parts: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        // An http URL has a path; without one nothing is added, and GitHub finds nothing.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// An address that GitHub gave, if it is on the same server.
    pub(crate) fn own(&self, at: &Url, target: &str) -> Option<Url> {
        let url = at.join(target).ok()?;
        (url.origin() == self.base.origin() && url.username().is_empty()).then_some(url)
    }

    /// Asks until there is an answer that holds.
    pub(crate) async fn ask(&self, mut ask: Ask<'_>) -> Result<Answer, Failure> {
        let mark = self.limits.mark(ask.limited_as.as_bytes());
        let (mut attempts, mut limits, mut redirects) = (0, 0, 0);
        let mut back_off = BACK_OFF_FIRST;
        loop {
            if let Some((limit, left)) = self.limits.left(mark) {
                wait_for(&ask, limit, left).await?;
            }
            attempts += 1;
            let trouble = match self.send(&ask).await {
                Ok(raw) if (200..300).contains(&raw.status) => {
                    return Ok(Answer { headers: raw.headers, body: raw.body });
                }
                Ok(raw) if (300..400).contains(&raw.status) => {
                    redirects += 1;
                    ask.url = self.redirected(&ask, &raw.headers, redirects)?;
                    continue;
                }
                Ok(raw) if raw.status < 500 => {
                    let complaint = Complaint::read(&raw.body, ask.secret);
                    let message = &complaint.message;
                    match rate::limited(raw.status, &raw.headers, message, limits) {
                        Some((limit, wait)) => {
                            limits += 1;
                            self.limits.met(mark, limit, wait);
                            tracing::warn!(?limit, seconds = wait.as_secs(), "GitHub's limit");
                            wait_for(&ask, limit, wait).await?;
                            continue;
                        }
                        None => return Err(refused(ask.what, &raw, complaint)),
                    }
                }
                Ok(raw) => {
                    let secs = raw.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                    let retry_after = secs.and_then(|secs| secs.trim().parse().ok());
                    let retry_after = retry_after.map(|secs| Duration::from_secs(secs).min(DAY));
                    Trouble::Failed { status: raw.status, retry_after }
                }
                Err(trouble) => trouble,
            };
            if ask.once && !matches!(trouble, Trouble::NoConnection(_)) {
                let source: Source = Arc::new(trouble);
                return Err(GitHubError::InDoubt { what: ask.what, source }.into());
            }
            let floor = match &trouble {
                Trouble::Failed { retry_after, .. } => retry_after.unwrap_or_default(),
                Trouble::NoConnection(_)
                | Trouble::Broken(_)
                | Trouble::Slow(_)
                | Trouble::TooLarge => Duration::ZERO,
            };
            let wait = floor + with_jitter(back_off);
            back_off = (back_off * 2).min(BACK_OFF_MAX);
            let hopeless = matches!(trouble, Trouble::TooLarge);
            if hopeless || ask.until < Instant::now() + wait {
                let (what, source): (_, Source) = (ask.what, Arc::new(trouble));
                return Err(GitHubError::Unreachable { what, attempts, source }.into());
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Where a redirect leads, if it may be followed.
    fn redirected(
        &self,
        ask: &Ask<'_>,
        headers: &HeaderMap,
        redirects: u32,
    ) -> Result<Url, GitHubError> {
        let strange = |why: &str| GitHubError::Strange { what: ask.what.clone(), why: why.into() };
        if ask.method != Method::GET {
            return Err(strange("with a redirect, where something was to be changed"));
        }
        if REDIRECTS_MAX < redirects {
            return Err(strange("with one redirect after the other"));
        }
        let target = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let target = target.and_then(|target| self.own(&ask.url, target));
        target.ok_or_else(|| strange("with a redirect to somewhere else"))
    }

    async fn send(&self, ask: &Ask<'_>) -> Result<Raw, Trouble> {
        let left = ask.until.saturating_duration_since(Instant::now());
        let wait = self.attempt.min(left).max(Duration::from_millis(1));
        let mut request = self.http.request(ask.method.clone(), ask.url.clone());
        request = request
            .header(AUTHORIZATION, bearer(ask.secret))
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", API_VERSION);
        if let Some(body) = &ask.body {
            request = request.json(body);
        }
        let answer = async {
            let mut response = request.send().await.map_err(|error| {
                let error = error.without_url();
                if error.is_connect() {
                    Trouble::NoConnection(error)
                } else {
                    Trouble::Broken(error)
                }
            })?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let mut body = BytesMut::new();
            let broken = |error: reqwest::Error| Trouble::Broken(error.without_url());
            while let Some(piece) = response.chunk().await.map_err(broken)? {
                if ANSWER_BYTES_MAX - body.len() < piece.len() {
                    return Err(Trouble::TooLarge);
                }
                body.extend_from_slice(&piece);
            }
            Ok(Raw { status, headers, body: body.freeze() })
        };
        timeout(wait, answer).await.unwrap_or(Err(Trouble::Slow(wait)))
    }
}

/// Waits for a limit to lift, if that is in time.
async fn wait_for(ask: &Ask<'_>, limit: RateLimit, wait: Duration) -> Result<(), GitHubError> {
    if ask.until < Instant::now() + wait {
        let what = ask.what.clone();
        return Err(GitHubError::RateLimited { what, limit, retry_after: wait });
    }
    tokio::time::sleep(wait).await;
    Ok(())
}

/// The header that a secret goes into. A secret that none can hold is sent as nothing, and
/// GitHub refuses it; tokens are checked where they come in.
fn bearer(secret: &Secret) -> HeaderValue {
    let value = HeaderValue::from_str(&format!("Bearer {}", secret.expose()));
    let mut value = value.unwrap_or_else(|_bad| HeaderValue::from_static("Bearer"));
    value.set_sensitive(true);
    value
}

fn base(api: &str) -> Result<Url, SetupError> {
    let url = Url::parse(api.trim_end_matches('/'))
        .map_err(|_not_a_url| SetupError::BadUrl("it is not like https://host"))?;
    let host = url.host_str().ok_or(SetupError::BadUrl("it has no host"))?;
    let is_here = matches!(host, "127.0.0.1" | "[::1]" | "localhost");
    match url.scheme() {
        "https" => {}
        "http" if is_here => {}
        "http" => return Err(SetupError::BadUrl("http sends tokens in the clear")),
        _ => return Err(SetupError::BadUrl("it is not like https://host")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SetupError::BadUrl("a secret is not a part of it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(SetupError::BadUrl("it has a query or a fragment"));
    }
    Ok(url)
}

fn refused(what: String, raw: &Raw, complaint: Complaint) -> Failure {
    let message = complaint.whole();
    let error = match raw.status {
        401 => GitHubError::NotLetIn { what, message },
        403 => GitHubError::Forbidden { what, message },
        404 | 410 => GitHubError::NotFound { what },
        status => GitHubError::Refused { what, status, message },
    };
    Failure { error, date: rate::date(&raw.headers), complaint }
}

/// Between a half and all of it, so that many callers do not come at once.
fn with_jitter(wait: Duration) -> Duration {
    let half = wait / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_nanos(RandomState::new().hash_one(0) % nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_keep_a_token_are_taken() {
        for good in [
            "https://api.github.com",
            "https://ghe.example/api/v3/",
            "http://127.0.0.1:1",
            "http://localhost:1/x",
        ] {
            assert!(base(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "api.github.com",
            "ftp://api.github.com",
            "http://api.github.com",
            "http://127.0.0.1.evil.example",
            "https://user:pass@api.github.com",
            "https://api.github.com?x",
            "https://api.github.com#x",
        ] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_is_made_of_parts_that_stay_parts() {
        let options = GitHubOptions { api: "https://x/api/v3/".into(), ..Default::default() };
        let client = Client::new(&options).unwrap();
        let url = client.url(&["repos", "a", "b/../c?"], &[("per_page", "1&2")]);
        assert_eq!(url.as_str(), "https://x/api/v3/repos/a/b%2F..%2Fc%3F?per_page=1%262");
        assert!(client.own(&url, "https://x/api/v3/repositories/1?page=2").is_some());
        assert!(client.own(&url, "/repositories/1").is_some());
        for other in ["https://y/z", "http://x/z", "https://x:8/z", "https://u@x/z", "//y"] {
            assert!(client.own(&url, other).is_none(), "{other}");
        }
    }
}
