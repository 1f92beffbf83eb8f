//! What no server could beat here: the disk's sync, and an HTTP handler that does nothing.

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use axum::{Router, routing::post};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

use crate::{
    client::{Connection, request},
    table::{Table, median, ms, percentile, rate},
    world::{Session, directory},
};

/// Makes this program the server that does nothing.
pub(crate) const EMPTY_SERVER: &str = "--empty-server";

pub(crate) async fn run(table: &mut Table) {
    let dir = directory();
    let mut times = syncs(dir.path(), 1_000);
    table.sync = median(&mut times);
    let p99 = percentile(&mut times, 99);
    let per_second = 1.0 / table.sync.as_secs_f64();
    table.add(
        "limit: fdatasync of one event, p50 / p99",
        "",
        format!("{} / {}", ms(table.sync), ms(p99)),
        rate(per_second),
        "",
    );

    let (mut child, port) = start_nothing().await;
    for (at, connections) in [16, 64].into_iter().enumerate() {
        let nobody = Session { id: "0".repeat(36), token: String::new(), hook: "0".repeat(64) };
        let requests = vec![nobody.hook_request()];
        let per_second = load(port, connections, requests, Duration::from_secs(3)).await;
        table.nothing[at] = per_second;
        table.add(
            &format!("limit: a handler that does nothing, {connections} connections"),
            "",
            rate(per_second),
            String::new(),
            "",
        );
    }
    child.kill().await.unwrap();
}

/// Times of one small write with its sync, one right after the other.
fn syncs(dir: &Path, count: u64) -> Vec<Duration> {
    let mut disk = Disk::of(dir);
    (0..count).map(|_| disk.sync()).collect()
}

/// A file that has its length already, as a journal has.
pub(crate) struct Disk {
    file: File,
    at: u64,
}

impl Disk {
    pub(crate) fn of(dir: &Path) -> Self {
        let mut file = File::create(dir.join("syncs")).unwrap();
        file.write_all(&vec![0; 1 << 20]).unwrap();
        file.sync_all().unwrap();
        Self { file, at: 0 }
    }

    /// How long one small write with its sync takes.
    pub(crate) fn sync(&mut self) -> Duration {
        let began = Instant::now();
        self.file.write_all_at(&[b'x'; 400], self.at).unwrap();
        self.file.sync_data().unwrap();
        self.at += 400;
        began.elapsed()
    }
}

/// Requests a second that `connections` get answered, each with one under way at a time.
pub(crate) async fn load(
    port: u16,
    connections: usize,
    requests: Vec<Vec<u8>>,
    time: Duration,
) -> f64 {
    let requests = std::sync::Arc::new(requests);
    let mut tasks = tokio::task::JoinSet::new();
    let began = Instant::now();
    for nth in 0..connections {
        let requests = requests.clone();
        tasks.spawn(async move {
            let mut connection = Connection::open(port).await;
            let mut done = 0u64;
            let mut next = nth;
            while began.elapsed() < time {
                connection.ask_ok(&requests[next % requests.len()]).await;
                next += connections;
                done += 1;
            }
            done
        });
    }
    let done: u64 = tasks.join_all().await.into_iter().sum();
    done as f64 / began.elapsed().as_secs_f64()
}

/// Starts a server, a process of its own, whose one handler reads nothing and says nothing.
pub(crate) async fn start_nothing() -> (Child, u16) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg(EMPTY_SERVER)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.next_line().await.unwrap().unwrap().parse().unwrap();
    (child, port)
}

/// A server whose one handler reads nothing and says nothing.
pub(crate) async fn serve_nothing() {
    let app = Router::new()
        .route("/api/sessions/{id}/hook-event", post(async || "{}"))
        .route("/v1/stream/{name}", post(async || "{}"));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    axum::serve(listener, app).await.unwrap();
}

/// The request of a health check.
pub(crate) fn health() -> Vec<u8> {
    request("GET", "/api/health", None, "")
}
