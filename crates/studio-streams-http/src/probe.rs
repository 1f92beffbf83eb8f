//! What a service is tried with before it is trusted.

use std::sync::Arc;

use bytes::Bytes;
use futures::future;
use reqwest::Method;
use studio_streams::StreamPath;

use crate::{
    ConnectError,
    error::Trouble,
    place::Place,
    scan::{Opened, Scan},
    service::{Answer, Ask, Service, random},
};

/// Appends that are made at once: an old server loses some of them.
const AT_ONCE: usize = 16;
/// Seconds after which what a broken-off probe left goes by itself.
const TTL: &str = "60";

/// What was found out.
#[derive(Clone, Debug)]
pub(crate) struct Probed {
    /// What the service calls the place before the first record.
    pub start: Arc<str>,
    /// Whether the first part of an ETag tells one life of a stream from the next.
    pub tag_tells_lives: bool,
}

/// What is found when a service cannot be used.
#[derive(Debug)]
pub(crate) enum Unfit {
    Trouble(Trouble),
    Because(String),
}

impl From<Trouble> for Unfit {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

fn because<T>(what: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit::Because(what.into()))
}

pub(crate) fn not_connected(trouble: Trouble) -> ConnectError {
    match trouble {
        Trouble::NotLetIn { status } => ConnectError::NotLetIn { status },
        Trouble::Strange(_) | Trouble::BadPage(_) | Trouble::TooLarge(_) => {
            ConnectError::NotDurableStreams(trouble.to_string())
        }
        Trouble::NoConnection(_)
        | Trouble::Broken(_)
        | Trouble::Timeout(_)
        | Trouble::Busy { .. }
        | Trouble::Failed { .. }
        | Trouble::Stopped => ConnectError::Unreachable(Box::new(trouble)),
    }
}

/// Makes a stream, writes, reads, and takes it away.
pub(crate) async fn probe(service: &Service) -> Result<Probed, ConnectError> {
    let name = format!("studio-probe-{:016x}", random());
    let path: StreamPath = name.parse().map_err(|_bad_path| ConnectError::BadService)?;
    let probe = Probe { service, path };
    let found = probe.run().await;
    if found.is_err() {
        // It would go by itself; whether this succeeds does not matter.
        let delete = service.ask(Method::DELETE, probe.path.as_str());
        drop(service.send(&delete).await);
    }
    found.map_err(|unfit| match unfit {
        Unfit::Trouble(trouble) => not_connected(trouble),
        Unfit::Because(what) => ConnectError::NotDurableStreams(what),
    })
}

struct Probe<'a> {
    service: &'a Service,
    path: StreamPath,
}

impl Probe<'_> {
    async fn run(&self) -> Result<Probed, Unfit> {
        let made = self.create().await?;
        let start = made.told.next()?;
        let first_life = self.tag().await?;
        self.appends(&start).await?;
        self.producers().await?;
        self.delete().await?;
        self.create().await?;
        let second_life = self.tag().await?;
        self.delete().await?;
        let tag_tells_lives = first_life.is_some() && first_life != second_life;
        Ok(Probed { start, tag_tells_lives })
    }

    async fn create(&self) -> Result<Answer, Unfit> {
        let ask = self.ask(Method::PUT).header("stream-ttl", TTL);
        let made = self.insist(&ask).await?;
        match made.status {
            // A lost answer's second attempt finds the first one's stream.
            200 | 201 => Ok(made),
            404 | 405 => because(format!("it answered {} to a create", made.status)),
            status => Err(Trouble::strange(status).into()),
        }
    }

    async fn appends(&self, start: &Arc<str>) -> Result<(), Unfit> {
        // One batch is two records, read as they were sent and not as lines or something else.
        let first = r#"{"probe": 1.50}"#;
        let answer = self.append(&format!("[{first},[2]]"), None).await?;
        if answer.status != 204 && answer.status != 200 {
            return because(format!("it answered {} to an append", answer.status));
        }
        let next = answer.told.next()?;
        if next <= *start {
            return because("the place after an append is not greater than the one before");
        }
        let (records, end) = self.records().await?;
        if records.len() != 2 || end != next {
            return because("a batch of two JSON values was not read as two JSON values");
        }
        let same = |text: &str, record: &Bytes| {
            let value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok();
            value(text.as_bytes()) == value(record)
        };
        if !same(first, &records[0]) || !same("[2]", &records[1]) {
            return because("a JSON value was read as another one than was written");
        }
        let at_once = (0..AT_ONCE).map(|number| self.append_text(number.to_string()));
        for answer in future::join_all(at_once).await {
            answer?;
        }
        let (records, _) = self.records().await?;
        if records.len() != 2 + AT_ONCE {
            return because(format!(
                "of {AT_ONCE} appends at once it kept {}",
                records.len().saturating_sub(2)
            ));
        }
        Ok(())
    }

    async fn append_text(&self, record: String) -> Result<(), Unfit> {
        let answer = self.append(&format!("[{record}]"), None).await?;
        match answer.status {
            200 | 204 => Ok(()),
            status => because(format!("it answered {status} to an append")),
        }
    }

    async fn producers(&self) -> Result<(), Unfit> {
        for (seq, expected) in [(0, 200), (0, 204), (2, 409)] {
            let answer = self.append("[0]", Some(seq)).await?;
            let first_try = seq == 0 && expected == 200;
            // A lost answer's second attempt is a duplicate.
            if answer.status != expected && !(first_try && answer.status == 204) {
                return because(format!(
                    "it answered {} to a producer's append where {expected} is due",
                    answer.status
                ));
            }
            if expected == 409 && answer.told.expected_seq != Some(1) {
                return because("it does not tell which producer's append it expects");
            }
        }
        Ok(())
    }

    async fn append(&self, body: &str, seq: Option<u64>) -> Result<Answer, Unfit> {
        let mut ask = self.ask(Method::POST);
        if let Some(seq) = seq {
            ask = ask
                .header("producer-id", "studio-probe")
                .header("producer-epoch", "1")
                .header("producer-seq", seq.to_string());
        }
        ask.body = Some(Bytes::from(body.to_owned()));
        // Without a stamp a second attempt may write twice: then the probe fails, which is told.
        self.insist(&ask).await
    }

    async fn records(&self) -> Result<(Vec<Bytes>, Arc<str>), Unfit> {
        let place = Place::start();
        let ask = self.service.ask_read(&self.path, &place.base, &crate::scan::Mode::CatchUp);
        let answer = self.service.insist(&ask, self.service.deadline()).await?.answer;
        let told = answer.told.clone();
        if !told.content_type.as_ref().is_some_and(studio_streams::ContentType::is_json) {
            return because("it does not answer a read of JSON with JSON");
        }
        if !told.up_to_date {
            return because("a read up to the end does not say Stream-Up-To-Date: true");
        }
        let Opened::Records(mut scan) = Scan::of(answer, &place).await? else {
            return because("it has no answer to a read from the start");
        };
        let mut records = Vec::new();
        while let Some(record) = scan.next().await? {
            records.push(record.data);
        }
        Ok((records, scan.next.clone()))
    }

    async fn tag(&self) -> Result<Option<Arc<str>>, Unfit> {
        let answer = self.insist(&self.service.ask(Method::HEAD, self.path.as_str())).await?;
        match answer.status {
            200 | 204 => Ok(answer.told.tag),
            status => because(format!("it answered {status} to a HEAD")),
        }
    }

    async fn delete(&self) -> Result<(), Unfit> {
        let answer = self.insist(&self.service.ask(Method::DELETE, self.path.as_str())).await?;
        match answer.status {
            200..=299 | 404 => Ok(()),
            status => because(format!("it answered {status} to a delete")),
        }
    }

    fn ask(&self, method: Method) -> Ask {
        let ask = self.service.ask(method, self.path.as_str());
        ask.header("content-type", "application/json")
    }

    async fn insist(&self, ask: &Ask) -> Result<Answer, Unfit> {
        Ok(self.service.insist(ask, self.service.deadline()).await?.answer)
    }
}
