//! Readers of event streams: cut anywhere, silent, slow, many. The events come from hooks, so no
//! sandbox is needed; the two hundred watch a real agent.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::TcpStream,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use serde_json::{Value, json};
use studio_testkit::{SseItem, SseParser, SseReader};

use crate::world::{Place, SOON, Seen, Session, Watch, World};

/// A session that an agent outside of the studio feeds through hooks, and the hooks' token.
struct Hosted {
    session: Session,
    hook_token: String,
}

impl Hosted {
    async fn new(world: &World) -> Self {
        let (status, made) = world.post("/api/sessions/local", "", &json!({})).await;
        assert_eq!(status, 201, "{made}");
        let word = |name: &str| made[name].as_str().unwrap().to_owned();
        let session = Session { id: word("sessionId"), token: word("sessionToken") };
        Self { session, hook_token: word("hookToken") }
    }

    /// One event, `text` inside.
    async fn happens(&self, world: &World, call: usize, text: &str) {
        let body = json!({
            "hook_event_name": "PreToolUse", "tool_name": "Bash",
            "tool_use_id": format!("call-{call}"), "tool_input": { "command": text },
        });
        let path = self.session.path("hook-event");
        let (status, told) = world.post(&path, &self.hook_token, &body).await;
        assert_eq!(status, 200, "{told}");
    }
}

/// The bytes of an event stream until `count` of them are there, or `bytes_max`.
async fn read(
    world: &World,
    session: &Session,
    resume: &Resume<'_>,
    bytes_max: usize,
    enough: impl Fn(&[Seen]) -> bool,
) -> (usize, Vec<Seen>) {
    let mut path = session.path("events");
    if let Resume::Query(id) = resume {
        path = format!("{path}?offset={id}");
    }
    let mut request = world.server.client().get(world.server.url(&path));
    if let Resume::Header(id) = resume {
        request = request.header("last-event-id", *id);
    }
    let answer = request.bearer_auth(&session.token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let (mut stream, mut parser) = (answer.bytes_stream(), SseParser::new());
    let (mut bytes, mut seen) = (0, Vec::new());
    while bytes < bytes_max && !enough(&seen) {
        let piece = tokio::time::timeout(SOON, stream.next()).await.unwrap().unwrap().unwrap();
        let piece = &piece[..piece.len().min(bytes_max - bytes)];
        bytes += piece.len();
        let events = parser.push(piece).into_iter().filter_map(|item| match item {
            SseItem::Event(event) => Some(Seen::from(event)),
            SseItem::Comment(_) | SseItem::Retry(_) => None,
        });
        seen.extend(events);
    }
    (bytes, seen)
}

enum Resume<'a> {
    Start,
    Header(&'a str),
    Query(&'a str),
}

#[tokio::test]
async fn a_reader_cut_after_any_byte_goes_on_where_it_was() {
    let world = World::start(Place::Local, "hello").await;
    let hosted = Hosted::new(&world).await;
    for call in 0..12 {
        hosted.happens(&world, call, "grüße 漢字 🙂 \"\r\n data: x\n\nid: 7").await;
    }
    let session = &hosted.session;
    let all = |count: usize| move |seen: &[Seen]| seen.len() == count;
    let (bytes, whole) = read(&world, session, &Resume::Start, usize::MAX, all(12)).await;
    assert!(1_000 < bytes, "{bytes}");
    for cut in 0..bytes {
        let (_, mut seen) = read(&world, session, &Resume::Start, cut, |_| false).await;
        let last = seen.last().map(|seen| seen.id.clone());
        let resume = match (&last, cut % 2) {
            (None, _) => Resume::Start,
            (Some(id), 0) => Resume::Header(id),
            (Some(id), _) => Resume::Query(id),
        };
        let left = whole.len() - seen.len();
        if 0 < left {
            let (_, rest) = read(&world, session, &resume, usize::MAX, all(left)).await;
            seen.extend(rest);
        }
        assert_eq!(seen, whole, "cut after {cut} of {bytes} bytes");
    }
    // What is no offset is refused and not guessed at.
    for bad in ["x", "-2", "9".repeat(40).as_str(), "0;drop"] {
        let path = format!("{}?offset={bad}", session.path("events"));
        assert_eq!(world.get(&path, &session.token).await.0, 400, "{bad}");
    }
    world.is_sound();
}

#[tokio::test]
async fn a_silent_stream_says_that_it_lives() {
    let world = World::start(Place::Local, "hello").await;
    let hosted = Hosted::new(&world).await;
    hosted.happens(&world, 0, "one").await;
    let url = world.server.url(&hosted.session.path("events"));
    let request = world.server.client().get(url).bearer_auth(&hosted.session.token);
    let mut reader = SseReader::open(request, None).await.unwrap();
    assert!(matches!(reader.next().await, Ok(Some(SseItem::Event(_)))));
    let comment = tokio::time::timeout(SOON, reader.next()).await;
    assert!(matches!(comment, Ok(Ok(Some(SseItem::Comment(_))))), "{comment:?}");
    hosted.happens(&world, 1, "two").await;
    assert!(matches!(reader.next().await, Ok(Some(SseItem::Event(_)))));
}

#[tokio::test]
async fn readers_that_do_not_read_cost_little_and_delay_nobody() {
    const STALLED: usize = 20;
    const EVENTS: usize = 60;
    let world = World::start(Place::Local, "hello").await;
    let hosted = Hosted::new(&world).await;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut stream = TcpStream::connect(("127.0.0.1", world.server.port())).unwrap();
        let (path, token) = (hosted.session.path("events"), &hosted.session.token);
        let head = format!("Host: localhost\r\nAuthorization: Bearer {token}");
        write!(stream, "GET {path} HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
        stalled.push(stream);
    }
    let mut watch = world.watch(&hosted.session).await;
    hosted.happens(&world, 0, "small").await;
    watch.next("pre_tool_use").await;
    let before = world.server.resident_bytes();
    let text = "x".repeat(256 * 1024);
    let mut slowest = Duration::ZERO;
    for call in 1..=EVENTS {
        let start = Instant::now();
        hosted.happens(&world, call, &text).await;
        watch.next("pre_tool_use").await;
        slowest = slowest.max(start.elapsed());
    }
    let grown = world.server.resident_bytes().saturating_sub(before);
    println!("{STALLED} readers, 15 MiB each unread: {grown} bytes grown, slowest {slowest:?}");
    // A queue for each of them would be 300 MiB.
    assert!(grown < 96 * 1024 * 1024, "the server grew by {grown} bytes");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert_eq!(watch.all("pre_tool_use").len(), 1 + EVENTS);
    drop(stalled);
    world.is_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_readers_of_one_agent_agree() {
    let world = World::start(Place::Local, "edit-file").await;
    let session = world.session("write notes").await;
    let read = |watch: Watch| async {
        let mut watch = watch;
        watch.turn_end().await;
        watch.seen
    };
    let mut readers = Vec::new();
    for _ in 0..200 {
        readers.push(read(world.watch(&session).await));
    }
    let all = futures::future::join_all(readers).await;
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for seen in &all {
        let text: Vec<Value> =
            seen.iter().map(|seen| json!([seen.id, seen.event.clone()])).collect();
        *told.entry(json!(text).to_string()).or_default() += 1;
    }
    assert_eq!(told.values().copied().collect::<Vec<_>>(), [200]);
    let tools = all[0].iter().filter(|seen| seen.is("pre_tool_use")).count();
    assert_eq!(tools, 5);
    world.is_sound();
}
