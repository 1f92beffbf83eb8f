//! Event streams over HTTP/1.1, written without the HTTP library.
//!
//! A reader stays for hours and takes one small piece at a time. The library would keep its
//! buffers (24 KiB and more) and its state for each, and look through all of it for each piece.
//! So an answer that is an event stream gets its connection for itself: its head, then a chunk for
//! each piece of its body, then the end of the connection.

use std::{
    future::Future,
    io::{self, IoSlice, Write as _},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use axum::{
    body::{Body, HttpBody as _},
    http::{
        HeaderMap, StatusCode,
        header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, TRANSFER_ENCODING},
    },
    response::Response,
};
use bytes::Bytes;
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
};

use crate::io::Deadlined;

/// What stands before a chunk's size and at the end of a body.
const LINE_END: &[u8] = b"\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Headers that say how an answer is sent: whoever sets them means to send it that way.
const FRAMING: [axum::http::HeaderName; 3] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING];

/// Whether an answer is one to be written here.
pub(crate) fn takes(response: &Response) -> bool {
    let headers = response.headers();
    response.status() == StatusCode::OK
        && headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream")
        && !FRAMING.iter().any(|name| headers.contains_key(name))
}

/// Writes one event stream; the future ends with it or with the connection.
pub(crate) struct Outlet {
    socket: Deadlined<TcpStream>,
    body: Body,
    /// What comes before the piece: the answer's head at first, the size of the chunk.
    prefix: Vec<u8>,
    piece: Bytes,
    suffix: &'static [u8],
    /// How much of these three together was written.
    written: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next piece may be asked for.
    Empty,
    /// A piece is being written.
    Loaded,
    /// The end is being written.
    Ending,
}

impl Outlet {
    /// `patience`: how long the client may take nothing.
    pub(crate) fn new(stream: TcpStream, response: Response, patience: Duration) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            socket: Deadlined::new(stream, patience),
            body,
            prefix: head(&parts.headers),
            piece: Bytes::new(),
            suffix: &[],
            written: 0,
            state: State::Empty,
        }
    }

    fn unwritten(&self) -> bool {
        self.written < self.prefix.len() + self.piece.len() + self.suffix.len()
    }

    /// Takes the next piece of the body, if there is one and room for it.
    fn load(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.state == State::Empty {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Some(Ok(frame))) => {
                    // A body of events has no trailers, and an empty chunk would end it.
                    let Ok(piece) = frame.into_data() else { continue };
                    if !piece.is_empty() {
                        write!(self.prefix, "{:x}\r\n", piece.len())?;
                        (self.piece, self.suffix, self.state) = (piece, LINE_END, State::Loaded);
                    }
                }
                Poll::Ready(Some(Err(error))) => return Err(io::Error::other(error)),
                Poll::Ready(None) => (self.suffix, self.state) = (LAST_CHUNK, State::Ending),
            }
        }
        Ok(())
    }

    /// Writes what there is; ready once all of it is written.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unwritten() {
            let mut slices =
                [IoSlice::new(&self.prefix), IoSlice::new(&self.piece), IoSlice::new(self.suffix)];
            let mut rest = &mut slices[..];
            IoSlice::advance_slices(&mut rest, self.written);
            match Pin::new(&mut self.socket).poll_write_vectored(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(wrote)) => self.written += wrote,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if 64 < self.prefix.capacity() {
            // The head was large; the sizes of chunks are not.
            self.prefix = Vec::new();
        }
        self.prefix.clear();
        (self.piece, self.suffix, self.written) = (Bytes::new(), &[], 0);
        Poll::Ready(Ok(()))
    }

    /// Whether the client has gone. What it says is nothing to us: it was told that this
    /// connection has no other answer.
    fn hung_up(&mut self, cx: &mut Context<'_>) -> bool {
        let mut space = [0; 256];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return true,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return true,
                Poll::Pending => return false,
            }
        }
    }
}

impl Future for Outlet {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            this.load(cx)?;
            if !this.unwritten() {
                break;
            }
            match this.flush(cx) {
                Poll::Ready(Ok(())) if this.state == State::Ending => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => this.state = State::Empty,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        if this.hung_up(cx) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

fn head(headers: &HeaderMap) -> Vec<u8> {
    let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
    let mut field = |name: &str, value: &[u8]| {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(LINE_END);
    };
    for (name, value) in headers {
        field(name.as_str(), value.as_bytes());
    }
    if !headers.contains_key(DATE) {
        field("date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    }
    field("transfer-encoding", b"chunked");
    field("connection", b"close");
    head.extend_from_slice(LINE_END);
    head
}
