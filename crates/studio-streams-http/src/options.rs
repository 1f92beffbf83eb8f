use std::{fmt, time::Duration};

use reqwest::header::HeaderValue;

use crate::ConnectError;

/// What a service lets its callers in by. It can be sent and not be printed.
#[derive(Clone)]
pub struct Secret(HeaderValue);

impl Secret {
    /// A secret of visible ASCII, as it goes into a header.
    pub fn new(text: &str) -> Result<Self, ConnectError> {
        let visible = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let value = HeaderValue::from_str(&format!("Bearer {text}")).ok().filter(|_| visible);
        let mut value = value.ok_or(ConnectError::BadSecret)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    pub(crate) fn bearer(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Which service, and how patient to be with it.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Where the service is, as `https://streams.example`. A plain `http:` one hears the secret
    /// in the clear.
    pub url: String,
    /// Which part of the service is this studio's: the first part of every path.
    pub service: String,
    /// What lets this studio in; `None` = the service asks for nothing.
    pub secret: Option<Secret>,
    /// Longest time that a call of the port takes, with all its attempts.
    pub deadline: Duration,
    /// Longest time that one request waits for its answer to begin, and for each further piece.
    pub attempt: Duration,
    /// Longest time that nothing is heard on a connection that follows a stream.
    pub silence: Duration,
    /// Bytes of records that may wait for the service in all; more are refused with
    /// [`Busy`](studio_streams::StreamError::Busy).
    pub spool_bytes_max: usize,
    /// Whether the service knows of a producer whatever it knows of its records, after a crash
    /// too: the studio's own does. The official servers do not, so by default an append without
    /// an answer is looked for before it is sent again.
    pub remembers_producers: bool,
    /// Frames that are kept for the followers of a stream. One that falls further behind reads
    /// pages.
    pub ring_frames_max: usize,
    /// Bytes that are kept for the followers of a stream.
    pub ring_bytes_max: usize,
}

impl HttpOptions {
    /// The service at `url`, with the patience that suits a network.
    pub fn new(url: impl Into<String>, service: impl Into<String>, secret: Option<Secret>) -> Self {
        Self {
            url: url.into(),
            service: service.into(),
            secret,
            deadline: Duration::from_secs(15),
            attempt: Duration::from_secs(5),
            silence: Duration::from_secs(75),
            spool_bytes_max: 64 * 1024 * 1024,
            remembers_producers: false,
            ring_frames_max: 1_024,
            ring_bytes_max: 4 * 1024 * 1024,
        }
    }
}
