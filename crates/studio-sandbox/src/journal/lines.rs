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
    complaint: String,
    ended: bool,
}

impl std::fmt::Debug for JournalLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalLines").field("run", &self.run).field("at", &self.at).finish()
    }
}

impl JournalLines {
    pub(super) fn new(process: Process, from: u64, run: RunId) -> Self {
        let (held, complaint) = (BytesMut::new(), String::new());
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
                    self.complaint.push_str(&String::from_utf8_lossy(&text));
                    let keep = self.complaint.floor_char_boundary(COMPLAINT_BYTES_MAX);
                    self.complaint.truncate(keep);
                }
                None => match self.process.output.exit().await? {
                    Exit::Code(0) => self.ended = true,
                    exit => return Err(self.lost(exit)),
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
        SandboxError::Vendor {
            tried: format!("following run {}", self.run),
            source: format!("the link was lost ({exit}): {}", self.complaint.trim_end()).into(),
        }
    }
}
