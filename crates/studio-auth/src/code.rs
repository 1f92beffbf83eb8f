use std::fmt;

use ring::digest;
use studio_ids::TokenId;

use crate::key::hex;

/// A code that opens something once: 244 random bits as 64 hex digits. Never printed by accident.
pub struct Code(String);

impl Code {
    /// A new one.
    pub fn random() -> Self {
        let [one, two] = [TokenId::random(), TokenId::random()];
        Self(hex(one.as_bytes()) + &hex(two.as_bytes()))
    }

    /// The code itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it: looked up by this, a code tells nothing by how long a look takes.
    pub fn digest(text: &str) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        bytes
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}
