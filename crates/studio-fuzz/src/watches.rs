use std::{future::poll_fn, pin::Pin, sync::Arc, time::SystemTime};

use axum::{
    Router,
    body::{Body, HttpBody as _, to_bytes},
    http::{HeaderName, HeaderValue, Request, StatusCode, Uri, request::Builder},
    response::Response,
};
use serde_json::Value;
use studio_agent_codec::Claude;
use studio_auth::{Keys, Scope, ServerKey};
use studio_events::Timestamp;
use studio_flows::{Mode, Parts, Settings, Studio};
use studio_http::{HttpSettings, HttpState, PeerAddress, router};
use studio_sandbox::NoSandboxes;
use studio_streams::MemoryStreams;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::serve::runtime;

/// Between two requests.
const NEXT: &str = "\n%%\n";
/// Requests of one input.
const REQUESTS_MAX: usize = 6;
/// Events of the session that is watched.
const EVENTS: usize = 5;
/// What may open the session's events, as often as one likes and once.
const OPENERS: [&str; 3] = ["{session}", "{read}", "{operator}"];
const TICKET: &str = "{ticket}";
const PLACE: &str = "{place}";

/// Requests for a session's events as text: a line with the query, lines with headers; then a line
/// `%%` and the next one. A name in braces stands for a token, a ticket or a place. Nothing opens
/// without one that does, a ticket opens once, what is refused repeats no secret, and who is let in
/// gets the events from some place on to the last one.
pub fn watches(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    WATCHED.with(|(runtime, watched)| runtime.block_on(watched.holds(&text)));
}

thread_local! {
    /// One for all inputs, with new tickets for each; to start a studio takes a hundred times as
    /// long as to ask it.
    static WATCHED: &'static (Runtime, Watched) = {
        let runtime = runtime();
        let watched = runtime.block_on(Watched::new());
        // Not taken down with the thread: by then a runtime may miss what it needs for that.
        Box::leak(Box::new((runtime, watched)))
    };
}

/// What stands for what.
type Names = Vec<(&'static str, String)>;

/// A studio in memory with a session that has told something.
struct Watched {
    app: Router,
    /// The path of the session, and of another one with its token.
    path: String,
    other: (String, String),
    names: Names,
    /// As they are sent.
    events: Vec<String>,
}

impl Watched {
    async fn new() -> Self {
        let parts = Parts {
            streams: Arc::new(MemoryStreams::new()),
            provider: Arc::new(NoSandboxes),
            github: None,
            databases: None,
            codec: Arc::new(|conversation| Box::new(Claude::of(conversation))),
            settings: Settings { mode: Mode::Production, ..Settings::default() },
            clock: Arc::new(|| Timestamp::from(SystemTime::now())),
        };
        let studio = Studio::start(parts).await.unwrap();
        let keys = Keys::new(ServerKey::new("a key for random bytes").unwrap());
        let (stop, settings) = (CancellationToken::new(), HttpSettings::default());
        let app = router(HttpState::new(studio, keys.clone(), settings, stop));
        let none = (String::new(), String::new());
        let mut watched =
            Self { app, path: String::new(), other: none, names: Vec::new(), events: Vec::new() };
        let (mine, other) = (watched.session().await, watched.session().await);
        let path = |told: &Value| format!("/api/sessions/{}", text(told, "sessionId"));
        watched.path = path(&mine);
        watched.other = (path(&other), text(&other, "sessionToken"));
        let session = text(&mine, "sessionToken");
        for n in 0..EVENTS {
            let body = format!(r#"{{"type":"log","level":"done","message":"{n}"}}"#);
            watched.post(&format!("{}/stream/append", watched.path), &session, body).await;
        }
        let tokens = format!("{}/tokens", watched.path);
        let read = watched.post(&tokens, &session, r#"{"scope":"read"}"#).await;
        watched.names = vec![
            (OPENERS[0], session),
            (OPENERS[1], text(&read, "token")),
            (OPENERS[2], keys.mint(Scope::Operator, now())),
            ("{other}", watched.other.1.clone()),
            ("{hook}", text(&mine, "hookToken")),
        ];
        let all = watched.request("\nauthorization: Bearer {session}", &watched.names).unwrap();
        watched.events = events(watched.app.clone().oneshot(all).await.unwrap()).await;
        assert_eq!(watched.events.len(), EVENTS);
        let place = watched.events[1].lines().next().and_then(|line| line.strip_prefix("id:"));
        watched.names.push((PLACE, place.unwrap().to_owned()));
        watched
    }

    /// What holds for the requests of one input.
    async fn holds(&self, text: &str) {
        let mut names = self.names.clone();
        names.push((TICKET, self.ticket(&self.path, &self.names[0].1).await));
        names.push(("{others-ticket}", self.ticket(&self.other.0, &self.other.1).await));
        let mut by_ticket = 0;
        for text in text.split(NEXT).take(REQUESTS_MAX) {
            let Some(request) = self.request(text, &names) else { continue };
            let answer = self.app.clone().oneshot(request).await.unwrap();
            let opener = OPENERS.iter().any(|name| text.contains(name));
            if answer.status() == StatusCode::OK {
                by_ticket += usize::from(!opener);
                assert!(opener || text.contains(TICKET), "opened with nothing: {text}");
                let told = events(answer).await;
                assert!(self.events.ends_with(&told), "{text} got {told:?}");
            } else {
                refused(answer, &names).await;
            }
        }
        assert!(by_ticket <= 1, "a ticket opened {by_ticket} times");
    }

    async fn ticket(&self, path: &str, token: &str) -> String {
        text(&self.post(&format!("{path}/events-ticket"), token, "").await, "ticket")
    }

    async fn session(&self) -> Value {
        self.post("/api/sessions/local", "", "").await
    }

    async fn post(&self, path: &str, token: &str, body: impl Into<Body>) -> Value {
        let request = begun().method("POST").uri(path).header("content-type", "application/json");
        let request =
            request.header("host", "localhost").header("authorization", format!("Bearer {token}"));
        let answer = self.app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    /// The request that this text is; what HTTP itself refuses is none.
    fn request(&self, text: &str, names: &Names) -> Option<Request<Body>> {
        let text =
            names.iter().fold(text.to_owned(), |text, (name, meant)| text.replace(name, meant));
        let mut lines = text.split('\n');
        let uri: Uri = format!("{}/events?{}", self.path, lines.next()?).parse().ok()?;
        let mut request = begun().uri(uri).header("host", "localhost");
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            request = request.header(name, HeaderValue::from_bytes(value.trim().as_bytes()).ok()?);
        }
        request.body(Body::empty()).ok()
    }
}

/// One of the refusals that are known, and none that repeats a secret.
async fn refused(answer: Response, names: &Names) {
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let told = String::from_utf8_lossy(&body);
    let mut secrets = names.iter().filter(|(name, _)| *name != PLACE);
    assert!(secrets.all(|(_, secret)| !told.contains(secret)), "{told}");
    let code = serde_json::from_str::<Value>(&told).unwrap()["code"].clone();
    let known = [
        (400, "bad_offset"),
        (401, "unauthenticated"),
        (403, "foreign_host"),
        (403, "foreign_origin"),
    ];
    assert!(known.contains(&(status, code.as_str().unwrap())), "{status} {told}");
}

fn text(told: &Value, name: &str) -> String {
    told[name].as_str().unwrap().to_owned()
}

fn begun() -> Builder {
    Request::builder().extension(PeerAddress(([192, 0, 2, 1], 40_000).into()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// What an event stream sends until it has nothing more to say.
async fn events(answer: Response) -> Vec<String> {
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    let mut told = String::new();
    while !told.ends_with(": keep-alive\n\n")
        && let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
    {
        let piece = frame.unwrap().into_data().unwrap();
        told.push_str(std::str::from_utf8(&piece).unwrap());
    }
    let all = told.split_terminator("\n\n").filter(|event| !event.starts_with(':'));
    all.map(str::to_owned).collect()
}
