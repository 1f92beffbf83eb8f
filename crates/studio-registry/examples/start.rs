//! How long a start takes and what a session costs in memory, with and without a snapshot:
//! `cargo run --release -p studio-registry --example start -- 10000 [DIR]`.
//!
//! With a directory the sessions lie on the disk; what lies there already is started from only.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use studio_events::{
    Phase, SandboxRecord, SessionInfo, SessionPrivate, SessionStatus, SessionUpdate, Timestamp,
};
use studio_ids::{InstanceId, RunId, SessionId};
use studio_registry::Registry;
use studio_streams::{MemoryStreams, StreamStore};
use studio_streams_local::{LocalStreams, Options};
use tokio::task::JoinSet;

/// Starts that are measured.
const STARTS: u8 = 8;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = std::env::args().nth(1).map_or(Ok(10_000), |arg| arg.parse())?;
    let store: Arc<dyn StreamStore> = match std::env::args().nth(2) {
        Some(dir) => Arc::new(LocalStreams::open(dir, Options::default())?),
        None => Arc::new(MemoryStreams::new()),
    };

    let (memory, began) = (resident_bytes()?, Instant::now());
    let registry = open(store.clone()).await?;
    if !registry.is_empty() {
        let (took, more) = (began.elapsed(), resident_bytes()? - memory);
        println!("{} sessions: {took:.1?}, {} KiB of memory", registry.len(), more / 1024);
        return Ok(());
    }
    let began = Instant::now();
    let mut registering = JoinSet::new();
    for n in 0..sessions {
        let registry = registry.clone();
        registering.spawn(async move {
            let id = registry.register(info(n), internal(n)).await?.info.id;
            let status = Some(SessionStatus::Complete);
            registry.update(id, SessionUpdate { status, ..SessionUpdate::default() }).await
        });
    }
    while let Some(registered) = registering.join_next().await {
        registered??;
    }
    println!("{sessions} sessions registered and changed in {:.0?}", began.elapsed());
    registry.stop().await;
    drop(registry);

    for name in store.list("registry-snapshots/", None, 100).await? {
        store.delete(&name).await?;
    }
    let started = measure("start from the whole stream", &store, sessions).await?;
    // Only the one that was started last may write.
    let last = started.last().ok_or("nothing was started")?;
    last.snapshot().await?;
    measure("start from a snapshot", &store, sessions).await?;
    Ok(())
}

/// Starts some servers after each other. All stay in memory, so that what one of them costs is
/// not hidden by memory that another one gave back.
async fn measure(
    what: &str,
    store: &Arc<dyn StreamStore>,
    sessions: i64,
) -> Result<Vec<Registry>, Box<dyn Error>> {
    let mut started = vec![open(store.clone()).await?];
    let (memory, mut best) = (resident_bytes()?, Duration::MAX);
    for _ in 0..STARTS {
        let began = Instant::now();
        started.push(open(store.clone()).await?);
        best = best.min(began.elapsed());
    }
    let more = (resident_bytes()? - memory) / i64::from(STARTS) / sessions.max(1);
    println!("{what}: {best:.1?} at best, {more} bytes of memory for each session");
    Ok(started)
}

async fn open(store: Arc<dyn StreamStore>) -> Result<Registry, Box<dyn Error>> {
    let clock = Arc::new(|| Timestamp::from(std::time::SystemTime::now()));
    Ok(Registry::open(store, InstanceId::random(), clock).await?)
}

fn info(n: i64) -> SessionInfo {
    let created_at = Timestamp::from_unix_millis(1_760_000_000_000 + n);
    SessionInfo {
        id: SessionId::random(),
        project_name: format!("electric-kites-{n:06}"),
        sandbox_project_dir: format!("/home/agent/workspace/electric-kites-{n:06}"),
        description: "Build a shop that sells kites, with a basket and a page for each kite"
            .to_owned(),
        created_at,
        last_active_at: created_at,
        status: SessionStatus::Running,
        needs_input: Some(false),
        last_coder_session_id: Some(SessionId::random().to_string()),
        app_port: Some(5173),
        preview_url: None,
        claim_id: None,
        claude_session_id: None,
        total_cost_usd: Some(0.4321),
        total_turns: Some(12),
        total_duration_ms: Some(123_456),
        git: None,
        name: None,
        archived: None,
        imported: None,
    }
}

fn internal(n: i64) -> SessionPrivate {
    let id = format!("{:064x}", n);
    SessionPrivate {
        phase: Phase::Started,
        project: format!("electric-kites-{n:06}").parse().ok(),
        sandbox: Some(SandboxRecord { provider: "docker".to_owned(), id }),
        run: Some(RunId::random()),
        ..SessionPrivate::default()
    }
}

/// What the process holds in memory, in bytes; 0 where the system does not tell.
fn resident_bytes() -> Result<i64, Box<dyn Error>> {
    let Ok(statm) = std::fs::read_to_string("/proc/self/statm") else { return Ok(0) };
    let pages: i64 = statm.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(pages * 4096)
}
