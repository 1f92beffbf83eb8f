//! A JSON array in pieces, cut into its elements without reading them into anything.

use bytes::{Buf, Bytes, BytesMut};
use studio_streams::RECORD_BYTES_MAX;

/// What is wrong with an answer that should be an array of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadArray {
    #[error("it is not a JSON array")]
    NotAnArray,
    #[error("it holds something that is not a JSON value")]
    NotAValue,
    #[error("it holds a value of over {RECORD_BYTES_MAX} bytes")]
    TooLarge,
    #[error("it breaks off")]
    BrokenOff,
}

/// One element, as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub data: Bytes,
    /// Whether the array ended after it.
    pub last: bool,
}

/// Takes the bytes of an array as they come and gives its elements.
#[derive(Debug, Default)]
pub(crate) struct ArraySplitter {
    buffer: BytesMut,
    /// Bytes of the value at the buffer's front that were looked at.
    scanned: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Before `[`.
    #[default]
    Outside,
    /// After `[`: a value or the end.
    First,
    /// After `,`: a value.
    Next,
    /// In a value.
    Value,
    /// After `]`.
    Done,
}

impl ArraySplitter {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next element; `None` = more bytes are needed, or there is none any more.
    pub(crate) fn next(&mut self) -> Result<Option<Element>, BadArray> {
        loop {
            if self.stage == Stage::Value {
                return self.value();
            }
            let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
            let blanks = self.buffer.iter().take_while(|b| blank(b)).count();
            self.buffer.advance(blanks);
            let Some(&first) = self.buffer.first() else { return Ok(None) };
            match (self.stage, first) {
                (Stage::Outside, b'[') => {
                    self.buffer.advance(1);
                    self.stage = Stage::First;
                }
                (Stage::First, b']') => {
                    self.buffer.advance(1);
                    self.stage = Stage::Done;
                }
                (Stage::First | Stage::Next, _) => self.stage = Stage::Value,
                (Stage::Outside | Stage::Done | Stage::Value, _) => {
                    return Err(BadArray::NotAnArray);
                }
            }
        }
    }

    fn value(&mut self) -> Result<Option<Element>, BadArray> {
        while let Some(&byte) = self.buffer.get(self.scanned) {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'[' | b'{' => self.depth += 1,
                    b',' | b']' if self.depth == 0 => return self.cut(byte == b']').map(Some),
                    b']' | b'}' => {
                        self.depth = self.depth.checked_sub(1).ok_or(BadArray::NotAValue)?;
                    }
                    _ => {}
                }
            }
            self.scanned += 1;
            if RECORD_BYTES_MAX < self.scanned {
                return Err(BadArray::TooLarge);
            }
        }
        Ok(None)
    }

    fn cut(&mut self, last: bool) -> Result<Element, BadArray> {
        let data = self.buffer.split_to(self.scanned).freeze();
        self.buffer.advance(1);
        self.scanned = 0;
        self.stage = if last { Stage::Done } else { Stage::Next };
        let data = data.slice_ref(data.trim_ascii());
        if !is_json(&data) {
            return Err(BadArray::NotAValue);
        }
        Ok(Element { data, last })
    }

    /// Whether the whole array has come.
    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// What the end of the bytes says.
    pub(crate) fn end(&self) -> Result<(), BadArray> {
        if self.is_done() { Ok(()) } else { Err(BadArray::BrokenOff) }
    }
}

/// Whether this is one JSON value and nothing else.
pub(crate) fn is_json(data: &[u8]) -> bool {
    // Text outside of strings is ASCII, and strings must be text too.
    std::str::from_utf8(data)
        .is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&str]) -> Result<Vec<String>, BadArray> {
        let mut splitter = ArraySplitter::default();
        let mut found = Vec::new();
        for piece in pieces {
            splitter.feed(piece.as_bytes());
            while let Some(element) = splitter.next()? {
                assert_eq!(element.last, splitter.is_done());
                found.push(String::from_utf8(element.data.to_vec()).unwrap());
            }
        }
        splitter.end()?;
        Ok(found)
    }

    #[test]
    fn elements_are_kept_as_they_were_sent() {
        let array = r#" [ {"a": [1, 2] , "b":"],["} ,1.50e+10, "\"]\\", [[], {}],null ] "#;
        let expected =
            [r#"{"a": [1, 2] , "b":"],["}"#, "1.50e+10", r#""\"]\\""#, "[[], {}]", "null"];
        assert_eq!(split(&[array]).unwrap(), expected);
        let bytes: Vec<&str> = array.split_inclusive(|_| true).collect();
        assert_eq!(split(&bytes).unwrap(), expected);
        assert_eq!(split(&["[]"]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_an_array_is_refused() {
        for bad in ["{}", "1", "\"[]\"", "{\"a\":1}\n{\"a\":2}", "[1]x", "[1][2]"] {
            assert_eq!(split(&[bad]), Err(BadArray::NotAnArray), "{bad}");
        }
        for bad in ["[,]", "[1,]", "[x]", "[1 2]", "[}]", "[{]", "[\"\n\"]", "[{\"a\":}]"] {
            assert!(
                matches!(split(&[bad]), Err(BadArray::NotAValue | BadArray::BrokenOff)),
                "{bad}"
            );
        }
        for half in ["", "[", "[1", "[1,", "[\"a", "[{\"a\":1}"] {
            assert_eq!(split(&[half]), Err(BadArray::BrokenOff), "{half}");
        }
    }

    #[test]
    fn an_endless_value_is_given_up() {
        let mut splitter = ArraySplitter::default();
        splitter.feed(b"[\"");
        let piece = vec![b'x'; 1024 * 1024];
        for _ in 0..RECORD_BYTES_MAX / piece.len() {
            assert_eq!(splitter.next(), Ok(None));
            splitter.feed(&piece);
        }
        splitter.feed(b"xx");
        assert_eq!(splitter.next(), Err(BadArray::TooLarge));
    }
}
