//! The smallest HTTP/1.1 client that does: requests over a connection that is kept, and readers of
//! event streams that count. It shares the machine with the server, so it must cost little.

use std::fmt::Write as _;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

/// A request's bytes.
pub(crate) fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    if let Some(token) = token {
        write!(text, "authorization: Bearer {token}\r\n").unwrap();
    }
    if !body.is_empty() {
        write!(text, "content-type: application/json\r\ncontent-length: {}\r\n", body.len())
            .unwrap();
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

/// A connection that is kept.
pub(crate) struct Connection<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::with_capacity(16 * 1024) }
    }

    /// The status and the body.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> (u16, Vec<u8>) {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        let head = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await;
        };
        let text = std::str::from_utf8(&self.buffer[..head]).unwrap().to_ascii_lowercase();
        let status = text[9..12].parse().unwrap();
        if text.contains("transfer-encoding: chunked") {
            while !self.buffer.ends_with(b"0\r\n\r\n") {
                self.more().await;
            }
            return (status, unchunked(&self.buffer[head..]));
        }
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        while self.buffer.len() < head + length {
            self.more().await;
        }
        (status, self.buffer[head..].to_vec())
    }

    /// As [`Self::ask`]; the answer must be a success.
    pub(crate) async fn ask_ok(&mut self, request: &[u8]) -> Vec<u8> {
        let (status, body) = self.ask(request).await;
        assert!(status / 100 == 2, "{status}: {}", String::from_utf8_lossy(&body));
        body
    }

    async fn more(&mut self) {
        let got = self.stream.read_buf(&mut self.buffer).await.unwrap();
        assert!(0 < got, "the server hung up");
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(at) = find(rest, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
        body.extend_from_slice(&rest[at + 2..at + 2 + size]);
        rest = &rest[at + 4 + size..];
    }
    body
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

/// A reader of one session's events. It only counts, which is all that is needed to know which
/// events it has: they come in order.
pub(crate) struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of the buffer that the last read filled.
    got: usize,
    lines: isize,
    pub(crate) bytes: usize,
}

impl Reader {
    /// Begins to read; returns when the answer's head is there.
    pub(crate) async fn open(port: u16, session: &str, token: &str, from: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let path = format!("/api/sessions/{session}/events?offset={from}");
        stream.write_all(&request("GET", &path, Some(token), "")).await.unwrap();
        let buffer = vec![0; 4 * 1024];
        let mut reader = Self { stream, buffer, got: 0, lines: 0, bytes: 0 };
        reader.wait().await;
        assert!(reader.buffer.starts_with(b"HTTP/1.1 200"), "a reader was refused");
        reader
    }

    /// Reads larger pieces: for one that reads much.
    pub(crate) fn with_buffer(mut self, bytes: usize) -> Self {
        self.buffer.resize(bytes, 0);
        self
    }

    /// Events so far. Each has three line ends (`id:`, `data:`, an empty line); those of the
    /// answer's head and of the pieces that it is sent in stand behind a carriage return, which
    /// no event has.
    pub(crate) fn events(&self) -> usize {
        usize::try_from(self.lines / 3).unwrap_or(0)
    }

    /// Waits for more bytes.
    pub(crate) async fn wait(&mut self) {
        let got = self.stream.read(&mut self.buffer).await.unwrap();
        assert!(0 < got, "the server ended an event stream");
        self.got = got;
        self.bytes += got;
        let count = |byte| {
            let all = self.buffer[..got].iter().filter(|&&b| b == byte).count();
            isize::try_from(all).unwrap()
        };
        self.lines += count(b'\n') - count(b'\r');
    }

    /// Waits until it has so many events.
    pub(crate) async fn until(&mut self, events: usize) {
        while self.events() < events {
            self.wait().await;
        }
    }

    /// Waits until this text comes. For a reader of few events: what came is looked through anew
    /// with every piece.
    pub(crate) async fn until_text(&mut self, text: &str) {
        let mut all = Vec::new();
        while find(&all, text.as_bytes()).is_none() {
            self.wait().await;
            all.extend_from_slice(&self.buffer[..self.got]);
        }
    }
}
