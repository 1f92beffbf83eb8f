//! The router over a store in memory, and one way to ask it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by test files; a panic is the report"
)]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header::HeaderName},
    response::Response,
};
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::Value;
use studio_streams::{MemoryStreams, StreamStore};
use studio_streams_protocol::{ProtocolOptions, router};
use studio_testkit::{SseEvent, SseItem, SseParser};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub struct World {
    pub app: Router,
    pub streams: MemoryStreams,
    pub stop: CancellationToken,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_options| {})
    }

    pub fn with(change: impl FnOnce(&mut ProtocolOptions)) -> Self {
        Self::over(MemoryStreams::new(), change)
    }

    pub fn over(streams: MemoryStreams, change: impl FnOnce(&mut ProtocolOptions)) -> Self {
        let mut options = ProtocolOptions::default();
        // 2024-10-10T00:00:00Z: cursor 4320.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_728_432_000 + 86_400);
        options.clock = Arc::new(move || now);
        change(&mut options);
        let stop = options.stop.clone();
        let store: Arc<dyn StreamStore> = Arc::new(streams.clone());
        Self { app: router(store, options), streams, stop }
    }

    pub async fn open(&self, ask: Ask) -> Response {
        self.app.clone().oneshot(ask.build()).await.unwrap()
    }

    pub async fn send(&self, ask: Ask) -> Told {
        let (head, body) = self.open(ask).await.into_parts();
        let body = axum::body::to_bytes(body, 1 << 26).await.unwrap();
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Told { status: head.status, headers: head.headers, body, json }
    }

    /// A stream of this kind with these appends.
    pub async fn stream(&self, name: &str, content_type: &str, appends: &[&str]) {
        let told = self.send(put(name).kind(content_type)).await;
        assert_eq!(told.status, StatusCode::CREATED, "{}", told.text());
        for append in appends {
            self.append(name, content_type, *append).await;
        }
    }

    pub async fn append(&self, name: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Told {
        let told = self.send(post(name).kind(content_type).body(body)).await;
        assert_eq!(told.status, StatusCode::NO_CONTENT, "{}", told.text());
        told
    }

    pub async fn events(&self, ask: Ask) -> Events {
        let response = self.open(ask).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let headers = response.headers().clone();
        Events { headers, body: response.into_body().into_data_stream(), parser: SseParser::new() }
    }
}

/// An event stream, piece by piece.
pub struct Events {
    pub headers: HeaderMap,
    body: axum::body::BodyDataStream,
    parser: SseParser,
}

impl Events {
    /// The next piece of the body; `None` = it ended.
    pub async fn piece(&mut self) -> Option<Bytes> {
        self.body.next().await.map(|piece| piece.unwrap())
    }

    /// The events of the next piece that has some.
    pub async fn next(&mut self) -> Vec<SseEvent> {
        loop {
            let Some(piece) = self.piece().await else { return Vec::new() };
            let events: Vec<SseEvent> = self
                .parser
                .push(&piece)
                .into_iter()
                .filter_map(
                    |item| if let SseItem::Event(event) = item { Some(event) } else { None },
                )
                .collect();
            if !events.is_empty() {
                return events;
            }
        }
    }

    /// All events until the end.
    pub async fn rest(&mut self) -> Vec<SseEvent> {
        let mut all = Vec::new();
        loop {
            let next = self.next().await;
            if next.is_empty() {
                return all;
            }
            all.extend(next);
        }
    }
}

#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

pub fn ask(method: Method, name: &str) -> Ask {
    let target = format!("/v1/stream/{name}");
    Ask { method, target, headers: Vec::new(), body: Vec::new() }
}

pub fn get(name: &str) -> Ask {
    ask(Method::GET, name)
}

pub fn put(name: &str) -> Ask {
    ask(Method::PUT, name)
}

pub fn post(name: &str) -> Ask {
    ask(Method::POST, name)
}

impl Ask {
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn kind(self, content_type: &str) -> Self {
        self.header("content-type", content_type)
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn by(self, id: &str, epoch: u64, seq: u64) -> Self {
        self.header("producer-id", id)
            .header("producer-epoch", epoch.to_string())
            .header("producer-seq", seq.to_string())
    }

    pub fn build(self) -> Request<Body> {
        let mut request = Request::builder().method(self.method).uri(self.target);
        for (name, value) in self.headers {
            let value = HeaderValue::from_bytes(&value).unwrap();
            request = request.header(name.parse::<HeaderName>().unwrap(), value);
        }
        request.body(Body::from(self.body)).unwrap()
    }
}

pub struct Told {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub json: Value,
}

impl Told {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn next(&self) -> String {
        self.header("stream-next-offset").unwrap().to_owned()
    }

    /// Status and code.
    pub fn line(&self) -> (u16, &str) {
        (self.status.as_u16(), self.json["code"].as_str().unwrap_or_default())
    }
}
