//! Two servers over one stream service: the newer one owns everything, and the older one, when it
//! comes back to life, neither writes nor ends anything. The service is a third server of the
//! studio's own, or the official one.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use studio_testkit::{NodeTool, ServerBuilder, StudioServer, wait_for};
use tokio::time::Instant;

use crate::{
    crash::is_whole,
    in_both,
    world::{Place, Rest, SOON, Session, Watch, World},
};

const SERVICE: &str = "shared";
const SECRET: &str = "the secret of the service";

in_both! {
    a_paused_server_that_comes_back_finds_itself_followed_and_stands_down
    a_server_with_nothing_to_do_learns_that_it_was_followed
    a_service_that_goes_away_and_comes_back_costs_no_event
}

/// A stream service: the studio's own streams, open to this machine.
async fn service() -> StudioServer {
    let builder = StudioServer::program(env!("CARGO_BIN_EXE_studio-server"));
    builder.arg("--sandbox").arg("local").env("STUDIO_STREAMS_OPEN", "1").start().await
}

/// The official server, from npm; where it is.
struct Official {
    url: String,
    child: Child,
    _tool: NodeTool,
}

impl Official {
    fn start() -> Self {
        let tool = NodeTool::durable_streams();
        let mut node = tool.node("server.mjs");
        let mut child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("http://"), "the official server said {url:?}");
        Self { url: url.trim().trim_end_matches('/').to_owned(), child, _tool: tool }
    }
}

impl Drop for Official {
    fn drop(&mut self) {
        // It ends with its standard input, too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server over the service at `url`.
fn over(url: &str) -> impl FnOnce(ServerBuilder) -> ServerBuilder {
    let url = url.to_owned();
    move |builder| {
        builder
            .env("DS_URL", url)
            .env("DS_SERVICE_ID", SERVICE)
            .env("DS_SECRET", SECRET.replace(' ', "-"))
    }
}

/// One more server over the service of `first`. Jails lie in the data directory, so that is
/// shared; containers are found by what the service knows.
async fn another(service: &str, first: &World, script: &str) -> World {
    let dir = first.server.data_dir().to_owned();
    World::start_with(first.place, script, |builder| match first.place {
        Place::Docker => over(service)(builder),
        Place::Local => over(service)(builder).data_dir(dir),
    })
    .await
}

/// Everything in the session's stream, as the service has it.
async fn log(service: &str, session: &Session) -> Vec<Value> {
    let url = format!("{service}/v1/stream/{SERVICE}/session/{}", session.id);
    let client = reqwest::Client::new();
    let mut all = Vec::new();
    let mut offset = "-1".to_owned();
    loop {
        let request = client.get(&url).query(&[("offset", &offset)]);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let is_last = header("stream-up-to-date").is_some();
        offset = header("stream-next-offset").unwrap();
        let page: Vec<Value> = answer.json().await.unwrap();
        all.extend(page);
        if is_last {
            return all;
        }
    }
}

fn count(log: &[Value], kind: &str) -> usize {
    log.iter().filter(|entry| entry["type"] == kind).count()
}

/// That two readers saw the same up to the end of the turn. A service has several names for a
/// place inside of a batch, so ids may differ; each leads to the same place.
fn same_history(one: &Watch, other: &Watch) {
    assert_eq!(one.all("session_end").len(), other.all("session_end").len());
    for (a, b) in one.seen.iter().zip(&other.seen) {
        assert_eq!(a.event, b.event);
    }
}

/// Waits until a server says that it has been followed.
async fn stood_down(world: &World) {
    wait_for("the older server to stand down", SOON, async || {
        let health = world.health().await;
        let over = health.checks["lease"] == "taken_over";
        assert!(!over || health.status == 503, "{health:?}");
        over.then_some(())
    })
    .await;
}

/// That a server does nothing for a session any more, and says why.
async fn refuses(world: &World, session: &Session) {
    let say = json!({ "request": "more" });
    let nothing = json!({});
    for (verb, body) in [("iterate", &say), ("interrupt", &nothing), ("cancel", &nothing)] {
        let (status, problem) = world.try_to_tell(session, verb, body.clone()).await;
        assert_eq!((status, problem["code"].as_str()), (503, Some("taken_over")), "{verb}");
    }
    for what in ["", "gates", "queue"] {
        let (status, problem) = world.get(&session.path(what), &session.token).await;
        assert_eq!((status, problem["code"].as_str()), (503, Some("taken_over")), "{what}");
    }
    let (status, _) = world.delete(session).await;
    assert_eq!(status, 503);
    let new = json!({ "description": "another", "freeform": true });
    let (status, problem) = world.post("/api/sessions", "", &new).await;
    assert_eq!(status, 503, "{problem}");
}

async fn a_paused_server_that_comes_back_finds_itself_followed_and_stands_down(place: Place) {
    let service = service().await;
    paused_and_followed(place, &service.url("")).await;
}

#[tokio::test]
async fn a_paused_server_stands_down_over_the_official_server_too() {
    let official = Official::start();
    paused_and_followed(Place::Local, &official.url).await;
}

async fn paused_and_followed(place: Place, service: &str) {
    let mut older = World::start_with(place, "long", over(service)).await;
    let session = older.session("do all of it").await;
    let mut watch = older.watch(&session).await;
    for _ in 0..5 {
        watch.next("post_tool_use").await;
    }
    let agents = older.agents(&session);
    assert_eq!(agents.len(), 1, "{:?}", older.processes(&session));
    older.server.pause();

    let newer = another(service, &older, "long").await;
    let mut newer_watch = newer.watch(&session).await;
    for _ in 0..20 {
        newer_watch.next("post_tool_use").await;
    }
    let unfinished = newer_watch.all("session_end").is_empty();
    assert!(unfinished, "the older server is to come back in the middle of the work");
    older.server.go_on();
    stood_down(&older).await;
    refuses(&older, &session).await;

    newer_watch.turn_end().await;
    is_whole(&newer_watch);
    assert_eq!(newer.agents(&session), agents, "the agent never stopped");
    assert_eq!(newer.rests(&session).await["status"], "complete");

    // Who watches at the older one sees the same history to its end.
    watch.turn_end().await;
    is_whole(&watch);
    same_history(&watch, &newer_watch);

    // One history: two servers, one run, one agent that nobody ended.
    let log = log(service, &session).await;
    let counts = ["writer_started", "run_started", "agent_exit", "session_end"];
    assert_eq!(counts.map(|kind| count(&log, kind)), [2, 1, 0, 1]);

    // The older one's end disturbs nothing, and the newer one goes on with the same agent.
    let (status, took) = older.server.terminate().await;
    assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
    assert_eq!(newer.agents(&session), agents);
    newer.tell(&session, "iterate", json!({ "request": "again" })).await;
    newer_watch.next("post_tool_use").await;
    newer.tell(&session, "cancel", json!({})).await;
    assert!(newer.processes(&session).is_empty());
    newer.is_sound();
}

async fn a_server_with_nothing_to_do_learns_that_it_was_followed(place: Place) {
    let service = service().await;
    let mut older = World::start_with(place, "hello", over(&service.url(""))).await;
    let session = older.session("hello").await;
    let mut watch = older.watch(&session).await;
    watch.turn_end().await;
    older.rests(&session).await;
    let agents = older.agents(&session);
    assert_eq!(older.health().await.status, 200);

    let newer = another(&service.url(""), &older, "hello").await;
    stood_down(&older).await;
    refuses(&older, &session).await;
    assert_eq!(newer.health().await.checks["lease"], "ok");
    assert_eq!(newer.agents(&session), agents, "nobody ended the agent");
    newer.tell(&session, "iterate", json!({ "request": "again" })).await;
    watch.turn_end().await;
    assert_eq!(newer.agents(&session), agents, "the same agent answered");

    // A server that was followed and is started anew takes over again.
    older.server.terminate().await;
    older.server.restart().await;
    stood_down(&newer).await;
    wait_for("the health of the one that came back", SOON, async || {
        (older.health().await.status == 200).then_some(())
    })
    .await;
    older.tell(&session, "cancel", json!({})).await;
    assert!(older.processes(&session).is_empty());
}

async fn a_service_that_goes_away_and_comes_back_costs_no_event(place: Place) {
    let mut service = service().await;
    let world = World::start_with(place, "long", over(&service.url(""))).await;
    let session = world.session("do all of it").await;
    let mut watch = world.watch(&session).await;
    for _ in 0..5 {
        watch.next("post_tool_use").await;
    }
    let agents = world.agents(&session);
    for _ in 0..2 {
        service.crash().await;
        wait_for("the health to say so", SOON, async || {
            let health = world.health().await;
            let told = health.checks["streamsError"].as_str().is_some_and(|why| !why.is_empty());
            (health.status == 503 && health.checks["streams"] == "error" && told).then_some(())
        })
        .await;
        service.restart().await;
        wait_for("the health to recover", SOON, async || {
            (world.health().await.status == 200).then_some(())
        })
        .await;
    }
    // The reader's connection may have been ended with the service's.
    while watch.all("session_end").is_empty() {
        match watch.rest(Instant::now() + Duration::from_millis(500)).await {
            Rest::More => {}
            Rest::Ended | Rest::Cut => watch.resume(&world, &session).await,
        }
    }
    is_whole(&watch);
    assert_eq!(world.agents(&session), agents, "the agent never stopped");
    let mut late = world.watch(&session).await;
    late.turn_end().await;
    same_history(&watch, &late);
    assert_eq!(count(&log(&service.url(""), &session).await, "run_started"), 1);
}
