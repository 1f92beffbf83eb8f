use std::fmt;

use ring::hmac;

/// Fewest bytes of a key. The reference's own secrets are this short; a made one has 64.
const KEY_BYTES_MIN: usize = 8;
/// Bytes of a key's id, in hex in a token.
const KEY_ID_BYTES: usize = 4;

/// A text that is too short to be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token key must have at least {KEY_BYTES_MIN} characters")]
pub struct BadKey;

/// What signs tokens: HMAC-SHA256 with the bytes of a text. Never printed.
#[derive(Clone)]
pub struct ServerKey {
    key: hmac::Key,
    id: String,
}

impl ServerKey {
    /// The key of these characters, blanks at the ends included.
    pub fn new(secret: &str) -> Result<Self, BadKey> {
        if secret.len() < KEY_BYTES_MIN {
            return Err(BadKey);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let digest = hmac::sign(&key, b"studio-key-id");
        let id = hex(&digest.as_ref()[..KEY_ID_BYTES]);
        Ok(Self { key, id })
    }

    /// Which key it is, without telling what it is: 8 hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn sign(&self, message: &str) -> String {
        hex(hmac::sign(&self.key, message.as_bytes()).as_ref())
    }

    /// Compares in constant time.
    pub(crate) fn signed(&self, message: &str, signature: &[u8]) -> bool {
        hmac::verify(&self.key, message.as_bytes(), signature).is_ok()
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKey(..)")
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digits = |byte: &u8| [byte >> 4, byte & 0xf].map(|half| DIGITS[usize::from(half)]);
    bytes.iter().flat_map(digits).collect()
}

/// 64 hex digits, upper or lower case, as 32 bytes.
pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let text = text.as_bytes();
    if text.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}
