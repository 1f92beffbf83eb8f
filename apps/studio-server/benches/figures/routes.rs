//! How long routes take under load while a thousand readers are connected, and health meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    client::{Connection, Reader, request},
    limits::health,
    table::{Table, ms, percentile},
    world::{Session, directory, server, sessions},
};

const SESSIONS: usize = 50;
const READERS: usize = 1_000;
const CONNECTIONS: usize = 64;
/// How long each route is asked for.
const TIME: Duration = Duration::from_secs(3);
/// Pause between two looks at the health, so that looking is no load of its own.
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) async fn run(table: &mut Table) {
    let name = |route: &str| {
        format!("routes: {route}, {CONNECTIONS} connections, {READERS} readers, p50 / p99")
    };
    let health_name = "routes: /api/health under full load, p50 / p99";
    let routes = ["config", "session", "list of sessions", "usage", "gates", "hook event"];
    if !routes.iter().any(|route| table.wants(&name(route))) && !table.wants(health_name) {
        return;
    }
    let dir = directory();
    let server = server(dir.path()).start().await;
    let port = server.port();
    let sessions = sessions(port, SESSIONS).await;
    let operator = std::fs::read_to_string(dir.path().join("operator-token")).unwrap();
    // They are read to nothing, so that no reader stands still.
    let mut reading = tokio::task::JoinSet::new();
    for nth in 0..READERS {
        let session = sessions[nth % SESSIONS].clone();
        reading.spawn(async move {
            let mut reader = Reader::open(port, &session.id, &session.token, "now").await;
            loop {
                reader.wait().await;
            }
        });
    }
    for route in routes {
        if table.wants(&name(route)) {
            let asked = asked(route, &sessions, operator.trim());
            let mut times = times(port, asked, TIME).await;
            add(table, &name(route), "", &mut times);
        }
    }
    if table.wants(health_name) {
        let mut times = health_under_load(port, &sessions).await;
        add(table, health_name, "", &mut times);
    }
    reading.abort_all();
}

fn add(table: &mut Table, name: &str, target: &str, times: &mut [Duration]) {
    let (p50, p99) = (percentile(times, 50), percentile(times, 99));
    let ratio = format!("{} requests", times.len());
    table.add(name, target, format!("{} / {}", ms(p50), ms(p99)), ratio, "");
}

/// The requests of a route, one for each session.
fn asked(route: &str, sessions: &[Session], operator: &str) -> Vec<Vec<u8>> {
    let get = |path: &str, token: Option<&str>| request("GET", path, token, "");
    let one = |session: &Session| {
        let below =
            |rest: &str| get(&format!("/api/sessions/{}{rest}", session.id), Some(&session.token));
        match route {
            "config" => get("/api/config", None),
            "session" => below(""),
            "usage" => below("/usage"),
            "gates" => below("/gates"),
            "hook event" => session.hook_request(),
            _ => get("/api/sessions", Some(operator)),
        }
    };
    sessions.iter().map(one).collect()
}

/// How long each request took, with one under way on each connection.
async fn times(port: u16, requests: Vec<Vec<u8>>, time: Duration) -> Vec<Duration> {
    let requests = Arc::new(requests);
    let mut asking = tokio::task::JoinSet::new();
    let began = Instant::now();
    for nth in 0..CONNECTIONS {
        let requests = requests.clone();
        asking.spawn(async move {
            let mut connection = Connection::open(port).await;
            let (mut times, mut next) = (Vec::new(), nth);
            while began.elapsed() < time {
                let asked = Instant::now();
                connection.ask_ok(&requests[next % requests.len()]).await;
                times.push(asked.elapsed());
                next += CONNECTIONS;
            }
            times
        });
    }
    asking.join_all().await.into_iter().flatten().collect()
}

/// Health, asked on a connection of its own while the others post events that all readers get.
async fn health_under_load(port: u16, sessions: &[Session]) -> Vec<Duration> {
    let is_over = Arc::new(AtomicBool::new(false));
    let looking = {
        let is_over = is_over.clone();
        tokio::spawn(async move {
            let (mut connection, request) = (Connection::open(port).await, health());
            let mut times = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                connection.ask_ok(&request).await;
                times.push(asked.elapsed());
                tokio::time::sleep(PAUSE).await;
            }
            times
        })
    };
    times(port, asked("hook event", sessions, ""), TIME * 2).await;
    is_over.store(true, Ordering::Relaxed);
    looking.await.unwrap()
}
