//! Making, deleting and listing streams.

use reqwest::Method;
use studio_streams::{
    Batch, ContentType, CreateOptions, Created, Deleted, Expiry, Fork, Offset, StreamError,
    StreamPath, rules,
};

use crate::{
    error::Trouble,
    facts::Asked,
    index::{ForkOf, Life},
    live::End,
    pages::failed,
    place::Place,
    service::{Answer, Ask},
    store::{Inner, index_failed},
    write::body,
};

/// Bytes that a fork may bring along from its source because the service has no name for the
/// place where it begins.
const FORK_BYTES_MAX: usize = 16 * 1024 * 1024;
const TRIED: &str = "created";

/// What a request for a new stream came to.
enum Made {
    New,
    Existing,
    /// Another one is in the way, or a fork's source is no more.
    Conflict,
    NoSource,
    /// What a fork asks for is not there.
    BadPlace,
    Refused(u16),
}

impl Inner {
    pub(crate) async fn create(
        &self,
        path: &StreamPath,
        options: CreateOptions,
    ) -> Result<Created, StreamError> {
        self.is_not_ours(path)?;
        let known = self.index.lives(path);
        let fork = options.fork.as_ref().map(ForkOf::from);
        let life = Life::new(options.expiry.is_some() || fork.is_some(), fork.clone());
        if known.is_empty() {
            // First the entry: a stream that nobody knows of would never be found again.
            self.index.created(path, life.clone()).await.map_err(index_failed(path))?;
        }
        // What was followed or half read there before is another stream, if this makes one.
        let made = match self.make(path, &options, &known).await {
            Ok(made) => made,
            Err(error) => {
                let in_doubt = matches!(error, StreamError::Failed { .. });
                if known.is_empty() && !in_doubt {
                    self.index.deleted(path, &[life]).await.map_err(index_failed(path))?;
                }
                return Err(error);
            }
        };
        let is_new = match made {
            Made::New | Made::Existing => matches!(made, Made::New),
            Made::Conflict | Made::NoSource | Made::BadPlace | Made::Refused(_) => {
                let there = self.ask_head_whole(path).await.map_err(index_failed(path))?;
                if known.is_empty() && !matches!(there, Asked::There(_)) {
                    self.index.deleted(path, &[life]).await.map_err(index_failed(path))?;
                }
                return Err(refusal(path, &options, &made, &there));
            }
        };
        if is_new {
            self.pages.forget(path);
            self.facts.forget(path);
            if !known.is_empty() {
                // It had gone by itself, or by another server.
                self.index.deleted(path, &known).await.map_err(index_failed(path))?;
                self.index.created(path, life).await.map_err(index_failed(path))?;
                self.hub.end(path, End::Missing);
            }
        }
        let head = self.head(path).await?;
        Ok(if is_new { Created::New(head) } else { Created::Existing(head) })
    }

    async fn make(
        &self,
        path: &StreamPath,
        options: &CreateOptions,
        known: &[Life],
    ) -> Result<Made, StreamError> {
        let Some(fork) = &options.fork else {
            let content_type = options.content_type.clone().unwrap_or_else(ContentType::json);
            let ask = self.ask_create(path, options, &content_type)?;
            let ask = ask.header("content-type", content_type.as_str());
            return self.put(path, &ask).await;
        };
        let content_type = match (&options.content_type, &options.initial) {
            (Some(given), _) => given.clone(),
            (None, None) => ContentType::json(),
            (None, Some(_)) => self.facts(&fork.source).await?.content_type,
        };
        let ask = self.ask_create(path, options, &content_type)?;
        let place = fork.at.as_ref().map(|at| self.fork_place(at));
        let at = place.as_ref().map(|place| place.base.to_string());
        let from = |mut ask: Ask, plus: u64| {
            if let Some(given) = &options.content_type {
                ask = ask.header("content-type", given.as_str());
            }
            let ask = ask.header("stream-forked-from", self.service.full_path(&fork.source));
            let ask = match &at {
                Some(at) => ask.header("stream-fork-offset", at.clone()),
                None => ask,
            };
            match plus {
                0 => ask,
                plus => ask.header("stream-fork-sub-offset", plus.to_string()),
            }
        };
        let skip = place.as_ref().map_or(0, |place| place.skip);
        if skip == 0 {
            return self.put(path, &from(ask, fork.plus)).await;
        }
        // A place without a name of its own: only the index tells two such forks apart.
        if !known.is_empty() && !matches!(self.ask_head(path).await, Ok(None)) {
            let wanted = Some(ForkOf::from(fork));
            let same = known.iter().any(|life| life.fork == wanted);
            return Ok(if same { Made::Existing } else { Made::Conflict });
        }
        let made = self.put(path, &from(ask, skip + fork.plus)).await?;
        if !matches!(made, Made::BadPlace) || 0 < fork.plus {
            return Ok(made);
        }
        // It lies beyond the source's next append: the fork brings along what lies between.
        let content_type = self.facts(&fork.source).await?.content_type;
        let Some(options) = self.with_between(fork, options).await? else {
            return Ok(Made::BadPlace);
        };
        let ask = self.ask_create(path, &options, &content_type)?;
        self.put(path, &from(ask, 0)).await
    }

    fn fork_place(&self, at: &Offset) -> Place {
        let place = Place::of(at);
        // Not every service takes `-1` here.
        let start = place.base == Place::start().base;
        if start { Place { base: self.probed.start.clone(), ..place } } else { place }
    }

    /// The same create with what lies between the place and the one before it that has a name.
    async fn with_between(
        &self,
        fork: &Fork,
        options: &CreateOptions,
    ) -> Result<Option<CreateOptions>, StreamError> {
        let source = &fork.source;
        let Some(at) = &fork.at else { return Ok(None) };
        let place = Place::of(at);
        let is_json = self.facts(source).await?.content_type.is_json();
        let mut from = Place::own(place.base.clone()).offset();
        let mut records = Vec::new();
        let (mut left, mut bytes) = (place.skip, 0);
        while 0 < left {
            let max = usize::try_from(left).unwrap_or(usize::MAX);
            let page = match self.pages.page(source, &from, max).await {
                Ok(page) => page,
                Err(no_page) => return Err(no_page.error(source, at)),
            };
            if page.records.is_empty() {
                return Ok(None);
            }
            for record in page.records {
                let size = record.data.len() as u64;
                let data = match is_json {
                    true => record.data,
                    false => record.data.slice(..usize::try_from(left.min(size)).unwrap_or(0)),
                };
                left = left.saturating_sub(if is_json { 1 } else { size });
                bytes += data.len();
                records.push(data);
                if left == 0 {
                    break;
                }
            }
            if FORK_BYTES_MAX < bytes {
                let what = "the service has no name for a place so far from others";
                return Err(StreamError::BadFork { path: source.clone(), what });
            }
            from = page.next;
        }
        records.extend(options.initial.iter().flat_map(Batch::records).cloned());
        Ok(Batch::new(records)
            .ok()
            .map(|initial| CreateOptions { initial: Some(initial), ..options.clone() }))
    }

    fn ask_create(
        &self,
        path: &StreamPath,
        options: &CreateOptions,
        content_type: &ContentType,
    ) -> Result<Ask, StreamError> {
        let mut ask = self.service.ask(Method::PUT, path.as_str());
        match options.expiry {
            Some(Expiry::AfterSeconds(seconds)) => {
                ask = ask.header("stream-ttl", seconds.to_string());
            }
            Some(Expiry::AtMillis(at)) => {
                let at = i64::try_from(at).ok().map(jiff::Timestamp::from_millisecond);
                let Some(Ok(at)) = at else {
                    return Err(crate::write::refused(path, "it would end after the end of time"));
                };
                ask = ask.header("stream-expires-at", format!("{at:.3}"));
            }
            None => {}
        }
        if options.closed {
            ask = ask.header("stream-closed", "true");
        }
        if let Some(initial) = &options.initial {
            ask.body = Some(body(path, initial, content_type)?);
        }
        Ok(ask)
    }

    async fn put(&self, path: &StreamPath, ask: &Ask) -> Result<Made, StreamError> {
        let trouble = |trouble| failed(path, TRIED, trouble);
        let settled = self.service.insist(ask, self.service.deadline()).await.map_err(trouble)?;
        let Answer { status, body, .. } = settled.answer;
        body.drain().await;
        Ok(match status {
            201 => Made::New,
            // The first attempt may have made it, or somebody else: nothing was lost either way.
            200 | 204 => Made::Existing,
            409 | 410 => Made::Conflict,
            404 => Made::NoSource,
            400 => Made::BadPlace,
            status => Made::Refused(status),
        })
    }

    pub(crate) async fn delete(&self, path: &StreamPath) -> Result<Deleted, StreamError> {
        self.is_not_ours(path)?;
        let trouble = |trouble| failed(path, "deleted", trouble);
        // Lives that begin after this are not this delete's.
        self.index.refresh(&self.pages).await.map_err(index_failed(path))?;
        let lives = self.index.lives(path);
        let ask = self.service.ask(Method::DELETE, path.as_str());
        let settled = self.service.insist(&ask, self.service.deadline()).await;
        let settled = settled.map_err(trouble)?;
        let Answer { status, body, .. } = settled.answer;
        body.drain().await;
        let deleted = match status {
            200 | 202 | 204 => Deleted::Now,
            404 if settled.in_doubt => Deleted::Now,
            404 => Deleted::Before,
            410 if settled.in_doubt => Deleted::Now,
            410 => Deleted::KeptByForks,
            status => return Err(trouble(Trouble::strange(status))),
        };
        self.facts.forget(path);
        self.pages.forget(path);
        self.hub.end(path, End::Missing);
        self.index.deleted(path, &lives).await.map_err(index_failed(path))?;
        Ok(deleted)
    }

    pub(crate) async fn list(
        &self,
        prefix: &str,
        after: Option<&StreamPath>,
        max: usize,
    ) -> Result<Vec<StreamPath>, StreamError> {
        let index = self.index.path().clone();
        self.index.refresh(&self.pages).await.map_err(index_failed(&index))?;
        let mut found = Vec::new();
        let mut after = after.cloned();
        while found.len() < max {
            let some = self.index.list(prefix, after.as_ref(), max - found.len());
            let Some((last, _)) = some.last() else { break };
            after = Some(last.clone());
            for (path, may_be_gone) in some {
                if !may_be_gone {
                    found.push(path);
                    continue;
                }
                match self.ask_head(&path).await.map_err(index_failed(&path))? {
                    Some(_) => found.push(path),
                    None => {
                        let lives = self.index.lives(&path);
                        self.index.deleted(&path, &lives).await.map_err(index_failed(&path))?;
                    }
                }
            }
        }
        Ok(found)
    }
}

fn refusal(path: &StreamPath, options: &CreateOptions, made: &Made, there: &Asked) -> StreamError {
    let conflict = |what| StreamError::Conflict { path: path.clone(), what };
    match (made, &options.fork, there) {
        (Made::Conflict, _, Asked::There(_)) => conflict(rules::OTHER_CONFIGURATION),
        (Made::Conflict, _, Asked::Gone) => conflict(rules::KEPT_BY_FORKS),
        (Made::Conflict, Some(_), Asked::Missing) => {
            conflict("the source is deleted, or its records are something else")
        }
        (Made::NoSource, Some(fork), _) => StreamError::NotFound { path: fork.source.clone() },
        (Made::BadPlace, Some(fork), _) => {
            StreamError::BadFork { path: fork.source.clone(), what: "it has no such place" }
        }
        (Made::Refused(413), _, _) => {
            crate::write::refused(path, "its first records are larger than the service takes")
        }
        (Made::Refused(status), _, _) => {
            crate::write::refused(path, &format!("the service answered {status}"))
        }
        (Made::New | Made::Existing | Made::Conflict | Made::NoSource | Made::BadPlace, _, _) => {
            crate::write::refused(path, "the service refuses to make it")
        }
    }
}
