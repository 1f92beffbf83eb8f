use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use studio_ids::SessionId;
use studio_sandbox::{
    Abilities, ProgressSink, Sandbox, SandboxError, SandboxProvider, SandboxRef, SandboxSpec,
};

use crate::{
    DockerOptions,
    container::Host,
    create::{self, UnderWay},
    engine::{Engine, PROVIDER, Trouble, is_leaving},
    image::Images,
    sandbox::{DockerSandbox, lease_of, ours},
};

/// Longest wait for the engine's sign of life.
const PING_DEADLINE: Duration = Duration::from_secs(2);
/// How long an engine that is known to be well is waited for. It answers within three
/// milliseconds, but not while it starts several containers on few CPUs.
const PING_PATIENCE: Duration = Duration::from_millis(8);
/// How long an answer counts when the next one is late.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// Containers of one Docker engine as sandboxes. Speaks to the engine's API alone.
#[derive(Debug)]
pub struct DockerProvider {
    engine: Engine,
    images: Arc<Images>,
    under_way: UnderWay,
    host: Host,
    health: Arc<Mutex<Health>>,
}

/// What is known of the engine's readiness.
#[derive(Debug, Default)]
struct Health {
    /// When it said yes, unless it said no since.
    good_at: Option<Instant>,
    /// Whether a question is under way.
    asking: bool,
}

impl Health {
    fn is_good(&self) -> bool {
        self.good_at.is_some_and(|at| at.elapsed() < GOOD_FOR)
    }
}

impl DockerProvider {
    /// Connects to an engine and asks it what it can enforce. Fails with
    /// [`SandboxError::Unavailable`] if none answers. Background work (taking back creations that
    /// were given up, ending programs whose link is gone) runs on the caller's runtime.
    pub async fn connect(options: DockerOptions) -> Result<Self, SandboxError> {
        let DockerOptions { engine, owner, image } = options;
        let (engine, info) = Engine::connect(engine.as_deref(), owner).await?;
        let images = Arc::new(Images::new(engine.clone(), image));
        Ok(Self {
            engine,
            images,
            under_way: UnderWay::default(),
            host: Host::of(&info),
            health: Arc::default(),
        })
    }

    /// Waits until the background work that is under way now is done: after this, what was given
    /// up before is gone. For a clean stop and for tests.
    pub async fn settle(&self) {
        self.engine.settle().await;
    }

    /// The container of `reference`, if it is there and of this studio.
    async fn look(
        &self,
        reference: &SandboxRef,
        tried: &str,
    ) -> Result<Option<DockerSandbox>, SandboxError> {
        if reference.provider != PROVIDER || !is_container_id(&reference.id) {
            return Ok(None);
        }
        match self.engine.inspect(&reference.id).await {
            Ok(container) if is_leaving(&container) => Ok(None),
            Ok(container) => Ok(DockerSandbox::of(&self.engine, &container)),
            Err(Trouble::NotFound(_)) => Ok(None),
            Err(trouble) => Err(trouble.of(tried, &reference.id)),
        }
    }

    /// Removes what was made for `session` under leases up to `lease`. A container's lease never
    /// changes and it is removed by its id, never by its name: one that takes its place meanwhile
    /// is another one.
    async fn remove_all(&self, session: SessionId, lease: u64) -> Result<(), SandboxError> {
        self.under_way.give_up(session, lease).await?;
        let containers = self.engine.containers_of(session).await;
        let containers = containers
            .map_err(|trouble| trouble.of("looking for a session's sandbox", "engine"))?;
        for container in containers {
            let made_under = container.labels.as_ref().map_or(0, lease_of);
            if let Some(id) = container.id.filter(|_| made_under <= lease) {
                self.remove(&id).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<(), SandboxError> {
        self.engine.remove(id).await.map_err(|trouble| trouble.of("removing a sandbox", id))
    }
}

impl Drop for DockerProvider {
    fn drop(&mut self) {
        self.engine.stop();
    }
}

#[async_trait]
impl SandboxProvider for DockerProvider {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn abilities(&self) -> Abilities {
        self.host.abilities()
    }

    /// Always asks the engine. When it is slow to answer and was well within the last ten
    /// seconds, it counts as well: a busy engine does not make a health check wait.
    async fn ready(&self) -> Result<(), SandboxError> {
        let was_good = {
            let mut health = lock(&self.health);
            if health.asking && health.is_good() {
                return Ok(());
            }
            health.asking = true;
            health.is_good()
        };
        let (engine, images, health) =
            (self.engine.clone(), self.images.clone(), self.health.clone());
        let question = self.engine.run("asking the Docker engine", async move {
            let answer = ask(&engine, &images).await;
            *lock(&health) = Health { good_at: answer.is_ok().then(Instant::now), asking: false };
            answer
        });
        if !was_good {
            return question.await;
        }
        tokio::time::timeout(PING_PATIENCE, question).await.unwrap_or(Ok(()))
    }

    async fn create(
        &self,
        spec: &SandboxSpec,
        progress: ProgressSink,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let (engine, images) = (&self.engine, &self.images);
        let id = create::create(engine, images, &self.under_way, self.host, spec, progress).await?;
        let (session, project) = (spec.session, spec.project.clone());
        Ok(Arc::new(DockerSandbox::new(engine.clone(), id, session, project)))
    }

    async fn find(&self, reference: &SandboxRef) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        let found = self.look(reference, "looking for a sandbox").await?;
        Ok(found.map(|sandbox| Arc::new(sandbox) as Arc<dyn Sandbox>))
    }

    async fn list(&self) -> Result<Vec<(SessionId, SandboxRef)>, SandboxError> {
        let containers = self.engine.containers([]).await;
        let containers = containers.map_err(|trouble| trouble.of("listing sandboxes", "engine"))?;
        let mine = containers.into_iter().filter_map(|container| {
            let (session, _) = ours(&self.engine, &container.labels?)?;
            Some((session, SandboxRef { provider: PROVIDER.to_owned(), id: container.id? }))
        });
        Ok(mine.collect())
    }

    async fn destroy(&self, reference: &SandboxRef) -> Result<(), SandboxError> {
        match self.look(reference, "removing a sandbox").await? {
            Some(sandbox) => self.remove(&sandbox.reference().id).await,
            // Gone, or somebody else's: both are left alone.
            None => Ok(()),
        }
    }

    async fn destroy_session(&self, session: SessionId) -> Result<(), SandboxError> {
        self.remove_all(session, u64::MAX).await
    }

    async fn destroy_up_to(&self, session: SessionId, lease: u64) -> Result<(), SandboxError> {
        self.remove_all(session, lease).await
    }
}

async fn ask(engine: &Engine, images: &Images) -> Result<(), SandboxError> {
    let pong = engine.ping(PING_DEADLINE).await;
    pong.map_err(|trouble| trouble.of("asking the Docker engine for a sign of life", "engine"))?;
    images.check().await
}

fn lock(health: &Mutex<Health>) -> MutexGuard<'_, Health> {
    health.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `id` is the engine's own word for a container. Names are not taken: they are no proof,
/// and the word becomes a part of the engine's addresses.
fn is_container_id(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
