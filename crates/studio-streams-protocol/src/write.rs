//! Making, writing, ending and removing streams.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, HOST, LOCATION},
        request::Parts,
        uri::Authority,
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use studio_streams::{ContentType, Deleted, StreamError, StreamPath};

use crate::{
    Problem, body,
    headers::{CLOSED, NEXT_OFFSET, PRODUCER_EPOCH, PRODUCER_SEQ, TRUE, value},
    request::{self, ParsedAppend, ParsedCreate},
    route::Protocol,
};

/// A body that is larger is taken apart where it may take its time.
const PARSED_HERE_BYTES_MAX: usize = 256 * 1024;

impl Protocol {
    /// `PUT`.
    pub(crate) async fn create(
        &self,
        path: &StreamPath,
        parts: &Parts,
        asked: ParsedCreate,
        body: Body,
    ) -> Result<Response, Problem> {
        let body = self.body(&parts.headers, body).await?;
        let content_type = match (asked.content_type(), asked.source()) {
            (Some(content_type), _) => content_type,
            (None, Some(source)) if !body.is_empty() => {
                self.store.head(source).await.map_err(Problem::of_create)?.content_type
            }
            (None, _) => ContentType::octets(),
        };
        let initial = parse(body, move |body| request::messages(&content_type, body)).await?;
        let options = asked.into_options(initial);
        let created = self.store.create(path, options).await.map_err(Problem::of_create)?;
        let head = created.head();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, value(&head.content_type));
        headers.insert(NEXT_OFFSET, value(&head.tail));
        if head.closed {
            headers.insert(CLOSED, TRUE);
        }
        if !created.is_new() {
            return Ok((StatusCode::OK, headers).into_response());
        }
        headers.insert(LOCATION, self.location(path, parts));
        Ok((StatusCode::CREATED, headers).into_response())
    }

    /// The stream's address as the client sees it.
    fn location(&self, path: &StreamPath, parts: &Parts) -> HeaderValue {
        let mount = &self.options.mount;
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or(parts.uri.authority().map(Authority::as_str));
        let host = host.filter(|host| host.parse::<Authority>().is_ok());
        let secure = parts.headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        let scheme = if secure { "https" } else { "http" };
        value(match host {
            Some(host) => format!("{scheme}://{host}{mount}/{path}"),
            None => format!("{mount}/{path}"),
        })
    }

    /// `POST`.
    pub(crate) async fn append(
        &self,
        path: &StreamPath,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, Problem> {
        let asked = match ParsedAppend::of(&parts.headers) {
            Ok(asked) => asked,
            Err(bad) => return Err(self.unless_missing(path, bad).await),
        };
        let by = asked.by.clone();
        let given = asked.given_content_type().cloned();
        let body = self.body(&parts.headers, body).await?;
        let write = match parse(body, move |body| asked.into_write(body)).await {
            Ok(write) => write,
            Err(bad) => return Err(self.unless_refused(path, given, bad).await),
        };
        let has_records = write.batch().is_some();
        let written = self.store.write(path, write).await?;
        let mut headers = HeaderMap::new();
        headers.insert(NEXT_OFFSET, value(&written.next));
        if written.closed {
            headers.insert(CLOSED, TRUE);
        }
        let mut status = StatusCode::NO_CONTENT;
        if let Some(by) = by {
            headers.insert(PRODUCER_EPOCH, value(by.epoch));
            headers.insert(PRODUCER_SEQ, value(written.last_seq.unwrap_or(by.seq)));
            if has_records && !written.duplicate {
                status = StatusCode::OK;
            }
        }
        Ok((status, headers).into_response())
    }

    /// `DELETE`.
    pub(crate) async fn delete(&self, path: &StreamPath) -> Result<Response, Problem> {
        match self.store.delete(path).await? {
            Deleted::Now => Ok(StatusCode::NO_CONTENT.into_response()),
            Deleted::Before => Err(StreamError::NotFound { path: path.clone() }.into()),
            Deleted::KeptByForks => Err(StreamError::Gone { path: path.clone() }.into()),
        }
    }

    /// What is wrong with a request for this stream: that the stream is missing is told first.
    pub(crate) async fn unless_missing(&self, path: &StreamPath, bad: Problem) -> Problem {
        match self.store.head(path).await {
            Err(error @ (StreamError::NotFound { .. } | StreamError::Gone { .. })) => error.into(),
            Ok(_) | Err(_) => bad,
        }
    }

    /// As [`Self::unless_missing`], for a body that is none: that the stream takes no more, or
    /// something else, is told first.
    async fn unless_refused(
        &self,
        path: &StreamPath,
        given: Option<ContentType>,
        bad: Problem,
    ) -> Problem {
        match self.store.head(path).await {
            Err(error @ (StreamError::NotFound { .. } | StreamError::Gone { .. })) => error.into(),
            Ok(head) if head.closed => {
                StreamError::Closed { path: path.clone(), tail: head.tail }.into()
            }
            Ok(head) if given.is_some_and(|given| !given.is_like(&head.content_type)) => {
                let holds = head.content_type;
                StreamError::WrongContentType { path: path.clone(), holds }.into()
            }
            Ok(_) | Err(_) => bad,
        }
    }

    async fn body(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
        request::must_be_plain(headers)?;
        body::read(body, self.options.body_bytes_max, self.options.body_patience).await
    }
}

/// What `parse` makes of a body. A large one does not hold up other connections.
async fn parse<T: Send + 'static>(
    body: Bytes,
    parse: impl FnOnce(Bytes) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    if body.len() <= PARSED_HERE_BYTES_MAX {
        return parse(body);
    }
    match tokio::task::spawn_blocking(move || parse(body)).await {
        Ok(parsed) => parsed,
        Err(_stopping) => Err(StreamError::ReadOnly { reason: "it stops".to_owned() }.into()),
    }
}
