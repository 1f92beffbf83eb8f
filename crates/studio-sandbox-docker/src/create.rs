use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bollard::{
    container::AttachContainerResults,
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, StartContainerOptions,
    },
};
use futures::StreamExt;
use studio_ids::SessionId;
use studio_sandbox::{ProgressSink, SandboxError, SandboxSpec};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    container::{self, Host, READY_WORD, labels},
    engine::{ASK_DEADLINE, CHANGE_DEADLINE, Engine, Trouble, within},
    image::Images,
    sandbox::DockerSandbox,
};

/// Longest wait for a started container to say that commands run in it.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// How long a name is waited for that the engine has given to a container which nobody sees.
const NAME_PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries to get it.
const NAME_PAUSE: Duration = Duration::from_millis(20);
/// Bytes that are kept of what a container says before that.
const SAID_BYTES_MAX: usize = 2000;

/// Sessions whose sandbox is being made, or being taken back.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnderWay(Arc<Mutex<HashMap<SessionId, Creation>>>);

#[derive(Clone, Debug)]
struct Creation {
    lease: u64,
    give_up: CancellationToken,
    over: CancellationToken,
}

impl UnderWay {
    fn table(&self) -> MutexGuard<'_, HashMap<SessionId, Creation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a creation. One that was given up is waited for: nothing of it is left then.
    async fn enter(&self, session: SessionId, lease: u64) -> Result<Entry, SandboxError> {
        loop {
            let over = {
                let mut table = self.table();
                match table.get(&session) {
                    None => {
                        let (give_up, over) = (CancellationToken::new(), CancellationToken::new());
                        let creation =
                            Creation { lease, give_up: give_up.clone(), over: over.clone() };
                        table.insert(session, creation);
                        return Ok(Entry { under_way: self.clone(), session, give_up, over });
                    }
                    Some(other) if !other.give_up.is_cancelled() => {
                        return Err(SandboxError::Exists { id: session.to_string() });
                    }
                    Some(other) => other.over.clone(),
                }
            };
            over.cancelled().await;
        }
    }

    /// Gives up a creation for `session` under a lease up to `lease` and waits until nothing of
    /// it is left.
    pub(crate) async fn give_up(&self, session: SessionId, lease: u64) -> Result<(), SandboxError> {
        let creation = self.table().get(&session).cloned();
        let Some(creation) = creation.filter(|creation| creation.lease <= lease) else {
            return Ok(());
        };
        creation.give_up.cancel();
        tokio::time::timeout(CHANGE_DEADLINE, creation.over.cancelled()).await.map_err(|_| {
            let tried = "giving up the creation of a sandbox".to_owned();
            SandboxError::TimedOut { tried, limit: CHANGE_DEADLINE }
        })
    }
}

/// One creation's place in the table; left when it is dropped.
#[derive(Debug)]
struct Entry {
    under_way: UnderWay,
    session: SessionId,
    give_up: CancellationToken,
    over: CancellationToken,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.under_way.table().remove(&self.session);
        self.over.cancel();
    }
}

/// A container that nobody has taken over yet: it is removed unless somebody does. The entry in
/// the table stays until then, so that a later creation or removal waits for it.
#[derive(Debug)]
struct Fresh {
    engine: Engine,
    id: String,
    entry: Option<Entry>,
}

impl Fresh {
    fn keep(mut self) -> String {
        self.entry = None;
        self.id.clone()
    }

    async fn discard(mut self) {
        let entry = self.entry.take();
        remove(&self.engine, &self.id).await;
        drop(entry);
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        let (engine, id) = (self.engine.clone(), self.id.clone());
        self.engine.spawn(async move {
            remove(&engine, &id).await;
            drop(entry);
        });
    }
}

async fn remove(engine: &Engine, id: &str) {
    if let Err(trouble) = engine.remove(id).await {
        // It is labelled: `list` shows it and `destroy_session` removes it.
        tracing::warn!(container = id, %trouble, "a given-up sandbox could not be removed");
    }
}

/// Makes the container of `spec`; returns its id when commands run in it.
///
/// The work is done by a task of its own: when the caller gives up in the middle of a request,
/// the engine may still carry it out, so somebody has to wait for its answer and undo it.
pub(crate) async fn create(
    engine: &Engine,
    images: &Arc<Images>,
    under_way: &UnderWay,
    host: Host,
    spec: &SandboxSpec,
    progress: ProgressSink,
) -> Result<String, SandboxError> {
    if let Some(name) = container::bad_variable(&spec.env) {
        let what = format!("a variable cannot be named {name:?} or holds a NUL");
        return Err(SandboxError::Vendor {
            tried: "creating a sandbox".to_owned(),
            source: what.into(),
        });
    }
    let entry = under_way.enter(spec.session, spec.lease).await?;
    let given_up = entry.give_up.clone().drop_guard();
    let (its_engine, images, spec) = (engine.clone(), images.clone(), spec.clone());
    let work = async move { make(its_engine, &images, host, &spec, &progress, entry).await };
    let fresh = engine.run("creating a sandbox", work).await?;
    let id = fresh.keep();
    given_up.disarm();
    Ok(id)
}

async fn make(
    engine: Engine,
    images: &Images,
    host: Host,
    spec: &SandboxSpec,
    progress: &ProgressSink,
    entry: Entry,
) -> Result<Fresh, SandboxError> {
    let give_up = entry.give_up.clone();
    let creation = uuid::Uuid::new_v4().to_string();
    let wanted = Wanted { images, host, spec, creation: &creation };
    let id = match new_container(&engine, &wanted, progress, &give_up).await {
        Ok(id) => id,
        Err(error) => {
            if may_have_happened(&error) {
                remove_all(&engine, &creation).await;
            }
            return Err(error);
        }
    };
    let fresh = Fresh { engine: engine.clone(), id, entry: Some(entry) };
    let ready = tokio::select! {
        ready = start(&engine, &fresh.id, spec) => ready,
        () = give_up.cancelled() => Err(given_up(spec.session)),
    };
    match ready {
        Ok(()) => Ok(fresh),
        Err(error) => {
            fresh.discard().await;
            Err(error)
        }
    }
}

struct Wanted<'a> {
    images: &'a Images,
    host: Host,
    spec: &'a SandboxSpec,
    creation: &'a str,
}

async fn new_container(
    engine: &Engine,
    wanted: &Wanted<'_>,
    progress: &ProgressSink,
    give_up: &CancellationToken,
) -> Result<String, SandboxError> {
    let Wanted { images, host, spec, creation } = wanted;
    let name = container::name(&engine.owner, spec.session);
    let tried = || "creating the container".to_owned();
    let named_until = Instant::now() + NAME_PATIENCE;
    let mut built = false;
    loop {
        if give_up.is_cancelled() {
            return Err(given_up(spec.session));
        }
        let body = container::body(&engine.owner, images.tag(), spec, host, creation);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let request = engine.docker.create_container(Some(options), body);
        match within(CHANGE_DEADLINE, request).await {
            Ok(created) => {
                for warning in created.warnings {
                    tracing::warn!(session = %spec.session, warning, "the engine warns");
                }
                return Ok(created.id);
            }
            // The image is the only thing named here that can be missing. Asking first would cost
            // every creation a question whose answer is nearly always yes.
            Err(Trouble::NotFound(_)) if !built => tokio::select! {
                ready = images.ensure(progress) => { ready?; built = true; }
                () = give_up.cancelled() => return Err(given_up(spec.session)),
            },
            Err(Trouble::Conflict(message)) => match engine.inspect(&name).await {
                Ok(other) if DockerSandbox::of(engine, &other).is_some() => {
                    return Err(SandboxError::Exists { id: spec.session.to_string() });
                }
                Ok(_not_ours) => return Err(Trouble::Conflict(message).of(tried(), &name)),
                // The engine gives a name away before anybody sees the container, and takes it
                // back a moment later than it: another server makes one, or gave one up.
                Err(Trouble::NotFound(_)) if Instant::now() < named_until => tokio::select! {
                    () = tokio::time::sleep(NAME_PAUSE) => {}
                    () = give_up.cancelled() => return Err(given_up(spec.session)),
                },
                Err(Trouble::NotFound(_)) => {
                    return Err(Trouble::Conflict(message).of(tried(), &name));
                }
                Err(trouble) => return Err(trouble.of(tried(), &name)),
            },
            Err(trouble) => return Err(trouble.of(tried(), &name)),
        }
    }
}

/// Starts the container and waits for its word. That costs less than a first command would, and
/// a container that ends at once says why.
async fn start(engine: &Engine, id: &str, spec: &SandboxSpec) -> Result<(), SandboxError> {
    let said = AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true).build();
    let link = within(ASK_DEADLINE, engine.docker.attach_container(id, Some(said)))
        .await
        .map_err(|trouble| trouble.of("listening to the container", id))?;
    let options = None::<StartContainerOptions>;
    within(CHANGE_DEADLINE, engine.docker.start_container(id, options))
        .await
        .map_err(|trouble| trouble.of("starting the container", id))?;
    let tried = || format!("waiting for the sandbox of session {}", spec.session);
    match tokio::time::timeout(READY_DEADLINE, hear_ready(link)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(said)) => Err(SandboxError::Vendor {
            tried: tried(),
            source: format!("its container ended at once: {}", said.trim()).into(),
        }),
        Err(_elapsed) => Err(SandboxError::TimedOut { tried: tried(), limit: READY_DEADLINE }),
    }
}

/// Waits for the line by which a container says that commands run; an error is what it said
/// instead, cut to its end.
async fn hear_ready(mut link: AttachContainerResults) -> Result<(), String> {
    let mut said = Vec::new();
    // An entry point of the image may speak first.
    while let Some(Ok(chunk)) = link.output.next().await {
        said.extend_from_slice(chunk.as_ref());
        let mut lines = said.split(|&byte| byte == b'\n');
        if lines.any(|line| line == READY_WORD.as_bytes()) {
            return Ok(());
        }
        said.drain(..said.len().saturating_sub(SAID_BYTES_MAX));
    }
    Err(String::from_utf8_lossy(&said).into_owned())
}

/// Whether the engine may have made the container although it did not say so.
fn may_have_happened(error: &SandboxError) -> bool {
    matches!(error, SandboxError::Unavailable { .. } | SandboxError::TimedOut { .. })
}

async fn remove_all(engine: &Engine, creation: &str) {
    match engine.containers([format!("{}={creation}", labels::CREATION)]).await {
        Ok(containers) => {
            for id in containers.into_iter().filter_map(|container| container.id) {
                remove(engine, &id).await;
            }
        }
        Err(trouble) => {
            tracing::warn!(%trouble, "could not look for what a failed creation left");
        }
    }
}

fn given_up(session: SessionId) -> SandboxError {
    SandboxError::Gone { id: session.to_string() }
}
