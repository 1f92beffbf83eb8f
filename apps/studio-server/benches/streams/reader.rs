//! Requests of the protocol, and readers that only count.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::client::request;

/// A message holds it once, and nothing else that a server sends does.
const MARK: u8 = b'~';
/// Bytes of a message.
pub(crate) const MESSAGE_BYTES: usize = 300;

pub(crate) fn message() -> String {
    let mark = char::from(MARK);
    let head = format!("{{\"{mark}\":\"");
    format!("{head}{}\"}}", "x".repeat(MESSAGE_BYTES - head.len() - 2))
}

pub(crate) fn path(stream: &str) -> String {
    format!("/v1/stream/{stream}")
}

/// The request that makes a stream of JSON messages.
pub(crate) fn create(stream: &str) -> Vec<u8> {
    let path = path(stream);
    format!(
        "PUT {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// The request that appends one message.
pub(crate) fn append(stream: &str) -> Vec<u8> {
    request("POST", &path(stream), None, &message())
}

/// A request that is answered with little: 200, or 404 where there is no such stream.
pub(crate) fn tail(stream: &str) -> Vec<u8> {
    request("GET", &format!("{}?offset=now", path(stream)), None, "")
}

/// A reader of one stream by server-sent events.
pub(crate) struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Messages so far.
    pub(crate) seen: usize,
}

impl Reader {
    /// Reads from the tail on; returns when the server said that this is the tail.
    pub(crate) async fn open(port: u16, stream: &str) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let path = format!("{}?offset=now&live=sse", path(stream));
        socket.write_all(&request("GET", &path, None, "")).await.unwrap();
        let mut reader = Self { stream: socket, buffer: vec![0; 4 * 1024], seen: 0 };
        let mut said = Vec::new();
        while !said.windows(8).any(|window| window == b"upToDate") {
            let got = reader.wait().await;
            said.extend_from_slice(&reader.buffer[..got]);
        }
        assert!(said.starts_with(b"HTTP/1.1 200"), "a reader was refused");
        reader
    }

    /// Waits for more bytes.
    pub(crate) async fn wait(&mut self) -> usize {
        let got = self.stream.read(&mut self.buffer).await.unwrap();
        assert!(0 < got, "the server ended an event stream");
        self.seen += self.buffer[..got].iter().filter(|&&byte| byte == MARK).count();
        got
    }

    /// Waits until it has so many messages.
    pub(crate) async fn until(&mut self, messages: usize) {
        while self.seen < messages {
            self.wait().await;
        }
    }
}

/// Opens readers, as many at once as there are streams, over and over; `count` in all.
pub(crate) async fn open(port: u16, streams: &[String], count: usize) -> Vec<Reader> {
    let mut opening = tokio::task::JoinSet::new();
    let mut readers = Vec::with_capacity(count);
    for nth in 0..count {
        let stream = streams[nth % streams.len()].clone();
        opening.spawn(async move { Reader::open(port, &stream).await });
        // The queue of connections that wait for a server is short.
        if opening.len() == 100 {
            readers.push(opening.join_next().await.unwrap().unwrap());
        }
    }
    readers.extend(opening.join_all().await);
    readers
}
