//! Bytes to lines, whatever the pieces they arrive in.

use std::mem;

/// Longest line that is kept, in bytes: agents put whole files into one line (1 MiB was seen,
/// twice in one line), and everything longer would have to be held in memory.
pub const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One line of an agent's output, without its line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line's bytes; only its beginning if `cut` is not 0.
    pub bytes: Vec<u8>,
    /// Bytes of the line that were too many and are lost.
    pub cut: u64,
    /// Bytes of the output up to and including this line's line break: where the next line
    /// begins. Counted from where the splitter was told to begin.
    pub end: u64,
}

/// Cuts a stream of bytes into lines. Holds at most one line of its limit.
///
/// A line ends with `\n`; a `\r` before it belongs to the line break. The rest after the last
/// line break is no line yet: an agent that was killed in the middle of a line did not say it.
#[derive(Debug)]
pub struct Lines {
    max: usize,
    part: Vec<u8>,
    cut: u64,
    at: u64,
}

impl Lines {
    /// A splitter that stands at byte `at` of the output, at the beginning of a line.
    pub fn starting_at(at: u64) -> Self {
        Self::with_limit(at, LINE_BYTES_MAX)
    }

    /// As [`Lines::starting_at`] with a limit of its own, in bytes.
    pub fn with_limit(at: u64, max: usize) -> Self {
        Self { max, part: Vec::new(), cut: 0, at }
    }

    /// The lines that `bytes`, the next piece of output, completes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.at += piece.len() as u64;
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let fits = text.len().min(self.max - self.part.len());
            self.part.extend_from_slice(&text[..fits]);
            self.cut += (text.len() - fits) as u64;
            if ends {
                lines.push(self.take());
            }
        }
        lines
    }

    /// Where the next line begins: everything before it was given out.
    pub fn position(&self) -> u64 {
        self.at - self.part.len() as u64 - self.cut
    }

    fn take(&mut self) -> Line {
        let mut bytes = mem::take(&mut self.part);
        let cut = mem::take(&mut self.cut);
        if cut == 0 && bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Line { bytes, cut, end: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[Line]) -> Vec<(String, u64, u64)> {
        lines
            .iter()
            .map(|l| (String::from_utf8_lossy(&l.bytes).into_owned(), l.cut, l.end))
            .collect()
    }

    #[test]
    fn a_line_is_whole_whatever_its_pieces() {
        let mut lines = Lines::starting_at(10);
        assert_eq!(lines.push("a ü".as_bytes()), []);
        assert_eq!(lines.position(), 10);
        let got = lines.push(b"b\r\n\nc");
        assert_eq!(texts(&got), [("a üb".into(), 0, 17), (String::new(), 0, 18)]);
        assert_eq!(lines.position(), 18);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_counted() {
        let mut lines = Lines::with_limit(0, 4);
        assert_eq!(lines.push(b"12345"), []);
        let got = lines.push(b"67\nab\n");
        assert_eq!(texts(&got), [("1234".into(), 3, 8), ("ab".into(), 0, 11)]);
        assert_eq!(lines.position(), 11);
    }
}
