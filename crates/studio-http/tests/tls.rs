//! Connections over TLS: both protocols, many streams on one connection, handshakes that hang.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::{Body, HttpBody as _},
    http::{Request, Uri, Version, header::CONTENT_TYPE},
    routing::get,
};
use bytes::Bytes;
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use hyper::{body::Incoming, client::conn::http2, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use studio_http::{Encrypted, ServeOptions, serve_tls};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::broadcast,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, ServerName},
    },
};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);
/// More streams than a browser opens over HTTP/1.1, by far.
const STREAMS: usize = 100;

struct World {
    address: SocketAddr,
    client: ClientConfig,
    tell: broadcast::Sender<&'static str>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

fn provider() -> Arc<tokio_rustls::rustls::crypto::CryptoProvider> {
    Arc::new(ring::default_provider())
}

async fn world(options: ServeOptions) -> World {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (tell, _) = broadcast::channel(16);
    let told = tell.clone();
    let events = move || {
        let heard = told.subscribe();
        async move {
            let more = stream::unfold(heard, |mut heard| async {
                heard.recv().await.ok().map(|text| (Ok(Bytes::from(text)), heard))
            });
            let hello = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"data:hello\n\n"))]);
            let pieces: BoxStream<'static, _> = hello.chain(more).boxed();
            ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(pieces))
        }
    };
    let app = Router::new().route("/events", get(events)).route(
        "/secure",
        get(async |secure: Option<Extension<Encrypted>>| secure.is_some().to_string()),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve_tls(listener, Arc::new(server), app, options, stop.clone()));
    World { address, client, tell, stop, serving }
}

impl World {
    async fn connect(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut config = self.client.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        let socket = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, socket);
        let stream = timeout(LONG, connecting).await.unwrap().unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        stream
    }

    async fn http2(&self) -> SendRequest<Body> {
        let io = TokioIo::new(self.connect(b"h2").await);
        let (send, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        send
    }

    fn ask(&self, path: &str) -> Request<Body> {
        let uri: Uri = format!("https://localhost:{}{path}", self.address.port()).parse().unwrap();
        Request::get(uri).body(Body::empty()).unwrap()
    }
}

/// The next bytes of a body.
async fn piece(body: &mut Incoming) -> Bytes {
    let next = std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx));
    timeout(LONG, next).await.unwrap().unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn one_connection_holds_a_hundred_event_streams_and_more_requests() {
    let world = world(ServeOptions::default()).await;
    let mut send = world.http2().await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let response =
            timeout(LONG, send.send_request(world.ask("/events"))).await.unwrap().unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
        streams.push(response.into_body());
    }
    for stream in &mut streams {
        assert_eq!(piece(stream).await, "data:hello\n\n");
    }
    for event in ["data:one\n\n", "data:two\n\n"] {
        assert_eq!(world.tell.send(event).unwrap(), STREAMS);
        for stream in &mut streams {
            assert_eq!(piece(stream).await, event);
        }
    }
    // One that goes away leaves the others.
    drop(streams.pop());
    let mut response = send.send_request(world.ask("/secure")).await.unwrap().into_body();
    assert_eq!(piece(&mut response).await, "true");
    world.tell.send("data:three\n\n").unwrap();
    for stream in &mut streams {
        assert_eq!(piece(stream).await, "data:three\n\n");
    }
    world.stop.cancel();
    timeout(LONG, world.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_of_the_older_protocol_is_served_too() {
    let world = world(ServeOptions::default()).await;
    let mut stream = world.connect(b"http/1.1").await;
    stream
        .write_all(b"GET /secure HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    timeout(LONG, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\ntrue"),
        "{answer}"
    );
}

#[tokio::test]
async fn who_does_not_agree_on_encryption_is_shut_out_and_holds_up_nobody() {
    let options =
        ServeOptions { handshake_patience: Duration::from_secs(3), ..ServeOptions::default() };
    let world = world(options).await;
    let mut silent = TcpStream::connect(world.address).await.unwrap();
    let mut half = TcpStream::connect(world.address).await.unwrap();
    // The beginning of a first message, which promises more than comes.
    half.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
    let mut clear = TcpStream::connect(world.address).await.unwrap();
    clear.write_all(b"GET /secure HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    // Others are served meanwhile.
    let mut send = world.http2().await;
    let mut body = send.send_request(world.ask("/secure")).await.unwrap().into_body();
    assert_eq!(piece(&mut body).await, "true");
    for (name, stream) in [("silent", &mut silent), ("half", &mut half), ("clear", &mut clear)] {
        let mut rest = Vec::new();
        let ended = timeout(LONG, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{name} is still there");
        assert!(!rest.starts_with(b"HTTP/"), "{name} was answered");
    }
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off() {
    let options =
        ServeOptions { write_patience: Duration::from_millis(300), ..ServeOptions::default() };
    let world = world(options).await;
    let mut stream = world.connect(b"http/1.1").await;
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 16];
    stream.read_exact(&mut first).await.unwrap();
    let much: &'static str = Box::leak("data:x\n\n".repeat(64 * 1024).into_boxed_str());
    let gone = async {
        // Until the one reader's stream is dropped.
        while world.tell.send(much).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, gone).await.unwrap();
}
