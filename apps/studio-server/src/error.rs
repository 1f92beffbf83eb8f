use std::{net::SocketAddr, path::PathBuf};

/// A setting that cannot be meant so. Nothing is guessed and nothing silently replaced.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that the setting does not take.
    #[error("{name}={value} ({origin}): {reason}")]
    Value {
        /// The variable, option, or name in the file.
        name: String,
        /// Where it was set.
        origin: String,
        /// What was given; never a secret's value.
        value: String,
        /// What it takes.
        reason: String,
    },
    /// The configuration file cannot be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Settings that must not stand together.
    #[error("{0}")]
    Together(String),
}

/// Why the server did not start. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// GitHub's settings were good and are not any more.
    #[error("GitHub cannot be used")]
    GitHub(#[source] studio_github::SetupError),
    /// The settings of databases were good and are not any more.
    #[error("Electric Cloud cannot be used")]
    Electric(#[source] studio_electric::SetupError),
    /// Somebody listens there already.
    #[error(
        "{address} is in use by another program; stop it, or choose another port with --port \
         (0 takes any free one)"
    )]
    PortInUse {
        /// Where.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The data directory cannot be used.
    #[error(
        "the data directory {} cannot be used; make it writable for this user, or choose another \
         with --data-dir", dir.display()
    )]
    DataDir {
        /// Which.
        dir: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The token key of the data directory is unusable.
    #[error("{}: {reason}; restore the file, or remove it to get a new key (all tokens given out so far become void)", file.display())]
    Key {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// HTTPS cannot be spoken with what was set.
    #[error("{}: {reason}", file.display())]
    Tls {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The stream store cannot be opened.
    #[error(transparent)]
    Streams(#[from] studio_streams_local::OpenError),
    /// The stream service cannot be used.
    #[error(
        "the stream service at {url} cannot be used; look at DS_URL, DS_SERVICE_ID and DS_SECRET, \
         and whether it runs"
    )]
    Service {
        /// Where it is.
        url: String,
        /// What is wrong.
        source: studio_streams_http::ConnectError,
    },
    /// Which studio this is could not be read from, or written to, the stream service.
    #[error("the stream service does not tell whose sandboxes are this studio's")]
    Owner {
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Docker was asked for and does not answer.
    #[error(
        "no Docker engine answers; start one (or point DOCKER_HOST to it), or let agents run on \
         this machine with --sandbox local"
    )]
    NoEngine {
        /// What its client said.
        source: studio_sandbox::SandboxError,
    },
    /// No sandbox provider can be used.
    #[error(transparent)]
    Sandbox(#[from] studio_sandbox::SandboxError),
    /// What was recorded cannot be read.
    #[error("what the studio recorded before cannot be taken up")]
    Studio(#[source] studio_flows::FlowError),
}
