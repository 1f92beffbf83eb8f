use std::sync::Arc;

use studio_ids::TokenId;
use studio_streams::StreamError;

/// Why a token could not be given out or made void, or nothing is known of them.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The stream could not be read to its end, so nothing is known: the start fails.
    #[error("the list of tokens could not be read")]
    Read {
        /// Why.
        source: Arc<StreamError>,
    },
    /// The fact was not written, or nobody knows. If it was, it will count: the same may be asked
    /// for again.
    #[error("the list of tokens could not be written")]
    Write {
        /// Why.
        source: Arc<StreamError>,
    },
    /// As many are good as may be at a time.
    #[error("{max} tokens are good, which is the most: revoke some")]
    TooMany {
        /// How many.
        max: usize,
    },
    /// No such token was given out here, or it is void already.
    #[error("there is no token {id}")]
    Unknown {
        /// Which.
        id: TokenId,
    },
}
