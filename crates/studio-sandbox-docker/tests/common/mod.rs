//! What the tests of this crate share: an owner per test, and the engine asked directly.

#![allow(dead_code, unreachable_pub, reason = "not every test file uses all of it")]
#![expect(clippy::unwrap_used, reason = "this module is a part of tests")]

use std::{collections::HashMap, sync::Arc, time::Duration};

use bollard::{
    Docker,
    models::ContainerInspectResponse,
    query_parameters::{
        InspectContainerOptions, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
    },
};
use bytes::Bytes;
use studio_ids::SessionId;
use studio_sandbox::{
    Command, ExecOutput, Limits, Output, ProgressSink, Sandbox, SandboxError, SandboxProvider,
    SandboxRef, SandboxSpec,
};
use studio_sandbox_docker::{DockerOptions, DockerProvider, ImageSource, Owner};
use studio_testkit::needs;

/// A studio of its own on this machine's engine. `Studio::end` removes all it made.
pub struct Studio {
    pub provider: Arc<DockerProvider>,
    pub docker: Docker,
    pub owner: Owner,
}

impl Studio {
    pub async fn new() -> Self {
        Self::with(ImageSource::Tag(needs::test_image())).await
    }

    pub async fn with(image: ImageSource) -> Self {
        let engine = format!("unix://{}", needs::docker_socket().display());
        let owner: Owner = SessionId::random().to_string().parse().unwrap();
        let docker = Docker::connect_with_host(&engine).unwrap();
        let options = DockerOptions { engine: Some(engine), owner: owner.clone(), image };
        let provider = Arc::new(DockerProvider::connect(options).await.unwrap());
        Self { provider, docker, owner }
    }

    /// Another server over the same engine, of the same studio.
    pub async fn beside(&self) -> Arc<dyn SandboxProvider> {
        let engine = format!("unix://{}", needs::docker_socket().display());
        let image = ImageSource::Tag(needs::test_image());
        let options = DockerOptions { engine: Some(engine), owner: self.owner.clone(), image };
        Arc::new(DockerProvider::connect(options).await.unwrap())
    }

    pub async fn create(&self, spec: &SandboxSpec) -> Arc<dyn Sandbox> {
        self.provider.create(spec, silence()).await.unwrap()
    }

    pub async fn inspect(&self, reference: &SandboxRef) -> ContainerInspectResponse {
        let options = None::<InspectContainerOptions>;
        self.docker.inspect_container(&reference.id, options).await.unwrap()
    }

    /// The engine's own list of this studio's containers.
    pub async fn containers(&self) -> Vec<String> {
        let label = format!("studio.instance={}", self.owner);
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let all = self.docker.list_containers(Some(options)).await.unwrap();
        all.into_iter().filter_map(|container| container.id).collect()
    }

    /// Removes this studio's containers and the images with `label`, the steps of a failed build
    /// too.
    pub async fn remove_images(&self, label: &str) {
        for id in self.containers().await {
            let options = RemoveContainerOptionsBuilder::new().force(true).build();
            self.docker.remove_container(&id, Some(options)).await.unwrap();
        }
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        for image in self.docker.list_images(Some(options)).await.unwrap() {
            let options = RemoveImageOptionsBuilder::new().force(true).build();
            self.docker.remove_image(&image.id, Some(options), None).await.unwrap();
        }
    }
}

impl Drop for Studio {
    /// Also when a test fails.
    fn drop(&mut self) {
        let (docker, owner) = (self.docker.clone(), self.owner.clone());
        let sweep = async move {
            let filters = HashMap::from([("label", vec![format!("studio.instance={owner}")])]);
            let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
            let all = docker.list_containers(Some(options)).await.unwrap_or_default();
            for id in all.into_iter().filter_map(|container| container.id) {
                let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
                let _gone_already = docker.remove_container(&id, Some(options)).await;
            }
        };
        // The test's own runtime is on its way out: another one sweeps.
        let sweeper = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(sweep);
        });
        let _swept = sweeper.join();
    }
}

pub fn spec() -> SandboxSpec {
    SandboxSpec {
        session: SessionId::random(),
        project: "app".parse().unwrap(),
        env: [("STUDIO_TEST".to_owned(), "from the spec".to_owned())].into(),
        limits: Limits { memory_bytes: 256 * 1024 * 1024, cpus: 1.5, pids: 99 },
        ports: vec![],
        lease: 0,
    }
}

pub fn silence() -> ProgressSink {
    Arc::new(|_progress| ())
}

pub async fn run(
    sandbox: &dyn Sandbox,
    script: &'static str,
    arguments: &[&str],
) -> Result<ExecOutput, SandboxError> {
    let command = Command::script(script, arguments.iter().copied());
    sandbox.exec(command, Bytes::new(), Output::default()).await
}

pub async fn said(sandbox: &dyn Sandbox, script: &'static str, arguments: &[&str]) -> String {
    run(sandbox, script, arguments).await.unwrap().success(script).unwrap().text()
}

/// Bounded polling of the engine, which has no event for these.
pub async fn until<F>(what: &str, mut is_so: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let start = std::time::Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
