use studio_ids::TokenId;

use crate::{Scope, key::from_hex};

/// The form's name and version.
const FORM: &str = "st2";

/// What a token of the studio's own form says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Which token it is; random.
    pub id: TokenId,
    /// Which key signed it.
    pub key_id: String,
    /// When it was given out, in Unix seconds.
    pub issued: u64,
    /// From when on it opens nothing, in Unix seconds.
    pub expires: u64,
}

/// A token that fits: what is to be asked of the [`crate::Ledger`] next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A derivation of the reference system: one for each scope, without an expiry.
    Reference,
    /// A token of the studio's own form.
    Own(Claims),
}

impl Grant {
    /// From when on it opens nothing; `None` = the reference's form, which does not expire.
    pub const fn expires(&self) -> Option<u64> {
        match self {
            Self::Reference => None,
            Self::Own(claims) => Some(claims.expires),
        }
    }

    /// Which token it is; `None` = the reference's form, which has no id.
    pub const fn id(&self) -> Option<TokenId> {
        match self {
            Self::Reference => None,
            Self::Own(claims) => Some(claims.id),
        }
    }
}

/// A token that was just made.
pub struct Issued {
    /// The token itself: a secret.
    pub token: String,
    /// What it says of itself.
    pub claims: Claims,
}

/// A token taken apart: `st2.<letter>.<key id>.<token id>.<issued>.<expires>.<signature>`; times
/// are Unix seconds, the signature is 64 hex digits.
pub(crate) struct Parts {
    pub(crate) claims: Claims,
    pub(crate) signature: [u8; 32],
}

impl Parts {
    /// `None` for whatever is not of this form.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let form = parts.next()?;
        let _letter = parts.next()?;
        let key_id = parts.next()?.to_owned();
        let id = parts.next()?.parse().ok()?;
        let issued = parts.next()?.parse().ok()?;
        let expires = parts.next()?.parse().ok()?;
        let signature = from_hex(parts.next()?)?;
        let claims = Claims { id, key_id, issued, expires };
        (form == FORM && parts.next().is_none()).then_some(Self { claims, signature })
    }
}

/// What is signed: everything in the token, and the scope that is not in it.
pub(crate) fn message(scope: Scope, claims: &Claims) -> String {
    let Claims { id, key_id, issued, expires } = claims;
    format!("{FORM}:{key_id}:{id}:{issued}:{expires}:{}", scope.message())
}

/// The token's text.
pub(crate) fn text(scope: Scope, claims: &Claims, signature: &str) -> String {
    let Claims { id, key_id, issued, expires } = claims;
    format!("{FORM}.{}.{key_id}.{id}.{issued}.{expires}.{signature}", scope.letter())
}
