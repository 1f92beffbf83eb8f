use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::response::Response;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};

/// A connection that breaks when the other end takes nothing for too long (`D30-25`): a dead or
/// stuck reader costs its bounded buffers for that long and no longer.
pub(crate) struct Deadlined<S> {
    stream: S,
    patience: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Runs while what was written waits to go out: what is to be encrypted waits there.
    flushing: Option<Pin<Box<Sleep>>>,
}

impl<S> Deadlined<S> {
    pub(crate) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, waiting: None, flushing: None }
    }

    /// Turns a write that waits for too long into a failure.
    fn timed<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.waiting = None;
            return poll;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Deadlined<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Deadlined<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, data);
        self.timed(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.timed(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TCP stream has nothing to flush; a write that waits has its own deadline.
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        if poll.is_ready() {
            self.flushing = None;
            return poll;
        }
        let patience = self.patience;
        let waits = self.flushing.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waits.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A socket that the HTTP library uses until it is taken away from under it, together with the
/// answer that is to be written to it.
#[derive(Clone)]
pub(crate) struct Lent(Arc<Mutex<Loan>>);

struct Loan {
    /// `None` = taken back.
    stream: Option<TcpStream>,
    /// Whether the library keeps nothing back that belongs before the next answer.
    flushed: bool,
    answer: Option<Response>,
}

impl Lent {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Mutex::new(Loan { stream: Some(stream), flushed: true, answer: None })))
    }

    /// Asks that this answer be written by whoever takes the socket back; given back while the
    /// library still has something to write (a client that asks on before it has its answer).
    #[allow(clippy::result_large_err, reason = "made once for each reader")]
    pub(crate) fn hand_over(&self, answer: Response) -> Result<(), Response> {
        let mut loan = self.loan();
        if !loan.flushed {
            return Err(answer);
        }
        loan.answer = Some(answer);
        Ok(())
    }

    /// The socket and what was handed over; the library sees the end of its input from now on.
    pub(crate) fn take_back(&self) -> Option<(TcpStream, Response)> {
        let mut loan = self.loan();
        let answer = loan.answer.take()?;
        loan.stream.take().map(|stream| (stream, answer))
    }

    fn loan(&self) -> MutexGuard<'_, Loan> {
        // Nothing here leaves a value half changed when it panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Lent {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.loan().stream {
            Some(stream) => Pin::new(stream).poll_read(cx, buffer),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Lent {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut loan = self.loan();
        loan.flushed = false;
        match &mut loan.stream {
            Some(stream) => Pin::new(stream).poll_write(cx, data),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut loan = self.loan();
        loan.flushed = false;
        match &mut loan.stream {
            Some(stream) => Pin::new(stream).poll_write_vectored(cx, data),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Called when the library has written all that it kept. A TCP stream keeps nothing.
        self.loan().flushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.loan().stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
