//! Tokens: which were given out, and which are void. What they open is decided in `studio-http`.

use std::sync::Arc;

use studio_auth::{Grant, Minted, Refused, Scope};
use studio_ids::{SessionId, TokenId};
use studio_tokens::{Tokens, Watched};
use tokio_util::sync::CancellationToken;

use crate::{FlowError, Parts, Studio};

/// Reads the list of tokens.
pub(crate) async fn open(parts: &Parts) -> Result<Tokens, FlowError> {
    let clock = Arc::clone(&parts.clock);
    let seconds = move || u64::try_from(clock().unix_millis() / 1_000).unwrap_or_default();
    let opened = Tokens::open(Arc::clone(&parts.streams), Arc::new(seconds)).await;
    opened.map_err(FlowError::tokens)
}

impl Studio {
    /// Whether a token that fits was made void since.
    pub fn check_token(&self, scope: Scope, grant: &Grant) -> Result<(), Refused> {
        self.inner().tokens.check(scope, grant)
    }

    /// Watches a token that something is open with.
    pub fn watch_token(&self, scope: Scope, grant: Grant, stop: &CancellationToken) -> Watched {
        self.inner().tokens.watch(scope, grant, stop)
    }

    /// The time to write into a token of this scope that is made `now`, in Unix seconds.
    pub fn token_issue_time(&self, scope: Scope, now: u64) -> u64 {
        self.inner().tokens.issue_time(scope, now)
    }

    /// The tokens that were asked for and are good, of one session or (`None`) of none.
    pub fn tokens_of(&self, session: Option<SessionId>) -> Vec<Minted> {
        self.inner().tokens.given(session)
    }

    /// Notes that a token is given out, before it is told.
    pub async fn give_token(&self, minted: Minted) -> Result<(), FlowError> {
        self.whole(move |inner| async move {
            inner.tokens.give(minted).await.map_err(FlowError::tokens)
        })
        .await
    }

    /// Makes a token of this session or (`None`) of none void.
    pub async fn revoke_token(
        &self,
        session: Option<SessionId>,
        id: TokenId,
    ) -> Result<(), FlowError> {
        self.whole(move |inner| async move {
            inner.tokens.revoke(session, id).await.map_err(FlowError::tokens)
        })
        .await
    }

    /// Makes all tokens of a session void, those of its hooks too.
    pub async fn rotate_tokens(&self, session: SessionId) -> Result<(), FlowError> {
        self.whole(move |inner| async move {
            inner.tokens.rotate(session).await.map_err(FlowError::tokens)
        })
        .await
    }
}
