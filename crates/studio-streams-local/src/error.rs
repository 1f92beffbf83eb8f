use std::{error::Error, path::PathBuf};

use crate::engine::EngineError;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error("the data directory {} is in use by another process; stop it first, or choose another directory", dir.display())]
    InUse {
        /// Which directory.
        dir: PathBuf,
    },
    /// The directory cannot be made or written.
    #[error("the data directory {} cannot be used", dir.display())]
    Directory {
        /// Which directory.
        dir: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It was written by a version that this one does not know.
    #[error("the data directory {} has format {found}; this program reads format {known}", dir.display())]
    Format {
        /// Which directory.
        dir: PathBuf,
        /// The format of the directory.
        found: u64,
        /// The format of this program.
        known: u64,
    },
    /// The engine could not open its files.
    #[error("the streams in {} cannot be opened", dir.display())]
    Engine {
        /// Which directory.
        dir: PathBuf,
        /// What the engine said.
        source: EngineError,
    },
}

/// `outer: inner: innermost`, for words that stand alone.
pub(crate) fn in_full(error: &dyn Error) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
