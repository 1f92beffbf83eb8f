//! Making streams, forks among them.

use std::sync::Arc;

use bytes::Bytes;
use studio_streams::{
    Batch, CreateOptions, Created, Fork, Offset, StreamError, StreamFacts, StreamPath,
    rules::{self, ForkFacts},
};

use super::{Change, Committer, StreamId, StreamInfo, StreamRow};
use crate::{
    engine::ForkPoint,
    store::{gone, head, not_found, place_of},
};

/// Longest lineage: forks of forks of forks, each with records of its own.
const LINEAGE_MAX: usize = 1_000;
/// What is in the way of a fork whose lineage would be longer.
const TOO_DEEP: &str = "it is a fork of too many forks";

/// How a new stream begins.
struct Beginning {
    info: StreamInfo,
    at: u64,
    /// What it takes of its source's next append.
    remainder: Vec<Bytes>,
}

impl Committer {
    pub(super) fn create(
        &mut self,
        path: &StreamPath,
        options: CreateOptions,
    ) -> Result<Created, StreamError> {
        if options.fork.is_some() && !self.changes.is_empty() {
            // The engine is to know everything that the fork may begin with.
            self.commit();
            if let Some(reason) = self.refusal.reason() {
                return Err(StreamError::ReadOnly { reason });
            }
        }
        if let Some(row) = self.live(path)? {
            let what = if row.info.deleted {
                rules::KEPT_BY_FORKS
            } else if row.info.facts.is_made_by(&options) {
                self.touch(path, &row);
                return Ok(Created::Existing(head(&row)));
            } else {
                rules::OTHER_CONFIGURATION
            };
            return Err(StreamError::Conflict { path: path.clone(), what });
        }
        let Beginning { info, at, remainder } = match &options.fork {
            Some(fork) => self.fork(fork, &options)?,
            None => {
                let info = StreamInfo::new(StreamFacts::of(&options), self.expiries.now());
                Beginning { info, at: 0, remainder: Vec::new() }
            }
        };
        let id = StreamId(self.next_id);
        self.next_id += 1;
        let info = Arc::new(info);
        let row = StreamRow { id, tail: at, info: info.clone() };
        self.changes.push(Change::Put { path: path.as_str().to_owned(), id, info });
        self.streams.insert(path.clone(), Some(row.clone()));
        let mut tail = at;
        if !remainder.is_empty() {
            let start = tail;
            tail += remainder.iter().map(|record| record.len() as u64).sum::<u64>();
            self.changes.push(Change::Append { id, start, records: remainder });
        }
        if let Some(initial) = options.initial {
            let start = tail;
            tail += Batch::size_bytes(&initial) as u64;
            self.changes.push(Change::Append { id, start, records: initial.into_records() });
        }
        let row = StreamRow { tail, ..row };
        self.streams.insert(path.clone(), Some(row.clone()));
        Ok(Created::New(head(&row)))
    }

    /// How a fork begins; its source counts it from then on.
    fn fork(&mut self, fork: &Fork, options: &CreateOptions) -> Result<Beginning, StreamError> {
        let path = &fork.source;
        let bad = |what| StreamError::BadFork { path: path.clone(), what };
        let source = self.live(path)?.ok_or_else(|| not_found(path))?;
        if source.info.deleted {
            return Err(gone(path));
        }
        let offset = fork.at.clone().unwrap_or(Offset::Now);
        let point = self.engine.fork_point(path.as_str(), place_of(&offset), fork.plus);
        let (at, next_append) = match point.map_err(|e| self.unread(path, e))? {
            ForkPoint::NoStream => return Err(not_found(path)),
            ForkPoint::NoPlace => {
                return Err(StreamError::BadOffset { path: path.clone(), offset });
            }
            ForkPoint::At { at, next_append, .. } => (at, next_append),
        };
        let facts = &source.info.facts;
        let remainder = rules::remainder(&facts.content_type, &next_append, fork.plus)
            .ok_or_else(|| bad(rules::OVERSHOOT))?;
        let fork = ForkFacts { source: path.clone(), at, plus: fork.plus };
        let facts = facts.forked(options, fork).ok_or_else(|| StreamError::Conflict {
            path: path.clone(),
            what: rules::OTHER_CONTENT_TYPE,
        })?;
        let lineage = source.lineage_up_to(at);
        if LINEAGE_MAX < lineage.len() {
            return Err(bad(TOO_DEEP));
        }
        self.touch(path, &source);
        let mut info = self.stream(path)?.ok_or_else(|| not_found(path))?.info;
        Arc::make_mut(&mut info).forks += 1;
        self.put(path, source.id, info);
        let info = StreamInfo { lineage, ..StreamInfo::new(facts, self.expiries.now()) };
        Ok(Beginning { info, at, remainder })
    }
}
