use std::sync::Arc;

use studio_events::RegistryEntry;
use studio_ids::InstanceId;
use studio_streams::{
    CreateOptions, Offset, ProducerId, SessionWriter, StreamError, StreamPath, StreamStore,
};

use crate::{RegistryError, decode::Decoder, registry::Clock, snapshot, table::Table};

/// Most records that are asked for at once; a page ends after about a mebibyte anyway.
pub(crate) const PAGE_RECORDS_MAX: usize = 1_000;
/// How often a start tries to take the lease while another server takes it too.
const TAKE_OVER_ATTEMPTS_MAX: u32 = 5;

/// What a start found, with the right to write on.
pub(crate) struct Loaded {
    pub(crate) table: Table,
    pub(crate) writer: SessionWriter,
    pub(crate) tail: Tail,
    /// The place that was read up to: behind this server's own first entry.
    pub(crate) read_to: Offset,
}

/// How much lies behind the last snapshot, and where the table stands.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    /// Size of the last snapshot; 0 = there is none.
    pub(crate) snapshot_bytes: usize,
    /// The place in the stream that the table is a fold up to; `None` = not known just now.
    pub(crate) covered: Option<Offset>,
}

/// The name under which servers write the registry, one after the other.
pub(crate) fn producer() -> Result<ProducerId, StreamError> {
    "registry".parse().map_err(|source| StreamError::Failed {
        path: StreamPath::registry(),
        tried: "taken over",
        source: Box::new(source),
    })
}

/// Reads the newest snapshot and all that follows it, then takes the lease.
pub(crate) async fn load(
    store: &Arc<dyn StreamStore>,
    instance: InstanceId,
    clock: &Clock,
) -> Result<Loaded, RegistryError> {
    let read = |source| RegistryError::Read { source: Arc::new(source) };
    let path = StreamPath::registry();
    store.create(&path, CreateOptions::default()).await.map_err(read)?;

    let mut fold = Fold::start(store).await.map_err(read)?;
    fold.read_on(store).await.map_err(read)?;
    let writer = take_over(&mut fold, store, instance, clock).await?;
    // What another server wrote before it was fenced, and our own first entry.
    fold.read_on(store).await.map_err(read)?;
    fold.decoder.finish();

    let tail = Tail {
        entries: fold.entries,
        bytes: fold.bytes,
        snapshot_bytes: fold.snapshot_bytes,
        covered: Some(fold.next.clone()),
    };
    tracing::info!(
        registry.sessions = fold.table.len(),
        registry.tail = tail.entries,
        registry.lease = writer.epoch(),
        "the registry holds {} sessions",
        fold.table.len()
    );
    Ok(Loaded { table: fold.table, writer, tail, read_to: fold.next })
}

async fn take_over(
    fold: &mut Fold,
    store: &Arc<dyn StreamStore>,
    instance: InstanceId,
    clock: &Clock,
) -> Result<SessionWriter, RegistryError> {
    let mut lease = fold.table.lease + 1;
    let mut attempt = 1;
    loop {
        let failed = |source| RegistryError::TakeOver { lease, source: Arc::new(source) };
        let entry = RegistryEntry::WriterStarted { instance, lease, ts: clock() };
        // A value made of strings and numbers always serialises.
        let first = serde_json::to_vec(&entry).unwrap_or_default();
        let path = StreamPath::registry();
        let producer = producer().map_err(failed)?;
        match SessionWriter::take_over(store.clone(), path, producer, lease, first.into()).await {
            Ok(writer) => return Ok(writer),
            // Another server starts at the same time: the last one stays.
            Err(StreamError::Fenced { current, .. }) if attempt < TAKE_OVER_ATTEMPTS_MAX => {
                fold.read_on(store)
                    .await
                    .map_err(|source| RegistryError::Read { source: Arc::new(source) })?;
                lease = fold.table.lease.max(current) + 1;
                attempt += 1;
            }
            Err(source) => return Err(failed(source)),
        }
    }
}

/// A table that is being read.
struct Fold {
    table: Table,
    decoder: Decoder,
    next: Offset,
    entries: usize,
    bytes: usize,
    snapshot_bytes: usize,
}

impl Fold {
    /// Begins with the newest whole snapshot, or with nothing.
    async fn start(store: &Arc<dyn StreamStore>) -> Result<Self, StreamError> {
        let found = snapshot::newest(store).await?;
        let (table, next, snapshot_bytes) = match found {
            Some(found) => (found.table, found.offset, found.bytes),
            None => (Table::default(), Offset::Start, 0),
        };
        let mut fold =
            Self { table, decoder: Decoder::default(), next, entries: 0, bytes: 0, snapshot_bytes };
        if let Err(StreamError::BadOffset { offset, .. }) = fold.read_on(store).await {
            // The snapshot belongs to another life of this stream (a restored backup).
            tracing::warn!(
                stream.offset = %offset,
                "the registry's snapshot does not fit its stream and is not used"
            );
            fold = Self {
                table: Table::default(),
                decoder: Decoder::default(),
                next: Offset::Start,
                entries: 0,
                bytes: 0,
                snapshot_bytes: 0,
            };
        }
        Ok(fold)
    }

    /// Reads until up to date; no timer, no guess.
    async fn read_on(&mut self, store: &Arc<dyn StreamStore>) -> Result<(), StreamError> {
        let path = StreamPath::registry();
        loop {
            let page = store.read(&path, self.next.clone(), PAGE_RECORDS_MAX).await?;
            for record in &page.records {
                self.entries += 1;
                self.bytes += record.data.len();
                if let Some(entry) = self.decoder.entry(record) {
                    self.table.apply(entry);
                }
            }
            self.next = page.next;
            if page.up_to_date {
                return Ok(());
            }
        }
    }
}
