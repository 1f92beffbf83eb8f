use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use serde_json::json;
use studio_ids::Secret;

use crate::{AppId, SetupError};

/// How far back a signature is dated: GitHub refuses one from its future.
const BACK_SECS: i64 = 60;
/// How long a signature is good after that. GitHub takes ten minutes from *its* now, so this
/// leaves a clock one minute in either direction.
const LIFE_SECS: i64 = 600;

/// What a GitHub App signs with. It cannot be printed.
pub struct AppKey(KeyPair);

impl AppKey {
    /// Reads a key as GitHub hands it out: PEM, `BEGIN RSA PRIVATE KEY` (or `BEGIN PRIVATE KEY`).
    /// The two characters `\n` are as good as a line break, since a key often comes in one line
    /// of a settings file.
    pub fn from_pem(pem: &Secret) -> Result<Self, SetupError> {
        let text = pem.expose().replace("\\n", "\n");
        let begin = text.find("-----BEGIN ").ok_or(SetupError::BadKey("it is not PEM"))?;
        let text = &text[begin + "-----BEGIN ".len()..];
        let (label, rest) =
            text.split_once("-----").ok_or(SetupError::BadKey("its first line is not whole"))?;
        let (body, _) = rest
            .split_once(&format!("-----END {label}-----"))
            .ok_or(SetupError::BadKey("its last line is missing"))?;
        let body: String = body.split_whitespace().collect();
        let der = STANDARD
            .decode(body)
            .map_err(|_bad| SetupError::BadKey("what is between its lines is not base64"))?;
        let pair = match label {
            "RSA PRIVATE KEY" => KeyPair::from_der(&der),
            "PRIVATE KEY" => KeyPair::from_pkcs8(&der),
            _ => return Err(SetupError::BadKey("it is not an RSA key without a password")),
        };
        let why = "it is not an RSA key of 2048 to 4096 bits";
        pair.map(Self).map_err(|_rejected| SetupError::BadKey(why))
    }

    /// A signature in the App's name (RS256), dated by `now`, in seconds since 1970.
    fn sign(&self, id: &AppId, now: i64) -> Option<Secret> {
        let issued = now - BACK_SECS;
        let head = json!({"alg": "RS256", "typ": "JWT"});
        let claims = json!({"iat": issued, "exp": issued + LIFE_SECS, "iss": id.as_str()});
        let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let text = format!("{}.{}", encode(&head), encode(&claims));
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .ok()?;
        Some(Secret::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppKey(..)")
    }
}

/// The App's hand, and how far this machine's clock is from GitHub's.
#[derive(Debug)]
pub(crate) struct Signer {
    id: AppId,
    key: AppKey,
    /// Seconds that GitHub's clock is ahead.
    ahead: AtomicI64,
}

impl Signer {
    pub(crate) fn new(id: AppId, key: AppKey) -> Self {
        Self { id, key, ahead: AtomicI64::new(0) }
    }

    /// Signs; `None` when the system has no randomness.
    pub(crate) fn sign(&self) -> Option<Secret> {
        self.key.sign(&self.id, self.now())
    }

    /// GitHub's time, as far as it is known.
    pub(crate) fn now(&self) -> i64 {
        here() + self.ahead.load(Relaxed)
    }

    /// Takes GitHub's time over; true when that changes what is signed.
    pub(crate) fn set_clock(&self, theirs: i64) -> bool {
        let ahead = theirs - here();
        let before = self.ahead.swap(ahead, Relaxed);
        if BACK_SECS / 2 <= (ahead - before).abs() {
            tracing::warn!(seconds = ahead, "this machine's clock is not GitHub's; using GitHub's");
            return true;
        }
        false
    }
}

fn here() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused_with_its_reason() {
        for (pem, why) in [
            ("", "it is not PEM"),
            ("-----BEGIN RSA PRIVATE KEY", "its first line is not whole"),
            ("-----BEGIN RSA PRIVATE KEY-----\nAA==", "its last line is missing"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\n!\n-----END RSA PRIVATE KEY-----",
                "what is between its lines is not base64",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----",
                "it is not an RSA key of 2048 to 4096 bits",
            ),
            (
                "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----",
                "it is not an RSA key without a password",
            ),
        ] {
            let error = AppKey::from_pem(&Secret::new(pem)).unwrap_err().to_string();
            assert_eq!(error, format!("the GitHub App's private key cannot be used: {why}"));
        }
    }
}
