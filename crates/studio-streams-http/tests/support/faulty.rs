//! A service that behaves badly, as often as it is told to.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use studio_streams::MemoryStreams;
use studio_streams_protocol::{ProtocolOptions, router};
use tokio::{net::TcpListener, task::JoinHandle};

/// What is done to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The request is done, and then the answer is this status.
    DoneThen(u16),
    /// The request is done, and the connection breaks before an answer.
    DoneThenBroken,
    /// The request is not done; this is the answer, with this `Retry-After`.
    Answer(u16, Option<u64>),
    /// The request is done, and no answer comes.
    Hang,
    /// Half of the body, and the connection breaks.
    Half,
    /// This body instead, with the headers of the real answer.
    Body(&'static str),
    /// An array without an end.
    EndlessArray,
    /// A value without an end.
    EndlessValue,
    /// The body ends after so long, wherever it is.
    CutAfter(Duration),
    /// It ends at once, without anything in it.
    Empty,
}

#[derive(Clone, Debug)]
struct Planned {
    method: Method,
    /// A part of the path and query.
    part: &'static str,
    fault: Fault,
    left: usize,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    pub method: Method,
    pub uri: String,
    pub authorization: Option<String>,
}

#[derive(Default)]
struct Plan {
    planned: Vec<Planned>,
    seen: Vec<Seen>,
    /// Event streams that are open now, and the most there ever were.
    open: (usize, usize),
}

/// The studio's own protocol with a gate before it that lets faults in.
#[derive(Clone)]
pub struct Faulty {
    pub url: String,
    pub streams: MemoryStreams,
    plan: Arc<Mutex<Plan>>,
    _serving: Arc<Serving>,
}

struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Faulty {
    pub async fn start() -> Self {
        let options =
            ProtocolOptions { long_poll: Duration::from_secs(2), ..ProtocolOptions::default() };
        let plan = Arc::new(Mutex::new(Plan::default()));
        let streams = MemoryStreams::new();
        let app = router(Arc::new(streams.clone()), options)
            .layer(middleware::from_fn_with_state(plan.clone(), gate));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, streams, plan, _serving: Arc::new(Serving(serving)) }
    }

    /// Does this to the next so many requests of a method whose URL has the part in it.
    pub fn next(&self, method: Method, part: &'static str, fault: Fault, times: usize) {
        self.plan.lock().unwrap().planned.push(Planned { method, part, fault, left: times });
    }

    /// Behaves well again.
    pub fn heal(&self) {
        self.plan.lock().unwrap().planned.clear();
    }

    pub fn seen(&self, method: &Method, part: &str) -> Vec<Seen> {
        let plan = self.plan.lock().unwrap();
        let is = |seen: &&Seen| seen.method == *method && seen.uri.contains(part);
        plan.seen.iter().filter(is).cloned().collect()
    }

    pub fn all_seen(&self) -> Vec<Seen> {
        self.plan.lock().unwrap().seen.clone()
    }

    /// Event streams that are open now, and the most there ever were at once.
    pub fn open(&self) -> (usize, usize) {
        self.plan.lock().unwrap().open
    }
}

struct Open(Arc<Mutex<Plan>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().unwrap().open.0 -= 1;
    }
}

async fn gate(State(plan): State<Arc<Mutex<Plan>>>, request: Request, next: Next) -> Response {
    let uri = request.uri().to_string();
    let method = request.method().clone();
    let authorization = request.headers().get("authorization");
    let seen = Seen {
        at: Instant::now(),
        method: method.clone(),
        uri: uri.clone(),
        authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
    };
    let fault = {
        let mut plan = plan.lock().unwrap();
        plan.seen.push(seen);
        let fits = |planned: &&mut Planned| {
            0 < planned.left && planned.method == method && uri.contains(planned.part)
        };
        plan.planned.iter_mut().find(fits).map(|planned| {
            planned.left -= 1;
            planned.fault.clone()
        })
    };
    if let Some(Fault::Answer(status, retry_after)) = fault {
        let mut response = StatusCode::from_u16(status).unwrap().into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert("retry-after", seconds.into());
        }
        return response;
    }
    let response = next.run(request).await;
    let response = if uri.contains("live=sse") && response.status().is_success() {
        let mut now = plan.lock().unwrap();
        now.open.0 += 1;
        now.open.1 = now.open.1.max(now.open.0);
        drop(now);
        let open = Open(plan.clone());
        response.map(|body| {
            let pieces = body.into_data_stream().map(move |piece| {
                let _open = &open;
                piece
            });
            Body::from_stream(pieces)
        })
    } else {
        response
    };
    let Some(fault) = fault else { return response };
    let (mut parts, body) = response.into_parts();
    let broken = || std::io::Error::other("broken on purpose");
    match fault {
        Fault::Answer(..) => unreachable!("answered above"),
        Fault::DoneThen(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Fault::DoneThenBroken => {
            // The server's task for this connection ends, and the connection with it.
            std::panic::resume_unwind(Box::new("the connection breaks"))
        }
        Fault::Hang => std::future::pending().await,
        Fault::Half => {
            let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let half = whole.slice(..whole.len() / 2);
            parts.headers.remove("content-length");
            let pieces = stream::iter([Ok(half), Err(broken())]);
            Response::from_parts(parts, Body::from_stream(pieces))
        }
        Fault::Body(text) => {
            parts.headers.remove("content-length");
            Response::from_parts(parts, Body::from(text))
        }
        Fault::EndlessArray => {
            parts.headers.remove("content-length");
            let begin = stream::iter([Bytes::from_static(b"[0")]);
            let more = stream::repeat_with(|| Bytes::from(",\"xxxxxxxx\"".repeat(1_000)));
            let pieces = begin.chain(more).map(Ok::<_, std::io::Error>);
            Response::from_parts(parts, Body::from_stream(pieces))
        }
        Fault::EndlessValue => {
            parts.headers.remove("content-length");
            let begin = stream::iter([Bytes::from_static(b"[\"")]);
            let more = stream::repeat_with(|| Bytes::from("x".repeat(64 * 1024)));
            let pieces = begin.chain(more).map(Ok::<_, std::io::Error>);
            Response::from_parts(parts, Body::from_stream(pieces))
        }
        Fault::CutAfter(time) => {
            let pieces = body.into_data_stream().take_until(tokio::time::sleep(time));
            Response::from_parts(parts, Body::from_stream(pieces))
        }
        Fault::Empty => {
            parts.headers.remove("content-length");
            Response::from_parts(parts, Body::empty())
        }
    }
}
