//! Sandboxes beside bare containers of the same engine, and what their coming and going costs
//! everybody else.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use studio_ids::SessionId;
use studio_sandbox::{Limits, SandboxProvider, SandboxSpec};
use studio_sandbox_docker::{DockerOptions, DockerProvider, ImageSource};
use studio_testkit::{StudioServer, needs, remove_containers_labelled};
use tokio::{net::UnixStream, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Connection, Reader, request},
    limits::health,
    table::{Table, median, ms, percentile},
    world::{directory, healthy},
};

const ROUNDS: usize = 9;
/// Times that four sandboxes come and go at once.
const WAVES: usize = 3;
const AT_ONCE: usize = 4;
/// How often somebody asks whether the server is healthy.
const HEALTH_EVERY: Duration = Duration::from_millis(5);

pub(crate) async fn run(table: &mut Table) {
    if ["sandbox: create", "sandbox: delete"].iter().any(|name| table.wants(name)) {
        beside_bare(table).await;
    }
    if table.wants("health: longest wait while 4 sandboxes come and go") {
        health_meanwhile(table).await;
    }
}

async fn beside_bare(table: &mut Table) {
    let image = needs::agent_image();
    let owner = format!("bench-{}", SessionId::random());
    let options = DockerOptions {
        engine: None,
        owner: owner.parse().unwrap(),
        image: ImageSource::Tag(image.clone()),
    };
    let provider = DockerProvider::connect(options).await.unwrap();
    bare(&image).await;
    ours(&provider).await;
    let (mut bare_ready, mut bare_gone) = (Vec::new(), Vec::new());
    let (mut ready, mut gone) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // In turns, so that both see the same machine.
        let (create, remove) = bare(&image).await;
        bare_ready.push(create);
        bare_gone.push(remove);
        let (create, remove) = ours(&provider).await;
        ready.push(create);
        gone.push(remove);
    }
    let (bare_ready, ready) = (median(&mut bare_ready), median(&mut ready));
    let times = ready.as_secs_f64() / bare_ready.as_secs_f64();
    let ratio = format!("{times:.2} x bare {}", ms(bare_ready));
    table.add("sandbox: create to ready", "1.3 x bare", ms(ready), ratio, "760 ms");
    let gone = median(&mut gone);
    let ratio =
        format!("{:.2} of it; bare {}", gone.as_secs_f64() / 0.5, ms(median(&mut bare_gone)));
    table.add("sandbox: delete", "0.5 s", ms(gone), ratio, "10,700 ms");
}

async fn ours(provider: &DockerProvider) -> (Duration, Duration) {
    let spec = SandboxSpec {
        session: SessionId::random(),
        project: "app".parse().unwrap(),
        env: [].into(),
        limits: Limits::default(),
        ports: vec![],
        lease: 0,
    };
    let began = Instant::now();
    let sandbox = provider.create(&spec, Arc::new(|_| ())).await.unwrap();
    let created = began.elapsed();
    let began = Instant::now();
    provider.destroy(sandbox.reference()).await.unwrap();
    (created, began.elapsed())
}

/// A container with the same limits that is only created and started, then removed.
async fn bare(image: &str) -> (Duration, Duration) {
    let limits = Limits::default();
    let body = json!({
        "Image": image,
        "Cmd": ["sleep", "3600"],
        "HostConfig": {
            "Init": true,
            "Memory": limits.memory_bytes,
            "MemorySwap": limits.memory_bytes,
            "PidsLimit": limits.pids,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
        },
    });
    let socket = UnixStream::connect(needs::docker_socket()).await.unwrap();
    let mut engine = Connection::over(socket);
    let began = Instant::now();
    let create = request("POST", "/containers/create", None, &body.to_string());
    let made: Value = serde_json::from_slice(&engine.ask_ok(&create).await).unwrap();
    let id = made["Id"].as_str().unwrap();
    engine.ask_ok(&request("POST", &format!("/containers/{id}/start"), None, "")).await;
    let created = began.elapsed();
    let began = Instant::now();
    let path = format!("/containers/{id}?force=true&v=true");
    engine.ask_ok(&request("DELETE", &path, None, "")).await;
    (created, began.elapsed())
}

/// The server's own sandboxes. The image has no agent, so that what is measured is the server
/// beside a busy engine, and not two processors shared with four agents.
async fn health_meanwhile(table: &mut Table) {
    let dir = directory();
    let server = StudioServer::program(env!("CARGO_BIN_EXE_studio-server"))
        .data_dir(dir.path())
        .env("STUDIO_DEV_MODE", "1")
        .env("ANTHROPIC_API_KEY", "none")
        .env("SANDBOX_RUNTIME", "docker")
        .env("STUDIO_SANDBOX_IMAGE", needs::test_image())
        .start()
        .await;
    let port = server.port();
    healthy(port).await;
    let over = CancellationToken::new();
    let (end, watched) = (over.clone(), port);
    let watch = tokio::spawn(async move {
        let mut connection = Connection::open(watched).await;
        let ask = health();
        let (mut waits, mut late) = (Vec::new(), Vec::new());
        while !end.is_cancelled() {
            let began = Instant::now();
            connection.ask_ok(&ask).await;
            waits.push(began.elapsed());
            let began = Instant::now();
            tokio::time::sleep(HEALTH_EVERY).await;
            late.push(began.elapsed().saturating_sub(HEALTH_EVERY));
        }
        (waits, late)
    });
    for _ in 0..WAVES {
        let mut coming = JoinSet::new();
        for _ in 0..AT_ONCE {
            coming.spawn(comes_and_goes(port));
        }
        coming.join_all().await;
    }
    over.cancel();
    let (mut waits, mut late) = watch.await.unwrap();
    drop(server);
    let worst = percentile(&mut waits, 100);
    let ratio = format!(
        "{:.2} of it; p50 {}, p99 {}; a task that only sleeps wakes up to {} late",
        worst.as_secs_f64() / 0.020,
        ms(percentile(&mut waits, 50)),
        ms(percentile(&mut waits, 99)),
        ms(percentile(&mut late, 100)),
    );
    let name = "health: longest wait while 4 sandboxes come and go";
    table.add(name, "20 ms", ms(worst), ratio, "21,600 ms");
}

/// A session from its creation over its sandbox to its end.
async fn comes_and_goes(port: u16) {
    let mut connection = Connection::open(port).await;
    let body = json!({ "description": "Come and go", "freeform": true }).to_string();
    let body = connection.ask_ok(&request("POST", "/api/sessions", None, &body)).await;
    let made: Value = serde_json::from_slice(&body).unwrap();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    let (id, token) = (text("sessionId"), text("sessionToken"));
    let gone = Gone(id.clone());
    let mut reader = Reader::open(port, &id, &token, "-1").await;
    reader.until_text("Sandbox ready").await;
    connection.ask_ok(&request("DELETE", &format!("/api/sessions/{id}"), Some(&token), "")).await;
    drop(gone);
}

/// Removes a session's container if something went wrong before the server did.
struct Gone(String);

impl Drop for Gone {
    fn drop(&mut self) {
        if std::thread::panicking() {
            remove_containers_labelled(&format!("studio.session={}", self.0));
        }
    }
}
