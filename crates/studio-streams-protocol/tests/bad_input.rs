//! Whatever is sent: a clean refusal, never a 5xx, never a panic, and the next request works.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::{net::Ipv4Addr, time::Duration};

use axum::http::{Method, StatusCode};
use proptest::prelude::*;
use studio_streams_protocol::ProtocolOptions;
use support::{Ask, World, ask, get, post, put};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const JSON: &str = "application/json";
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::PUT,
    Method::POST,
    Method::DELETE,
    Method::OPTIONS,
    Method::PATCH,
];

/// A clean answer: no failure of ours but where it says that it does not do that.
async fn refused_or_done(world: &World, ask: Ask) -> StatusCode {
    let shown = format!("{ask:.300?}");
    let status = world.open(ask).await.status();
    let clean = status.as_u16() < 500 || status == StatusCode::NOT_IMPLEMENTED;
    assert!(clean, "{shown}: {status}");
    status
}

#[tokio::test]
async fn no_name_leads_anywhere() {
    let world = World::new();
    let names = [
        "",
        "/",
        "//",
        ".",
        "..",
        "../",
        "../../etc/passwd",
        "a/../b",
        "a/./b",
        "a//b",
        "a/",
        "%2e%2e",
        "%2e%2e/x",
        "%2E%2E%2Fx",
        "..%2f..%2fetc",
        "%252e%252e",
        "a%00b",
        "a%0ab",
        "a%0d%0aset-cookie:%20x=1",
        "%ff%fe",
        "%",
        "%2",
        "%zz",
        "a%20b",
        "a+b",
        "a*b",
        "a~b",
        "';%20rm%20-rf%20/",
        "$(reboot)",
        "%24%28reboot%29",
        "`id`".replace('`', "%60").as_str(),
        "%C3%A9",
        "a;b",
        "a=b",
        "a,b",
        "a@b",
        "a:b",
        "__ds",
        "__ds/..%2fa",
        "%5F%5Fds/x",
    ]
    .map(str::to_owned);
    for name in names.into_iter().chain(["a".repeat(2_000), "a/".repeat(1_000), "%61".repeat(700)])
    {
        for method in METHODS {
            let status = refused_or_done(&world, ask(method.clone(), &name)).await;
            assert!(method == Method::OPTIONS || !status.is_success(), "{method} {name}: {status}");
        }
    }
    // What only looks dangerous is a name like any other.
    for name in ["-rf", "--help", "...", ".a", "a..b", "CON", "a.lock", "0", "_"] {
        assert_eq!(refused_or_done(&world, put(name)).await, StatusCode::CREATED, "{name}");
    }
}

#[tokio::test]
async fn no_header_brings_an_operation_down() {
    let world = World::new();
    world.stream("a", JSON, &["1"]).await;
    let long = "9".repeat(20_000);
    let values: Vec<Vec<u8>> = [
        "",
        " ",
        "-",
        "-1",
        "+1",
        "0",
        "00",
        "1",
        "1.0",
        "1e9",
        "0x1",
        "NaN",
        "true",
        "TRUE ",
        "9007199254740992",
        "18446744073709551616",
        "99999999999999999999999",
        "a b",
        "a,b",
        "*",
        "\"",
        "W/\"",
        "now",
        "2030-01-01T00:00:00Z",
        "0000-00-00T00:00:00Z",
        "text",
        "text/",
        "application/json; charset=\"",
        "/v1/stream/",
        "/v1/stream/a",
        "/v1/stream/a?x",
        "../a",
        "';--",
        "<script>",
        "%00",
        &long,
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([vec![0xff, 0xfe], vec![0xc3, 0x28], "\u{e9}".as_bytes().to_vec(), vec![b'\t'; 3]])
    .collect();
    let names = [
        "content-type",
        "content-encoding",
        "stream-seq",
        "stream-ttl",
        "stream-expires-at",
        "stream-closed",
        "producer-id",
        "producer-epoch",
        "producer-seq",
        "stream-forked-from",
        "stream-fork-offset",
        "stream-fork-sub-offset",
        "if-none-match",
        "last-event-id",
        "origin",
        "host",
        "x-forwarded-proto",
        "accept-encoding",
        "range",
    ];
    for name in names {
        for value in &values {
            for method in METHODS {
                let target = if method == Method::PUT { "new" } else { "a" };
                let ask = ask(method.clone(), target).header(name, value.clone()).body("1");
                refused_or_done(&world, ask.clone()).await;
                let all = Ask { headers: Vec::new(), ..ask }
                    .kind(JSON)
                    .header("stream-forked-from", "/v1/stream/a")
                    .by("p", 0, 0)
                    .header(name, value.clone());
                refused_or_done(&world, all).await;
                if method == Method::PUT || method == Method::DELETE {
                    world.open(ask_delete("new")).await;
                    world.open(put("a").kind(JSON)).await;
                }
            }
        }
    }
}

fn ask_delete(name: &str) -> Ask {
    ask(Method::DELETE, name)
}

#[tokio::test]
async fn no_query_brings_a_read_down() {
    let world = World::new();
    world.stream("a", JSON, &["1"]).await;
    world.send(post("a").header("stream-closed", "true")).await;
    for live in ["", "&live=sse", "&live=long-poll", "&live=", "&live=sse&live=sse", "&live=%ff"] {
        for cursor in ["", "&cursor=", "&cursor=-1", "&cursor=x", "&cursor=99999999999999999999"] {
            for offset in [
                "",
                "offset=",
                "offset",
                "offset=-1",
                "offset=-2",
                "offset=now",
                "offset=NOW",
                "offset=00000000000000000001",
                "offset=00000000000000000002",
                "offset=%00",
                "offset=%ff",
                "offset=a%0ab",
                "offset=1;2",
                "offset=-1&offset=now",
                "offset=..",
                "offset=18446744073709551615",
                "offset=18446744073709551616",
                "&&&=&=&",
                "%",
                "offset=9999999999999999_9999999999999999",
                "offset=0_0",
                "offset=_",
                "offset=0_",
            ] {
                refused_or_done(&world, get(&format!("a?{offset}{live}{cursor}"))).await;
            }
        }
    }
    let long = format!("a?offset={}", "1".repeat(60_000));
    assert_eq!(refused_or_done(&world, get(&long)).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn no_body_brings_an_append_down_and_none_is_taken_in_part() {
    let world = World::new();
    world.stream("a", JSON, &[]).await;
    let nested = |open: &str, close: &str| [open.repeat(100_000), close.repeat(100_000)].concat();
    let bad: Vec<Vec<u8>> = [
        "",
        " ",
        "[",
        "]",
        "{",
        "nul",
        "[1,",
        "[1,]",
        "[1 2]",
        "[1]]",
        "{}{}",
        "1 2",
        "\u{feff}1",
        "\"",
        "\"\\x\"",
        "[\"ok\", \"\n\"]",
        "[1, 2, NaN]",
        "undefined",
        "\u{0}",
        "[1]\u{0}",
        "[]",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into_iter()
    .chain([
        nested("[", "]").into(),
        nested("{\"a\":", "").into(),
        "[".repeat(100_000).into(),
        b"[\"ok\",\"\xff\"]".to_vec(),
        b"\xff\xfe1\x00".to_vec(),
        "\"".repeat(100_001).into(),
        vec![b'1', b'e'],
    ])
    .collect();
    for body in bad {
        for (name, method) in [("a", Method::POST), ("new", Method::PUT)] {
            let status =
                refused_or_done(&world, ask(method.clone(), name).kind(JSON).body(body.clone()))
                    .await;
            // A stream may begin with nothing.
            let empty = matches!(body.as_slice(), b"" | b"[]");
            let expected = if method == Method::PUT && empty { 201 } else { 400 };
            assert_eq!(status, expected, "{method} {:.40}", String::from_utf8_lossy(&body));
            world.open(ask_delete("new")).await;
        }
    }
    assert_eq!(world.send(get("a")).await.text(), "[]");
}

#[tokio::test]
async fn a_body_has_a_limit_however_it_comes() {
    let world = World::with(|options| options.body_bytes_max = 100);
    world.stream("a", "text/plain", &[]).await;
    let append = |bytes: usize| post("a").kind("text/plain").body(vec![b'x'; bytes]);
    assert_eq!(world.send(append(100)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.send(append(101)).await.line(), (413, "too_large"));
    let big = put("b").body(vec![b'x'; 101]);
    assert_eq!(world.send(big).await.line(), (413, "too_large"));
    assert_eq!(world.send(get("b")).await.status, StatusCode::NOT_FOUND);
    // More messages than one append may have.
    let world = World::new();
    world.stream("a", JSON, &[]).await;
    let many = format!("[{}1]", "1,".repeat(10_000));
    assert_eq!(world.send(post("a").kind(JSON).body(many)).await.line(), (413, "too_large"));
    let many = format!("[{}1]", "1,".repeat(9_999));
    world.append("a", JSON, many).await;
}

/// A server on a port, for what only a connection can do wrong.
async fn served(change: impl FnOnce(&mut ProtocolOptions)) -> (World, std::net::SocketAddr) {
    let world = World::with(change);
    world.stream("a", "text/plain", &[]).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = world.app.clone();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (world, address)
}

async fn talk(address: std::net::SocketAddr, sent: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(sent).await.unwrap();
    let mut told = Vec::new();
    // A reset is an answer too, after what came before.
    let _ = connection.read_to_end(&mut told).await;
    String::from_utf8_lossy(&told).into_owned()
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (world, address) =
        served(|options| options.body_patience = Duration::from_millis(100)).await;
    let head = "POST /v1/stream/a HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\n\
        connection: close\r\n";
    let told = talk(address, format!("{head}content-length: 10\r\n\r\nabc").as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 408 ") && told.contains("too_slow"), "{told}");
    let told = talk(address, format!("{head}content-length: 99999999999\r\n\r\n").as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 413 "), "{told}");
    let chunk = format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n");
    let told = talk(address, chunk.as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
    assert_eq!(world.send(get("a")).await.text(), "", "nothing was taken in part");
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_nothing_in_part() {
    let (world, address) = served(|_| {}).await;
    for _ in 0..20 {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let head = b"POST /v1/stream/a HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\n\
            content-length: 10\r\n\r\nabc";
        connection.write_all(head).await.unwrap();
        drop(connection);
    }
    let whole = "POST /v1/stream/a HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\n\
        content-length: 5\r\nconnection: close\r\n\r\nwhole";
    let told = talk(address, whole.as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 204 "), "{told}");
    assert_eq!(world.send(get("a")).await.text(), "whole");
}

#[tokio::test]
async fn a_head_that_is_none_is_refused() {
    let (_world, address) = served(|_| {}).await;
    for head in [
        "GET /v1/stream/a\r\n\r\n".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET /v1/stream/a HTTP/1.1\r\nhost: x\r\nproducer id: 1\r\n\r\n".to_owned(),
        format!("GET /v1/stream/{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000)),
        format!("GET /v1/stream/a HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(1_000)),
    ] {
        let told = talk(address, head.as_bytes()).await;
        assert!(told.starts_with("HTTP/1.1 4"), "{head:.60}: {told:.100}");
    }
    let told =
        talk(address, b"GET /v1/stream/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_request_is_more_than_refused(
        method in prop::sample::select(METHODS.to_vec()),
        name in "[a-z/.%_0-9~-]{0,12}",
        query in "(offset|live|cursor|[a-z]{1,3})?=?[ -~&&[^ \"<>#`{}|\\\\^]]{0,20}",
        headers in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "content-type", "stream-ttl", "stream-closed", "stream-seq", "producer-id",
                    "producer-epoch", "producer-seq", "stream-forked-from", "stream-fork-offset",
                ]),
                "[ -~]{0,20}",
            ),
            0..5,
        ),
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::with(|options| {
                options.long_poll = Duration::ZERO;
                options.sse_lifetime = Duration::ZERO;
            });
            world.stream("a", JSON, &["1"]).await;
            let mut ask = Ask { method, ..get(&format!("{name}?{query}")) }.body(body);
            for (name, value) in headers {
                ask = ask.header(name, value);
            }
            if ask.target.parse::<axum::http::Uri>().is_ok() {
                refused_or_done(&world, ask).await;
            }
        });
    }
}
