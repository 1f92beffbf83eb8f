//! What tokens open here: the keys say whether one fits, the list of tokens whether it is good
//! still. Nothing else asks the keys, so nothing opens with a token that was revoked.

use std::time::Duration;

use studio_auth::{Grant, Issued, Keys, Scope};
use studio_flows::{Studio, Watched};
use tokio_util::sync::CancellationToken;

use crate::state;

/// A token that has opened something.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    /// What it is for.
    pub(crate) scope: Scope,
    /// What it says of itself.
    pub(crate) grant: Grant,
}

/// The keys in force with the list of tokens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Locks {
    keys: Keys,
    studio: Studio,
}

impl Locks {
    pub(crate) fn new(keys: Keys, studio: Studio) -> Self {
        Self { keys, studio }
    }

    /// The first of these that the token opens now.
    pub(crate) fn pass(&self, scopes: &[Scope], token: &str) -> Option<Pass> {
        let now = state::now();
        scopes.iter().find_map(|&scope| {
            let grant = self.keys.check(scope, token, now).ok()?;
            let good = self.studio.check_token(scope, &grant).is_ok();
            good.then_some(Pass { scope, grant })
        })
    }

    /// Whether the token opens this now.
    pub(crate) fn opens(&self, scope: Scope, token: &str) -> bool {
        self.pass(&[scope], token).is_some()
    }

    /// Whether what was open with this pass may be so still.
    pub(crate) fn is_good(&self, pass: &Pass) -> bool {
        pass.grant.expires().is_none_or(|expires| state::now() < expires)
            && self.studio.check_token(pass.scope, &pass.grant).is_ok()
    }

    /// Watches a token that something is open with.
    pub(crate) fn watch(&self, pass: Pass, stop: &CancellationToken) -> Watched {
        self.studio.watch_token(pass.scope, pass.grant, stop)
    }

    /// A token for `scope`: in the reference's form while that is on and good for it.
    pub(crate) fn mint(&self, scope: Scope) -> String {
        let reference = self.keys.gives_reference(scope)
            && self.studio.check_token(scope, &Grant::Reference).is_ok();
        if reference {
            return self.keys.mint(scope, state::now());
        }
        self.issue(scope, self.keys.lifetime()).token
    }

    /// A token in the studio's own form.
    pub(crate) fn issue(&self, scope: Scope, lifetime: Duration) -> Issued {
        self.keys.issue(scope, self.studio.token_issue_time(scope, state::now()), lifetime)
    }

    /// How long a token lasts if nobody says otherwise.
    pub(crate) fn lifetime(&self) -> Duration {
        self.keys.lifetime()
    }
}
