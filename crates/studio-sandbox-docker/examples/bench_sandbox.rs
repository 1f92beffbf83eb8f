//! How much a sandbox costs over a bare container of the same settings, in one run:
//! `cargo run --release -p studio-sandbox-docker --example bench_sandbox -- IMAGE [ROUNDS]`.
//!
//! Prints medians, and what the slowest sign of life of the engine was meanwhile.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    },
};
use bytes::Bytes;
use futures::future::try_join_all;
use studio_ids::SessionId;
use studio_sandbox::{Command, Limits, Output, SandboxProvider, SandboxSpec};
use studio_sandbox_docker::{DockerOptions, DockerProvider, ImageSource};
use tokio_util::sync::CancellationToken;

type Done<T> = Result<T, Box<dyn Error>>;

/// What a container costs that is only created and started.
async fn bare(docker: &Docker, image: &str) -> Done<(Duration, Duration)> {
    let limits = Limits::default();
    let bytes = i64::try_from(limits.memory_bytes)?;
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec!["sleep".to_owned(), "3600".to_owned()]),
        host_config: Some(HostConfig {
            init: Some(true),
            memory: Some(bytes),
            memory_swap: Some(bytes),
            pids_limit: Some(i64::from(limits.pids)),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let name = format!("studio-bench-{}", SessionId::random());
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let start = Instant::now();
    let id = docker.create_container(Some(options), body).await?.id;
    docker.start_container(&id, None::<StartContainerOptions>).await?;
    let created = start.elapsed();
    let start = Instant::now();
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    docker.remove_container(&id, Some(options)).await?;
    Ok((created, start.elapsed()))
}

fn spec() -> Done<SandboxSpec> {
    Ok(SandboxSpec {
        session: SessionId::random(),
        project: "app".parse()?,
        env: [].into(),
        limits: Limits::default(),
        ports: vec![],
        lease: 0,
    })
}

async fn ours(provider: &DockerProvider) -> Done<(Duration, Duration, Duration)> {
    let spec = spec()?;
    let start = Instant::now();
    let sandbox = provider.create(&spec, Arc::new(|_| ())).await?;
    let created = start.elapsed();
    let start = Instant::now();
    sandbox.exec(Command::new(["true"]), Bytes::new(), Output::default()).await?;
    let exec = start.elapsed();
    let start = Instant::now();
    provider.destroy(sandbox.reference()).await?;
    Ok((created, exec, start.elapsed()))
}

/// How long `ready` takes while `rounds` times four sandboxes come and go at once, and beside it
/// how late the machine wakes a task that only sleeps. Both sorted.
async fn under_load(
    provider: &Arc<DockerProvider>,
    rounds: usize,
) -> Done<(Vec<Duration>, Vec<Duration>)> {
    // A health check is asked all the time, not for the first time under load.
    provider.ready().await?;
    let over = CancellationToken::new();
    let (watched, end) = (provider.clone(), over.clone());
    let watch = tokio::spawn(async move {
        let (mut took, mut late) = (Vec::new(), Vec::new());
        while !end.is_cancelled() {
            let start = Instant::now();
            if watched.ready().await.is_ok() {
                took.push(start.elapsed());
            }
            let nap = Duration::from_millis(5);
            let start = Instant::now();
            tokio::time::sleep(nap).await;
            late.push(start.elapsed().saturating_sub(nap));
        }
        (took, late)
    });
    for _ in 0..rounds {
        try_join_all((0..4).map(|_| ours(provider))).await?;
    }
    over.cancel();
    let (mut took, mut late) = watch.await?;
    took.sort();
    late.sort();
    Ok((took, late))
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "that is what it is for")]
async fn main() -> Done<()> {
    let mut args = std::env::args().skip(1);
    let image = args.next().ok_or("name an image that the engine has")?;
    let rounds: usize = args.next().map_or(Ok(10), |text| text.parse())?;
    let docker = Docker::connect_with_host("unix:///var/run/docker.sock")?;
    let owner = format!("bench-{}", SessionId::random()).parse()?;
    let options = DockerOptions { engine: None, owner, image: ImageSource::Tag(image.clone()) };
    let provider = Arc::new(DockerProvider::connect(options).await?);

    bare(&docker, &image).await?;
    ours(&provider).await?;
    let (mut bare_created, mut bare_removed) = (Vec::new(), Vec::new());
    let (mut created, mut execs, mut removed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        // In turns, so that both see the same machine.
        let (create, remove) = bare(&docker, &image).await?;
        bare_created.push(create);
        bare_removed.push(remove);
        let (create, exec, remove) = ours(&provider).await?;
        created.push(create);
        execs.push(exec);
        removed.push(remove);
    }
    let (bare_created, created) = (median(bare_created), median(created));
    println!("medians of {rounds}, image {image}");
    println!("bare create + start   {bare_created:?}");
    println!("sandbox created       {created:?}");
    println!("ratio                 {:.2}", created.as_secs_f64() / bare_created.as_secs_f64());
    println!("bare remove           {:?}", median(bare_removed));
    println!("sandbox removed       {:?}", median(removed));
    println!("exec of `true`        {:?}", median(execs));
    let (ready, late) = under_load(&provider, 3).await?;
    println!("while 4 sandboxes come and go:");
    println!("ready()               p50 {:?}, longest {:?}", ready[ready.len() / 2], ready.last());
    println!("a task wakes late by  p50 {:?}, longest {:?}", late[late.len() / 2], late.last());
    Ok(())
}
