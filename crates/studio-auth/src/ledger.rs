use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use studio_ids::{SessionId, TokenId};

use crate::{Grant, Refused, Scope};

/// A token that was given out, without what opens: enough to list it and to make it void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Minted {
    /// Which.
    pub id: TokenId,
    /// Signed by which key; void when that one is not in force any more.
    pub key_id: String,
    /// What it opens.
    pub scope: Scope,
    /// What it is for, in the words of whoever asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Unix seconds.
    pub issued: u64,
    /// Unix seconds.
    pub expires: u64,
}

/// One fact about tokens. Kept in a stream; doing one twice changes nothing.
///
/// Wire shape: `{"type":"token_revoked","id":"…","expires":1800000000}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LedgerEntry {
    /// A token was given out.
    TokenMinted(Minted),
    /// One token is void.
    TokenRevoked {
        /// Which.
        id: TokenId,
        /// When it would have expired: until then it must be remembered. Unix seconds.
        expires: u64,
    },
    /// The reference's derivation for this scope is void.
    ReferenceRevoked {
        /// Which.
        scope: Scope,
    },
    /// Every token of a session that was issued at this time or before is void.
    SessionRotated {
        /// Whose.
        session: SessionId,
        /// Unix seconds.
        at: u64,
    },
}

/// Which tokens are void, and which ones were given out: a fold over [`LedgerEntry`]s. Neither
/// their order nor one that comes twice changes what it says in the end, so several servers may
/// write down facts at once.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    minted: BTreeMap<TokenId, Minted>,
    revoked: HashMap<TokenId, u64>,
    references: HashSet<Scope>,
    rotated: HashMap<SessionId, u64>,
}

impl Ledger {
    /// Takes a fact in.
    pub fn apply(&mut self, entry: &LedgerEntry) {
        match entry {
            LedgerEntry::TokenMinted(minted) => {
                let rotated = minted.scope.session().and_then(|id| self.rotated.get(&id));
                let void = self.revoked.contains_key(&minted.id)
                    || rotated.is_some_and(|&at| minted.issued <= at);
                if !void {
                    self.minted.insert(minted.id, minted.clone());
                }
            }
            LedgerEntry::TokenRevoked { id, expires } => {
                self.minted.remove(id);
                self.revoked.insert(*id, *expires);
            }
            LedgerEntry::ReferenceRevoked { scope } => {
                self.references.insert(*scope);
            }
            LedgerEntry::SessionRotated { session, at } => {
                let latest = self.rotated.entry(*session).or_default();
                *latest = (*latest).max(*at);
                let latest = *latest;
                self.minted.retain(|_, m| m.scope.session() != Some(*session) || latest < m.issued);
            }
        }
    }

    /// Whether a token that fits was made void since.
    pub fn check(&self, scope: Scope, grant: &Grant) -> Result<(), Refused> {
        let rotated = scope.session().and_then(|session| self.rotated.get(&session));
        let void = match grant {
            Grant::Reference => rotated.is_some() || self.references.contains(&scope),
            Grant::Own(claims) => {
                self.revoked.contains_key(&claims.id)
                    || rotated.is_some_and(|&at| claims.issued <= at)
            }
        };
        if void { Err(Refused::Revoked) } else { Ok(()) }
    }

    /// Whether a session's tokens were rotated at this time (Unix seconds) or since.
    pub fn rotated_since(&self, session: SessionId, at: u64) -> bool {
        self.rotated.get(&session).is_some_and(|&rotated| at <= rotated)
    }

    /// The time to write into a token of this scope that is made `now`: after the last rotation,
    /// also when that was in the same second.
    pub fn issue_time(&self, scope: Scope, now: u64) -> u64 {
        let rotated = scope.session().and_then(|session| self.rotated.get(&session));
        rotated.map_or(now, |&at| now.max(at.saturating_add(1)))
    }

    /// The rotation of a session's tokens `now`: later than the one before it.
    pub fn rotation(&self, session: SessionId, now: u64) -> LedgerEntry {
        let at = self.rotated.get(&session).map_or(now, |&at| now.max(at.saturating_add(1)));
        LedgerEntry::SessionRotated { session, at }
    }

    /// A token that was given out and is not void.
    pub fn find(&self, id: TokenId) -> Option<&Minted> {
        self.minted.get(&id)
    }

    /// What was given out and is not void, of one session or (`None`) of none.
    pub fn of(&self, session: Option<SessionId>) -> impl Iterator<Item = &Minted> {
        self.minted.values().filter(move |minted| minted.scope.session() == session)
    }

    /// Forgets what has expired; it opens nothing anyway.
    pub fn purge(&mut self, now: u64) {
        self.minted.retain(|_, minted| now < minted.expires);
        self.revoked.retain(|_, expires| now < *expires);
    }
}
