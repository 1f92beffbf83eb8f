use std::fmt;

/// A text that a client sent in confidence: a key, a password. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateText(String);

impl PrivateText {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, handed on to whoever needs it.
    pub fn into_inner(self) -> String {
        self.0
    }
}

impl fmt::Debug for PrivateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateText(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_text_is_never_printed() {
        assert!(!format!("{:?}", PrivateText::new("hunter2")).contains("hunter2"));
    }
}
