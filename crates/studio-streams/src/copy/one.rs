use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;

use super::{
    CopyError, CopyProgress, expiry_bytes,
    tally::{Sum, Tally},
};
use crate::{
    Batch, CreateOptions, Head, Offset, Page, ProducerStamp, StreamError, StreamPath, StreamStore,
    Write,
};

/// Who writes the copies.
const PRODUCER: &str = "studio-copy";
/// Records that are read at a time; a page ends after about a mebibyte anyway.
const RECORDS_MAX: usize = 1_000;
/// How often a store is asked before it counts as one that does not answer.
const ATTEMPTS_MAX: u32 = 6;
/// Wait before the second attempt; each further one waits twice as long.
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);

/// What all streams of a copy share.
pub(crate) struct Job {
    pub(crate) from: Arc<dyn StreamStore>,
    pub(crate) to: Arc<dyn StreamStore>,
    pub(crate) run: u64,
    pub(crate) progress: Arc<CopyProgress>,
}

/// A stream that was copied and compared.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) records_before: u64,
    head: Head,
    sum: u128,
}

impl Copied {
    /// The stream's part of the sum over all.
    pub(crate) fn sum_with(&self, path: &StreamPath) -> u128 {
        let mut sum = Sum::NONE;
        sum.bytes(path.as_str().as_bytes());
        sum.bytes(&[u8::from(self.head.closed)]);
        sum.bytes(&expiry_bytes(self.head.expiry));
        sum.bytes(&self.sum.to_be_bytes());
        sum.0
    }
}

impl Job {
    pub(crate) async fn paths(
        &self,
        after: Option<&StreamPath>,
        max: usize,
    ) -> Result<Vec<StreamPath>, CopyError> {
        let listed = patiently(|| self.from.list("", after, max)).await;
        listed.map_err(|source| CopyError::Source { source })
    }

    /// `Ok(None)`: the source has it no more.
    pub(crate) async fn copy(&self, path: &StreamPath) -> Result<Option<Copied>, CopyError> {
        match self.copy_there(path).await {
            Err(CopyError::Source {
                source: StreamError::NotFound { .. } | StreamError::Gone { .. },
            }) => Ok(None),
            other => other.map(Some),
        }
    }

    async fn copy_there(&self, path: &StreamPath) -> Result<Copied, CopyError> {
        let head = patiently(|| self.from.head(path)).await.map_err(at_source)?;
        let there = self.make(path, &head).await?;
        let mut target = Reading::of(&self.to, path);
        let mut have = Tally::of(&head.content_type);
        let mut records_before = 0;
        while let Some(page) = target.next().await.map_err(at_target)? {
            records_before += page.records.len() as u64;
            page.records.iter().for_each(|record| have.add(&record.data));
        }

        let before = have.clone();
        let mut all = Tally::of(&head.content_type);
        let (mut records, mut bytes, mut seq) = (0, 0, 0);
        let mut source = Reading::of(&self.from, path);
        while let Some(page) = source.next().await.map_err(at_source)? {
            let mut new = Vec::new();
            let size: usize = page.records.iter().map(|record| record.data.len()).sum();
            let count = page.records.len() as u64;
            for record in page.records {
                let known = before.units().saturating_sub(all.units());
                let (old, more) = all.split(record.data, known);
                if let Some(old) = old {
                    all.add(&old);
                    if all.units() == before.units() && all != before {
                        return Err(CopyError::Another { what: "its records are others" });
                    }
                }
                if let Some(more) = more {
                    all.add(&more);
                    new.push(more);
                }
            }
            if !new.is_empty() && there.closed {
                return Err(CopyError::Another { what: "it is closed and shorter" });
            }
            self.write(path, new, &mut seq).await?;
            (records, bytes) = (records + count, bytes + size as u64);
            self.progress.records.fetch_add(count, Ordering::Relaxed);
            self.progress.bytes.fetch_add(size as u64, Ordering::Relaxed);
        }
        let is_closed = source.closed.unwrap_or(head.closed);
        if all.units() < before.units() {
            return Err(CopyError::Another { what: "it is longer" });
        }
        if is_closed && !there.closed {
            self.close(path, seq).await?;
        }
        if there.closed && !is_closed {
            return Err(CopyError::Another { what: "it is closed" });
        }

        while let Some(page) = target.next().await.map_err(at_target)? {
            page.records.iter().for_each(|record| have.add(&record.data));
        }
        if have != all {
            let (here, here_sum) = (all.units(), all.sum());
            let (there, there_sum) = (have.units(), have.sum());
            return Err(CopyError::NotAlike { here, here_sum, there, there_sum });
        }
        let head = Head { closed: is_closed, ..head };
        alike(&head, &patiently(|| self.to.head(path)).await.map_err(at_target)?)?;
        Ok(Copied { records, bytes, records_before, head, sum: all.sum() })
    }

    /// Makes the stream at the target if it is not there, and says how it is then.
    async fn make(&self, path: &StreamPath, head: &Head) -> Result<Head, CopyError> {
        match patiently(|| self.to.head(path)).await {
            Ok(there) => {
                // Whether it is closed is looked at once its records are known.
                alike(&Head { closed: there.closed, ..head.clone() }, &there)?;
                return Ok(there);
            }
            Err(StreamError::NotFound { .. }) => {}
            Err(source) => return Err(CopyError::Target { source }),
        }
        let options = CreateOptions {
            content_type: Some(head.content_type.clone()),
            expiry: head.expiry,
            ..CreateOptions::default()
        };
        let created = patiently(|| self.to.create(path, options.clone())).await;
        created.map(|created| created.head().clone()).map_err(at_target)
    }

    /// Writes records behind what this run wrote before.
    async fn write(
        &self,
        path: &StreamPath,
        records: Vec<Bytes>,
        seq: &mut u64,
    ) -> Result<(), CopyError> {
        if records.is_empty() {
            return Ok(());
        }
        let batch = Batch::new(records).map_err(|error| at_target(failed(path, error.into())))?;
        self.send(path, Write::records(batch), *seq).await?;
        *seq += 1;
        Ok(())
    }

    async fn close(&self, path: &StreamPath, seq: u64) -> Result<(), CopyError> {
        self.send(path, Write::end(None), seq).await
    }

    async fn send(&self, path: &StreamPath, write: Write, seq: u64) -> Result<(), CopyError> {
        let id = PRODUCER.parse().map_err(|error| {
            let error: crate::BadProducer = error;
            at_target(failed(path, error.into()))
        })?;
        // The same stamp each time: what was written and not answered is written once.
        let by = Some(ProducerStamp { id, epoch: self.run, seq });
        let write = Write { by, ..write };
        let written = patiently(|| self.to.write(path, write.clone())).await;
        written.map(drop).map_err(at_target)
    }
}

/// Whether two streams are the same but for their records.
fn alike(here: &Head, there: &Head) -> Result<(), CopyError> {
    if !here.content_type.is_like(&there.content_type) {
        return Err(CopyError::Another { what: "it has another content type" });
    }
    if here.expiry != there.expiry {
        return Err(CopyError::Another { what: "it expires at another time" });
    }
    if here.closed != there.closed {
        return Err(CopyError::Another { what: "one is closed and the other is not" });
    }
    Ok(())
}

/// A stream that is read page by page.
struct Reading<'a> {
    store: &'a Arc<dyn StreamStore>,
    path: &'a StreamPath,
    at: Offset,
    /// Whether it was closed when it was read last.
    closed: Option<bool>,
}

impl<'a> Reading<'a> {
    fn of(store: &'a Arc<dyn StreamStore>, path: &'a StreamPath) -> Self {
        Self { store, path, at: Offset::Start, closed: None }
    }

    /// The next page; `None` = there is no more now.
    async fn next(&mut self) -> Result<Option<Page>, StreamError> {
        let page = patiently(|| self.store.read(self.path, self.at.clone(), RECORDS_MAX)).await?;
        self.at = page.next.clone();
        self.closed = Some(page.head.closed);
        Ok(if page.records.is_empty() { None } else { Some(page) })
    }
}

/// Asks again when a store is busy or does not answer, for some seconds.
async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T, StreamError>
where
    F: Future<Output = Result<T, StreamError>>,
{
    let mut pause = BACK_OFF_FIRST;
    for _ in 1..ATTEMPTS_MAX {
        match ask().await {
            Err(StreamError::Busy | StreamError::Failed { .. }) => {}
            done => return done,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    ask().await
}

fn at_source(source: StreamError) -> CopyError {
    CopyError::Source { source }
}

fn at_target(source: StreamError) -> CopyError {
    CopyError::Target { source }
}

fn failed(path: &StreamPath, source: Box<dyn std::error::Error + Send + Sync>) -> StreamError {
    StreamError::Failed { path: path.clone(), tried: "copied", source }
}
