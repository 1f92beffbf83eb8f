use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody as _},
    http::{HeaderValue, Method, Version},
    response::Response,
};
use hyper::{Request, body::Incoming, rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tower::Service as _;

use crate::{
    PeerAddress,
    io::{Deadlined, Lent},
    outlet::{self, Outlet},
};

/// Most bytes that wait for one HTTP/1 connection, beside the one event being written; also the
/// most that a request's head may have.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Most requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;
/// Wait after an `accept` that failed: most often no file descriptor is left.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);

/// How long the runtime's timer sleeps at most.
///
/// A timer that ends before all others wakes the thread that waits for them, and every request
/// makes such timers (for its head, for its body) and drops them a moment later. While something is
/// due this soon anyway, none of them wakes anybody.
const TIMER_LOOKS_EVERY: Duration = Duration::from_millis(500);

/// In a request's extensions: it came over TLS, so that a cookie may be marked `Secure`.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted;

/// How connections are treated.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// How long a request's head may take to arrive.
    pub head_patience: Duration,
    /// How long a client may take nothing of what is written to it.
    pub write_patience: Duration,
    /// How long a client may take to agree on encryption.
    pub handshake_patience: Duration,
    /// Most connections at once; more wait in the system's own queue.
    pub connections_max: usize,
    /// How long requests may go on after the stop.
    pub grace: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            head_patience: Duration::from_secs(30),
            write_patience: Duration::from_secs(30),
            handshake_patience: Duration::from_secs(10),
            connections_max: 16_384,
            grace: Duration::from_millis(300),
        }
    }
}

/// As [`serve()`], over TLS: HTTP/2 and HTTP/1.1 as the client asks in its first message (ALPN).
pub async fn serve_tls(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    app: Router,
    options: ServeOptions,
    stop: CancellationToken,
) {
    serve_all(listener, Some(tls.into()), app, options, stop).await;
}

/// Serves HTTP/1.1 and HTTP/2 (prior knowledge) until `stop`, then lets requests end for
/// `options.grace`. Nothing of it runs any more when this returns.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    options: ServeOptions,
    stop: CancellationToken,
) {
    serve_all(listener, None, app, options, stop).await;
}

async fn serve_all(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: Router,
    options: ServeOptions,
    stop: CancellationToken,
) {
    let _looks = AbortOnDropHandle::new(tokio::spawn(async {
        loop {
            tokio::time::sleep(TIMER_LOOKS_EVERY).await;
        }
    }));
    let tasks = TaskTracker::new();
    let hard_stop = CancellationToken::new();
    let room = Arc::new(Semaphore::new(options.connections_max));
    while let Some((stream, peer)) = accept(&listener, &stop).await {
        let seat = tokio::select! {
            () = stop.cancelled() => break,
            seat = room.clone().acquire_owned() => seat,
        };
        let tracked = Tracked { tasks: tasks.clone(), hard_stop: hard_stop.clone() };
        if let Some(tls) = &tls {
            let (tls, app, stop) = (tls.clone(), app.clone(), stop.clone());
            let serving = encrypted(tls, stream, peer, app, options, stop, tracked.clone());
            let serving = Box::pin(serving);
            tracked.execute(async move {
                let _seat = seat;
                serving.await;
            });
            continue;
        }
        let serving = connection(stream, peer, app.clone(), options, stop.clone(), tracked.clone());
        // Boxed: held inline, each future around it would keep room for it twice, and a reader's
        // connection would cost 13 KiB instead of 4.
        let serving = Box::pin(serving);
        tracked.execute(async move {
            let _seat = seat;
            // Its state is freed before an event stream begins, which may last for hours.
            let outlet = serving.await;
            if let Some(outlet) = outlet
                && let Err(error) = outlet.await
            {
                tracing::debug!(error = %error, "an event stream broke: {error}");
            }
        });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(options.grace, tasks.wait()).await.is_err() {
        tracing::debug!("{} connections did not end by themselves", tasks.len());
        hard_stop.cancel();
        tasks.wait().await;
    }
}

/// The next connection; `None` once it is time to stop.
async fn accept(
    listener: &TcpListener,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => return Some(connection),
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}

/// Serves a connection to its end, or to the first answer that is an event stream.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    app: Router,
    options: ServeOptions,
    stop: CancellationToken,
    tracked: Tracked,
) -> Option<Pin<Box<Outlet>>> {
    // Events are small and wanted now. Fails only for a connection that is gone already.
    let _ = stream.set_nodelay(true);
    let socket = Lent::new(stream);
    let io = TokioIo::new(Deadlined::new(socket.clone(), options.write_patience));
    let lent = socket.clone();
    let service = service_fn(move |request| answer(app.clone(), request, peer, lent.clone()));
    let builder = builder(tracked, options);
    let serving = builder.serve_connection(io, service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = until_handed_over(serving.as_mut(), &socket) => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            until_handed_over(serving.as_mut(), &socket).await
        }
    };
    match ended {
        Ended::HandedOver(stream, response) => {
            Some(Box::pin(Outlet::new(stream, response, options.write_patience)))
        }
        Ended::Served(Ok(())) => None,
        Ended::Served(Err(error)) => {
            // A client that went away is no failure of ours.
            tracing::debug!(error = %error, "a connection ended: {error}");
            None
        }
    }
}

/// How connections are read, whatever lies under them.
fn builder(tracked: Tracked, options: ServeOptions) -> Builder<Tracked> {
    let mut builder = Builder::new(tracked);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_patience)
        .max_buf_size(BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(options.write_patience)
        .keep_alive_timeout(options.write_patience);
    builder
}

/// Agrees on encryption and serves the connection to its end.
async fn encrypted(
    tls: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    app: Router,
    options: ServeOptions,
    stop: CancellationToken,
    tracked: Tracked,
) {
    // Events are small and wanted now. Fails only for a connection that is gone already.
    let _ = stream.set_nodelay(true);
    let agreed = tokio::select! {
        () = stop.cancelled() => return,
        agreed = tokio::time::timeout(options.handshake_patience, tls.accept(stream)) => agreed,
    };
    let stream = match agreed {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(error = %error, "no encryption was agreed on: {error}");
            return;
        }
        Err(_elapsed) => {
            tracing::debug!("a client took too long to agree on encryption");
            return;
        }
    };
    let io = TokioIo::new(Deadlined::new(stream, options.write_patience));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddress(peer));
        request.extensions_mut().insert(Encrypted);
        // Addresses that answers tell of are made of it.
        request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
        let mut app = app.clone();
        app.call(request.map(Body::new))
    });
    let builder = builder(tracked, options);
    let serving = builder.serve_connection(io, service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        // A client that went away is no failure of ours.
        tracing::debug!(error = %error, "a connection ended: {error}");
    }
}

/// How the HTTP library's part of a connection ends.
enum Ended<E> {
    Served(Result<(), E>),
    HandedOver(TcpStream, Response),
}

async fn until_handed_over<E>(
    mut serving: Pin<&mut impl Future<Output = Result<(), E>>>,
    socket: &Lent,
) -> Ended<E> {
    poll_fn(|cx| match serving.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Ended::Served(ended)),
        // An answer is only handed over while the library is polled.
        Poll::Pending => match socket.take_back() {
            Some((stream, response)) => Poll::Ready(Ended::HandedOver(stream, response)),
            None => Poll::Pending,
        },
    })
    .await
}

fn answer(
    mut app: Router,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    socket: Lent,
) -> impl Future<Output = Result<Response, Infallible>> {
    let alone = request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && request.body().is_end_stream();
    request.extensions_mut().insert(PeerAddress(peer));
    let answering = app.call(request.map(Body::new));
    async move {
        let response = answering.await?;
        if !alone || !outlet::takes(&response) {
            return Ok(response);
        }
        match socket.hand_over(response) {
            Err(response) => Ok(response),
            // The library waits for this answer until it is dropped.
            Ok(()) => std::future::pending().await,
        }
    }
}

/// Runs tasks where they are waited for, and ends them when they must end.
#[derive(Clone)]
struct Tracked {
    tasks: TaskTracker,
    hard_stop: CancellationToken,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tracked {
    fn execute(&self, task: F) {
        let hard_stop = self.hard_stop.clone();
        self.tasks.spawn(async move { hard_stop.run_until_cancelled(task).await });
    }
}
