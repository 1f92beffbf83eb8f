use crate::{Scope, key::from_hex};

/// The form's name and version.
const FORM: &str = "st1";

/// A token taken apart: `st1.<letter>.<key id>.<issued>.<expires>.<signature>`; times are Unix
/// seconds, the signature is 64 hex digits.
pub(crate) struct Parts<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) issued: u64,
    pub(crate) expires: u64,
    pub(crate) signature: [u8; 32],
}

impl<'a> Parts<'a> {
    /// `None` for whatever is not of this form.
    pub(crate) fn of(token: &'a str) -> Option<Self> {
        let mut parts = token.split('.');
        let form = parts.next()?;
        let _letter = parts.next()?;
        let key_id = parts.next()?;
        let issued = parts.next()?.parse().ok()?;
        let expires = parts.next()?.parse().ok()?;
        let signature = from_hex(parts.next()?)?;
        (form == FORM && parts.next().is_none()).then_some(Self {
            key_id,
            issued,
            expires,
            signature,
        })
    }
}

/// What is signed: everything in the token, and the id that is not in it.
pub(crate) fn message(scope: Scope, key_id: &str, issued: u64, expires: u64) -> String {
    format!("{FORM}:{key_id}:{issued}:{expires}:{}", scope.message())
}

/// The token's text.
pub(crate) fn text(
    scope: Scope,
    key_id: &str,
    issued: u64,
    expires: u64,
    signature: &str,
) -> String {
    format!("{FORM}.{}.{key_id}.{issued}.{expires}.{signature}", scope.letter())
}
