//! Copies all streams of one store into another: to move from the embedded store to a service,
//! and back.
//!
//! What is at the target already is compared with the source first and gone on with, so a copy
//! that was ended in the middle is begun again by the same call: nothing is doubled, nothing is
//! missing. At the end each stream's count and checksum are compared, record by record read back
//! from the target.
//!
//! Copied are records, content type, expiry and the end of closed streams. Not copied: offsets
//! (the target gives its own), the state of producers (the copy is one itself), and how streams
//! were forked (a fork is copied with all that it shows).
//!
//! Reading order: [`copy`], [`CopyOptions`], [`CopyProgress`], [`CopyReport`], [`CopyError`];
//! inside `one` (one stream), `tally` (what is compared).

mod one;
mod tally;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::task::JoinSet;

use crate::{Expiry, StreamError, StreamPath, StreamStore};

/// Paths that are listed at a time.
const PATHS_MAX: usize = 1_000;
/// Failures that a report tells one by one; the rest is only counted.
const FAILURES_MAX: usize = 20;

/// How a copy is made.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// A number that is larger than that of every run before into the same target: the epoch of
    /// what this one writes. An earlier run that is still under way is refused by the target
    /// from then on. Unix milliseconds do.
    pub run: u64,
    /// Streams whose paths begin so are left out.
    pub leave_out: Vec<String>,
    /// Streams that are copied at the same time; 0 counts as 1. Each holds a page or two.
    pub at_once: usize,
}

/// How far a copy has come, for whoever shows it. Grows while [`copy`] runs.
#[derive(Debug, Default)]
pub struct CopyProgress {
    /// Streams that are done with.
    pub streams: AtomicU64,
    /// Records read from the source and known to be at the target.
    pub records: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
}

/// What a copy came to.
#[derive(Debug, Default)]
pub struct CopyReport {
    /// Streams that are at the target as they are at the source, compared.
    pub streams: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes in them, as the source has them.
    pub bytes: u64,
    /// Records of these that the target had before.
    pub records_before: u64,
    /// Streams that were left out as asked.
    pub left_out: u64,
    /// Streams that were gone from the source when their turn came.
    pub gone: u64,
    /// A sum over paths, records and ends: the same for equal contents, whichever store they lie
    /// in and however a service writes its JSON.
    pub checksum: u128,
    /// Streams that could not be copied, the first ones.
    pub failed: Vec<CopyFailure>,
    /// How many could not be copied in all.
    pub failures: u64,
}

/// A stream that could not be copied. The others were all the same.
#[derive(Debug)]
pub struct CopyFailure {
    /// Which.
    pub path: StreamPath,
    /// Why.
    pub error: CopyError,
}

/// Why a stream could not be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The source could not be read.
    #[error("the source could not be read")]
    Source {
        /// Why.
        source: StreamError,
    },
    /// The target could not be read or written.
    #[error("the target could not be used")]
    Target {
        /// Why.
        source: StreamError,
    },
    /// The target has a stream of this path that is not the beginning of the source's.
    #[error("the target has another stream there: {what}")]
    Another {
        /// In what it differs.
        what: &'static str,
    },
    /// What was written is not what was read back.
    #[error(
        "the copy is not like its source: {there} records with checksum {there_sum:032x}, \
         where {here} with {here_sum:032x} were written"
    )]
    NotAlike {
        /// Records (bytes, if it is not JSON) at the source.
        here: u64,
        /// Their checksum.
        here_sum: u128,
        /// Records (bytes) at the target.
        there: u64,
        /// Their checksum.
        there_sum: u128,
    },
    /// A fault of this program.
    #[error("the copy ended unexpectedly")]
    Panicked,
}

impl CopyError {
    /// Whether others will not fare better: a store that does not answer, or takes nothing.
    fn is_the_stores(&self) -> bool {
        let (Self::Source { source } | Self::Target { source }) = self else { return false };
        matches!(
            source,
            StreamError::Failed { .. }
                | StreamError::ReadOnly { .. }
                | StreamError::Busy
                // Another run has begun.
                | StreamError::Fenced { .. }
        )
    }
}

/// Copies all streams of `from` into `to`. Nobody else may write either meanwhile: what comes to
/// a stream after it was read is not copied, and what comes to the target makes it another one.
///
/// Goes on after a stream that cannot be copied ([`CopyReport::failed`]). Fails with
/// [`CopyError::Source`] or [`CopyError::Target`] when a store as a whole does not answer; the
/// same call goes on from there later. Dropping the future ends it; so does that.
pub async fn copy(
    from: Arc<dyn StreamStore>,
    to: Arc<dyn StreamStore>,
    options: CopyOptions,
    progress: Arc<CopyProgress>,
) -> Result<CopyReport, CopyError> {
    let job = Arc::new(one::Job { from, to, run: options.run, progress });
    let mut report = CopyReport::default();
    let mut waiting = VecDeque::new();
    let mut after = None;
    let mut listed = false;
    let mut under_way = JoinSet::new();
    loop {
        while waiting.is_empty() && !listed {
            let paths = job.paths(after.as_ref(), PATHS_MAX).await?;
            listed = paths.is_empty();
            after = paths.last().cloned().or(after);
            let (out, wanted): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| {
                options.leave_out.iter().any(|start| path.as_str().starts_with(start.as_str()))
            });
            report.left_out += out.len() as u64;
            waiting.extend(wanted);
        }
        while under_way.len() < options.at_once.max(1)
            && let Some(path) = waiting.pop_front()
        {
            let job = Arc::clone(&job);
            under_way.spawn(async move {
                let copied = job.copy(&path).await;
                (path, copied)
            });
        }
        match under_way.join_next().await {
            None if listed && waiting.is_empty() => return Ok(report),
            None => {}
            Some(Ok((path, copied))) => {
                job.progress.streams.fetch_add(1, Ordering::Relaxed);
                report.add(path, copied)?;
            }
            Some(Err(_panicked_or_aborted)) => return Err(CopyError::Panicked),
        }
    }
}

impl CopyReport {
    fn add(
        &mut self,
        path: StreamPath,
        copied: Result<Option<one::Copied>, CopyError>,
    ) -> Result<(), CopyError> {
        match copied {
            Ok(Some(copied)) => {
                self.streams += 1;
                self.records += copied.records;
                self.bytes += copied.bytes;
                self.records_before += copied.records_before;
                self.checksum = self.checksum.wrapping_add(copied.sum_with(&path));
            }
            Ok(None) => self.gone += 1,
            Err(error) if error.is_the_stores() => return Err(error),
            Err(error) => {
                self.failures += 1;
                if self.failed.len() < FAILURES_MAX {
                    self.failed.push(CopyFailure { path, error });
                }
            }
        }
        Ok(())
    }
}

/// What of an expiry lies in a checksum.
fn expiry_bytes(expiry: Option<Expiry>) -> [u8; 9] {
    let (kind, value) = match expiry {
        None => (0, 0),
        Some(Expiry::AfterSeconds(seconds)) => (1, seconds),
        Some(Expiry::AtMillis(millis)) => (2, millis),
    };
    let mut bytes = [kind; 9];
    bytes[1..].copy_from_slice(&value.to_be_bytes());
    bytes
}
