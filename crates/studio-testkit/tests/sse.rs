//! The reader of server-sent events, against bytes cut everywhere and a server of plain sockets.
#![allow(clippy::unwrap_used, reason = "a test helper may fail loudly")]

use std::time::Duration;

use studio_testkit::{SseError, SseEvent, SseItem, SseParser, SseReader};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const STREAM: &str = "\u{feff}: hello\n\nid: 1\nevent: note\ndata: one\ndata:two \u{1f980}\n\n\
                      retry: 1500\r\nid: 2\r\ndata: crlf\r\n\r\ndata\n\nid: 9\ndata: cut off\n";

fn expected() -> Vec<SseItem> {
    let event = |id: Option<&str>, event: Option<&str>, data: &str| {
        SseItem::Event(SseEvent {
            id: id.map(str::to_owned),
            event: event.map(str::to_owned),
            data: data.to_owned(),
        })
    };
    vec![
        SseItem::Comment("hello".to_owned()),
        event(Some("1"), Some("note"), "one\ntwo \u{1f980}"),
        SseItem::Retry(1500),
        event(Some("2"), None, "crlf"),
        event(None, None, ""),
    ]
}

#[test]
fn the_same_items_come_wherever_the_bytes_are_cut() {
    let bytes = STREAM.as_bytes();
    for cut in 0..=bytes.len() {
        let mut parser = SseParser::new();
        let mut items = parser.push(&bytes[..cut]);
        items.extend(parser.push(&bytes[cut..]));
        assert_eq!(items, expected(), "cut after {cut} bytes");
    }
    let mut parser = SseParser::new();
    let one_by_one: Vec<_> = bytes.iter().flat_map(|byte| parser.push(&[*byte])).collect();
    assert_eq!(one_by_one, expected());
}

async fn request_head(socket: &mut TcpStream) -> String {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).await.unwrap();
        request.push(char::from(byte[0]));
    }
    request
}

/// A server that answers each connection with the next of `answers` and tells what was asked.
async fn serve(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            asked.push(request_head(&mut socket).await);
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (url, served)
}

fn stream_of(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}")
}

#[tokio::test]
async fn a_reader_that_was_cut_resumes_after_the_last_event_it_took() {
    let first = stream_of("id: a\ndata: {\"n\":1}\n\nid: b\ndata: {\"n\":2}\n\nid: c\nda");
    let second = stream_of(": again\n\nid: c\ndata: {\"n\":3}\n\n");
    let (url, served) = serve(vec![first, second]).await;
    let client = reqwest::Client::new();
    let mut reader = SseReader::open(client.get(&url), None).await.unwrap();
    let mut numbers = Vec::new();
    while let Some(event) = reader.next_event().await.unwrap() {
        numbers.push(event.json()["n"].clone());
    }
    let last = reader.last_id().map(str::to_owned);
    let mut resumed = SseReader::open(client.get(&url), last.as_deref()).await.unwrap();
    let rest = resumed.until("number 3", Duration::from_secs(60), |event| event.json()["n"] == 3);
    numbers.extend(rest.await.unwrap().iter().map(|event| event.json()["n"].clone()));
    assert_eq!(numbers, [1, 2, 3]);
    let asked = served.await.unwrap();
    assert!(!asked[0].to_lowercase().contains("last-event-id"));
    assert!(asked[1].to_lowercase().contains("last-event-id: b\r\n"), "{}", asked[1]);
}

#[tokio::test]
async fn an_error_of_the_server_is_told_with_its_body() {
    let refusal = "HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\nconnection: close\r\n\r\nno such";
    let (url, _served) = serve(vec![refusal.to_owned()]).await;
    let error = SseReader::open(reqwest::Client::new().get(&url), None).await.unwrap_err();
    assert!(
        matches!(&error, SseError::Refused { status: 404, body, .. } if body == "no such"),
        "{error}"
    );
}

#[tokio::test]
async fn an_event_that_never_comes_is_too_late_or_ended() {
    let (url, _served) = serve(vec![stream_of("data: {}\n\n")]).await;
    let mut reader = SseReader::open(reqwest::Client::new().get(&url), None).await.unwrap();
    let ended = reader.until("the end", Duration::from_secs(60), |_| false).await.unwrap_err();
    assert!(matches!(ended, SseError::Ended { seen: 1, .. }), "{ended}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", silent.local_addr().unwrap());
    let opened = tokio::spawn(async move {
        let (mut socket, _) = silent.accept().await.unwrap();
        request_head(&mut socket).await;
        socket.write_all(stream_of("").as_bytes()).await.unwrap();
        socket
    });
    let mut reader = SseReader::open(reqwest::Client::new().get(&url), None).await.unwrap();
    let late = reader.until("anything", Duration::from_millis(50), |_| true).await.unwrap_err();
    assert!(matches!(late, SseError::TooLate { seen: 0, .. }), "{late}");
    drop(opened);
}
