//! Readers of a session's events: cut anywhere, slow, many. Each gets all of it, once, in order.

use std::time::Duration;

use serde_json::json;
use studio_testkit::{SseItem, SseReader};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use crate::world::{Place, SOON, Session, World};

/// Readers at once.
const READERS: usize = 200;
/// Hook events that make a log without an agent.
const EVENTS: usize = 300;
/// How much the server may grow by a reader that does not read, and much more than one log is.
const GROWTH_MAX: u64 = 24 * 1024 * 1024;

/// A session that hooks feed, with its two tokens.
async fn fed(world: &World) -> (Session, String) {
    let (status, told) = world.post("/api/sessions/local", "", &json!({})).await;
    assert_eq!(status, 201, "{told}");
    let word = |name: &str| told[name].as_str().unwrap().to_owned();
    (Session { id: word("sessionId"), token: word("sessionToken") }, word("hookToken"))
}

async fn feed(world: &World, session: &Session, token: &str, number: usize, filling: &str) {
    let body = json!({
        "hook_event_name": "UserPromptSubmit", "prompt": format!("{number} – grüße 🙂 {filling}"),
    });
    let (status, told) = world.post(&session.path("hook-event"), token, &body).await;
    assert_eq!(status, 200, "{told}");
}

/// The bytes of the answer's body so far, over a connection of its own.
async fn raw(world: &World, session: &Session, query: &str, after: Option<&str>) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", world.server.port())).await.unwrap();
    let path = session.path("events");
    let port = world.server.port();
    let token = &session.token;
    let mut head = format!(
        "GET {path}{query} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
    );
    if let Some(id) = after {
        head.push_str(&format!("Last-Event-ID: {id}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads until the body has `wanted` bytes; the body.
async fn body_of(stream: &mut TcpStream, wanted: usize) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let head = all.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head) = head
            && wanted <= all.len() - head
        {
            return all[head..head + wanted].to_vec();
        }
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(SOON, stream.read(&mut buffer)).await;
        let read = read.expect("bytes in time").unwrap();
        assert_ne!(read, 0, "the body ended after {} bytes", all.len());
        all.extend_from_slice(&buffer[..read]);
    }
}

/// The id of the last event that is whole in these bytes.
fn last_whole(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let whole = text.rsplit_once("\n\n")?.0.to_owned();
    let frames = whole.split("\n\n").filter_map(|frame| frame.lines().next());
    frames.filter_map(|line| line.strip_prefix("id:")).last().map(str::to_owned)
}

#[tokio::test]
async fn a_reader_cut_after_any_byte_and_resumed_gets_the_full_sequence() {
    let world = World::start(Place::Local, "hello").await;
    let (session, hook) = fed(&world).await;
    for number in 0..6 {
        feed(&world, &session, &hook, number, "").await;
    }
    // HTTP/1.0: no chunks, so the body's bytes are the stream's own.
    let mut reader = world.watch(&session).await;
    reader.until("the last", |seen| seen.text("message").starts_with("5 ")).await;
    let frame = |seen: &crate::world::Seen| seen.id.clone();
    let ids: Vec<String> = reader.seen.iter().map(frame).collect();
    let whole = {
        let mut stream = raw(&world, &session, "", None).await;
        let mut length = 1;
        // The body up to and with the last frame.
        loop {
            let body = body_of(&mut stream, length).await;
            if last_whole(&body).as_deref() == ids.last().map(String::as_str) {
                break body;
            }
            drop(stream);
            stream = raw(&world, &session, "", None).await;
            length += 1;
            if length < 700 {
                length = 700;
            }
        }
    };
    for cut in 1..=whole.len() {
        let mut stream = raw(&world, &session, "", None).await;
        let first = body_of(&mut stream, cut).await;
        assert_eq!(first, whole[..cut]);
        drop(stream);
        let last = last_whole(&first);
        let had = last.as_ref().map_or(0, |id| {
            let end = format!("id:{id}\n");
            let text = std::str::from_utf8(&whole).unwrap();
            let at = text.find(&end).unwrap();
            at + text[at..].find("\n\n").unwrap() + 2
        });
        if had == whole.len() {
            continue;
        }
        // Both ways to resume, in turn.
        let mut rest = match (&last, cut % 2) {
            (Some(id), 0) => raw(&world, &session, &format!("?offset={id}"), None).await,
            (last, _) => raw(&world, &session, "", last.as_deref()).await,
        };
        let rest = body_of(&mut rest, whole.len() - had).await;
        assert_eq!([&first[..had], &rest].concat(), whole, "cut after byte {cut}");
    }
    world.is_sound();
}

#[tokio::test]
async fn an_idle_reader_hears_that_the_server_is_there() {
    let world = World::start(Place::Local, "hello").await;
    let (session, _) = fed(&world).await;
    let url = world.server.url(&session.path("events"));
    let request = world.server.client().get(url).bearer_auth(&session.token);
    let mut reader = SseReader::open(request, None).await.unwrap();
    let comment = tokio::time::timeout(SOON, async {
        loop {
            match reader.next().await.unwrap() {
                Some(SseItem::Comment(text)) => return text,
                Some(_) => {}
                None => panic!("the stream ended"),
            }
        }
    });
    comment.await.expect("a comment in time");
}

#[tokio::test]
async fn a_reader_that_does_not_read_costs_little_and_delays_nobody() {
    let world = World::start(Place::Local, "hello").await;
    let (session, hook) = fed(&world).await;
    let filling = "x".repeat(64 * 1024);
    let before = world.server.resident_bytes();
    let mut lazy = Vec::new();
    for _ in 0..20 {
        lazy.push(raw(&world, &session, "", None).await);
    }
    let mut watch = world.watch(&session).await;
    // Some 20 MiB of events: twenty lazy readers with queues would hold 400 MiB.
    for number in 0..EVENTS {
        feed(&world, &session, &hook, number, &filling).await;
    }
    let last = format!("{} ", EVENTS - 1);
    watch.until("the last event", |seen| seen.text("message").starts_with(&last)).await;
    watch.is_in_order();
    assert_eq!(watch.all("user_prompt").len(), EVENTS);
    let grown = world.server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX + 20 * 1024 * 1024, "grown by {} KiB", grown / 1024);
    drop(lazy);
    world.is_sound();
}

#[tokio::test]
async fn two_hundred_readers_of_one_session_agree() {
    let world = World::start(Place::Local, "hello").await;
    let (session, hook) = fed(&world).await;
    for number in 0..EVENTS / 2 {
        feed(&world, &session, &hook, number, "").await;
    }
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(world.watch(&session).await);
    }
    for number in EVENTS / 2..EVENTS {
        feed(&world, &session, &hook, number, "").await;
    }
    let last = format!("{} ", EVENTS - 1);
    let mut first = None;
    for mut reader in readers {
        reader.until("the last event", |seen| seen.text("message").starts_with(&last)).await;
        reader.is_in_order();
        assert_eq!(reader.all("user_prompt").len(), EVENTS);
        let seen = first.get_or_insert_with(|| reader.seen.clone());
        assert_eq!(reader.seen, *seen);
    }
    world.is_sound();
}

#[tokio::test]
async fn events_come_while_they_happen() {
    let world = World::start(Place::Local, "hello").await;
    let (session, hook) = fed(&world).await;
    let mut watch = world.watch(&session).await;
    for number in 0..20 {
        let said = Instant::now();
        feed(&world, &session, &hook, number, "").await;
        watch.next("user_prompt").await;
        assert!(said.elapsed() < Duration::from_secs(2), "{:?}", said.elapsed());
    }
}
