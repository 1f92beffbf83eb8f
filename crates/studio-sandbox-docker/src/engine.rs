use std::{collections::HashMap, future::Future, time::Duration};

use bollard::{
    Docker,
    errors::Error,
    models::{ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary, SystemInfo},
    query_parameters::{
        InspectContainerOptions, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
        WaitContainerOptionsBuilder,
    },
};
use futures::StreamExt;
use studio_ids::SessionId;
use studio_sandbox::SandboxError;
use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Owner, container::labels};

/// The provider's name in references and errors.
pub(crate) const PROVIDER: &str = "docker";
/// Longest wait for an answer to a question that moves nothing.
pub(crate) const ASK_DEADLINE: Duration = Duration::from_secs(15);
/// Longest wait for a container to be made, started or removed.
pub(crate) const CHANGE_DEADLINE: Duration = Duration::from_secs(60);

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("not found: {0}")]
    NotFound(String),
    #[error("conflict: {0}")]
    Conflict(String),
    #[error("the engine refused with {status}: {message}")]
    Refused { status: u16, message: String },
    #[error("the engine does not answer: {0}")]
    Away(Box<Error>),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

impl From<Error> for Trouble {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the client has twenty words for no answer")]
    fn from(error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, message } => match status_code {
                404 => Self::NotFound(message),
                409 => Self::Conflict(message),
                status => Self::Refused { status, message },
            },
            Error::DockerStreamError { error } => Self::Refused { status: 200, message: error },
            // Whatever else the client says, there was no whole answer: the socket is missing or
            // closed, the connection broke, or what came was not the engine's language.
            other => Self::Away(Box::new(other)),
        }
    }
}

impl Trouble {
    /// The port's word for it; `container` is what is gone if something was not found.
    pub(crate) fn of(self, tried: impl Into<String>, container: &str) -> SandboxError {
        match self {
            Self::NotFound(_) => SandboxError::Gone { id: container.to_owned() },
            Self::Away(source) => SandboxError::Unavailable { provider: PROVIDER, source },
            Self::TimedOut(limit) => SandboxError::TimedOut { tried: tried.into(), limit },
            refused @ (Self::Conflict(_) | Self::Refused { .. }) => {
                SandboxError::Vendor { tried: tried.into(), source: Box::new(refused) }
            }
        }
    }
}

/// The engine, and the tasks that work on it when nobody waits any more.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) docker: Docker,
    pub(crate) owner: Owner,
    tasks: TaskTracker,
    runtime: tokio::runtime::Handle,
    stop: CancellationToken,
}

impl Engine {
    /// Connects and asks for the version, so that old and new engines are spoken to rightly.
    /// Must be called inside the runtime that is to do the cleaning up.
    pub(crate) async fn connect(
        address: Option<&str>,
        owner: Owner,
    ) -> Result<(Self, SystemInfo), SandboxError> {
        let address = address.unwrap_or("unix:///var/run/docker.sock");
        let tried = || format!("connecting to the Docker engine at {address}");
        let docker = Docker::connect_with_host(address).map_err(|e| Trouble::from(e).of("", ""))?;
        let docker = within(ASK_DEADLINE, docker.negotiate_version())
            .await
            .map_err(|trouble| trouble.of(tried(), "engine"))?;
        let info = within(ASK_DEADLINE, docker.info())
            .await
            .map_err(|trouble| trouble.of(tried(), "engine"))?;
        let engine = Self {
            docker,
            owner,
            tasks: TaskTracker::new(),
            runtime: tokio::runtime::Handle::current(),
            stop: CancellationToken::new(),
        };
        Ok((engine, info))
    }

    /// Runs `work` to its end even if the answer is not waited for.
    pub(crate) fn spawn<F>(&self, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn_on(work, &self.runtime)
    }

    /// Runs `work` to its end and waits for it; what it made is dropped if the caller is.
    pub(crate) async fn run<T, F>(&self, tried: &'static str, work: F) -> Result<T, SandboxError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, SandboxError>> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        self.spawn(async move {
            // What nobody takes is dropped here, so that the undoing it begins is waited for by
            // `settle` without a gap.
            let _not_wanted_any_more = tell.send(work.await);
        });
        told.await.unwrap_or_else(|source| {
            Err(SandboxError::Vendor { tried: tried.to_owned(), source: Box::new(source) })
        })
    }

    /// Raised when long work (a build) has to stop.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Waits until everything that works in the background is done.
    pub(crate) async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// Stops builds; cleaning up goes on.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn ping(&self, limit: Duration) -> Result<(), Trouble> {
        within(limit, self.docker.ping()).await.map(drop)
    }

    pub(crate) async fn has_image(&self, tag: &str) -> Result<bool, Trouble> {
        match within(ASK_DEADLINE, self.docker.inspect_image(tag)).await {
            Ok(_) => Ok(true),
            Err(Trouble::NotFound(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Containers of this studio for `session`.
    pub(crate) async fn containers_of(
        &self,
        session: SessionId,
    ) -> Result<Vec<ContainerSummary>, Trouble> {
        self.containers([format!("{}={session}", labels::SESSION)]).await
    }

    pub(crate) async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, Trouble> {
        let options = None::<InspectContainerOptions>;
        within(ASK_DEADLINE, self.docker.inspect_container(id, options)).await
    }

    /// Containers of this studio, running or not, which have all of `labels` (`name=value`).
    pub(crate) async fn containers(
        &self,
        labels: impl IntoIterator<Item = String>,
    ) -> Result<Vec<ContainerSummary>, Trouble> {
        let mut wanted = vec![format!("{}={}", labels::OWNER, self.owner)];
        wanted.extend(labels);
        let filters = HashMap::from([("label", wanted)]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        within(ASK_DEADLINE, self.docker.list_containers(Some(options))).await
    }

    /// Kills and removes a container with its volumes; returns when it is gone.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), Trouble> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match within(CHANGE_DEADLINE, self.docker.remove_container(id, Some(options))).await {
            Ok(()) | Err(Trouble::NotFound(_)) => Ok(()),
            // Somebody else removes it already: wait for them.
            Err(Trouble::Conflict(_)) => self.removed(id).await,
            Err(other) => Err(other),
        }
    }

    async fn removed(&self, id: &str) -> Result<(), Trouble> {
        let options = WaitContainerOptionsBuilder::new().condition("removed").build();
        let mut ends = self.docker.wait_container(id, Some(options));
        let end = async {
            match ends.next().await {
                None | Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => Ok(()),
                Some(Err(other)) => Err(other),
            }
        };
        match within(CHANGE_DEADLINE, end).await {
            Ok(()) | Err(Trouble::NotFound(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }
}

/// Whether a container that the engine still knows is as good as gone.
pub(crate) fn is_leaving(container: &ContainerInspectResponse) -> bool {
    let status = container.state.as_ref().and_then(|state| state.status);
    matches!(status, Some(ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::DEAD))
}

/// Every question has a deadline.
pub(crate) async fn within<T>(
    limit: Duration,
    question: impl Future<Output = Result<T, Error>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(limit, question).await {
        Ok(answer) => Ok(answer?),
        Err(_elapsed) => Err(Trouble::TimedOut(limit)),
    }
}
