use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::BytesMut;
use reqwest::{Method, StatusCode, Url, header, redirect};
use serde::de::DeserializeOwned;
use studio_ids::Secret;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    ElectricError, ElectricOptions, SetupError,
    answer::{Begun, Looked, Stand},
};

/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest credential, in bytes: what a request to the studio may hold.
const CREDENTIAL_BYTES_MAX: usize = 1_000;
/// Longest id of a claim, in bytes.
const CLAIM_ID_BYTES_MAX: usize = 100;
/// Longer than anybody waits: a longer time is no time.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// By which name the API knows clients of this kind.
const USER_AGENT: &str = "create-electric-app";

/// Who makes databases. Kept as `Arc<dyn Databases>`.
#[async_trait]
pub trait Databases: Send + Sync + fmt::Debug {
    /// Makes one; takes up to a minute, or until `cancel`. Each call makes another: who lets
    /// others call this bounds how often.
    async fn provision(&self, cancel: &CancellationToken) -> Result<Claimable, ElectricError>;

    /// Where a person makes the claim's database their own.
    fn claim_url(&self, claim: &ClaimId) -> String;
}

/// A database that somebody may claim. It goes after three days when nobody does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimable {
    /// The sync service's name for it.
    pub source_id: String,
    /// What the sync service lets its readers in by.
    pub secret: Secret,
    /// The database, with its password.
    pub database_url: Secret,
    /// Where the sync service is.
    pub electric_url: String,
    /// The claim.
    pub claim_id: ClaimId,
    /// Where a person claims it.
    pub claim_url: String,
}

/// A claim's id: letters, digits, `-` and `_`, so that it stays one part of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimId(String);

impl ClaimId {
    /// The id in `text`, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let good = (1..=CLAIM_ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        good.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Electric Cloud.
#[derive(Clone, Debug)]
pub struct ElectricCloud {
    http: reqwest::Client,
    claims: Url,
    dashboard: Url,
    options: ElectricOptions,
}

impl ElectricCloud {
    /// Prepares; connects to nothing yet.
    pub fn new(options: ElectricOptions) -> Result<Self, SetupError> {
        let mut claims = address(&options.api).map_err(SetupError::Api)?;
        if let Ok(mut path) = claims.path_segments_mut() {
            path.pop_if_empty().extend(["public", "v1", "claimable-sources"]);
        }
        let dashboard = address(&options.dashboard).map_err(SetupError::Dashboard)?;
        address(&options.electric).map_err(SetupError::Electric)?;
        let http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(options.attempt)
            .user_agent(USER_AGENT)
            .build()
            .map_err(|error| SetupError::Client(Arc::new(error)))?;
        Ok(Self { http, claims, dashboard, options })
    }

    async fn run(&self) -> Result<Claimable, ElectricError> {
        let end = Instant::now() + self.options.deadline.min(DAY);
        let begun = self.ask(Method::POST, self.claims.clone(), end).await?;
        let begun: Begun = read(good(begun)?)?;
        let claim = begun.claim_id.as_ref().and_then(|id| ClaimId::new(id.as_str()?));
        let claim = claim.ok_or(ElectricError::NoClaim)?;
        let mut url = self.claims.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(claim.as_str());
        }
        for attempt in 1..=self.options.attempts_max {
            let answer = match self.ask(Method::GET, url.clone(), end).await {
                Ok(answer) => answer,
                // The database is being made all the same: the next look may be luckier.
                Err(ElectricError::Unreachable(why)) if attempt < self.options.attempts_max => {
                    tracing::warn!(error = &*why as &dyn std::error::Error, "no look at the claim");
                    self.pause(attempt, end).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            // It is not known yet while it is being made.
            if answer.0 == StatusCode::NOT_FOUND {
                self.pause(attempt, end).await?;
                continue;
            }
            match read::<Looked>(good(answer)?)?.stand() {
                Stand::Waiting => self.pause(attempt, end).await?,
                Stand::Failed { reason } => return Err(ElectricError::Failed { reason }),
                Stand::Ready { source_id, secret, database_url } => {
                    let good = |text: Option<String>| {
                        text.filter(|text| is_credential(text)).ok_or(ElectricError::NoCredentials)
                    };
                    return Ok(Claimable {
                        source_id: good(source_id)?,
                        secret: Secret::new(good(secret)?),
                        database_url: Secret::new(good(database_url)?),
                        electric_url: self.options.electric.clone(),
                        claim_url: self.claim_url(&claim),
                        claim_id: claim,
                    });
                }
            }
        }
        Err(ElectricError::TimedOut { attempts: self.options.attempts_max })
    }

    /// The wait after a look, if another one follows.
    async fn pause(&self, attempts: u32, end: Instant) -> Result<(), ElectricError> {
        if attempts == self.options.attempts_max {
            return Ok(());
        }
        if end < Instant::now() + self.options.interval.min(DAY) {
            return Err(ElectricError::TimedOut { attempts });
        }
        sleep(self.options.interval).await;
        Ok(())
    }

    async fn ask(
        &self,
        method: Method,
        url: Url,
        end: Instant,
    ) -> Result<(StatusCode, Vec<u8>), ElectricError> {
        let unreachable =
            |error: reqwest::Error| ElectricError::Unreachable(Arc::new(error.without_url()));
        let wait = self.options.attempt.min(end.saturating_duration_since(Instant::now()));
        let mut request = self.http.request(method.clone(), url);
        if method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/json").body("{}");
        }
        let answer = async {
            let mut response = request.send().await.map_err(unreachable)?;
            let status = response.status();
            let mut body = BytesMut::new();
            while let Some(piece) = response.chunk().await.map_err(unreachable)? {
                if ANSWER_BYTES_MAX - body.len() < piece.len() {
                    return Err(ElectricError::Strange("it is far too long"));
                }
                body.extend_from_slice(&piece);
            }
            Ok((status, body.to_vec()))
        };
        timeout(wait, answer)
            .await
            .unwrap_or_else(|elapsed| Err(ElectricError::Unreachable(Arc::new(elapsed))))
    }
}

#[async_trait]
impl Databases for ElectricCloud {
    async fn provision(&self, cancel: &CancellationToken) -> Result<Claimable, ElectricError> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(ElectricError::Cancelled),
            done = self.run() => done,
        }
    }

    fn claim_url(&self, claim: &ClaimId) -> String {
        let mut url = self.dashboard.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("claim");
        }
        url.query_pairs_mut().append_pair("uuid", claim.as_str());
        url.into()
    }
}

fn good((status, body): (StatusCode, Vec<u8>)) -> Result<Vec<u8>, ElectricError> {
    if status.is_success() {
        return Ok(body);
    }
    let text = status.canonical_reason().unwrap_or("");
    Err(ElectricError::Refused { status: status.as_u16(), text })
}

fn read<T: DeserializeOwned>(body: Vec<u8>) -> Result<T, ElectricError> {
    // What was wrong is not told: the body may hold a password.
    serde_json::from_slice(&body).map_err(|_bad| ElectricError::Strange("it cannot be read"))
}

/// What goes on into files and the environment of a sandbox.
fn is_credential(text: &str) -> bool {
    (1..=CREDENTIAL_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text.trim_end_matches('/')).map_err(|_bad| "it is no address")?;
    let host = url.host_str().ok_or("it has no host")?;
    let is_here = matches!(host, "127.0.0.1" | "[::1]" | "localhost");
    match url.scheme() {
        "https" => {}
        "http" if is_here => {}
        "http" => return Err("http sends passwords in the clear"),
        _ => return Err("it is something else"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a secret is not a part of it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query or a fragment");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_stays_one_part_of_an_address() {
        for bad in ["", "a/b", "..", "a?b", "a b", "a%2fb", "ä", &"x".repeat(101)] {
            assert_eq!(ClaimId::new(bad), None, "{bad}");
        }
        let options =
            ElectricOptions { dashboard: "https://d.example/x/".into(), ..Default::default() };
        let cloud = ElectricCloud::new(options).unwrap();
        let claim = ClaimId::new("00000000-0000-4000-8000-000000000001").unwrap();
        let url = "https://d.example/x/claim?uuid=00000000-0000-4000-8000-000000000001";
        assert_eq!(cloud.claim_url(&claim), url);
    }

    #[test]
    fn an_address_that_would_give_passwords_away_is_refused() {
        for bad in ["", "x", "http://electric.example", "ftp://x", "https://u:p@x", "https://x?y"] {
            let api = ElectricOptions { api: bad.into(), ..Default::default() };
            assert!(matches!(ElectricCloud::new(api), Err(SetupError::Api(_))), "{bad}");
            let page = ElectricOptions { dashboard: bad.into(), ..Default::default() };
            assert!(matches!(ElectricCloud::new(page), Err(SetupError::Dashboard(_))), "{bad}");
        }
    }
}
