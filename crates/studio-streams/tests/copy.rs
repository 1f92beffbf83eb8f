//! Copying all streams of one store into another, whatever comes in between.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use studio_streams::{
    Batch, ContentType, CreateOptions, Created, Disturb, Expiry, Fork, Head, MemoryStreams, Offset,
    Page, StreamError, StreamPath, StreamStore, Write, Written,
    copy::{CopyError, CopyOptions, CopyProgress, CopyReport, copy},
};

/// A store in memory with a fate.
#[derive(Default)]
struct Target {
    store: MemoryStreams,
    /// Answers that are lost after the write.
    losses: AtomicUsize,
    /// Writes after which it takes and gives nothing any more; 0 = never.
    dies_after: AtomicUsize,
    writes: AtomicUsize,
    /// Writes JSON in its own way, cuts bytes in its own way.
    has_own_ways: bool,
}

impl Target {
    fn dying_after(writes: usize) -> Self {
        Self { dies_after: writes.into(), ..Self::default() }
    }

    fn in_its_own_ways(write: Write, content_type: &ContentType) -> Write {
        let Some(batch) = write.batch().cloned() else { return write };
        let records = batch.into_records();
        let records = if content_type.is_json() {
            let again = |record: &Bytes| {
                let value: serde_json::Value = serde_json::from_slice(record).unwrap();
                Bytes::from(serde_json::to_string_pretty(&value).unwrap())
            };
            records.iter().map(again).collect()
        } else {
            let all = records.concat();
            all.chunks(7).map(Bytes::copy_from_slice).collect()
        };
        let batch = Batch::new(records).unwrap();
        let (by, closes) = (write.by.clone(), write.closes());
        let mut write = if closes { Write::end(Some(batch)) } else { Write::records(batch) };
        write.by = by;
        write
    }

    /// The store, as long as it lives.
    fn alive(&self, path: &StreamPath) -> Result<&MemoryStreams, StreamError> {
        let limit = self.dies_after.load(SeqCst);
        let is_dead = 0 < limit && limit <= self.writes.load(SeqCst);
        if is_dead { Err(dead(path)) } else { Ok(&self.store) }
    }
}

fn dead(path: &StreamPath) -> StreamError {
    StreamError::Failed { path: path.clone(), tried: "reached", source: "it is dead".into() }
}

#[async_trait]
impl Disturb for Target {
    fn inner(&self) -> &dyn StreamStore {
        &self.store
    }

    async fn on_create(
        &self,
        path: &StreamPath,
        options: CreateOptions,
    ) -> Result<Created, StreamError> {
        self.alive(path)?.create(path, options).await
    }

    async fn on_write(&self, path: &StreamPath, write: Write) -> Result<Written, StreamError> {
        self.alive(path)?;
        self.writes.fetch_add(1, SeqCst);
        let write = match self.has_own_ways {
            true => Self::in_its_own_ways(write, &self.store.head(path).await?.content_type),
            false => write,
        };
        let written = self.store.write(path, write).await;
        tokio::task::yield_now().await;
        let lost = self.losses.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if lost { Err(dead(path)) } else { written }
    }

    async fn on_read(
        &self,
        path: &StreamPath,
        from: Offset,
        max: usize,
    ) -> Result<Page, StreamError> {
        self.alive(path)?.read(path, from, max).await
    }

    async fn on_head(&self, path: &StreamPath) -> Result<Head, StreamError> {
        self.alive(path)?.head(path).await
    }
}

fn path(text: &str) -> StreamPath {
    text.parse().unwrap()
}

async fn add(store: &dyn StreamStore, name: &str, records: impl IntoIterator<Item = String>) {
    for record in records {
        let batch = Batch::new(vec![record.into()]).unwrap();
        store.append(&path(name), batch, None).await.unwrap();
    }
}

fn values(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|n| format!(r#"{{"n":{n},"a":[1.0,"é",null]}}"#))
}

/// A store with some of everything, in small pages.
async fn full() -> Arc<MemoryStreams> {
    let store = Arc::new(MemoryStreams::new().with_page_bytes(300));
    let of = |kind: &str| CreateOptions {
        content_type: Some(kind.parse().unwrap()),
        ..CreateOptions::default()
    };
    let json = CreateOptions::default;
    for n in 0..20 {
        let name = format!("session/{n}");
        store.create(&path(&name), json()).await.unwrap();
        add(&*store, &name, values(0..n * 7)).await;
    }
    let ttl = CreateOptions { expiry: Some(Expiry::AfterSeconds(9_999)), ..json() };
    store.create(&path("with/ttl"), ttl).await.unwrap();
    let end = CreateOptions { expiry: Some(Expiry::AtMillis(4_102_444_800_000)), ..json() };
    store.create(&path("with/end"), end).await.unwrap();
    add(&*store, "with/end", values(0..3)).await;
    store.create(&path("closed/full"), json()).await.unwrap();
    add(&*store, "closed/full", values(0..40)).await;
    store.close(&path("closed/full")).await.unwrap();
    let empty = CreateOptions { closed: true, ..json() };
    store.create(&path("closed/empty"), empty).await.unwrap();
    store.create(&path("bytes"), of("application/octet-stream")).await.unwrap();
    add(&*store, "bytes", (0..40).map(|n| "x".repeat(n + 1))).await;
    store.create(&path("text"), of("text/plain; charset=utf-8")).await.unwrap();
    add(&*store, "text", ["one\n".to_owned(), "two\n".to_owned()]).await;
    let fork = CreateOptions { fork: Some(Fork::of(path("closed/full"))), ..json() };
    store.create(&path("a-fork"), fork).await.unwrap();
    add(&*store, "a-fork", values(40..50)).await;
    store.create(&path("registry-snapshots/1"), json()).await.unwrap();
    store
}

async fn paths(store: &dyn StreamStore) -> Vec<StreamPath> {
    store.list("", None, 1_000).await.unwrap()
}

/// Everything that the two stores must have in common.
async fn is_alike(one: &dyn StreamStore, other: &dyn StreamStore) {
    assert_eq!(paths(one).await, paths(other).await);
    for path in paths(one).await {
        let [a, b] = [one.head(&path).await.unwrap(), other.head(&path).await.unwrap()];
        assert_eq!((a.closed, a.content_type, a.expiry), (b.closed, b.content_type, b.expiry));
        assert_eq!(all(one, &path).await, all(other, &path).await, "{path}");
    }
}

async fn all(store: &dyn StreamStore, path: &StreamPath) -> Vec<Bytes> {
    let mut from = Offset::Start;
    let mut found = Vec::new();
    loop {
        let page = store.read(path, from, 10_000).await.unwrap();
        found.extend(page.records.into_iter().map(|record| record.data));
        if page.up_to_date {
            return found;
        }
        from = page.next;
    }
}

fn options(run: u64) -> CopyOptions {
    CopyOptions { run, leave_out: Vec::new(), at_once: 4 }
}

async fn run(
    from: &Arc<MemoryStreams>,
    to: &Arc<impl StreamStore + 'static>,
    options: CopyOptions,
) -> Result<CopyReport, CopyError> {
    let progress = Arc::new(CopyProgress::default());
    let report = copy(from.clone(), to.clone(), options, progress.clone()).await?;
    if report.failures == 0 {
        assert_eq!(progress.streams.load(SeqCst), report.streams + report.gone);
        assert_eq!(progress.records.load(SeqCst), report.records);
        assert_eq!(progress.bytes.load(SeqCst), report.bytes);
    }
    Ok(report)
}

#[tokio::test]
async fn everything_is_copied_and_a_second_run_changes_nothing() {
    let (from, to) = (full().await, Arc::new(MemoryStreams::new()));
    let report = run(&from, &to, options(1)).await.unwrap();
    is_alike(&*from, &*to).await;
    assert_eq!((report.streams, report.records_before, report.failures), (28, 0, 0));
    let again = run(&from, &to, options(2)).await.unwrap();
    is_alike(&*from, &*to).await;
    assert_eq!((again.records_before, again.checksum), (again.records, report.checksum));
    // And back: the same sum says that the same came home.
    let home = Arc::new(MemoryStreams::new());
    let back = run(&to, &home, options(3)).await.unwrap();
    is_alike(&*from, &*home).await;
    assert_eq!((back.checksum, back.bytes), (report.checksum, report.bytes));
}

#[tokio::test]
async fn what_came_since_is_added_by_the_next_run() {
    let (from, to) = (full().await, Arc::new(MemoryStreams::new()));
    let first = run(&from, &to, options(1)).await.unwrap();
    add(&*from, "session/3", values(21..30)).await;
    add(&*from, "bytes", ["more".to_owned()]).await;
    from.close(&path("session/3")).await.unwrap();
    from.create(&path("session/new"), CreateOptions::default()).await.unwrap();
    let second = run(&from, &to, options(2)).await.unwrap();
    is_alike(&*from, &*to).await;
    assert_eq!(second.records - second.records_before, 10);
    assert_ne!(second.checksum, first.checksum);
}

#[tokio::test]
async fn what_is_to_be_left_out_is() {
    let (from, to) = (full().await, Arc::new(MemoryStreams::new()));
    let leave_out = vec!["registry-snapshots/".to_owned(), "session/1".to_owned()];
    let report = run(&from, &to, CopyOptions { leave_out, ..options(1) }).await.unwrap();
    assert_eq!((report.left_out, report.streams), (12, 16));
    assert!(paths(&*to).await.iter().all(|path| !path.as_str().starts_with("registry-")));
}

#[tokio::test(start_paused = true)]
async fn lost_answers_double_nothing() {
    for losses in 1..=5 {
        let to = Arc::new(Target { losses: losses.into(), ..Target::default() });
        let from = full().await;
        run(&from, &to, CopyOptions { at_once: 1, ..options(1) }).await.unwrap();
        is_alike(&*from, &to.store).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_dies_anywhere_is_gone_on_with() {
    let from = full().await;
    let whole = Arc::new(Target::default());
    run(&from, &whole, options(1)).await.unwrap();
    let writes = whole.writes.load(SeqCst);
    assert!(50 < writes, "{writes}");
    for dies_after in 1..writes {
        let to = Arc::new(Target::dying_after(dies_after));
        // The last answer is lost as well, so nobody knows whether it was written.
        to.losses.store(usize::from(dies_after % 2 == 0), SeqCst);
        let died = run(&from, &to, options(1)).await.unwrap_err();
        assert!(matches!(died, CopyError::Target { source: StreamError::Failed { .. } }));
        to.dies_after.store(0, SeqCst);
        let report = run(&from, &to, options(2)).await.unwrap();
        is_alike(&*from, &to.store).await;
        assert_eq!((report.streams, report.failures), (28, 0));
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_anywhere_is_gone_on_with() {
    let from = full().await;
    for polls in [1, 3, 10, 30, 60, 100, 130] {
        let to = Arc::new(Target::default());
        let mut copying = Box::pin(run(&from, &to, CopyOptions { at_once: 3, ..options(1) }));
        for _ in 0..polls {
            tokio::select! {
                biased;
                done = &mut copying => { done.unwrap(); break; }
                () = tokio::task::yield_now() => {}
            }
        }
        drop(copying);
        run(&from, &to, options(2)).await.unwrap();
        is_alike(&*from, &to.store).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_may_have_its_own_ways_to_write_json_and_to_cut_bytes() {
    let from = full().await;
    for dies_after in [0, 5, 20, 35, 50] {
        let to = Arc::new(Target {
            has_own_ways: true,
            dies_after: dies_after.into(),
            ..Target::default()
        });
        if 0 < dies_after {
            run(&from, &to, options(1)).await.unwrap_err();
            to.dies_after.store(0, SeqCst);
        }
        let report = run(&from, &to, options(2)).await.unwrap();
        assert_eq!((report.streams, report.failures), (28, 0));
        let bytes = all(&to.store, &path("bytes")).await.concat();
        assert_eq!(bytes, all(&*from, &path("bytes")).await.concat());
        // And what comes home is what left, by its sum.
        let there = Arc::new(to.store.clone());
        let back = run(&there, &Arc::new(MemoryStreams::new()), options(1)).await.unwrap();
        assert_eq!(back.checksum, report.checksum);
    }
}

#[tokio::test]
async fn another_stream_at_the_target_is_left_alone_and_told() {
    let from = Arc::new(MemoryStreams::new());
    let to = Arc::new(MemoryStreams::new());
    let json = CreateOptions::default;
    for name in ["other", "longer", "closed", "kind", "expiry", "good"] {
        from.create(&path(name), json()).await.unwrap();
        add(&*from, name, values(0..3)).await;
    }
    let text = Some("text/plain".parse().unwrap());
    let expiry = Some(Expiry::AfterSeconds(60));
    for (name, options, records) in [
        ("other", json(), values(1..2)),
        ("longer", json(), values(0..4)),
        ("closed", json(), values(0..2)),
        ("kind", CreateOptions { content_type: text, ..json() }, values(0..0)),
        ("expiry", CreateOptions { expiry, ..json() }, values(0..0)),
    ] {
        to.create(&path(name), options).await.unwrap();
        add(&*to, name, records).await;
    }
    to.close(&path("closed")).await.unwrap();
    let before = all(&*to, &path("other")).await;
    let report = run(&from, &to, options(1)).await.unwrap();
    assert_eq!((report.streams, report.failures), (1, 5));
    let mut failed: Vec<&str> = report.failed.iter().map(|failed| failed.path.as_str()).collect();
    failed.sort_unstable();
    assert_eq!(failed, ["closed", "expiry", "kind", "longer", "other"]);
    assert!(report.failed.iter().all(|f| matches!(f.error, CopyError::Another { .. })));
    assert_eq!(all(&*to, &path("other")).await, before);
}

#[tokio::test]
async fn a_target_that_writes_something_else_is_found_out() {
    /// Loses the second record of every batch.
    struct Careless(MemoryStreams);
    #[async_trait]
    impl Disturb for Careless {
        fn inner(&self) -> &dyn StreamStore {
            &self.0
        }

        async fn on_write(&self, path: &StreamPath, write: Write) -> Result<Written, StreamError> {
            let by = write.by.clone();
            let mut records = write.into_batch().unwrap().into_records();
            if 1 < records.len() {
                records.remove(1);
            }
            let mut write = Write::records(Batch::new(records).unwrap());
            write.by = by;
            self.0.write(path, write).await
        }
    }
    let from = Arc::new(MemoryStreams::new());
    from.create(&path("a"), CreateOptions::default()).await.unwrap();
    add(&*from, "a", values(0..5)).await;
    let to = Arc::new(Careless(MemoryStreams::new()));
    let report = run(&from, &to, options(1)).await.unwrap();
    let [failed] = &report.failed[..] else { panic!("{report:?}") };
    assert!(matches!(failed.error, CopyError::NotAlike { here: 5, there: 4, .. }), "{failed:?}");
}

#[tokio::test]
async fn a_newer_run_ends_an_older_one() {
    let (from, to) = (full().await, Arc::new(MemoryStreams::new()));
    add(&*from, "session/0", values(0..1)).await;
    run(&from, &to, options(7)).await.unwrap();
    add(&*from, "session/0", values(1..2)).await;
    let refused = run(&from, &to, options(6)).await.unwrap_err();
    let fenced = matches!(refused, CopyError::Target { source: StreamError::Fenced { .. } });
    assert!(fenced, "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_answer_is_told_soon() {
    let from: Arc<dyn StreamStore> = Arc::new(Target::dying_after(1));
    from.create(&path("a"), CreateOptions::default()).await.unwrap();
    add(&*from, "a", values(0..1)).await;
    let to: Arc<dyn StreamStore> = Arc::new(MemoryStreams::new());
    let copying = copy(from, to, options(1), Arc::default());
    let failed = tokio::time::timeout(Duration::from_secs(60), copying).await.unwrap();
    assert!(matches!(failed, Err(CopyError::Source { .. })));
}
