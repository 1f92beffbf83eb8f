use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, Response, StatusCode},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

/// What the claim API says at one look.
#[derive(Clone, Debug)]
pub enum ElectricAnswer {
    /// This status and this text.
    Text(u16, String),
    /// Status 200 and this JSON.
    Json(Value),
    /// Nothing: the connection breaks.
    Break,
    /// Nothing, as long as the server runs.
    Hang,
}

/// A claim API of our own, as Electric Cloud's: a claim is not known for a moment, then being
/// made, then ready. Stops when it is dropped.
#[derive(Debug)]
pub struct ElectricServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    begin: Mutex<Option<ElectricAnswer>>,
    looks: Mutex<Vec<ElectricAnswer>>,
    seen: Mutex<Vec<String>>,
    asked: Notify,
    left: Notify,
}

impl ElectricServer {
    /// The id of every claim.
    pub const CLAIM: &str = "5f3b2c1a-0000-4000-8000-000000000001";

    /// Starts one whose claims are not known at the first look, being made at the second, and
    /// ready at the third.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.unwrap_or_else(|error| panic!("no port for a test: {error}"));
        let address = listener.local_addr();
        let address = address.unwrap_or_else(|error| panic!("no port for a test: {error}"));
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .route("/api/public/v1/claimable-sources", post(begin))
            .route("/api/public/v1/claimable-sources/{claim}", get(look))
            .with_state(shared.clone());
        let serve = async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the test claim API ended");
            }
        };
        let server = Self { shared, address, task: tokio::spawn(serve) };
        server.looks([
            ElectricAnswer::Text(404, String::new()),
            ElectricAnswer::Json(json!({
                "state": "pending", "source": null, "connection_uri": null, "error": null,
            })),
            ElectricAnswer::Json(Self::ready()),
        ]);
        server
    }

    /// Where the API is.
    #[must_use]
    pub fn api(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// What a claim that is ready looks like.
    #[must_use]
    pub fn ready() -> Value {
        json!({
            "state": "ready",
            "source": {"source_id": "src-1", "secret": "sec-1"},
            "connection_uri": "postgresql://owner:pw@db.example/app?sslmode=require",
        })
    }

    /// What beginning a claim answers from now on.
    pub fn begins(&self, answer: ElectricAnswer) {
        *lock(&self.shared.begin) = Some(answer);
    }

    /// What each look answers; the last one again and again.
    pub fn looks(&self, answers: impl IntoIterator<Item = ElectricAnswer>) {
        *lock(&self.shared.looks) = answers.into_iter().collect();
    }

    /// What was asked, as `POST {} create-electric-app`: method, body or claim, and who says to
    /// ask.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        lock(&self.shared.seen).clone()
    }

    /// Waits until something is asked.
    pub async fn asked(&self) {
        self.shared.asked.notified().await;
    }

    /// Waits until somebody who was left [hanging](ElectricAnswer::Hang) has given up.
    pub async fn left(&self) {
        self.shared.left.notified().await;
    }
}

impl Drop for ElectricServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells that who waits here has gone.
struct Waiting(Arc<Shared>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.left.notify_one();
    }
}

fn agent(headers: &HeaderMap) -> &str {
    headers.get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or("")
}

impl Shared {
    fn note(&self, request: String) {
        lock(&self.seen).push(request);
        self.asked.notify_one();
    }
}

async fn begin(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    shared.note(format!("POST {} {}", String::from_utf8_lossy(&body), agent(&headers)));
    let is_json = headers.get("content-type").is_some_and(|kind| kind == "application/json");
    let is_json = is_json && serde_json::from_slice::<Value>(&body).is_ok_and(|v| v.is_object());
    let answer = lock(&shared.begin).clone();
    let good = ElectricAnswer::Json(json!({"claimId": ElectricServer::CLAIM}));
    match answer {
        Some(answer) => say(&shared, answer).await,
        None if !is_json => say(&shared, ElectricAnswer::Text(400, String::new())).await,
        None => say(&shared, good).await,
    }
}

async fn look(
    State(shared): State<Arc<Shared>>,
    Path(claim): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    shared.note(format!("GET {claim} {}", agent(&headers)));
    if claim != ElectricServer::CLAIM {
        return say(&shared, ElectricAnswer::Text(404, String::new())).await;
    }
    let answer = {
        let mut looks = lock(&shared.looks);
        if 1 < looks.len() { Some(looks.remove(0)) } else { looks.first().cloned() }
    };
    say(&shared, answer.unwrap_or(ElectricAnswer::Text(404, String::new()))).await
}

async fn say(shared: &Arc<Shared>, answer: ElectricAnswer) -> Response<Body> {
    let (status, body) = match answer {
        ElectricAnswer::Text(status, text) => (status, Body::from(text)),
        ElectricAnswer::Json(value) => (200, Body::from(value.to_string())),
        ElectricAnswer::Hang => {
            let _waiting = Waiting(Arc::clone(shared));
            std::future::pending().await
        }
        ElectricAnswer::Break => {
            let broken = std::io::Error::other("broken for a test");
            let pieces = futures::stream::iter([Err::<Vec<u8>, _>(broken)]);
            (200, Body::from_stream(pieces))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response
}
