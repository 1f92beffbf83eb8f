//! What a container of the studio may and may not do, and whose it is.

mod common;

use bollard::{
    models::{ContainerCreateBody, RestartPolicyNameEnum},
    query_parameters::CreateContainerOptionsBuilder,
};
use common::{Studio, said, spec, until};
use studio_ids::SessionId;
use studio_sandbox::{SandboxProvider, SandboxRef, SandboxSpec};
use studio_testkit::needs;

#[tokio::test]
async fn the_limits_that_are_claimed_are_set() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    let limits = studio.inspect(sandbox.reference()).await.host_config.unwrap();
    let enforced = studio.provider.abilities().enforced;
    let bytes = 256 * 1024 * 1024;
    assert_eq!(limits.memory == Some(bytes), enforced.memory);
    assert_eq!(limits.nano_cpus == Some(1_500_000_000), enforced.cpus);
    assert_eq!(limits.pids_limit == Some(99), enforced.pids);
    let notice = studio.provider.abilities().notice;
    assert_eq!(notice.contains("cannot limit memory"), !enforced.memory, "{notice}");
    assert_eq!(notice.contains("cannot limit processes"), !enforced.pids, "{notice}");
}

#[tokio::test]
async fn a_program_that_takes_too_much_memory_is_killed() {
    let studio = Studio::new().await;
    assert!(studio.provider.abilities().enforced.memory, "this engine limits no memory");
    let sandbox = studio.create(&spec()).await;
    // `tail` keeps a line that never ends.
    let output = common::run(&*sandbox, "head -c 600000000 /dev/zero | tail -n 1 | wc -c", &[]);
    let output = output.await.unwrap();
    assert_ne!(output.text(), "600000000", "{output:?}");
    assert_eq!(said(&*sandbox, "echo still here", &[]).await, "still here");
}

#[tokio::test]
async fn more_cpus_than_the_machine_has_are_no_error() {
    let studio = Studio::new().await;
    let mut wide = spec();
    wide.limits.cpus = 4096.0;
    studio.create(&wide).await;
}

#[tokio::test]
async fn what_runs_inside_has_no_privileges() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    let status = said(&*sandbox, "cat /proc/self/status", &[]).await;
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let line = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
        assert_eq!(line.trim_start_matches(':').trim(), "0000000000000000", "{set}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Uid:\t1000\t1000\t1000\t1000"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    let container = studio.inspect(sandbox.reference()).await;
    let host = container.host_config.unwrap();
    assert_eq!(host.privileged, Some(false));
    assert!(host.binds.unwrap_or_default().is_empty());
    assert!(container.mounts.unwrap_or_default().is_empty());
    assert_eq!(host.restart_policy.unwrap().name, Some(RestartPolicyNameEnum::NO));
}

#[tokio::test]
async fn orphans_are_reaped_by_the_first_process() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    said(&*sandbox, "for n in 1 2 3 4 5; do sh -c 'true & exec true' & done; wait", &[]).await;
    until("no zombie is left", async || {
        said(&*sandbox, "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ' || :", &[]).await == "0"
    })
    .await;
}

#[tokio::test]
async fn a_published_port_is_on_loopback_only() {
    let studio = Studio::new().await;
    let spec = SandboxSpec { ports: vec![8080, 5173], ..spec() };
    let sandbox = studio.create(&spec).await;
    let ports = sandbox.ports().await.unwrap();
    assert_eq!(ports.iter().map(|(inside, _)| *inside).collect::<Vec<_>>(), [5173, 8080]);
    let container = studio.inspect(sandbox.reference()).await;
    let published = container.network_settings.unwrap().ports.unwrap();
    let bindings: Vec<_> = published.into_values().flatten().flatten().collect();
    assert_eq!(bindings.len(), 2);
    assert!(bindings.iter().all(|binding| binding.host_ip.as_deref() == Some("127.0.0.1")));
}

#[tokio::test]
async fn two_studios_on_one_engine_do_not_see_each_other() {
    let (one, other) = (Studio::new().await, Studio::new().await);
    let spec = spec();
    let mine = one.create(&spec).await;
    // The same session, as after a copied data directory.
    let theirs = other.create(&spec).await;
    assert_ne!(mine.reference(), theirs.reference());
    assert_eq!(one.provider.list().await.unwrap(), [(spec.session, mine.reference().clone())]);
    assert!(other.provider.find(mine.reference()).await.unwrap().is_none());
    other.provider.destroy(mine.reference()).await.unwrap();
    other.provider.destroy_session(spec.session).await.unwrap();
    assert_eq!(one.containers().await.len(), 1, "a foreign container was removed");
    assert!(other.containers().await.is_empty());
}

#[tokio::test]
async fn a_container_with_our_name_but_not_our_labels_is_left_alone() {
    let studio = Studio::new().await;
    let spec = spec();
    let name = format!("studio-{}-{}", studio.owner, spec.session);
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let image = Some(needs::test_image());
    let body = ContainerCreateBody { image, ..ContainerCreateBody::default() };
    let stranger = studio.docker.create_container(Some(options), body).await.unwrap().id;
    assert!(studio.provider.create(&spec, common::silence()).await.is_err());
    studio.provider.destroy_session(spec.session).await.unwrap();
    for id in [stranger.clone(), name, "../../version".to_owned()] {
        let reference = SandboxRef { provider: "docker".to_owned(), id };
        assert!(studio.provider.find(&reference).await.unwrap().is_none());
        studio.provider.destroy(&reference).await.unwrap();
    }
    // Still there: only now it is removed.
    studio.docker.remove_container(&stranger, None).await.unwrap();
}

#[tokio::test]
async fn a_sandbox_is_found_by_another_provider_of_the_same_owner() {
    let studio = Studio::new().await;
    let spec = SandboxSpec { project: "my.app-1".parse().unwrap(), ..spec() };
    let reference = studio.create(&spec).await.reference().clone();
    let options = studio_sandbox_docker::DockerOptions {
        engine: Some(format!("unix://{}", needs::docker_socket().display())),
        owner: studio.owner.clone(),
        image: studio_sandbox_docker::ImageSource::Tag(needs::test_image()),
    };
    let later = studio_sandbox_docker::DockerProvider::connect(options).await.unwrap();
    let found = later.find(&reference).await.unwrap().unwrap();
    assert_eq!(found.session(), spec.session);
    assert_eq!(found.project_dir().as_str(), "/home/agent/workspace/my.app-1");
    assert_eq!(said(&*found, "cd ~/workspace/my.app-1 && id -u", &[]).await, "1000");
    let gone = SandboxRef { provider: "docker".to_owned(), id: "0".repeat(64) };
    assert!(later.find(&gone).await.unwrap().is_none());
    later.destroy(&gone).await.unwrap();
    later.destroy_session(SessionId::random()).await.unwrap();
}
