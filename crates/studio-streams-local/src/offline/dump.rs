//! A store as lines of text.

use std::{
    io::{self, Write},
    path::Path,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;
use serde_json::json;
use studio_streams::{Offset, StreamFacts};

use super::Progress;
use crate::{
    OpenError,
    engine::{self, Answer, EngineError, StreamId, StreamInfo, examine},
    error::in_full,
};

/// Why a store could not be dumped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// It cannot be opened at all.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was read could not be written.
    #[error("the dump cannot be written")]
    Write(#[from] io::Error),
}

/// What a dump came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dumped {
    /// Streams that were written.
    pub streams: u64,
    /// Records that were written.
    pub records: u64,
    /// What could not be read, each in words for people.
    pub problems: Vec<String>,
}

/// A line that tells of a stream.
#[derive(Serialize)]
struct StreamLine<'a> {
    stream: &'a str,
    id: u64,
    #[serde(flatten)]
    facts: &'a StreamFacts,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(skip_serializing_if = "engine::is_zero")]
    forks: u64,
}

/// Writes all streams whose path begins with `prefix` as lines of JSON, in the order of their
/// paths. Changes nothing on the disk. Of a damaged store it writes what can be read.
///
/// Each line is one of
/// * `{"stream":PATH,"id":…,"content_type":…,…}`: a stream begins, with what is kept of it;
/// * `{"offset":…,"json":VALUE}`, or `"text"` or `"base64"` in place of `"json"`: its next record
///   (for a fork, those of its source too), with the place after it;
/// * `{"producer":…,"epoch":…,"last_seq":…,"at":…}`: how far a producer of it has come;
/// * `{"problem":…}`: something could not be read.
pub fn dump(
    dir: &Path,
    prefix: &str,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Dumped, DumpError> {
    let examined = examine::Examined::open(dir)?;
    let mut dump = Dump { examined: &examined, out, progress, dumped: Dumped::default() };
    for problem in &examined.problems.found {
        dump.problem(problem.clone())?;
    }
    let mut written = Ok(());
    let mut each = |path: &str, id: StreamId, info: Result<StreamInfo, EngineError>| {
        written = dump.stream(path, id, info);
        // Stops at the first line that cannot be written.
        if written.is_err() { Err(EngineError::Stopped) } else { Ok(()) }
    };
    let all = examined.streams(prefix, &mut each);
    written?;
    if let Err(error) = all {
        dump.problem(format!("further streams cannot be read: {}", in_full(&error)))?;
    }
    dump.out.flush()?;
    Ok(dump.dumped)
}

struct Dump<'a> {
    examined: &'a examine::Examined,
    out: &'a mut dyn Write,
    progress: &'a mut dyn FnMut(&Progress),
    dumped: Dumped,
}

impl Dump<'_> {
    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self.out, line)?;
        self.out.write_all(b"\n")
    }

    fn problem(&mut self, what: String) -> io::Result<()> {
        self.line(&json!({ "problem": what }))?;
        self.dumped.problems.push(what);
        Ok(())
    }

    fn stream(
        &mut self,
        path: &str,
        id: StreamId,
        info: Result<StreamInfo, EngineError>,
    ) -> io::Result<()> {
        let info = match info {
            Ok(info) => info,
            Err(error) => return self.problem(error.to_string()),
        };
        let StreamInfo { facts, deleted, forks, .. } = &info;
        let (deleted, forks) = (*deleted, *forks);
        self.line(&StreamLine { stream: path, id: id.0, facts, deleted, forks })?;
        self.dumped.streams += 1;
        (self.progress)(&Progress { step: "streams", rows: self.dumped.streams });
        let is_json = facts.content_type.is_json();
        let mut from = 0;
        loop {
            let (row, records, next) = match self.examined.read(path, from) {
                Ok(Answer::Chunk { row, records, next }) => (row, records, next),
                Ok(Answer::NoStream | Answer::NoPlace { .. }) => {
                    return self.problem(format!("stream {path} cannot be read behind {from}"));
                }
                Err(error) => {
                    let why = in_full(&error);
                    return self
                        .problem(format!("stream {path} cannot be read behind {from}: {why}"));
                }
            };
            if records.is_empty() && next != row.tail {
                return self.problem(format!("stream {path} has nothing behind {from}"));
            }
            for (end, data) in records {
                self.record(end, &data, is_json)?;
            }
            from = next;
            if next == row.tail {
                break;
            }
        }
        match self.examined.producers(id) {
            Ok(producers) => {
                for row in producers {
                    let line = json!({
                        "producer": row.producer,
                        "epoch": row.state.epoch,
                        "last_seq": row.state.last_seq,
                        "at": row.at,
                    });
                    self.line(&line)?;
                }
                Ok(())
            }
            Err(error) => {
                let why = in_full(&error);
                self.problem(format!("the producers of {path} cannot be read: {why}"))
            }
        }
    }

    fn record(&mut self, end: u64, data: &[u8], is_json: bool) -> io::Result<()> {
        self.dumped.records += 1;
        let offset = Offset::Position(end);
        if is_json && serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok() {
            // As it is, but on one line: in JSON a line's end stands between words only.
            let one_line: Vec<u8> =
                data.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }).collect();
            write!(self.out, "{{\"offset\":\"{offset}\",\"json\":")?;
            self.out.write_all(&one_line)?;
            return self.out.write_all(b"}\n");
        }
        match std::str::from_utf8(data) {
            Ok(text) => self.line(&json!({ "offset": offset, "text": text })),
            Err(_) => {
                let base64 = BASE64_STANDARD.encode(data);
                self.line(&json!({ "offset": offset, "base64": base64 }))
            }
        }
    }
}
