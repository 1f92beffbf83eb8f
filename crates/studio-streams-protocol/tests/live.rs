//! Readers that wait: long-polls and event streams. Time stands still but for what is waited for.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::time::Duration;

use axum::http::{Method, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use studio_streams::MemoryStreams;
use support::{World, ask, get, post, put};
use tokio::time::Instant;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const AT_5: &str = "00000000000000000005";

#[tokio::test(start_paused = true)]
async fn a_long_poll_is_answered_when_something_comes() {
    let world = World::new();
    world.stream("a", JSON, &["\"one\""]).await;
    for from in [AT_5, "now"] {
        let waits = world.send(get(&format!("a?offset={from}&live=long-poll&cursor=9999")));
        let (told, _) = tokio::join!(waits, world.append("a", JSON, "[2,3]"));
        assert_eq!((told.status, told.json.clone()), (StatusCode::OK, json!([2, 3])), "{from}");
        assert_eq!(told.header("stream-up-to-date"), Some("true"));
        assert_eq!(told.header("stream-cursor"), Some("10000"));
        world.send(ask(Method::DELETE, "a")).await;
        world.stream("a", JSON, &["\"one\""]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_with_nothing_in_its_time_and_with_the_studio() {
    let world = World::with(|options| options.long_poll = Duration::from_secs(7));
    world.stream("a", JSON, &["\"one\""]).await;
    let began = Instant::now();
    let poll = || world.send(get(&format!("a?offset={AT_5}&live=long-poll")));
    let told = poll().await;
    assert_eq!((told.status, began.elapsed().as_secs()), (StatusCode::NO_CONTENT, 7));
    assert_eq!((told.next().as_str(), told.header("stream-up-to-date")), (AT_5, Some("true")));
    assert_eq!(told.header("stream-cursor"), Some("4320"));
    assert_eq!(told.header("cache-control"), Some("no-store"));
    let (told, ()) = tokio::join!(poll(), async { world.stop.cancel() });
    assert_eq!((told.status, began.elapsed().as_secs()), (StatusCode::NO_CONTENT, 7));
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_with_its_stream() {
    let world = World::new();
    let poll = || world.send(get("a?offset=now&live=long-poll"));
    world.stream("a", JSON, &["1"]).await;
    let (told, _) = tokio::join!(poll(), world.send(post("a").header("stream-closed", "true")));
    assert_eq!((told.status, told.header("stream-closed")), (StatusCode::NO_CONTENT, Some("true")));
    let told = poll().await;
    assert_eq!((told.status, told.header("stream-closed")), (StatusCode::NO_CONTENT, Some("true")));

    world.stream("b", JSON, &["1"]).await;
    let last = post("b").kind(JSON).body("2").header("stream-closed", "true");
    let (told, _) = tokio::join!(world.send(get("b?offset=now&live=long-poll")), world.send(last));
    assert_eq!((told.json.clone(), told.header("stream-closed")), (json!([2]), Some("true")));

    world.stream("c", JSON, &["1"]).await;
    let poll = world.send(get("c?offset=now&live=long-poll"));
    let (told, _) = tokio::join!(poll, world.send(ask(Method::DELETE, "c")));
    assert_eq!(told.line(), (404, "not_found"));
}

#[tokio::test(start_paused = true)]
async fn every_message_comes_once_with_its_place() {
    let world = World::new();
    world.stream("a", JSON, &["\"one\""]).await;
    let mut events = world.events(get("a?offset=-1&live=sse")).await;
    assert_eq!(events.headers["cache-control"], "no-cache");
    assert_eq!(events.headers["x-accel-buffering"], "no");
    let first = events.next().await;
    let [data, control] = &first[..] else { panic!("{first:?}") };
    assert_eq!((data.event.as_deref(), data.json()), (Some("data"), json!(["one"])));
    assert_eq!(control.event.as_deref(), Some("control"));
    let expected = json!({"streamNextOffset": AT_5, "streamCursor": "4320", "upToDate": true});
    assert_eq!(control.json(), expected);
    assert_eq!((data.id.as_deref(), control.id.as_deref()), (Some(AT_5), Some(AT_5)));
    world.append("a", JSON, "2").await;
    let next = events.next().await;
    assert_eq!(next[0].json(), json!([2]));
    assert_eq!(next[1].json()["upToDate"], true);
    let end = post("a").kind(JSON).body("3").header("stream-closed", "true");
    world.send(end).await;
    let last = events.rest().await;
    assert_eq!(last[0].json(), json!([3]));
    let control = last.last().unwrap().json();
    assert_eq!(control["streamClosed"], true);
    assert_eq!(control["streamCursor"], Value::Null);
    assert_eq!(control["streamNextOffset"], "00000000000000000007");
}

#[tokio::test(start_paused = true)]
async fn a_reader_at_the_end_is_told_so_first() {
    let world = World::new();
    world.stream("a", JSON, &["\"one\""]).await;
    for from in [AT_5, "now"] {
        let mut events = world.events(get(&format!("a?offset={from}&live=sse&cursor=4320"))).await;
        let first = events.next().await;
        let expected = json!({"streamNextOffset": AT_5, "streamCursor": "4321", "upToDate": true});
        assert_eq!((first.len(), first[0].json()), (1, expected));
    }
    world.send(post("a").header("stream-closed", "true")).await;
    let mut events = world.events(get("a?offset=now&live=sse")).await;
    let all = events.rest().await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].json(), json!({"streamNextOffset": AT_5, "streamClosed": true}));
    let mut events = world.events(get("a?offset=-1&live=sse")).await;
    let all = events.rest().await;
    assert_eq!((all.len(), &all[1].json()["streamClosed"]), (2, &json!(true)));
}

#[tokio::test(start_paused = true)]
async fn a_reader_cut_after_any_byte_gets_every_message_once() {
    let world = World::over(MemoryStreams::new().with_page_bytes(40), |_| {});
    let appends: Vec<String> = (0..30).map(|n| json!([{"n": n}]).to_string()).collect();
    let appends: Vec<&str> = appends.iter().map(String::as_str).collect();
    world.stream("a", JSON, &appends).await;
    world.send(post("a").header("stream-closed", "true")).await;
    let whole = read_from(&world, None).await;
    let all = parse(&whole).0;
    assert_eq!(all.len(), 30);
    for cut in 0..=whole.len() {
        let (mut seen, last) = parse(&whole[..cut]);
        let rest = read_from(&world, last.as_deref()).await;
        seen.extend(parse(&rest).0);
        assert_eq!(seen, all, "cut after byte {cut}");
    }
}

async fn read_from(world: &World, last: Option<&str>) -> Vec<u8> {
    // The offset of the address is the one that a browser began with.
    let ask = get("a?offset=-1&live=sse").header("last-event-id", last.unwrap_or_default());
    let mut events = world.events(ask).await;
    let mut whole = Vec::new();
    while let Some(piece) = events.piece().await {
        whole.extend_from_slice(&piece);
    }
    whole
}

/// As a browser does it: complete events only, their values, and the last id.
fn parse(stream: &[u8]) -> (Vec<Value>, Option<String>) {
    let mut parser = studio_testkit::SseParser::new();
    let (mut values, mut last) = (Vec::new(), None);
    for item in parser.push(stream) {
        let studio_testkit::SseItem::Event(event) = item else { continue };
        last = event.id.clone().or(last);
        if event.event.as_deref() == Some("data") {
            values.extend(event.json().as_array().unwrap().clone());
        }
    }
    (values, last)
}

#[tokio::test(start_paused = true)]
async fn a_message_is_encoded_once_for_all_its_readers() {
    let world = World::new();
    world.stream("a", JSON, &[]).await;
    let mut one = world.events(get("a?offset=now&live=sse")).await;
    let mut two = world.events(get("a?offset=now&live=sse&cursor=5000")).await;
    let _greetings = (one.next().await, two.next().await);
    let large = json!("x".repeat(100_000)).to_string();
    world.append("a", JSON, large).await;
    let (first, second) = (one.piece().await.unwrap(), two.piece().await.unwrap());
    assert_eq!(first.as_ptr(), second.as_ptr());
    // What differs comes after it.
    let (first, second) = (one.piece().await.unwrap(), two.piece().await.unwrap());
    assert_eq!(first, ",\"streamCursor\":\"4320\",\"upToDate\":true}\n\n");
    assert_eq!(second, ",\"streamCursor\":\"5001\",\"upToDate\":true}\n\n");
}

#[tokio::test(start_paused = true)]
async fn what_comes_close_together_is_one_event() {
    let world = World::new();
    world.stream("a", JSON, &[]).await;
    let mut events = world.events(get("a?offset=now&live=sse")).await;
    events.next().await;
    let began = Instant::now();
    world.append("a", JSON, "1").await;
    assert_eq!(events.next().await[0].json(), json!([1]));
    assert_eq!(began.elapsed(), Duration::ZERO, "after silence at once");
    for n in ["2", "3", "4"] {
        world.append("a", JSON, n).await;
    }
    let next = events.next().await;
    assert_eq!((next.len(), next[0].json()), (2, json!([2, 3, 4])));
    assert!(began.elapsed() <= Duration::from_millis(6));
}

#[tokio::test(start_paused = true)]
async fn a_long_history_comes_in_pieces_of_bounded_size() {
    let world = World::new();
    let text = "x".repeat(1_000);
    let values: Vec<Value> = (0..3_000).map(|n| json!({"n": n, "text": text})).collect();
    world.stream("a", JSON, &[&json!(values).to_string()]).await;
    world.send(post("a").header("stream-closed", "true")).await;
    let began = Instant::now();
    let mut events = world.events(get("a?offset=-1&live=sse")).await;
    let mut whole = Vec::new();
    while let Some(piece) = events.piece().await {
        assert!(piece.len() < 66_000, "{}", piece.len());
        whole.extend_from_slice(&piece);
    }
    assert_eq!(parse(&whole).0, values);
    assert_eq!(began.elapsed(), Duration::ZERO, "who has to catch up waits for nothing");
    // In between nobody is told to be up to date.
    let text = String::from_utf8(whole).unwrap();
    let last_data = text.rfind("event: data").unwrap();
    assert!(!text[..last_data].contains("upToDate"));
    assert_eq!(text.matches("streamClosed").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_text_comes_in_base64() {
    let world = World::new();
    world.send(put("a").body(*b"\xff\x00")).await;
    let mut events = world.events(get("a?offset=-1&live=sse")).await;
    assert_eq!(events.headers["stream-sse-data-encoding"], "base64");
    assert_eq!(STANDARD.decode(&events.next().await[0].data).unwrap(), b"\xff\x00");
    world.stream("t", TEXT, &["a\r\n\r\nevent: control\r\ndata: {}\r\rb"]).await;
    let mut events = world.events(get("t?offset=-1&live=sse")).await;
    assert!(!events.headers.contains_key("stream-sse-data-encoding"));
    let all = events.next().await;
    assert_eq!((all.len(), all[0].data.as_str()), (2, "a\n\nevent: control\ndata: {}\n\nb"));
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_and_a_readers_time_ends_after_a_whole_event() {
    let world = World::new();
    world.stream("a", JSON, &["1"]).await;
    let mut events = world.events(get("a?offset=now&live=sse")).await;
    events.next().await;
    let began = Instant::now();
    for seconds in [15, 30, 45] {
        assert_eq!(events.piece().await.unwrap(), ": keep-alive\n\n");
        assert_eq!(began.elapsed().as_secs(), seconds);
    }
    world.append("a", JSON, "2").await;
    assert_eq!(events.next().await.len(), 2);
    assert_eq!(events.piece().await, None);
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_reader_ends_with_its_stream_and_with_the_studio() {
    let world = World::new();
    world.stream("a", JSON, &["1"]).await;
    let mut events = world.events(get("a?offset=now&live=sse")).await;
    events.next().await;
    world.send(ask(Method::DELETE, "a")).await;
    assert_eq!(events.piece().await, None);

    world.stream("a", JSON, &["1"]).await;
    let mut events = world.events(get("a?offset=-1&live=sse")).await;
    world.stop.cancel();
    // What it began with is whole.
    assert_eq!(events.rest().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_live_read_fails_before_it_begins() {
    let world = World::new();
    world.stream("a", JSON, &["1"]).await;
    for live in ["sse", "long-poll"] {
        for (query, expected) in [
            ("b?offset=now", (404, "not_found")),
            ("a?x", (400, "bad_request")),
            ("a?offset=00000000000000000009", (400, "bad_offset")),
            ("a?offset=a_b", (400, "bad_offset")),
        ] {
            let told = world.send(get(&format!("{query}&live={live}"))).await;
            assert_eq!(told.line(), expected, "{query} {live}");
        }
    }
}
