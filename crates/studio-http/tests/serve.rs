//! Connections: deadlines, both protocols, stopping. Over loopback sockets, with routes of its own.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, http::header::CONTENT_TYPE, routing::get};
use bytes::Bytes;
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
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

const PIECES: u8 = 100;
const PIECE_BYTES: usize = 100_000;

/// Tells that it was dropped.
struct Bell(mpsc::UnboundedSender<()>);

impl Drop for Bell {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

async fn start(options: ServeOptions) -> World {
    let (told, dropped) = mpsc::unbounded_channel();
    let body = move |pieces: BoxStream<'static, Bytes>| {
        let bell = Bell(told.clone());
        Body::from_stream(pieces.map(move |piece| {
            let _kept = &bell;
            Ok::<_, Infallible>(piece)
        }))
    };
    let endless = || stream::repeat(Bytes::from_static(&[b'x'; 64 * 1024])).boxed();
    let few = || stream::iter(["one", "", "two"].map(Bytes::from)).boxed();
    let many = || stream::iter((0..PIECES).map(|n| vec![n; PIECE_BYTES].into())).boxed();
    let silent = || stream::pending().boxed();
    let events = |body| ([(CONTENT_TYPE, "text/event-stream")], body);
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .route(
            "/endless",
            get({
                let body = body.clone();
                async move || body(endless())
            }),
        )
        .route(
            "/silent",
            get({
                let body = body.clone();
                async move || body(silent())
            }),
        )
        .route(
            "/events/endless",
            get({
                let body = body.clone();
                async move || events(body(endless()))
            }),
        )
        .route(
            "/events/silent",
            get({
                let body = body.clone();
                async move || events(body(silent()))
            }),
        )
        .route(
            "/events/many",
            get({
                let body = body.clone();
                async move || events(body(many()))
            }),
        )
        .route("/events/few", get(async move || events(body(few()))));
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

fn get_of(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
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
    for path in ["/endless", "/events/endless"] {
        let stuck = ask(world.address, &get_of(path)).await;
        timeout(LONG, world.dropped.recv()).await.unwrap().unwrap();
        drop(stuck);
    }
}

#[tokio::test]
async fn a_reader_that_reads_slowly_is_kept() {
    let options =
        ServeOptions { write_patience: Duration::from_secs(2), ..ServeOptions::default() };
    let mut world = start(options).await;
    let mut slow = ask(world.address, &get_of("/events/endless")).await;
    let until = Instant::now() + Duration::from_secs(5);
    let mut buffer = vec![0; 1024 * 1024];
    while Instant::now() < until {
        assert!(0 < slow.read(&mut buffer).await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await; // This is what slow means.
    }
    assert!(world.dropped.try_recv().is_err());
}

/// Head and body of an answer in chunks that ended its connection.
fn unchunked(told: &[u8]) -> (String, Vec<u8>) {
    let end = told.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let (head, mut rest) = told.split_at(end);
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        body.extend_from_slice(&rest[line + 2..][..size]);
        rest = rest[line + 2 + size..].strip_prefix(b"\r\n").unwrap();
        if size == 0 {
            assert!(rest.is_empty(), "nothing follows the last chunk");
            return (String::from_utf8(head.to_vec()).unwrap(), body);
        }
    }
}

#[tokio::test]
async fn an_event_stream_has_its_connection_for_itself() {
    let world = start(ServeOptions::default()).await;
    let told = rest(ask(world.address, &get_of("/events/few")).await).await;
    let (head, body) = unchunked(told.as_bytes());
    assert_eq!(body, b"onetwo");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for line in ["content-type: text/event-stream", "connection: close", "date: "] {
        assert!(head.contains(&format!("\r\n{line}")), "{line} in {head}");
    }
}

#[tokio::test]
async fn an_event_stream_may_come_after_other_answers_of_its_connection() {
    let world = start(ServeOptions::default()).await;
    let mut stream = ask(world.address, &get_of("/")).await;
    let mut told = Vec::new();
    while !told.ends_with(b"hello") {
        assert!(0 < timeout(LONG, stream.read_buf(&mut told)).await.unwrap().unwrap());
    }
    stream.write_all(get_of("/events/few").as_bytes()).await.unwrap();
    assert_eq!(unchunked(rest(stream).await.as_bytes()).1, b"onetwo");
}

#[tokio::test]
async fn who_asks_on_before_the_answer_came_gets_all_answers_in_their_order() {
    let world = start(ServeOptions::default()).await;
    let all = format!("{}{}{}", get_of("/"), get_of("/"), get_of("/events/few"));
    let mut stream = ask(world.address, &all).await;
    let mut told = String::new();
    while !told.contains("two") {
        let mut buffer = [0; 1024];
        let got = timeout(LONG, stream.read(&mut buffer)).await.unwrap().unwrap();
        told.push_str(std::str::from_utf8(&buffer[..got]).unwrap());
    }
    let places = ["hello", "hello", "one", "two"].map(|word| told.find(word).unwrap());
    assert!(places.is_sorted(), "{told}");
    assert_eq!(told.matches("hello").count(), 2);
}

#[tokio::test]
async fn an_older_client_gets_an_event_stream_without_chunks() {
    let world = start(ServeOptions::default()).await;
    let told = rest(ask(world.address, "GET /events/few HTTP/1.0\r\nhost: x\r\n\r\n").await).await;
    assert!(told.ends_with("\r\n\r\nonetwo"), "{told}");
}

#[tokio::test]
async fn an_event_stream_is_whole_however_little_the_socket_takes() {
    let world = start(ServeOptions::default()).await;
    let mut stream = ask(world.address, &get_of("/events/many")).await;
    let mut told = Vec::new();
    let mut buffer = [0; 3_001];
    loop {
        let got = timeout(LONG, stream.read(&mut buffer)).await.unwrap().unwrap();
        if got == 0 {
            break;
        }
        told.extend_from_slice(&buffer[..got]);
    }
    let all: Vec<u8> = (0..PIECES).flat_map(|n| vec![n; PIECE_BYTES]).collect();
    assert!(unchunked(&told).1 == all);
}

#[tokio::test]
async fn a_reader_that_hangs_up_is_noticed_in_silence() {
    let mut world = start(ServeOptions::default()).await;
    for (path, more) in [("/silent", ""), ("/events/silent", ""), ("/events/silent", "more")] {
        let mut reader = ask(world.address, &get_of(path)).await;
        let mut begun = [0; 12];
        reader.read_exact(&mut begun).await.unwrap();
        // What it says without being asked is no reason to end it.
        reader.write_all(more.as_bytes()).await.unwrap();
        assert!(world.dropped.try_recv().is_err());
        drop(reader);
        timeout(LONG, world.dropped.recv()).await.unwrap().unwrap();
    }
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
    let mut silent = ask(world.address, &get_of("/silent")).await;
    let mut events = ask(world.address, &get_of("/events/silent")).await;
    let mut begun = [0; 12];
    silent.read_exact(&mut begun).await.unwrap();
    events.read_exact(&mut begun).await.unwrap();
    let half = ask(world.address, "GET / HT").await;
    let idle = ask(world.address, "").await;
    let began = Instant::now();
    world.stop.cancel();
    timeout(LONG, world.serving).await.unwrap().unwrap();
    // Any of the other patiences is longer than this.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    for stream in [silent, events, half, idle] {
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
