use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::Value;

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// The `id:` of this very event; `None` where it had none.
    pub id: Option<String>,
    /// The `event:` name; `None` means `message`.
    pub event: Option<String>,
    /// The `data:` lines, joined with newlines.
    pub data: String,
}

impl SseEvent {
    /// The data as JSON.
    ///
    /// # Panics
    /// When it is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data)
            .unwrap_or_else(|error| panic!("{error} in the event data {:?}", self.data))
    }
}

/// What a stream of server-sent events is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SseItem {
    /// An event: a block with at least one `data:` line.
    Event(SseEvent),
    /// A comment line, the text after the colon (keep-alives).
    Comment(String),
    /// A `retry:` line, in milliseconds.
    Retry(u64),
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum SseError {
    /// The server answered something else than a stream.
    #[error("GET {url} answered {status}: {body}")]
    Refused {
        /// The address that was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The body of the answer.
        body: String,
    },
    /// The connection failed or broke.
    #[error("the connection to {url} broke: {source}")]
    Broken {
        /// The address that was asked.
        url: String,
        /// What the HTTP client says.
        source: reqwest::Error,
    },
    /// Nothing came in time.
    #[error("no {what} within {within:?}; seen so far: {seen} events")]
    TooLate {
        /// What was awaited.
        what: String,
        /// How long.
        within: Duration,
        /// How many events came instead.
        seen: usize,
    },
    /// The stream ended before what was awaited.
    #[error("the stream ended before {what}; seen so far: {seen} events")]
    Ended {
        /// What was awaited.
        what: String,
        /// How many events came before.
        seen: usize,
    },
}

/// Bytes of a stream to items, cut anywhere. Follows the HTML standard's rules for `id`, `event`,
/// `data`, `retry`, comments and the three line ends; a block cut off by the end is no event.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    after_cr: bool,
    at_start: bool,
    current: SseEvent,
    has_data: bool,
}

impl SseParser {
    /// A parser at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self { at_start: true, ..Self::default() }
    }

    /// Takes the next bytes and gives the items that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<SseItem> {
        let mut items = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    self.take_line(&String::from_utf8_lossy(&line), &mut items);
                }
                other => self.line.push(other),
            }
        }
        items
    }

    fn take_line(&mut self, line: &str, items: &mut Vec<SseItem>) {
        let line = if std::mem::take(&mut self.at_start) {
            line.strip_prefix('\u{feff}').unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            let event = std::mem::take(&mut self.current);
            if std::mem::take(&mut self.has_data) {
                items.push(SseItem::Event(event));
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => items.push(SseItem::Comment(value.to_owned())),
            "data" => {
                if self.has_data {
                    self.current.data.push('\n');
                }
                self.has_data = true;
                self.current.data.push_str(value);
            }
            "id" => self.current.id = Some(value.to_owned()),
            "event" => self.current.event = Some(value.to_owned()),
            "retry" => items.extend(value.parse().ok().map(SseItem::Retry)),
            // The standard: other fields are ignored.
            _ => {}
        }
    }
}

/// A reader of one stream of server-sent events over HTTP.
pub struct SseReader {
    url: String,
    stream: BoxStream<'static, reqwest::Result<Bytes>>,
    parser: SseParser,
    ready: std::collections::VecDeque<SseItem>,
    last_id: Option<String>,
    bytes: usize,
    seen: usize,
}

impl std::fmt::Debug for SseReader {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SseReader").field("url", &self.url).field("seen", &self.seen).finish()
    }
}

impl SseReader {
    /// Sends `request` (a GET with its tokens and query) and reads the answer as events. With
    /// `last_id` the header `Last-Event-ID` goes along, so that the server resumes after it.
    ///
    /// # Errors
    /// [`SseError::Refused`] for a status other than 2xx or a content type other than
    /// `text/event-stream`; [`SseError::Broken`] where there is no answer at all.
    pub async fn open(
        request: reqwest::RequestBuilder,
        last_id: Option<&str>,
    ) -> Result<Self, SseError> {
        let mut request = request.header("accept", "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let broken = |source: reqwest::Error| SseError::Broken {
            url: source.url().map_or_else(String::new, ToString::to_string),
            source,
        };
        let answer = request.send().await.map_err(broken)?;
        let url = answer.url().to_string();
        let status = answer.status();
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        if !status.is_success() || !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            let body = answer.text().await.unwrap_or_default();
            return Err(SseError::Refused { url, status: status.as_u16(), body });
        }
        Ok(Self {
            url,
            stream: answer.bytes_stream().boxed(),
            parser: SseParser::new(),
            ready: std::collections::VecDeque::new(),
            last_id: last_id.map(str::to_owned),
            bytes: 0,
            seen: 0,
        })
    }

    /// The next event, comment or retry line; `None` when the server ended the stream.
    ///
    /// # Errors
    /// [`SseError::Broken`] when the connection breaks.
    pub async fn next(&mut self) -> Result<Option<SseItem>, SseError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                if let SseItem::Event(event) = &item {
                    self.seen += 1;
                    if event.id.is_some() {
                        self.last_id.clone_from(&event.id);
                    }
                }
                return Ok(Some(item));
            }
            match self.stream.next().await {
                None => return Ok(None),
                Some(Ok(bytes)) => {
                    self.bytes += bytes.len();
                    self.ready.extend(self.parser.push(&bytes));
                }
                Some(Err(source)) => {
                    return Err(SseError::Broken { url: self.url.clone(), source });
                }
            }
        }
    }

    /// The next event; comments and retry lines are passed over.
    ///
    /// # Errors
    /// [`SseError::Broken`] when the connection breaks.
    pub async fn next_event(&mut self) -> Result<Option<SseEvent>, SseError> {
        while let Some(item) = self.next().await? {
            if let SseItem::Event(event) = item {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Collects events up to and with the first one for which `is_last` holds.
    ///
    /// # Errors
    /// [`SseError::TooLate`] after `within`, [`SseError::Ended`] when the server ends the stream,
    /// [`SseError::Broken`] when the connection breaks.
    pub async fn until(
        &mut self,
        what: &str,
        within: Duration,
        mut is_last: impl FnMut(&SseEvent) -> bool,
    ) -> Result<Vec<SseEvent>, SseError> {
        let mut events = Vec::new();
        let deadline = tokio::time::Instant::now() + within;
        loop {
            match tokio::time::timeout_at(deadline, self.next_event()).await {
                Err(_) => {
                    let what = what.to_owned();
                    return Err(SseError::TooLate { what, within, seen: events.len() });
                }
                Ok(Err(error)) => return Err(error),
                Ok(Ok(None)) => {
                    return Err(SseError::Ended { what: what.to_owned(), seen: events.len() });
                }
                Ok(Ok(Some(event))) => {
                    let last = is_last(&event);
                    events.push(event);
                    if last {
                        return Ok(events);
                    }
                }
            }
        }
    }

    /// The id to resume after: that of the last event taken, or the one this reader began with.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How many bytes have been read.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
