use bytes::{Bytes, BytesMut};
use studio_ids::RunId;

use crate::{Exit, OutputChunk, Process, SandboxError};

/// Longest line that is handed on whole, in bytes. Agents write lines over 1 MiB (a tool's input
/// and result are one line each); what is longer than this is cut and marked.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bytes of the follower's own complaints that are kept for an error.
const COMPLAINT_BYTES_MAX: usize = 2000;

/// One line of a journaled process's stdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalLine {
    /// The line without its line break. Longer ones than [`LINE_BYTES_MAX`] end in a marker that
    /// says how much was cut.
    pub data: Bytes,
    /// The offset after this line, line break included: where to go on after it.
    pub at: u64,
}

/// The stdout of a journaled process, line by line. Dropping it ends the following, not the
/// process.
pub struct JournalLines {
    process: Process,
    run: RunId,
    /// What was received and not handed on, at most one chunk over [`LINE_BYTES_MAX`].
    held: BytesMut,
    /// How much of `held` is known to hold no line break.
    searched: usize,
    /// Bytes of the present line that were received and thrown away.
    cut: u64,
    /// The offset of the first byte of the present line.
    at: u64,
    complaint: Vec<u8>,
    ended: bool,
}

impl std::fmt::Debug for JournalLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalLines").field("run", &self.run).field("at", &self.at).finish()
    }
}

impl JournalLines {
    pub(super) fn new(process: Process, from: u64, run: RunId) -> Self {
        let (held, complaint) = (BytesMut::new(), Vec::new());
        Self { process, run, held, searched: 0, cut: 0, at: from, complaint, ended: false }
    }

    /// The next line; a last line without a line break is handed on when the process ended.
    /// `None`: it ended and everything was read. An error: the link is lost, the process may
    /// well go on; attach again at the last line's `at`. Safe to drop and call again.
    pub async fn next(&mut self) -> Result<Option<JournalLine>, SandboxError> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            if self.ended {
                let rest = self.held.split();
                return Ok((!rest.is_empty()).then(|| self.finish(rest.freeze(), 0)));
            }
            match self.process.output.next().await? {
                Some(OutputChunk::Stdout(data)) => self.hold(&data),
                Some(OutputChunk::Stderr(text)) => {
                    let room = COMPLAINT_BYTES_MAX.saturating_sub(self.complaint.len());
                    self.complaint.extend_from_slice(&text[..room.min(text.len())]);
                }
                None => match self.process.output.exit().await? {
                    Exit::Code(0) => self.ended = true,
                    exit @ (Exit::Code(_) | Exit::Unknown) => return Err(self.lost(exit)),
                },
            }
        }
    }

    /// Keeps what still fits into the longest line. Of a line that is too long already, only the
    /// part from its line break on is of use.
    fn hold(&mut self, data: &[u8]) {
        let mut data = data;
        if LINE_BYTES_MAX <= self.held.len() && self.searched == self.held.len() {
            let end = data.iter().position(|&b| b == b'\n').unwrap_or(data.len());
            self.cut += end as u64;
            data = &data[end..];
        }
        self.held.extend_from_slice(data);
    }

    fn take_line(&mut self) -> Option<JournalLine> {
        let found = self.held[self.searched..].iter().position(|&b| b == b'\n');
        let Some(found) = found else {
            if LINE_BYTES_MAX < self.held.len() {
                self.cut += (self.held.len() - LINE_BYTES_MAX) as u64;
                self.held.truncate(LINE_BYTES_MAX);
            }
            self.searched = self.held.len();
            return None;
        };
        let end = self.searched + found;
        let mut line = self.held.split_to(end + 1);
        line.truncate(end);
        if LINE_BYTES_MAX < line.len() {
            self.cut += (line.len() - LINE_BYTES_MAX) as u64;
            line.truncate(LINE_BYTES_MAX);
        }
        Some(self.finish(line.freeze(), 1))
    }

    fn finish(&mut self, mut data: Bytes, line_break: u64) -> JournalLine {
        self.at += data.len() as u64 + self.cut + line_break;
        if 0 < self.cut {
            let mut marked = BytesMut::from(&data[..]);
            marked.extend_from_slice(format!("[cut: {} bytes more]", self.cut).as_bytes());
            data = marked.freeze();
        }
        self.searched = 0;
        self.cut = 0;
        JournalLine { data, at: self.at }
    }

    fn lost(&self, exit: Exit) -> SandboxError {
        let complaint = String::from_utf8_lossy(&self.complaint);
        SandboxError::Vendor {
            tried: format!("following run {}", self.run),
            source: format!("the link was lost ({exit}): {}", complaint.trim_end()).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use async_trait::async_trait;
    use proptest::prelude::*;

    use super::*;
    use crate::{ProcessInput, ProcessOutput};

    /// Says these chunks and ends.
    struct Said(VecDeque<OutputChunk>, Exit);

    #[async_trait]
    impl ProcessOutput for Said {
        async fn next(&mut self) -> Result<Option<OutputChunk>, SandboxError> {
            Ok(self.0.pop_front())
        }

        async fn exit(&mut self) -> Result<Exit, SandboxError> {
            Ok(self.1)
        }
    }

    struct Deaf;

    #[async_trait]
    impl ProcessInput for Deaf {
        async fn write(&mut self, _data: Bytes) -> Result<(), SandboxError> {
            Ok(())
        }

        async fn close(&mut self) -> Result<(), SandboxError> {
            Ok(())
        }
    }

    /// The lines of `said`, which comes in pieces of these sizes, one after another, over again.
    fn read(said: &[u8], from: usize, sizes: &[usize], exit: Exit) -> (Vec<JournalLine>, bool) {
        let mut chunks = VecDeque::new();
        let (mut left, mut turn) = (&said[from.min(said.len())..], 0);
        while !left.is_empty() {
            let (chunk, rest) = left.split_at(sizes[turn % sizes.len()].clamp(1, left.len()));
            chunks.push_back(OutputChunk::Stdout(Bytes::copy_from_slice(chunk)));
            (left, turn) = (rest, turn + 1);
        }
        let process = Process { input: Box::new(Deaf), output: Box::new(Said(chunks, exit)) };
        let mut lines = JournalLines::new(process, from as u64, RunId::random());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut all = Vec::new();
            loop {
                match lines.next().await {
                    Ok(Some(line)) => all.push(line),
                    Ok(None) => return (all, true),
                    Err(_lost) => return (all, false),
                }
            }
        })
    }

    /// What is to be read of `said` from `from` on: cut at line breaks, offsets counted.
    fn expected(said: &[u8], from: usize) -> Vec<JournalLine> {
        let mut at = from as u64;
        let pieces = said[from..].split_inclusive(|&byte| byte == b'\n').map(|piece| {
            at += piece.len() as u64;
            let data = piece.strip_suffix(b"\n").unwrap_or(piece);
            JournalLine { data: Bytes::copy_from_slice(data), at }
        });
        pieces.collect()
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_are_cut(
            said in proptest::collection::vec(
                prop_oneof![1 => Just(b'\n'), 4 => any::<u8>()], 0..2000),
            sizes in proptest::collection::vec(1usize..300, 1..8),
        ) {
            let (lines, ended) = read(&said, 0, &sizes, Exit::Code(0));
            prop_assert!(ended);
            prop_assert_eq!(lines, expected(&said, 0));
        }

        #[test]
        fn a_reader_that_is_cut_anywhere_goes_on_without_loss_or_double(
            said in proptest::collection::vec(
                prop_oneof![1 => Just(b'\n'), 4 => any::<u8>()], 1..2000),
            cut in any::<prop::sample::Index>(),
            sizes in proptest::collection::vec(1usize..300, 1..8),
        ) {
            let whole = expected(&said, 0);
            // Cut after any byte: what was no whole line yet was not handed on.
            let heard = &said[..cut.index(said.len())];
            let (mut lines, ended) = read(heard, 0, &sizes, Exit::Unknown);
            prop_assert!(!ended);
            let at = lines.last().map_or(0, |line| line.at as usize);
            let (more, ended) = read(&said, at, &sizes, Exit::Code(0));
            prop_assert!(ended);
            lines.extend(more);
            prop_assert_eq!(lines, whole);
        }
    }

    #[test]
    fn a_line_over_the_limit_is_cut_at_every_chunk_size() {
        for (over, size) in [(1, 4096), (0, 65536), (70_000, 65536), (1, LINE_BYTES_MAX * 2)] {
            let mut said = vec![b'x'; LINE_BYTES_MAX + over];
            said.extend_from_slice(b"\nnext\n");
            let (lines, _) = read(&said, 0, &[size], Exit::Code(0));
            assert_eq!(lines.len(), 2);
            assert_eq!(lines[0].at, (LINE_BYTES_MAX + over + 1) as u64);
            let marker = format!("[cut: {over} bytes more]");
            assert_eq!(lines[0].data.ends_with(marker.as_bytes()), 0 < over, "{over}, {size}");
            let rest = if over == 0 { 0 } else { marker.len() };
            assert_eq!(lines[0].data.len(), LINE_BYTES_MAX + rest);
            assert_eq!((&lines[1].data[..], lines[1].at), (&b"next"[..], said.len() as u64));
        }
    }
}
