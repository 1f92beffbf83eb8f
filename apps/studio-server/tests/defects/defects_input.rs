//! Bytes on the wire: names, pages, sizes, patience.

use std::time::Duration;

use studio_testkit::{StudioServer, wait_for};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use crate::studio::{SOON, hooked, is_sound, program};

pub(crate) async fn server() -> StudioServer {
    program().arg("--sandbox").arg("local").start().await
}

pub(crate) async fn open(server: &StudioServer) -> TcpStream {
    TcpStream::connect(("127.0.0.1", server.port())).await.unwrap()
}

/// Sends and gives the first line of the answer.
pub(crate) async fn ask(server: &StudioServer, text: &str) -> String {
    let mut stream = open(server).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    status(&mut stream).await
}

pub(crate) async fn status(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = tokio::time::timeout(SOON, stream.read(&mut bytes)).await.expect("an answer");
    let told = String::from_utf8_lossy(&bytes[..read.unwrap_or(0)]).into_owned();
    told.lines().next().unwrap_or_default().to_owned()
}

/// D30-4 as a browser would do it: a page elsewhere can neither create nor, with a name that was
/// bent to this address, read.
#[tokio::test]
async fn d30_4_a_page_elsewhere_cannot_drive_the_server() {
    let server = server().await;
    let host = format!("Host: 127.0.0.1:{}", server.port());
    let end = "Content-Length: 2\r\nConnection: close\r\n\r\n{}";
    let json = "Content-Type: application/json";
    for (head, wanted) in [
        // Without preflight: simple requests of a page.
        (
            format!("POST /api/sessions HTTP/1.1\r\n{host}\r\nContent-Type: text/plain\r\n{end}"),
            "415",
        ),
        (format!("POST /api/sessions HTTP/1.1\r\n{host}\r\n{end}"), "415"),
        (
            format!(
                "POST /api/sessions/local HTTP/1.1\r\n{host}\r\nContent-Type: text/plain\r\n{end}"
            ),
            "415",
        ),
        (
            format!(
                "POST /api/sessions/local HTTP/1.1\r\n{host}\r\nOrigin: https://evil.example\r\n{json}\r\n{end}"
            ),
            "403",
        ),
        (
            format!(
                "POST /api/sessions/local HTTP/1.1\r\n{host}\r\nOrigin: null\r\n{json}\r\n{end}"
            ),
            "403",
        ),
        (
            format!(
                "POST /api/sessions/local HTTP/1.1\r\n{host}\r\nSec-Fetch-Site: cross-site\r\n{json}\r\n{end}"
            ),
            "403",
        ),
        (
            format!(
                "POST /api/sessions/local HTTP/1.1\r\n{host}\r\nSec-Fetch-Site: same-site\r\n{json}\r\n{end}"
            ),
            "403",
        ),
        (
            format!(
                "GET /api/config HTTP/1.1\r\n{host}\r\nOrigin: http://127.0.0.1:1\r\nConnection: close\r\n\r\n"
            ),
            "403",
        ),
        // Rebinding, no name, two names, a name in the target that is not the header's.
        (
            "GET /api/config HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
                .to_owned(),
            "403",
        ),
        ("GET /api/config HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), "40"),
        ("GET /api/config HTTP/1.0\r\n\r\n".to_owned(), "403"),
        (
            format!(
                "GET /api/config HTTP/1.1\r\n{host}\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
            ),
            "40",
        ),
        (
            format!(
                "GET http://evil.example/api/config HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n"
            ),
            "403",
        ),
        (format!("GET /api/config HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n"), "200"),
    ] {
        let told = ask(&server, &head).await;
        assert!(told.contains(&format!(" {wanted}")), "{head}\n-> {told}");
    }
    is_sound(&server);
}

/// D30-101: a body is measured in bytes while it comes; what is too large is refused long before
/// its end, and is not kept.
#[tokio::test]
async fn d30_101_a_body_without_end_is_refused_on_the_way() {
    let server = server().await;
    let (session, hook) = hooked(&server).await;
    let before = server.resident_bytes();
    for _ in 0..8 {
        let mut stream = open(&server).await;
        let path = session.path("hook-event");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {hook}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).into_bytes();
        let (mut reading, mut writing) = stream.into_split();
        let sending = tokio::spawn(async move {
            let mut sent = 0;
            while sent < 64 << 20 && writing.write_all(&chunk).await.is_ok() {
                sent += chunk.len();
            }
            sent
        });
        let mut told = Vec::new();
        let read = tokio::time::timeout(SOON, reading.read_to_end(&mut told)).await;
        let told = String::from_utf8_lossy(&told).into_owned();
        // A connection that is reset may lose the answer on its way; it is refused all the same.
        assert!(told.starts_with("HTTP/1.1 413") || told.is_empty(), "{read:?} {told}");
        let sent = tokio::time::timeout(SOON, sending).await.unwrap().unwrap();
        assert!(sent < 32 << 20, "{sent} bytes were taken");
    }
    let more = server.resident_bytes().saturating_sub(before);
    assert!(more < 24 << 20, "{more} bytes more");
    is_sound(&server);
}

/// Line 14: who sends a byte now and then is let go, and delays nobody.
#[tokio::test]
async fn slow_connections_delay_nobody() {
    let server = server().await;
    let mut slow = Vec::new();
    for at in 0..200 {
        let mut stream = open(&server).await;
        let head = if at % 2 == 0 {
            "GET /api/health HTTP/1.1\r\nHost: local".to_owned()
        } else {
            "POST /api/sessions/local HTTP/1.1\r\nHost: localhost\r\nContent-Type: \
             application/json\r\nContent-Length: 100\r\n\r\n{"
                .to_owned()
        };
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    for _ in 0..20 {
        let began = Instant::now();
        let config = server.client().get(server.url("/api/config")).send().await.unwrap();
        assert_eq!(config.status(), 200);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    // Half of them go away without a word.
    slow.truncate(100);
    wait_for("a session between them", SOON, async || {
        let url = server.url("/api/sessions/local");
        let made = server.client().post(url).send().await.ok()?;
        (made.status() == 201).then_some(())
    })
    .await;
    is_sound(&server);
}

/// Ids are UUIDs: nothing else leads anywhere, and nothing of a path gets through.
#[tokio::test]
async fn an_id_is_never_a_path() {
    let server = server().await;
    let operator = std::fs::read_to_string(server.data_dir().join("operator-token")).unwrap();
    let operator = operator.trim();
    for id in [
        "..",
        "../registry",
        "..%2f..%2fkey",
        "%2e%2e%2fkey",
        "%00",
        "a/b",
        "registry",
        "local",
        "auto",
        "resume",
        "create-app",
        "global-hook",
        "00000000-0000-0000-0000-00000000000",
        "00000000-0000-0000-0000-0000000000000",
        "%ff%fe",
        "{id}",
    ] {
        let told = ask(
            &server,
            &format!(
                "GET /api/sessions/{id}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: \
                 Bearer {operator}\r\nConnection: close\r\n\r\n"
            ),
        )
        .await;
        assert!(told.contains(" 401") || told.contains(" 404"), "{id}: {told}");
    }
    is_sound(&server);
}
