use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bollard::{body_full, query_parameters::BuildImageOptionsBuilder};
use bytes::Bytes;
use futures::StreamExt;
use studio_sandbox::{Progress, ProgressSink, SandboxError};
use tokio::sync::{broadcast, watch};

use crate::{
    ImageSource, Recipe,
    engine::{Engine, PROVIDER},
};

/// Longest build: a full image on a slow line.
const BUILD_DEADLINE: Duration = Duration::from_secs(45 * 60);
/// Lines of a build that a slow listener may be behind; the oldest are dropped then.
const LINES_MAX: usize = 256;
/// Longest line of a build that is told, in characters.
const LINE_CHARS_MAX: usize = 500;

/// The image that sandboxes are made from: looked up, or built once for everybody who waits.
#[derive(Debug)]
pub(crate) struct Images {
    engine: Engine,
    source: ImageSource,
    building: Mutex<Option<Build>>,
}

/// A build under way. It goes on when those who wait for it give up: the next one needs it too.
#[derive(Clone, Debug)]
struct Build {
    lines: broadcast::Sender<String>,
    end: watch::Receiver<Option<Result<(), String>>>,
}

impl Images {
    pub(crate) fn new(engine: Engine, source: ImageSource) -> Self {
        Self { engine, source, building: Mutex::new(None) }
    }

    pub(crate) fn tag(&self) -> &str {
        self.source.tag()
    }

    /// Fails if a sandbox could not be made because a person has to supply the image first.
    pub(crate) async fn check(&self) -> Result<(), SandboxError> {
        match &self.source {
            ImageSource::Recipe(_) => Ok(()),
            ImageSource::Tag(tag) if self.has(tag).await? => Ok(()),
            ImageSource::Tag(tag) => Err(not_set_up(format!(
                "the engine has no image {tag}; build or load it, or name another one"
            ))),
        }
    }

    /// Returns when the engine has the image.
    pub(crate) async fn ensure(&self, progress: &ProgressSink) -> Result<(), SandboxError> {
        let recipe = match &self.source {
            ImageSource::Tag(_) => return self.check().await,
            ImageSource::Recipe(recipe) => recipe,
        };
        if self.has(&recipe.tag).await? {
            return Ok(());
        }
        let (build, mut lines) = self.join(recipe);
        let mut end = build.end;
        loop {
            tokio::select! {
                biased;
                line = lines.recv() => match line {
                    Ok(line) => progress(Progress(line)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    // The build's task is gone: its last word stands in `end`.
                    Err(broadcast::error::RecvError::Closed) => break,
                },
                ended = end.wait_for(Option::is_some) => {
                    drop(ended);
                    while let Ok(line) = lines.try_recv() {
                        progress(Progress(line));
                    }
                    break;
                }
            }
        }
        let result = end.borrow().clone();
        match result {
            Some(Ok(())) => Ok(()),
            Some(Err(reason)) => Err(not_set_up(format!(
                "the image {} could not be built ({reason}); let the engine reach a registry, or \
                 build the image beforehand (sandbox-image/README.md)",
                recipe.tag
            ))),
            None => Err(not_set_up(format!("the build of the image {} was stopped", recipe.tag))),
        }
    }

    async fn has(&self, tag: &str) -> Result<bool, SandboxError> {
        self.engine.has_image(tag).await.map_err(|t| t.of("looking for the sandbox image", tag))
    }

    /// The build under way, or a new one.
    fn join(&self, recipe: &Recipe) -> (Build, broadcast::Receiver<String>) {
        let mut building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(build) = building.as_ref().filter(|build| build.end.borrow().is_none()) {
            // A sender that is gone without a word belongs to a task that was torn down.
            if build.end.has_changed().is_ok() {
                return (build.clone(), build.lines.subscribe());
            }
        }
        let (lines, listener) = broadcast::channel(LINES_MAX);
        let (tell_end, end) = watch::channel(None);
        let (engine, recipe, told) = (self.engine.clone(), recipe.clone(), lines.clone());
        self.engine.spawn(async move {
            let work = tokio::time::timeout(BUILD_DEADLINE, make(&engine, &recipe, &told));
            let result = tokio::select! {
                result = work => result.unwrap_or_else(|_| Err("it took too long".to_owned())),
                () = engine.stopping().cancelled() => Err("the studio stops".to_owned()),
            };
            tell_end.send_replace(Some(result));
        });
        let build = Build { lines, end };
        *building = Some(build.clone());
        (build, listener)
    }
}

async fn make(
    engine: &Engine,
    recipe: &Recipe,
    lines: &broadcast::Sender<String>,
) -> Result<(), String> {
    // Nobody listening is no error: a build goes on without those who asked for it.
    let tell = |line: &str| {
        let line: String = line.trim().chars().take(LINE_CHARS_MAX).collect();
        if !line.is_empty() {
            let _nobody = lines.send(line);
        }
    };
    tell(&format!("Building the sandbox image {} (once, may take minutes)", recipe.tag));
    let pack = recipe.clone();
    let context = tokio::task::spawn_blocking(move || context(&pack))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| format!("its context could not be packed: {error}"))?;
    let options = BuildImageOptionsBuilder::new().t(&recipe.tag).rm(true).forcerm(true).build();
    let mut said = engine.docker.build_image(options, None, Some(body_full(context)));
    while let Some(news) = said.next().await {
        let news = news.map_err(|error| error.to_string())?;
        if let Some(error) = news.error_detail {
            return Err(error.message.unwrap_or_else(|| "no reason given".to_owned()));
        }
        news.stream.iter().chain(&news.status).flat_map(|text| text.lines()).for_each(&tell);
    }
    match engine.has_image(&recipe.tag).await {
        Ok(true) => Ok(()),
        Ok(false) => Err("the engine ended the build without an image".to_owned()),
        Err(trouble) => Err(trouble.to_string()),
    }
}

/// The build context as a tar archive.
fn context(recipe: &Recipe) -> std::io::Result<Bytes> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in &recipe.files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.data.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, &file.path, file.data.as_ref())?;
    }
    archive.into_inner().map(Bytes::from)
}

fn not_set_up(what_to_do: String) -> SandboxError {
    SandboxError::NotSetUp { provider: PROVIDER, what_to_do }
}
