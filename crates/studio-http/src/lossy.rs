/// Bytes that come piece by piece as the inside of a JSON string: what is no UTF-8 becomes
/// U+FFFD, as if the bytes had come at once.
#[derive(Debug, Default)]
pub(crate) struct LossyText {
    /// The beginning of a character whose end has not come.
    begun: Vec<u8>,
    is_binary: bool,
}

impl LossyText {
    /// The next piece, escaped.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let whole = all.len() - unfinished(&all);
        self.begun = all.split_off(whole);
        self.escaped(&all)
    }

    /// What was left of a character that was cut off, and whether this is no text at all: not
    /// UTF-8, or with a NUL in it.
    pub(crate) fn end(mut self) -> (String, bool) {
        let rest = std::mem::take(&mut self.begun);
        let told = self.escaped(&rest);
        (told, self.is_binary)
    }

    fn escaped(&mut self, bytes: &[u8]) -> String {
        self.is_binary |= bytes.contains(&0) || std::str::from_utf8(bytes).is_err();
        let text = String::from_utf8_lossy(bytes);
        // A string always serialises.
        let quoted = serde_json::to_string(text.as_ref()).unwrap_or_default();
        quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
    }
}

/// How many bytes at the end may be the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes.get(bytes.len().saturating_sub(4)..).unwrap_or_default()) {
        Ok(_) => 0,
        Err(_) => {
            let last = (1..=3.min(bytes.len())).find(|back| {
                // The byte that begins a character, so near the end that it may be cut.
                bytes.get(bytes.len() - back).is_some_and(|byte| 0xc0 <= *byte)
            });
            let Some(back) = last else { return 0 };
            let tail = bytes.get(bytes.len() - back..).unwrap_or_default();
            match std::str::from_utf8(tail) {
                Err(error) if error.error_len().is_none() && error.valid_up_to() == 0 => back,
                Ok(_) | Err(_) => 0,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_anywhere_the_text_is_the_same() {
        let mixed = [
            "grüße, 漢字, 🙂 \"quoted\" \\ \n\t\u{1}".as_bytes(),
            b"\xff\xfe\xe2\x82 \xf0\x9f\x99 \x80\xc3",
            "é".as_bytes(),
            b"\xf0\x9f",
        ]
        .concat();
        let whole = String::from_utf8_lossy(&mixed).into_owned();
        for size in 1..=mixed.len() {
            let mut text = LossyText::default();
            let mut told: String = mixed.chunks(size).map(|piece| text.push(piece)).collect();
            let (rest, is_binary) = text.end();
            told.push_str(&rest);
            let read: String = serde_json::from_str(&format!("\"{told}\"")).unwrap();
            assert_eq!(read, whole, "pieces of {size}");
            assert!(is_binary);
        }
        let mut text = LossyText::default();
        text.push("grüße".as_bytes());
        assert!(!text.end().1);
    }
}
