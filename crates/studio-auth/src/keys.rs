use std::{fmt, time::Duration};

use studio_ids::TokenId;

use crate::{
    Claims, Grant, Issued, Scope, ServerKey,
    key::from_hex,
    token::{self, Parts},
};

/// How far a token's time of issue may lie ahead: clocks of two servers differ.
const SKEW_SECONDS_MAX: u64 = 300;

/// Why a token does not open something. For the log; a client only hears that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a token at all.
    #[error("malformed token")]
    Malformed,
    /// Signed with a key that is not in force (any more), for something else, or not at all.
    #[error("token does not fit")]
    DoesNotFit,
    /// Its time is over, or has not come.
    #[error("token expired")]
    Expired,
    /// It was made void before its time.
    #[error("token revoked")]
    Revoked,
}

/// The keys in force. The first one mints; all of them check, so that keys can be changed
/// without closing out everybody. Taking a key away revokes all that it signed.
#[derive(Clone)]
pub struct Keys {
    current: ServerKey,
    older: Vec<ServerKey>,
    reference: bool,
    lifetime: Duration,
}

impl Keys {
    /// How long a token of the studio's own form lasts if nobody says otherwise.
    pub const LIFETIME_DEFAULT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// Mints and checks with this key; the reference's derivations are accepted and given out.
    pub fn new(current: ServerKey) -> Self {
        Self { current, older: Vec::new(), reference: true, lifetime: Self::LIFETIME_DEFAULT }
    }

    /// Checks with this one too.
    #[must_use]
    pub fn accepting(mut self, older: ServerKey) -> Self {
        self.older.push(older);
        self
    }

    /// Whether the reference's derivations (64 hex digits, no expiry) are accepted, and given
    /// out where the reference has such a token.
    #[must_use]
    pub fn with_reference_tokens(mut self, on: bool) -> Self {
        self.reference = on;
        self
    }

    /// How long tokens of the studio's own form last.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// A token for `scope`; `now` in Unix seconds. In the reference's form where that is on and
    /// exists, else in the studio's own.
    pub fn mint(&self, scope: Scope, now: u64) -> String {
        match scope.reference_message() {
            Some(message) if self.reference => self.current.sign(&message),
            _ => self.mint_own(scope, now, self.lifetime),
        }
    }

    /// A token in the studio's own form that lasts for `lifetime` from `now` on.
    pub fn mint_own(&self, scope: Scope, now: u64, lifetime: Duration) -> String {
        self.issue(scope, now, lifetime).token
    }

    /// As [`Self::mint_own`], with what the token says of itself.
    pub fn issue(&self, scope: Scope, now: u64, lifetime: Duration) -> Issued {
        let claims = Claims {
            id: TokenId::random(),
            key_id: self.current.id().to_owned(),
            issued: now,
            expires: now.saturating_add(lifetime.as_secs()),
        };
        let signature = self.current.sign(&token::message(scope, &claims));
        Issued { token: token::text(scope, &claims, &signature), claims }
    }

    /// Whether a token is given out for this scope in the reference's form.
    pub fn gives_reference(&self, scope: Scope) -> bool {
        self.reference && scope.reference_message().is_some()
    }

    /// How long a token of the studio's own form lasts if nobody says otherwise.
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Whether the key of this id is in force.
    pub fn knows(&self, key_id: &str) -> bool {
        self.all().any(|key| key.id() == key_id)
    }

    /// Whether `token` opens `scope` now. Any text may be given; comparing takes the same time
    /// whether it fits or not. Whether it was revoked is known to the [`crate::Ledger`].
    pub fn check(&self, scope: Scope, token: &str, now: u64) -> Result<Grant, Refused> {
        if let Some(signature) = from_hex(token) {
            return self.check_reference(scope, &signature).map(|()| Grant::Reference);
        }
        let Parts { claims, signature } = Parts::of(token).ok_or(Refused::Malformed)?;
        let message = token::message(scope, &claims);
        let fits =
            self.all().any(|key| key.id() == claims.key_id && key.signed(&message, &signature));
        if !fits {
            return Err(Refused::DoesNotFit);
        }
        let in_time = claims.issued <= now.saturating_add(SKEW_SECONDS_MAX) && now < claims.expires;
        if in_time { Ok(Grant::Own(claims)) } else { Err(Refused::Expired) }
    }

    /// As [`Self::check`], without the reason.
    pub fn opens(&self, scope: Scope, token: &str, now: u64) -> bool {
        self.check(scope, token, now).is_ok()
    }

    fn check_reference(&self, scope: Scope, signature: &[u8]) -> Result<(), Refused> {
        let message =
            scope.reference_message().filter(|_| self.reference).ok_or(Refused::DoesNotFit)?;
        let fits = self.all().any(|key| key.signed(&message, signature));
        if fits { Ok(()) } else { Err(Refused::DoesNotFit) }
    }

    fn all(&self) -> impl Iterator<Item = &ServerKey> {
        std::iter::once(&self.current).chain(&self.older)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("current", &self.current.id())
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}
