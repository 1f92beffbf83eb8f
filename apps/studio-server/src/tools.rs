//! Work on streams without a server: to look at what a data directory holds, to give space back,
//! to move all streams from one place to another, to let a program of one's own at them.
//!
//! Everything that reads or writes the streams of a data directory takes its lock, so a server that
//! runs is told and nothing happens; [`token`] takes none and works beside one. What is found is
//! returned; nothing is printed.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use studio_auth::Scope;
pub use studio_streams::copy::{CopyError, CopyFailure, CopyProgress, CopyReport};
use studio_streams::copy::{CopyOptions, copy as copy_streams};
use studio_streams_local::{OpenError, offline};
pub use studio_streams_local::{
    engine::Compacted,
    offline::{DumpError, Dumped, Progress, Report},
};

use crate::{
    Config, ConfigError, ServeArgs, ServiceAccess, StartError, data_dir::DataDir, env::Env, owner,
    wire::Streams,
};

/// Streams that are not copied: what is made anew from the others, or belongs to the place.
const LEFT_OUT: [&str; 2] = ["registry-snapshots/", owner::STREAM];
/// Streams that are copied at the same time.
const AT_ONCE: usize = 8;

/// Why a tool could not do its work. The message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Not the data directory of a studio.
    #[error("{} holds no streams: is it the data directory of a studio?", dir.display())]
    NoStreams {
        /// Which.
        dir: PathBuf,
    },
    /// The streams of a data directory cannot be used.
    #[error(transparent)]
    Streams(#[from] OpenError),
    /// A place of streams cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The streams cannot be dumped.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// The operating system gives no threads.
    #[error("the work cannot be begun")]
    Runtime(#[source] io::Error),
    /// Copying onto itself.
    #[error("{0} is both where the streams come from and where they go")]
    Itself(String),
    /// A store as a whole does not answer; the same call goes on from there.
    #[error("the copy was broken off; the same command goes on where it ended")]
    Copy(#[source] CopyError),
    /// There is no key to make a token with.
    #[error(
        "{} has no key yet: start the server there once, or set STUDIO_TOKEN_KEY as for the server",
        dir.display()
    )]
    NoKey {
        /// Which data directory.
        dir: PathBuf,
    },
}

/// Looks at everything that the data directory `dir` has in its streams, and changes nothing.
pub fn check(dir: &Path, progress: &mut dyn FnMut(&Progress)) -> Result<Report, ToolError> {
    Ok(offline::check(&streams_of(dir)?, progress)?)
}

/// Writes the streams whose paths begin with `prefix`, one JSON object a line.
pub fn dump(
    dir: &Path,
    prefix: &str,
    progress: &mut dyn FnMut(&Progress),
    out: &mut dyn io::Write,
) -> Result<Dumped, ToolError> {
    Ok(offline::dump(&streams_of(dir)?, prefix, out, progress)?)
}

/// Gives room that is not used any more back to the disk.
pub fn compact(dir: &Path, progress: &mut dyn FnMut(&Progress)) -> Result<Compacted, ToolError> {
    Ok(offline::compact(&streams_of(dir)?, progress)?)
}

/// The directory of the streams below a data directory.
fn streams_of(dir: &Path) -> Result<PathBuf, ToolError> {
    let streams = dir.join("streams");
    if streams.is_dir() { Ok(streams) } else { Err(ToolError::NoStreams { dir: dir.to_owned() }) }
}

/// Where streams lie.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a data directory.
    Dir(PathBuf),
    /// In a service.
    Service(ServiceAccess),
}

impl Place {
    /// What `text` names: a URL a service, anything else a data directory. The service's id and
    /// secret come from variables, which `variable` looks up: `<prefix>DS_SERVICE_ID` and
    /// `<prefix>DS_SECRET`, without the prefix where those are not set.
    pub fn named(
        text: &str,
        prefix: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ToolError> {
        if !text.contains("://") {
            return Ok(Self::Dir(PathBuf::from(text)));
        }
        Ok(Self::Service(ServiceAccess::at(text, &Env::new(variable), prefix)?))
    }

    fn is(&self, other: &Self) -> bool {
        let real = |dir: &Path| dir.canonicalize().unwrap_or_else(|_not_there| dir.to_owned());
        match (self, other) {
            (Self::Dir(one), Self::Dir(other)) => real(one) == real(other),
            (Self::Service(one), Self::Service(other)) => {
                (&one.url, &one.id) == (&other.url, &other.id)
            }
            (Self::Dir(_), Self::Service(_)) | (Self::Service(_), Self::Dir(_)) => false,
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Dir(dir) => dir.display().to_string(),
            Self::Service(service) => format!("{} ({})", service.url, service.id),
        }
    }
}

/// Copies all streams from one place to another and compares them at the end; called again, it
/// goes on where it ended. A service's are not locked: no server may use it meanwhile.
///
/// Left out are snapshots of the registry, which are made anew. A data directory that is copied
/// to is made if it is not there.
pub async fn copy(
    from: &Place,
    to: &Place,
    progress: Arc<CopyProgress>,
) -> Result<CopyReport, ToolError> {
    if from.is(to) {
        return Err(ToolError::Itself(from.told()));
    }
    let source = match from {
        Place::Dir(dir) => Streams::in_dir(streams_of(dir)?).await?,
        Place::Service(service) => Streams::of_service(service).await?,
    };
    let target = match to {
        Place::Dir(dir) => Streams::in_dir(DataDir::make(dir)?.file("streams")).await,
        Place::Service(service) => Streams::of_service(service).await,
    };
    let target = match target {
        Ok(target) => target,
        Err(error) => {
            source.stop().await;
            return Err(error.into());
        }
    };
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let options = CopyOptions {
        run: u64::try_from(millis).unwrap_or(u64::MAX),
        leave_out: LEFT_OUT.map(str::to_owned).to_vec(),
        at_once: AT_ONCE,
    };
    let copied = copy_streams(source.store(), target.store(), options, progress).await;
    target.stop().await;
    source.stop().await;
    copied.map_err(ToolError::Copy)
}

/// A token that opens `/v1/stream` of the server over this data directory, all streams, for so
/// long. The key is the server's: what its environment says, else the directory's own.
pub fn token(
    dir: &Path,
    lifetime: Duration,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String, ToolError> {
    let config =
        Config::read(ServeArgs::default().with("data-dir", dir.to_string_lossy()), variable)?;
    if config.token_key.is_none() && !dir.join("key").is_file() {
        return Err(ToolError::NoKey { dir: dir.to_owned() });
    }
    let keys = DataDir::make(dir)?.keys(&config)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(keys.mint_own(Scope::Streams, now, lifetime))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(all: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| all.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn a_place_is_a_directory_or_a_service_with_its_secret_in_the_environment() {
        let dir = Place::named("some/dir", "FROM_", variables(&[])).unwrap();
        assert!(matches!(dir, Place::Dir(_)));
        let env: &[_] = &[("DS_SERVICE_ID", "a"), ("DS_SECRET", "x"), ("TO_DS_SECRET", "y")];
        let of = |prefix| match Place::named("http://h:1/", prefix, variables(env)).unwrap() {
            Place::Service(service) => {
                (service.url.clone(), service.id.clone(), service.secret.expose().to_owned())
            }
            Place::Dir(dir) => panic!("{}", dir.display()),
        };
        assert_eq!(of("FROM_"), ("http://h:1".to_owned(), "a".to_owned(), "x".to_owned()));
        assert_eq!(of("TO_"), ("http://h:1".to_owned(), "a".to_owned(), "y".to_owned()));
        let told = Place::named("http://h:1", "TO_", variables(&[])).unwrap_err().to_string();
        assert!(told.contains("TO_DS_SERVICE_ID") && told.contains("TO_DS_SECRET"), "{told}");
    }

    #[tokio::test]
    async fn a_place_is_not_copied_onto_itself() {
        let dir = tempfile::tempdir().unwrap();
        let place = |path: PathBuf| Place::Dir(path);
        let [one, other] = [dir.path().to_owned(), dir.path().join(".")].map(place);
        let refused = copy(&one, &other, Arc::default()).await;
        assert!(matches!(refused, Err(ToolError::Itself(_))), "{refused:?}");
    }

    #[test]
    fn a_directory_without_streams_or_key_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let told = check(dir.path(), &mut |_| {}).unwrap_err().to_string();
        assert!(told.contains("holds no streams"), "{told}");
        let refused = token(dir.path(), Duration::from_secs(1), variables(&[]));
        assert!(matches!(refused, Err(ToolError::NoKey { .. })));
        token(dir.path(), Duration::from_secs(1), variables(&[("DS_SECRET", "long enough")]))
            .unwrap();
    }
}
