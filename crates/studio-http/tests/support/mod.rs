//! A studio behind its routes, in memory, without sandboxes; and one way to ask it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by test files; a panic is the report"
)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header::HeaderName},
};
use serde_json::Value;
use studio_agent_codec::Claude;
use studio_auth::{Keys, Scope, ServerKey};
use studio_electric::{Databases, ElectricCloud, ElectricOptions};
use studio_events::Timestamp;
use studio_flows::{GitHubAccess, Mode, Parts, Settings, Studio};
use studio_http::{HttpSettings, HttpState, PeerAddress, Route, router};
use studio_ids::SessionId;
pub use studio_sandbox::NoSandboxes;
use studio_streams::MemoryStreams;
use studio_testkit::ElectricServer;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// A studio of a test's own.
pub struct World {
    pub app: Router,
    pub keys: Keys,
    pub stop: CancellationToken,
    pub studio: Studio,
    pub streams: Arc<MemoryStreams>,
}

impl World {
    pub async fn new(mode: Mode) -> Self {
        Self::with(mode, |_http| {}).await
    }

    pub async fn with(mode: Mode, change: impl FnOnce(&mut HttpSettings)) -> Self {
        Self::of(mode, true, change).await
    }

    /// `reference`: whether the reference's derivations of tokens are accepted.
    pub async fn of(mode: Mode, reference: bool, change: impl FnOnce(&mut HttpSettings)) -> Self {
        Self::begin(Arc::default(), None, None, mode, reference, change).await
    }

    /// A studio over streams that are there, as a server that is started anew.
    pub async fn over(
        streams: Arc<MemoryStreams>,
        mode: Mode,
        reference: bool,
        change: impl FnOnce(&mut HttpSettings),
    ) -> Self {
        Self::begin(streams, None, None, mode, reference, change).await
    }

    /// As [`Self::of`], with this GitHub.
    pub async fn beside(
        github: Option<GitHubAccess>,
        mode: Mode,
        reference: bool,
        change: impl FnOnce(&mut HttpSettings),
    ) -> Self {
        Self::begin(Arc::default(), github, None, mode, reference, change).await
    }

    /// A studio that gets its databases from this server.
    pub async fn provisioning(
        server: &ElectricServer,
        mode: Mode,
        change: impl FnOnce(&mut HttpSettings),
    ) -> Self {
        let options = ElectricOptions {
            api: server.api(),
            interval: Duration::from_millis(5),
            ..ElectricOptions::default()
        };
        let databases = Arc::new(ElectricCloud::new(options).unwrap());
        Self::begin(Arc::default(), None, Some(databases), mode, true, change).await
    }

    async fn begin(
        streams: Arc<MemoryStreams>,
        github: Option<GitHubAccess>,
        databases: Option<Arc<dyn Databases>>,
        mode: Mode,
        reference: bool,
        change: impl FnOnce(&mut HttpSettings),
    ) -> Self {
        let parts = Parts {
            streams: streams.clone(),
            provider: Arc::new(NoSandboxes),
            github,
            databases,
            codec: Arc::new(|conversation| Box::new(Claude::of(conversation))),
            settings: Settings { mode, ..Settings::default() },
            clock: Arc::new(|| Timestamp::from(SystemTime::now())),
        };
        let studio = Studio::start(parts).await.unwrap();
        let keys = Keys::new(ServerKey::new("test-secret").unwrap());
        let keys = keys.with_reference_tokens(reference);
        let stop = CancellationToken::new();
        let mut http = HttpSettings::default();
        change(&mut http);
        let app = router(HttpState::new(studio.clone(), keys.clone(), http, stop.clone()));
        Self { app, keys, stop, studio, streams }
    }

    pub fn token(&self, scope: Scope) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        self.keys.mint(scope, now)
    }

    pub async fn send(&self, request: Ask) -> Told {
        let (head, body) = self.open(request).await.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let text = String::from_utf8_lossy(&body).into_owned();
        Told { status: head.status, headers: head.headers, json, text }
    }

    /// The head of an answer, and its body as it comes.
    pub async fn open(&self, request: Ask) -> axum::response::Response {
        self.app.clone().oneshot(request.build()).await.unwrap()
    }

    /// A session as a file, whole.
    pub async fn export(&self, id: SessionId, token: &str) -> String {
        let ask = Ask::get(format!("/api/sessions/{id}/export")).token(token);
        let response = self.open(ask).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        let body = axum::body::to_bytes(response.into_body(), 1 << 26).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// The code of an installer that was just fetched.
    pub async fn setup_code(&self) -> String {
        let ask = Ask::get("/api/hooks/setup").from([127, 0, 0, 1]);
        let told = self.send(ask.token(&self.token(Scope::Operator))).await;
        assert_eq!(told.status, StatusCode::OK, "{}", told.text);
        let code = told.text.split("local code='").nth(1).unwrap();
        code.split('\'').next().unwrap().to_owned()
    }

    /// The id of the project in this directory, and a new secret for its hooks.
    pub async fn project_secret(&self, directory: &str) -> (String, String) {
        let ask = Ask::post("/api/hooks/projects").token(&self.setup_code().await);
        let told = self.send(ask.json(&serde_json::json!({ "directory": directory }))).await;
        assert_eq!(told.status, StatusCode::CREATED, "{}", told.text);
        let text = |name: &str| told.json[name].as_str().unwrap().to_owned();
        (text("projectId"), text("secret"))
    }

    /// A local session: fed by hooks, no sandbox needed. Its id, session token and hook token.
    pub async fn local_session(&self) -> (SessionId, String, String) {
        let told = self.send(Ask::post("/api/sessions/local")).await;
        assert_eq!(told.status, StatusCode::CREATED, "{}", told.text);
        let text = |name: &str| told.json[name].as_str().unwrap().to_owned();
        (text("sessionId").parse().unwrap(), text("sessionToken"), text("hookToken"))
    }
}

/// A request in the making.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub peer: Ipv4Addr,
}

impl Ask {
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        let headers = vec![("host".to_owned(), b"localhost:4400".to_vec())];
        let peer = Ipv4Addr::new(192, 0, 2, 1);
        Self { method, target: target.into(), headers, body: Vec::new(), peer }
    }

    pub fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    pub fn post(target: impl Into<String>) -> Self {
        Self::new(Method::POST, target)
    }

    pub fn token(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub fn json(self, body: &Value) -> Self {
        self.bytes(body.to_string())
    }

    /// A body that is declared as JSON, whatever it is.
    pub fn bytes(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", "application/json")
    }

    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self
    }

    pub fn from(mut self, peer: [u8; 4]) -> Self {
        self.peer = peer.into();
        self
    }

    fn build(self) -> Request<Body> {
        let mut request = Request::builder().method(self.method).uri(self.target);
        for (name, value) in self.headers {
            request = request.header(name.parse::<HeaderName>().unwrap(), value);
        }
        let peer = PeerAddress(SocketAddr::from((self.peer, 40_000)));
        request.extension(peer).body(Body::from(self.body)).unwrap()
    }
}

/// The route's path for this session; for a stream's route the path of the session's own stream.
pub fn path_of(route: &Route, id: &str) -> String {
    let message = "00000000-0000-4000-8000-000000000001";
    route
        .path
        .replace("{id}", id)
        .replace("{message}", message)
        .replace("{session}", message)
        .replace("{code}", message)
        .replace("{token}", message)
        .replace("{*path}", &format!("session/{id}"))
}

/// What was answered.
#[derive(Debug)]
pub struct Told {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Value,
    pub text: String,
}

impl Told {
    /// What a client would notice: status, content type, code or sentence.
    pub fn line(&self) -> String {
        let kind = self.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
        let code = self.json["code"].as_str().map(str::to_owned);
        let error = self.json["error"].as_str().unwrap_or_default();
        let what = code.map_or_else(|| self.json.to_string(), |code| format!("{code}: {error}"));
        format!("{} {kind} {what}", self.status.as_u16())
    }
}

/// Waits for what another task brings about, at most a minute.
pub async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "it did not come about");
        tokio::task::yield_now().await;
    }
}
