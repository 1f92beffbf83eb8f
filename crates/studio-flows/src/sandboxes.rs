//! Sandboxes by themselves: what there is, one without a session, taking one away.

use std::{collections::BTreeMap, sync::Arc};

use futures::StreamExt as _;
use studio_events::{LogLevel, Phase, SessionStatus};
use studio_ids::{ProjectName, SessionId};
use studio_sandbox::{
    NewFile, Sandbox, SandboxError, SandboxRef, SandboxSpec, SandboxState, Secret,
};

use crate::{
    FlowError, Studio,
    inner::Inner,
    prepare::{APP_PORT, log},
    words::{Infra, SandboxTold},
};

/// Sandboxes that are asked at once how they are.
const ASKED_AT_ONCE_MAX: usize = 8;
/// Where the secrets of a sandbox's own database lie, below its home.
const DATABASE_FILE: &str = ".studio/database.env";

/// A sandbox that is wanted without a session.
#[derive(Clone, Debug)]
pub struct NewSandbox {
    /// Under which id; a new one when absent.
    pub session: Option<SessionId>,
    /// The project directory's name.
    pub project: Option<ProjectName>,
    /// Where its data lives; nowhere when absent.
    pub infra: Option<Infra>,
}

impl Studio {
    /// All sandboxes, those that run and those that do not.
    pub async fn sandboxes(&self) -> Result<Vec<SandboxTold>, FlowError> {
        self.inner().sandboxes().await
    }

    /// The sandbox of this id.
    pub async fn sandbox(&self, id: SessionId) -> Result<SandboxTold, FlowError> {
        let inner = self.inner();
        let reference = inner.reference(id).await?;
        inner.told(id, &reference).await?.ok_or(FlowError::NoSuchSandbox(id))
    }

    /// Makes a sandbox without a session. It is gone at the latest when the next server starts.
    ///
    /// Errors: [`FlowError::SandboxExists`] for an id that is in use: what is there stays.
    pub async fn create_sandbox(&self, new: NewSandbox) -> Result<SandboxTold, FlowError> {
        self.whole(move |inner| async move { inner.create_sandbox(new).await }).await
    }

    /// Takes a sandbox away with everything that runs in it. A session that it belonged to stays;
    /// a turn that runs is ended first.
    pub async fn delete_sandbox(&self, id: SessionId) -> Result<(), FlowError> {
        self.whole(move |inner| async move { inner.delete_sandbox(id).await }).await
    }
}

impl Inner {
    async fn sandboxes(&self) -> Result<Vec<SandboxTold>, FlowError> {
        self.is_ours()?;
        let listed = self.parts.provider.list().await;
        let listed = listed.map_err(|source| FlowError::Sandboxes { source: Arc::new(source) })?;
        let asks = listed
            .into_iter()
            .map(|(id, reference)| async move { self.told(id, &reference).await });
        let told = futures::stream::iter(asks).buffered(ASKED_AT_ONCE_MAX);
        let told: Vec<Result<Option<SandboxTold>, FlowError>> = told.collect().await;
        let mut all: Vec<SandboxTold> =
            told.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        all.sort_by_key(|sandbox| sandbox.session);
        Ok(all)
    }

    /// What the provider has under this id.
    async fn reference(&self, id: SessionId) -> Result<SandboxRef, FlowError> {
        self.is_ours()?;
        let known = self.registry.get(id).and_then(|record| record.internal.sandbox.clone());
        if let Some(known) = known {
            return Ok(SandboxRef { provider: known.provider, id: known.id });
        }
        let listed = self.parts.provider.list().await;
        let listed = listed.map_err(|source| FlowError::sandbox(id, source))?;
        let mut found = listed.into_iter().filter(|(session, _)| *session == id);
        found.next().map(|(_, reference)| reference).ok_or(FlowError::NoSuchSandbox(id))
    }

    /// How a sandbox is; `None` = gone meanwhile.
    async fn told(
        &self,
        id: SessionId,
        reference: &SandboxRef,
    ) -> Result<Option<SandboxTold>, FlowError> {
        let failed = |source| FlowError::sandbox(id, source);
        let Some(sandbox) = self.parts.provider.find(reference).await.map_err(failed)? else {
            return Ok(None);
        };
        let alive = match sandbox.state().await {
            Ok(state) => state == SandboxState::Running,
            Err(SandboxError::Gone { .. }) => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        let app_running = alive && self.app_runs(&sandbox).await.map_err(failed)?;
        Ok(Some(self.describe(&sandbox, alive, app_running).await))
    }

    async fn describe(
        &self,
        sandbox: &Arc<dyn Sandbox>,
        alive: bool,
        app_running: bool,
    ) -> SandboxTold {
        let info = self.registry.get(sandbox.session()).map(|record| record.info.clone());
        let ports = sandbox.ports().await.unwrap_or_default();
        let outside = ports.into_iter().find(|(inside, _)| *inside == APP_PORT);
        SandboxTold {
            session: sandbox.session(),
            runtime: self.parts.provider.name(),
            port: outside
                .map(|(_, outside)| outside)
                .or(info.as_ref().and_then(|info| info.app_port)),
            project_dir: sandbox.project_dir().to_string(),
            preview_url: info.and_then(|info| info.preview_url),
            alive,
            app_running,
        }
    }

    async fn create_sandbox(&self, new: NewSandbox) -> Result<SandboxTold, FlowError> {
        self.surely_ours().await?;
        let id = new.session.unwrap_or_else(SessionId::random);
        // A session's sandbox is its flow's to make.
        if self.registry.get(id).is_some() {
            return Err(FlowError::SandboxExists(id));
        }
        let _place = self.place_for_sandbox(id)?;
        let mut env = BTreeMap::from([
            ("SANDBOX_MODE".to_owned(), "1".to_owned()),
            ("VITE_PORT".to_owned(), APP_PORT.to_string()),
        ]);
        let mut secrets = Vec::<(&str, Secret)>::new();
        if let Some(Infra::Cloud { database_url, electric_url, source_id, secret, claim_id: _ }) =
            new.infra
        {
            env.insert("ELECTRIC_URL".to_owned(), electric_url);
            env.insert("ELECTRIC_SOURCE_ID".to_owned(), source_id);
            secrets = vec![("DATABASE_URL", database_url), ("ELECTRIC_SECRET", secret)];
        }
        let project = new.project.unwrap_or_else(|| crate::create::project_name(id));
        let ports = if self.parts.provider.abilities().ports { vec![APP_PORT] } else { Vec::new() };
        let limits = self.parts.settings.limits;
        let lease = self.registry.lease();
        let spec = SandboxSpec { session: id, project, env, limits, ports, lease };
        // What belongs to no session is swept away after a start, unless it was made here.
        let is_new = self.make_here(id);
        let made = self.parts.provider.create(&spec, Arc::new(|_line| {})).await;
        let sandbox = made.map_err(|source| {
            // One that is there already, of an earlier call, stays known as made here.
            if is_new {
                self.forget_making(id);
            }
            if matches!(source, SandboxError::Exists { .. }) {
                return FlowError::SandboxExists(id);
            }
            FlowError::sandbox(id, source)
        })?;
        if let Err(source) = put_secrets(sandbox.as_ref(), secrets).await {
            self.remove_if_ours(id).await?;
            self.forget_making(id);
            return Err(FlowError::sandbox(id, source));
        }
        Ok(self.describe(&sandbox, true, false).await)
    }

    async fn delete_sandbox(&self, id: SessionId) -> Result<(), FlowError> {
        self.reference(id).await?;
        self.surely_ours().await?;
        let Some(record) = self.registry.get(id) else {
            self.remove_sandbox(id).await?;
            self.forget_making(id);
            return Ok(());
        };
        if record.info.status == SessionStatus::Running {
            self.interrupt(id).await?;
        }
        if record.internal.phase == Phase::Started {
            let live = self.live(id).await?;
            live.token.cancel();
            live.jobs.close();
            live.jobs.wait().await;
            let last = vec![log(LogLevel::System, "The sandbox of this session was removed.")];
            if let Err(error) = live.bridge.finish(last).await {
                tracing::debug!(session.id = %id, "the sandbox of session {id} is removed under its agent: {error}");
            }
            self.put_down_this(&live);
            self.update(id, |u| {
                u.sandbox = Some(None);
                u.run = Some(None);
                u.app_port = Some(None);
            })
            .await?;
        }
        self.remove_sandbox(id).await
    }
}

/// Secrets go into a file that only the sandbox's user reads, never into its environment.
async fn put_secrets(
    sandbox: &dyn Sandbox,
    secrets: Vec<(&str, Secret)>,
) -> Result<(), SandboxError> {
    if secrets.is_empty() {
        return Ok(());
    }
    let text: String =
        secrets.iter().map(|(name, secret)| format!("{name}={}\n", secret.expose())).collect();
    let path = sandbox.home().join(DATABASE_FILE).map_err(|bad| SandboxError::File {
        path: DATABASE_FILE.to_owned(),
        reason: bad.to_string(),
    })?;
    sandbox.put_files(vec![NewFile { path, data: text.into(), mode: 0o600 }]).await
}
