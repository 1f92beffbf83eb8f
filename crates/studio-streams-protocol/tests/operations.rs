//! What the published suite does not ask: choices of ours, and what lies between operations.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::any,
};
use studio_streams::{MemoryStreams, StreamStore as _};
use studio_streams_protocol::{Access, Cache, Cors, ProblemBody, ProtocolOptions, Wish, router};
use support::{Ask, World, ask, get, post, put};
use tower::ServiceExt as _;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";

#[tokio::test]
async fn every_answer_says_what_keeps_it_safe() {
    let world = World::new();
    world.stream("a", JSON, &["1"]).await;
    let asks = [
        get("a"),
        get("a?live=sse&offset=now"),
        get("b"),
        get("a?offset="),
        ask(Method::HEAD, "a"),
        ask(Method::OPTIONS, "a"),
        ask(Method::PATCH, "a"),
        ask(Method::DELETE, "b"),
        put("../a"),
        put("a"),
        post("a"),
        get("__ds/jwks.json"),
    ];
    for ask in asks {
        let shown = format!("{ask:?}");
        let response = world.open(ask).await;
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{shown}");
        assert_eq!(headers["cross-origin-resource-policy"], "cross-origin", "{shown}");
        assert!(headers.contains_key("cache-control"), "{shown}");
        assert!(!headers.contains_key("access-control-allow-origin"), "{shown}");
    }
}

#[tokio::test]
async fn every_failure_has_a_word_and_a_sentence() {
    let world = World::new();
    world.stream("a", JSON, &["1"]).await;
    world.stream("closed", JSON, &["1"]).await;
    world.send(post("closed").header("stream-closed", "true")).await;
    let json = |name: &str, body: &str| post(name).kind(JSON).body(body);
    for (ask, expected) in [
        (get("b"), (404, "not_found")),
        (json("b", "1"), (404, "not_found")),
        (json("b", "{"), (404, "not_found")),
        (post("b"), (404, "not_found")),
        (post("b").header("producer-id", "p"), (404, "not_found")),
        (get("b?offset="), (404, "not_found")),
        (put("a").kind(TEXT), (409, "conflict")),
        (json("closed", "1"), (409, "closed")),
        (json("closed", "{"), (409, "closed")),
        (post("closed").kind(TEXT).body("x"), (409, "closed")),
        (post("a").kind(TEXT).body("x"), (409, "wrong_content_type")),
        (json("a", "{"), (400, "bad_request")),
        (json("a", "[]"), (400, "bad_request")),
        (post("a").kind(JSON), (400, "bad_request")),
        (post("a").body("1"), (400, "bad_request")),
        (get("a?offset=99999999999999999999"), (400, "bad_offset")),
        (get("a?offset=00000000000000000009"), (400, "bad_offset")),
        (get("a?live=x"), (400, "bad_request")),
        (json("a", "1").by("p", 0, 1), (409, "gap")),
        (json("a", "1").header("content-encoding", "gzip"), (415, "unsupported")),
        (ask(Method::PATCH, "a"), (405, "method_not_allowed")),
        (get("__ds/x"), (501, "unsupported")),
        (ask(Method::DELETE, "b"), (404, "not_found")),
    ] {
        let shown = format!("{ask:?}");
        let told = world.send(ask).await;
        assert_eq!(told.line(), expected, "{shown}: {}", told.text());
        let body: ProblemBody = serde_json::from_slice(&told.body).unwrap();
        assert!(10 < body.error.len(), "{body:?}");
        assert_eq!(told.header("content-type"), Some(JSON));
    }
}

#[tokio::test]
async fn a_client_that_has_the_page_is_told_so_until_it_changes() {
    for (cache, expected) in [
        (Cache::Private, "private, no-store"),
        (Cache::Public, "public, max-age=60, stale-while-revalidate=300"),
    ] {
        let world = World::with(|options| options.cache = cache);
        world.stream("a", JSON, &["1"]).await;
        let first = world.send(get("a")).await;
        assert_eq!(first.header("cache-control"), Some(expected));
        let etag = first.header("etag").unwrap().to_owned();
        let again = || get("a").header("if-none-match", etag.clone());
        let same = world.send(again()).await;
        assert_eq!((same.status, same.body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(same.header("etag"), Some(etag.as_str()));
        assert_eq!(same.next(), first.next());
        // It is closed, deleted, made again with the same bytes: each is another answer.
        world.send(post("a").header("stream-closed", "true")).await;
        let closed = world.send(again()).await;
        assert_eq!(closed.status, StatusCode::OK);
        assert_eq!(closed.header("stream-closed"), Some("true"));
        world.send(ask(Method::DELETE, "a")).await;
        world.stream("a", JSON, &["1"]).await;
        assert_eq!(world.send(again()).await.status, StatusCode::OK);
        let now = world.send(get("a?offset=now")).await;
        assert_eq!((now.header("etag"), now.header("cache-control")), (None, Some("no-store")));
    }
}

#[tokio::test]
async fn a_page_ends_between_messages_and_the_last_one_says_so() {
    let world = World::over(MemoryStreams::new().with_page_bytes(8), |_| {});
    world.stream("a", JSON, &["[\"aaaa\",\"bbbb\"]", "[\"cccc\"]"]).await;
    world.send(post("a").header("stream-closed", "true")).await;
    let (mut offset, mut pages) = ("-1".to_owned(), Vec::new());
    loop {
        let told = world.send(get(&format!("a?offset={offset}"))).await;
        pages.push(told.text());
        assert_eq!(told.header("stream-closed"), told.header("stream-up-to-date"));
        if told.header("stream-closed").is_some() {
            break;
        }
        assert!(offset < told.next());
        offset = told.next();
    }
    assert_eq!(pages, ["[\"aaaa\"]", "[\"bbbb\"]", "[\"cccc\"]"]);
}

#[tokio::test]
async fn the_text_of_messages_is_kept() {
    let world = World::new();
    world.stream("a", JSON, &["[1.0, 1e400,\n{ \"b\":1, \"a\":\"\\u00e9\" }]", "\"x\""]).await;
    let told = world.send(get("a")).await;
    assert_eq!(told.text(), "[1.0,1e400,{ \"b\":1, \"a\":\"\\u00e9\" },\"x\"]");
}

#[tokio::test]
async fn a_duplicate_is_told_what_the_first_was() {
    let world = World::new();
    world.stream("a", JSON, &[]).await;
    let append = |seq| post("a").kind(JSON).body("1").by("p", 3, seq);
    for seq in 0..3 {
        let told = world.send(append(seq)).await;
        assert_eq!(told.status, StatusCode::OK);
        assert_eq!(told.header("producer-seq"), Some(seq.to_string().as_str()));
    }
    let told = world.send(append(0)).await;
    assert_eq!(told.status, StatusCode::NO_CONTENT);
    assert_eq!(
        (told.header("producer-epoch"), told.header("producer-seq")),
        (Some("3"), Some("2"))
    );
    let end = || append(3).header("stream-closed", "true");
    assert_eq!(world.send(end()).await.header("stream-closed"), Some("true"));
    let again = world.send(end()).await;
    assert_eq!(
        (again.status, again.header("stream-closed")),
        (StatusCode::NO_CONTENT, Some("true"))
    );
    let stale = world.send(post("a").kind(JSON).body("1").by("p", 2, 0)).await;
    assert_eq!((stale.line(), stale.header("producer-epoch")), ((403, "fenced"), Some("3")));
}

#[tokio::test]
async fn a_refused_body_changes_no_producer() {
    let world = World::new();
    world.stream("a", JSON, &[]).await;
    let bad = world.send(post("a").kind(JSON).body("[1,").by("p", 0, 0)).await;
    assert_eq!(bad.line(), (400, "bad_request"));
    let good = world.send(post("a").kind(JSON).body("1").by("p", 0, 0)).await;
    assert_eq!(good.status, StatusCode::OK);
}

#[tokio::test]
async fn a_fork_names_its_source_by_the_path_that_clients_see() {
    let world = World::new();
    world.stream("a/b", TEXT, &["one", "two"]).await;
    let fork = |source: &str| put("c").header("stream-forked-from", source);
    for (source, expected) in [
        ("/v1/stream/missing", (404, "not_found")),
        ("/a/b", (404, "not_found")),
        ("/v1/stream/../a/b", (400, "bad_request")),
        ("/v1/stream/__ds/a", (400, "bad_request")),
    ] {
        assert_eq!(world.send(fork(source)).await.line(), expected, "{source}");
    }
    // The rest of the body is as its source.
    let made = world.send(fork("/v1/stream/a%2Fb").body("three")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    assert_eq!(made.header("content-type"), Some(TEXT));
    assert_eq!(world.send(get("c")).await.text(), "onetwothree");
}

#[tokio::test]
async fn an_address_is_told_as_the_client_sees_it() {
    let world = World::new();
    let at = |n: u32| format!("a{n}");
    let location = async |ask: Ask| world.send(ask).await.header("location").unwrap().to_owned();
    let host = |n| put(&at(n)).header("host", "localhost:4437");
    assert_eq!(location(host(1)).await, "http://localhost:4437/v1/stream/a1");
    let behind = host(2).header("x-forwarded-proto", "https");
    assert_eq!(location(behind).await, "https://localhost:4437/v1/stream/a2");
    assert_eq!(location(put(&at(3))).await, "/v1/stream/a3");
    assert_eq!(location(put(&at(4)).header("host", "a b/?")).await, "/v1/stream/a4");
}

#[tokio::test]
async fn it_answers_wherever_it_is_mounted() {
    let options = ProtocolOptions { mount: "/x/y".to_owned(), ..ProtocolOptions::default() };
    let inner = router(Arc::new(MemoryStreams::new()), options);
    let nested = Router::new().nest("/x/y", inner.clone());
    let called = any(|request: Request| async move { inner.oneshot(request).await });
    let routed = Router::new().route("/x/y/{*path}", called);
    for app in [nested, routed] {
        let ask = Ask { target: "/x/y/x/y/a".to_owned(), ..put("") };
        let made = app.clone().oneshot(ask.build()).await.unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
        assert_eq!(made.headers()["location"], "/x/y/x/y/a");
        let gone = Ask { target: "/x/y/x/y/a".to_owned(), ..ask_delete() };
        let gone = app.oneshot(gone.build()).await.unwrap();
        assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    }
}

fn ask_delete() -> Ask {
    ask(Method::DELETE, "")
}

#[tokio::test]
async fn only_pages_that_are_allowed_may_read_the_answers() {
    let origin = "https://studio.example.com";
    let world = World::with(|options| options.cors = Cors::Origins(vec![origin.to_owned()]));
    for method in [Method::GET, Method::OPTIONS] {
        let told = world.send(ask(method.clone(), "a").header("origin", origin)).await;
        assert_eq!(told.header("access-control-allow-origin"), Some(origin));
        assert!(told.header("access-control-expose-headers").unwrap().contains("stream-cursor"));
        assert_eq!(told.header("vary"), Some("Origin"));
        let told = world.send(ask(method, "a").header("origin", "https://evil.example")).await;
        assert_eq!(told.header("access-control-allow-origin"), None);
        assert_eq!(told.header("vary"), Some("Origin"));
    }
    let world = World::with(|options| options.cors = Cors::Everybody);
    let told = world.send(get("a")).await;
    assert_eq!(told.header("access-control-allow-origin"), Some("*"));
    assert_eq!(told.header("access-control-allow-credentials"), None);
}

/// Everything may be read below `open/`, nothing else done.
struct OpenOnly;

impl Access for OpenOnly {
    fn refusal(&self, _request: &Parts, wish: Wish<'_>) -> Option<Response> {
        let permitted = match wish {
            Wish::Read(path) => path.as_str().starts_with("open/"),
            Wish::Write(path) => path.as_str().starts_with("mine/"),
            Wish::Other => false,
        };
        (!permitted).then(|| StatusCode::UNAUTHORIZED.into_response())
    }
}

#[tokio::test]
async fn who_may_not_learns_nothing_and_changes_nothing() {
    let world = World::with(|options| options.access = Arc::new(OpenOnly));
    let fork = |source: &str| put("mine/fork").header("stream-forked-from", source);
    for ask in [
        get("secret"),
        ask(Method::HEAD, "secret"),
        put("secret"),
        post("secret"),
        ask(Method::DELETE, "secret"),
        post("open/a").kind(JSON).body("1"),
        get("..%2fopen/a"),
        get("__ds/x"),
        put("open/%zz"),
        fork("/v1/stream/secret"),
        ask(Method::PATCH, "open/a"),
    ] {
        let told = world.send(ask.clone()).await;
        assert_eq!(told.status, StatusCode::UNAUTHORIZED, "{ask:?}");
        assert_eq!(told.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(world.send(get("open/a")).await.line(), (404, "not_found"));
    assert_eq!(world.send(fork("/v1/stream/open/a")).await.line(), (404, "not_found"));
    assert_eq!(world.send(put("mine/a")).await.status, StatusCode::CREATED);
    assert_eq!(world.streams.list("", None, 9).await.unwrap().len(), 1);
}
