//! Connections: deadlines, both protocols, stopping. Over loopback sockets, with routes of its own.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use studio_http::{ServeOptions, serve};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

struct World {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    /// Told when a body is dropped.
    dropped: mpsc::UnboundedReceiver<()>,
}

/// Tells that it was dropped.
struct Bell(mpsc::UnboundedSender<()>);

impl Drop for Bell {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

async fn start(options: ServeOptions) -> World {
    let (told, dropped) = mpsc::unbounded_channel();
    let endless = move |piece: Bytes| {
        let bell = Bell(told.clone());
        let pieces = stream::repeat(piece).map(move |piece| {
            let _kept = &bell;
            Ok::<_, Infallible>(piece)
        });
        async move { Body::from_stream(pieces) }
    };
    let silent = || async { Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()) };
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/endless", get(move || endless(Bytes::from_static(&[b'x'; 64 * 1024]))))
        .route("/silent", get(silent));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, app, options, stop.clone()));
    World { address, stop, serving, dropped }
}

async fn ask(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after what was read is an end, too.
    let _ = timeout(LONG, stream.read_to_end(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn d30_25_a_reader_that_does_not_read_is_let_go() {
    let options =
        ServeOptions { write_patience: Duration::from_millis(200), ..ServeOptions::default() };
    let mut world = start(options).await;
    let stuck = ask(world.address, "GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
    timeout(LONG, world.dropped.recv()).await.unwrap().unwrap();
    drop(stuck);
}

#[tokio::test]
async fn a_reader_that_reads_slowly_is_kept() {
    let options =
        ServeOptions { write_patience: Duration::from_millis(400), ..ServeOptions::default() };
    let mut world = start(options).await;
    let mut slow = ask(world.address, "GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let until = Instant::now() + Duration::from_secs(2);
    let mut buffer = vec![0; 1024 * 1024];
    while Instant::now() < until {
        assert!(0 < slow.read(&mut buffer).await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await; // This is what slow means.
    }
    assert!(world.dropped.try_recv().is_err());
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let options =
        ServeOptions { head_patience: Duration::from_millis(100), ..ServeOptions::default() };
    let world = start(options).await;
    rest(ask(world.address, "GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await).await;
}

#[tokio::test]
async fn what_is_not_http_or_has_too_large_a_head_is_refused() {
    let world = start(ServeOptions::default()).await;
    let told = rest(ask(world.address, "not http at all\r\n\r\n").await).await;
    assert!(told.starts_with("HTTP/1.1 400"), "{told}");
    let head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (read, mut write) = stream.into_split();
    // The server may hang up before it has read everything.
    let _ = write.write_all(head.as_bytes()).await;
    let told = rest(read.reunite(write).unwrap()).await;
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 431"), "{told}");
}

#[tokio::test]
async fn both_protocols_are_spoken_without_tls() {
    let world = start(ServeOptions::default()).await;
    let told =
        rest(ask(world.address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await)
            .await;
    assert!(told.starts_with("HTTP/1.1 200") && told.ends_with("hello"), "{told}");

    let mut http2 = ask(world.address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    http2.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap(); // Empty SETTINGS.
    let mut frame = [0; 9];
    timeout(LONG, http2.read_exact(&mut frame)).await.unwrap().unwrap();
    assert_eq!(frame[3], 4, "SETTINGS come back: {frame:?}");
}

#[tokio::test]
async fn stopping_waits_for_nobody_longer_than_the_grace() {
    let world = start(ServeOptions::default()).await;
    let silent = ask(world.address, "GET /silent HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut begun = [0; 12];
    let mut silent = silent;
    silent.read_exact(&mut begun).await.unwrap();
    let half = ask(world.address, "GET / HT").await;
    let idle = ask(world.address, "").await;
    let began = Instant::now();
    world.stop.cancel();
    timeout(LONG, world.serving).await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    for stream in [silent, half, idle] {
        rest(stream).await;
    }
    assert!(TcpStream::connect(world.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_seat() {
    let options = ServeOptions { connections_max: 1, ..ServeOptions::default() };
    let world = start(options).await;
    let first = ask(world.address, "GET /silent HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut begun = [0; 12];
    let mut first = first;
    first.read_exact(&mut begun).await.unwrap();
    let second = ask(world.address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    drop(first);
    assert!(rest(second).await.ends_with("hello"));
}
