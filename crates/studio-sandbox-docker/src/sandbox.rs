use std::collections::HashMap;

use async_trait::async_trait;
use bollard::{
    models::{ContainerInspectResponse, PortBinding},
    query_parameters::StartContainerOptions,
};
use bytes::Bytes;
use studio_ids::{ProjectName, SessionId};
use studio_sandbox::{
    Command, ExecOutput, NewFile, Output, Process, Sandbox, SandboxError, SandboxPath, SandboxRef,
    SandboxState,
};

use crate::{
    container::{self, HOME, labels},
    engine::{CHANGE_DEADLINE, Engine, PROVIDER, Trouble, is_leaving, within},
    exec, files,
    process::process,
};

/// One container.
#[derive(Debug)]
pub(crate) struct DockerSandbox {
    engine: Engine,
    reference: SandboxRef,
    session: SessionId,
    project: ProjectName,
}

impl DockerSandbox {
    pub(crate) fn new(
        engine: Engine,
        id: String,
        session: SessionId,
        project: ProjectName,
    ) -> Self {
        let reference = SandboxRef { provider: PROVIDER.to_owned(), id };
        Self { engine, reference, session, project }
    }

    /// The sandbox that `container` is, if it is one of this studio.
    pub(crate) fn of(engine: &Engine, container: &ContainerInspectResponse) -> Option<Self> {
        let labels = container.config.as_ref()?.labels.as_ref()?;
        let (session, project) = ours(engine, labels)?;
        Some(Self::new(engine.clone(), container.id.clone()?, session, project))
    }

    fn id(&self) -> &str {
        &self.reference.id
    }

    async fn inspect(&self, tried: &str) -> Result<ContainerInspectResponse, SandboxError> {
        let container =
            self.engine.inspect(self.id()).await.map_err(|trouble| trouble.of(tried, self.id()))?;
        if is_leaving(&container) {
            return Err(SandboxError::Gone { id: self.id().to_owned() });
        }
        Ok(container)
    }
}

/// Whose container it is, read from its labels, if it is one of this studio.
pub(crate) fn ours(
    engine: &Engine,
    labels: &HashMap<String, String>,
) -> Option<(SessionId, ProjectName)> {
    if labels.get(labels::OWNER)? != engine.owner.as_str() {
        return None;
    }
    let session = labels.get(labels::SESSION)?.parse().ok()?;
    Some((session, labels.get(labels::PROJECT)?.parse().ok()?))
}

/// Under which lease a container was made; 0 when it does not say.
pub(crate) fn lease_of(labels: &HashMap<String, String>) -> u64 {
    labels.get(labels::LEASE).and_then(|lease| lease.parse().ok()).unwrap_or(0)
}

#[async_trait]
impl Sandbox for DockerSandbox {
    fn reference(&self) -> &SandboxRef {
        &self.reference
    }

    fn session(&self) -> SessionId {
        self.session
    }

    fn home(&self) -> SandboxPath {
        container::path(HOME)
    }

    fn project_dir(&self) -> SandboxPath {
        container::path(&container::project_dir(&self.project))
    }

    async fn state(&self) -> Result<SandboxState, SandboxError> {
        let state = self.inspect("asking for a sandbox's state").await?.state.unwrap_or_default();
        let works = state.running == Some(true) && state.paused != Some(true);
        Ok(if works { SandboxState::Running } else { SandboxState::Stopped })
    }

    async fn wake(&self) -> Result<(), SandboxError> {
        let tried = "waking a sandbox";
        let state = self.inspect(tried).await?.state.unwrap_or_default();
        let docker = &self.engine.docker;
        // An engine that is told to start what runs already does nothing.
        let woken = if state.paused == Some(true) {
            within(CHANGE_DEADLINE, docker.unpause_container(self.id())).await
        } else {
            let options = None::<StartContainerOptions>;
            within(CHANGE_DEADLINE, docker.start_container(self.id(), options)).await
        };
        match woken {
            Ok(()) => Ok(()),
            // Somebody else was faster, or it is being removed: its state says which.
            Err(Trouble::Conflict(message)) => match self.state().await? {
                SandboxState::Running => Ok(()),
                SandboxState::Stopped => Err(Trouble::Conflict(message).of(tried, self.id())),
            },
            Err(trouble) => Err(trouble.of(tried, self.id())),
        }
    }

    async fn exec(
        &self,
        command: Command,
        input: Bytes,
        output: Output,
    ) -> Result<ExecOutput, SandboxError> {
        let input = if input.is_empty() { Vec::new() } else { vec![input] };
        exec::run(&self.engine, self.id(), command, input, &output).await
    }

    async fn spawn(&self, command: Command) -> Result<Process, SandboxError> {
        let link = exec::start(&self.engine, self.id(), command, true).await?;
        Ok(process(&self.engine, link))
    }

    async fn spawn_detached(&self, command: Command) -> Result<(), SandboxError> {
        exec::start_detached(&self.engine, self.id(), command).await
    }

    async fn put_files(&self, files: Vec<NewFile>) -> Result<(), SandboxError> {
        files::put(&self.engine, self.id(), files).await
    }

    async fn read_file(&self, path: &SandboxPath, bytes_max: usize) -> Result<Bytes, SandboxError> {
        files::read(&self.engine, self.id(), path, bytes_max).await
    }

    async fn ports(&self) -> Result<Vec<(u16, u16)>, SandboxError> {
        let container = self.inspect("asking for a sandbox's ports").await?;
        let published = container.network_settings.and_then(|net| net.ports).unwrap_or_default();
        let mut ports: Vec<(u16, u16)> = published
            .iter()
            .filter_map(|(inside, outside)| {
                let inside = inside.strip_suffix("/tcp")?.parse().ok()?;
                Some((inside, outside.as_ref()?.iter().find_map(on_loopback)?))
            })
            .collect();
        ports.sort_unstable();
        Ok(ports)
    }
}

fn on_loopback(binding: &PortBinding) -> Option<u16> {
    let here = binding.host_ip.as_deref() == Some("127.0.0.1");
    here.then(|| binding.host_port.as_ref()?.parse().ok()).flatten()
}
