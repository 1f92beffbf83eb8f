//! The one file that names concrete adapters: another store or vendor is a change here.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use studio_agent_codec::Claude;
use studio_electric::Databases;
use studio_flows::{GitHubAccess, Language};
use studio_sandbox::SandboxProvider;
use studio_sandbox_docker::{DockerOptions, DockerProvider, ImageSource, Recipe};
use studio_sandbox_local::{LocalOptions, LocalProvider};
use studio_streams::StreamStore;
use studio_streams_http::{HttpOptions, HttpStreams, Secret};
use studio_streams_local::{LocalStreams, Options};

use crate::{Config, Runtime, ServiceAccess, StartError, data_dir::DataDir, owner};

/// How long an engine may take to answer before it counts as absent.
const ENGINE_PATIENCE: Duration = Duration::from_secs(2);
/// The agent's program.
const AGENT: &str = "claude";

/// Where everything is written.
pub(crate) enum Streams {
    /// In the data directory.
    Local(LocalStreams),
    /// In a service.
    Service(HttpStreams),
}

impl Streams {
    /// The streams that the settings name. Those of a data directory are locked.
    pub(crate) async fn open(config: &Config, dir: &DataDir) -> Result<Self, StartError> {
        match &config.service {
            Some(service) => Self::of_service(service).await,
            None => Self::in_dir(dir.file("streams")).await,
        }
    }

    /// Opens the streams below a data directory and takes their lock.
    pub(crate) async fn in_dir(place: PathBuf) -> Result<Self, StartError> {
        let opening = move || LocalStreams::open(place, Options::default());
        match tokio::task::spawn_blocking(opening).await {
            Ok(store) => Ok(Self::Local(store?)),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Connects to a service and looks whether it does what is needed.
    pub(crate) async fn of_service(service: &ServiceAccess) -> Result<Self, StartError> {
        let failed = |source| StartError::Service { url: service.url.clone(), source };
        let secret = Secret::new(service.secret.expose()).map_err(failed)?;
        let options = HttpOptions::new(&service.url, &service.id, Some(secret));
        HttpStreams::connect(options).await.map(Self::Service).map_err(failed)
    }

    /// The port.
    pub(crate) fn store(&self) -> Arc<dyn StreamStore> {
        match self {
            Self::Local(streams) => Arc::new(streams.clone()),
            Self::Service(streams) => Arc::new(streams.clone()),
        }
    }

    /// Which studio this is.
    pub(crate) async fn owner(&self, dir: &DataDir) -> Result<String, StartError> {
        let mine = dir.owner()?;
        match self {
            Self::Local(_) => Ok(mine),
            Self::Service(_) => {
                let agreed = owner::agreed(&self.store(), &mine).await?;
                if agreed != mine {
                    dir.keep_owner(&agreed)?;
                }
                Ok(agreed)
            }
        }
    }

    /// Writes what waits and lets go of everything.
    pub(crate) async fn stop(&self) {
        match self {
            Self::Local(streams) => streams.stop().await,
            Self::Service(streams) => streams.stop().await,
        }
    }
}

/// The agents' language.
pub(crate) fn codec() -> Language {
    Arc::new(|conversation| Box::new(Claude::of(conversation)))
}

/// GitHub: connects to nothing yet.
pub(crate) fn github(config: &Config) -> Result<GitHubAccess, StartError> {
    let choice = &config.github;
    let github = choice.client().map_err(StartError::GitHub)?;
    Ok(GitHubAccess { github: Arc::new(github), origin: choice.origin.clone() })
}

/// Who makes databases: connects to nothing yet.
pub(crate) fn databases(config: &Config) -> Result<Arc<dyn Databases>, StartError> {
    Ok(Arc::new(config.electric.client().map_err(StartError::Electric)?))
}

/// Where agents work.
pub(crate) async fn provider(
    config: &Config,
    dir: &DataDir,
    owner: &str,
) -> Result<Arc<dyn SandboxProvider>, StartError> {
    match config.runtime {
        Runtime::Docker => docker(config, dir, owner).await,
        Runtime::Local => local(config, dir).await,
        Runtime::Auto => match engine(config, dir, owner).await {
            Ok(provider) => Ok(provider),
            Err(why) => {
                tracing::info!("no Docker engine answers ({why}): agents run on this machine");
                local(config, dir).await
            }
        },
    }
}

async fn docker(
    config: &Config,
    dir: &DataDir,
    owner: &str,
) -> Result<Arc<dyn SandboxProvider>, StartError> {
    match connected(config, dir, owner).await {
        Ok(provider) => Ok(Arc::new(provider)),
        Err(StartError::Sandbox(source)) => Err(StartError::NoEngine { source }),
        Err(other) => Err(other),
    }
}

async fn engine(
    config: &Config,
    dir: &DataDir,
    owner: &str,
) -> Result<Arc<dyn SandboxProvider>, String> {
    match tokio::time::timeout(ENGINE_PATIENCE, connected(config, dir, owner)).await {
        Ok(Ok(provider)) => Ok(Arc::new(provider)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err(format!("no answer within {ENGINE_PATIENCE:?}")),
    }
}

async fn connected(
    config: &Config,
    dir: &DataDir,
    owner: &str,
) -> Result<DockerProvider, StartError> {
    let owner = owner
        .parse()
        .map_err(|error| StartError::Key { file: dir.file("owner"), reason: format!("{error}") })?;
    let image = match &config.sandbox_image {
        Some(tag) => ImageSource::Tag(tag.clone()),
        None => ImageSource::Recipe(Recipe::agent()),
    };
    let options = DockerOptions { engine: config.docker_engine.clone(), owner, image };
    Ok(DockerProvider::connect(options).await?)
}

async fn local(config: &Config, dir: &DataDir) -> Result<Arc<dyn SandboxProvider>, StartError> {
    let agent = agent_program(config);
    if agent.is_none() {
        tracing::warn!(
            "the {AGENT} program was not found: install it (npm install -g \
             @anthropic-ai/claude-code), or set STUDIO_AGENT_PATH to its directory"
        );
    }
    let mut options = LocalOptions::default();
    options.hidden.push(dir.path().to_owned());
    options.hidden.extend(config.home.clone().filter(|home| home.is_absolute()));
    for program in agent.iter().flat_map(|dir| [dir.join(AGENT), dir.join("node")]) {
        allow_program(&program, &mut options);
    }
    let root = dir.file("sandboxes");
    let provider = LocalProvider::open(root, options).await?;
    Ok(Arc::new(provider))
}

/// Where the agent's program lies: the directory that was set, else the first on `PATH` with it.
fn agent_program(config: &Config) -> Option<PathBuf> {
    let has_agent = |dir: &PathBuf| dir.is_absolute() && dir.join(AGENT).is_file();
    match &config.agent_path {
        Some(dir) => std::path::absolute(dir).ok().filter(has_agent),
        None => std::env::split_paths(config.path.as_deref()?).find(has_agent),
    }
}

/// A program and the package that it belongs to are readable inside.
fn allow_program(program: &Path, options: &mut LocalOptions) {
    let (Some(dir), Ok(target)) = (program.parent(), program.canonicalize()) else { return };
    if !options.path_dirs.iter().any(|known| known == dir) {
        options.path_dirs.push(dir.to_owned());
    }
    let package = target.ancestors().find(|dir| dir.join("package.json").is_file());
    let readable = package.or(target.parent()).map(Path::to_owned);
    options.readable.extend(readable);
}
