use std::time::Duration;

use serde_json::{Value, json};
use studio_testkit::{
    ModelServer, ServerBuilder, SseError, SseEvent, SseReader, StudioServer, needs,
    remove_containers_labelled, wait_for,
};
use tokio::time::Instant;

/// How long anything may take that is expected to happen.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// Where agents work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Docker,
    Local,
}

/// A server, its model, and what is left of its sandboxes when the test is over.
pub(crate) struct World {
    pub(crate) server: StudioServer,
    pub(crate) place: Place,
    /// The model that local agents talk to; those in containers have one beside them.
    _model: Option<ModelServer>,
    _broom: Broom,
}

/// A session, and what opens it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl World {
    /// A server in development mode whose agents talk to the model that plays `script`.
    pub(crate) async fn start(place: Place, script: &str) -> Self {
        Self::start_with(place, script, |builder| builder).await
    }

    pub(crate) async fn start_with(
        place: Place,
        script: &str,
        more: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let builder = StudioServer::program(env!("CARGO_BIN_EXE_studio-server"))
            .env("STUDIO_DEV_MODE", "1")
            .env("ANTHROPIC_API_KEY", "dummy");
        let (builder, model) = match place {
            Place::Docker => {
                let builder = builder
                    .env("SANDBOX_RUNTIME", "docker")
                    .env("STUDIO_SANDBOX_IMAGE", needs::scripted_image())
                    .env("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:8555/s/{script}"));
                (builder, None)
            }
            Place::Local => {
                let claude = needs::claude_cli();
                let model = ModelServer::start();
                let builder = builder
                    .env("SANDBOX_RUNTIME", "local")
                    .env("STUDIO_AGENT_PATH", claude.parent().unwrap())
                    .env("ANTHROPIC_BASE_URL", model.url(script));
                (builder, Some(model))
            }
        };
        let server = more(builder).start().await;
        let broom = Broom::of(&server, place);
        Self { server, place, _model: model, _broom: broom }
    }

    /// What `/api/health` says.
    pub(crate) async fn health(&self) -> Health {
        let (status, mut answer) = self.get("/api/health", "").await;
        Health { status, checks: answer["checks"].take() }
    }

    /// A session without infrastructure question.
    pub(crate) async fn session(&self, description: &str) -> Session {
        self.session_of(json!({ "description": description, "freeform": true })).await
    }

    pub(crate) async fn session_of(&self, body: Value) -> Session {
        let (status, answer) = self.post("/api/sessions", "", &body).await;
        assert_eq!(status, 201, "{answer}");
        let word = |name: &str| answer[name].as_str().unwrap().to_owned();
        Session { id: word("sessionId"), token: word("sessionToken") }
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let request = self.server.client().post(self.server.url(path)).json(body);
        answer(request.bearer_auth(token)).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        answer(self.server.client().get(self.server.url(path)).bearer_auth(token)).await
    }

    pub(crate) async fn delete(&self, session: &Session) -> (u16, Value) {
        let url = self.server.url(&session.path(""));
        answer(self.server.client().delete(url).bearer_auth(&session.token)).await
    }

    /// `POST /api/sessions/{id}/<verb>`, which must succeed.
    pub(crate) async fn tell(&self, session: &Session, verb: &str, body: Value) {
        let told = self.try_to_tell(session, verb, body).await;
        assert_eq!(told, (200, json!({ "ok": true })), "{verb}");
    }

    pub(crate) async fn try_to_tell(
        &self,
        session: &Session,
        verb: &str,
        body: Value,
    ) -> (u16, Value) {
        self.post(&session.path(verb), &session.token, &body).await
    }

    /// As [`Self::try_to_tell`], to a server that may be dying: whether it answered.
    pub(crate) async fn try_to_tell_or_not(
        &self,
        session: &Session,
        verb: &str,
        body: &Value,
    ) -> bool {
        let url = self.server.url(&session.path(verb));
        let request = self.server.client().post(url).bearer_auth(&session.token).json(body);
        request.send().await.is_ok()
    }

    /// `GET /api/sessions/{id}/<what>`, which must succeed.
    pub(crate) async fn ask(&self, session: &Session, what: &str) -> Value {
        let (status, answer) = self.get(&session.path(what), &session.token).await;
        assert_eq!(status, 200, "{what}: {answer}");
        answer
    }

    /// The session, once it is told to be at rest: the list of sessions follows the log.
    pub(crate) async fn rests(&self, session: &Session) -> Value {
        wait_for("a session at rest", SOON, async || {
            let told = self.ask(session, "").await;
            (told["status"] != "running").then_some(told)
        })
        .await
    }

    /// The gates that wait for a person.
    pub(crate) async fn gates(&self, session: &Session) -> Vec<Value> {
        self.ask(session, "gates").await["gates"].as_array().unwrap().clone()
    }

    /// A reader of the session's events, from the beginning.
    pub(crate) async fn watch(&self, session: &Session) -> Watch {
        Watch::open(self, session, None).await
    }

    /// That nothing of the server's went wrong so far that a person should look at.
    pub(crate) fn is_sound(&self) {
        let output = self.server.output();
        let bad = |line: &&str| line.contains("panick") || line.contains(" ERROR ");
        let bad: Vec<&str> = output.lines().filter(bad).collect();
        assert!(bad.is_empty(), "the server wrote:\n{}", bad.join("\n"));
    }
}

impl Session {
    /// `/api/sessions/{id}/<what>`.
    pub(crate) fn path(&self, what: &str) -> String {
        let path = format!("/api/sessions/{}/{what}", self.id);
        path.trim_end_matches('/').to_owned()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.timeout(SOON).send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// A reader of one session's events that keeps what it saw.
pub(crate) struct Watch {
    reader: SseReader,
    pub(crate) seen: Vec<Seen>,
}

/// How a server says that it is.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) status: u16,
    pub(crate) checks: Value,
}

/// An event as a browser gets it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) event: Value,
}

impl Seen {
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.event["type"] == kind
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.event[field].as_str().unwrap_or_default()
    }
}

impl From<SseEvent> for Seen {
    fn from(event: SseEvent) -> Self {
        Self { event: event.json(), id: event.id.unwrap_or_default() }
    }
}

impl Watch {
    async fn open(world: &World, session: &Session, after: Option<&str>) -> Self {
        let url = world.server.url(&session.path("events"));
        let request = world.server.client().get(url).bearer_auth(&session.token);
        let reader = SseReader::open(request, after).await;
        Self { reader: reader.unwrap_or_else(|error| panic!("{error}")), seen: Vec::new() }
    }

    /// Reads up to and with the first event that fits, and gives it. The next event of any kind
    /// must come soon each time.
    pub(crate) async fn until(&mut self, what: &str, fits: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            match tokio::time::timeout(SOON, self.reader.next_event()).await {
                Ok(Ok(Some(event))) => {
                    let seen = Seen::from(event);
                    self.seen.push(seen.clone());
                    if fits(&seen) {
                        return seen;
                    }
                }
                Ok(Ok(None)) => panic!("the stream ended before {what}; {}", self.told()),
                Ok(Err(error)) => panic!("{error} before {what}; {}", self.told()),
                Err(_late) => panic!("no {what}, and no event for {SOON:?}; {}", self.told()),
            }
        }
    }

    /// Reads to the end of the turn, and gives what ended it.
    pub(crate) async fn turn_end(&mut self) -> Seen {
        self.until("session_end", |seen| seen.is("session_end")).await
    }

    /// Reads on to an event of this type.
    pub(crate) async fn next(&mut self, kind: &str) -> Seen {
        self.until(kind, |seen| seen.is(kind)).await
    }

    /// Reads to the end of the stream or of the connection, at most until `deadline`.
    pub(crate) async fn rest(&mut self, deadline: Instant) -> Rest {
        loop {
            match tokio::time::timeout_at(deadline, self.reader.next_event()).await {
                Ok(Ok(Some(event))) => self.seen.push(Seen::from(event)),
                Ok(Ok(None)) => return Rest::Ended,
                Ok(Err(SseError::Broken { .. })) => return Rest::Cut,
                Ok(Err(error)) => panic!("{error}"),
                Err(_late) => return Rest::More,
            }
        }
    }

    /// Goes on after the last event that was seen, over a new connection.
    pub(crate) async fn resume(&mut self, world: &World, session: &Session) {
        let last = self.reader.last_id().map(str::to_owned);
        self.reader = Self::open(world, session, last.as_deref()).await.reader;
    }

    /// The events of a type.
    pub(crate) fn all(&self, kind: &str) -> Vec<&Seen> {
        self.seen.iter().filter(|seen| seen.is(kind)).collect()
    }

    /// One text field of all events of a type.
    pub(crate) fn texts(&self, kind: &str, field: &str) -> Vec<&str> {
        self.all(kind).into_iter().map(|seen| seen.text(field)).collect()
    }

    /// The last thing the agent said.
    pub(crate) fn last_words(&self) -> &str {
        self.texts("assistant_message", "text").last().copied().unwrap_or_default()
    }

    /// That every event came once, in the order of the log.
    pub(crate) fn is_in_order(&self) {
        for pair in self.seen.windows(2) {
            assert!(pair[0].id < pair[1].id, "{pair:?}");
        }
    }

    /// What was seen, for the message of a test that failed.
    pub(crate) fn told(&self) -> String {
        let from = self.seen.len().saturating_sub(25);
        let line = |seen: &Seen| {
            let mut text = seen.event.to_string();
            text.truncate(text.char_indices().nth(400).map_or(text.len(), |(at, _)| at));
            format!("{} {text}", seen.id)
        };
        let last: Vec<String> = self.seen[from..].iter().map(line).collect();
        format!("{} events, the last ones:\n{}", self.seen.len(), last.join("\n"))
    }
}

/// How [`Watch::rest`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The server ended the stream.
    Ended,
    /// The connection broke.
    Cut,
    /// The time was over first.
    More,
}

/// Removes the containers of a server: agents outlive it by design, but not the test.
struct Broom(Option<String>);

impl Broom {
    fn of(server: &StudioServer, place: Place) -> Self {
        let owner = || std::fs::read_to_string(server.data_dir().join("owner")).unwrap();
        Self((place == Place::Docker).then(|| format!("studio.instance={}", owner().trim())))
    }
}

impl Drop for Broom {
    fn drop(&mut self) {
        if let Some(label) = &self.0 {
            remove_containers_labelled(label);
        }
    }
}
