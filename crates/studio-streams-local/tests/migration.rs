//! Directories of format 1 are brought to this program's format, whenever the process dies.
//!
//! `fixtures/format-1.tar.gz` was written by the last program of that format and left as by a
//! kill: streams `session/tables-…` lie in its tables and streams `session/journal-…` in its
//! journal alone; of each kind one is open, one closed and one was deleted.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod dying;

use std::{path::Path, process::Command, sync::Arc};

use bytes::Bytes;
use studio_streams::{
    Appended, Batch, ContentType, CreateOptions, Fork, Offset, ProducerStamp, StreamError,
    StreamPath, StreamStore,
};
use studio_streams_local::{
    LocalStreams, Options,
    engine::{DiskEngine, LogEngine},
    offline,
};
use tempfile::TempDir;

use dying::{Dying, Life};

fn format_1() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1.tar.gz");
    let unpacked = Command::new("tar").args(["xzf", fixture, "-C"]).arg(dir.path()).status();
    assert!(unpacked.unwrap().success(), "this test needs tar and gzip");
    dir
}

fn path(text: &str) -> StreamPath {
    text.parse().unwrap()
}

fn batch(record: &'static str) -> Batch {
    Batch::new(vec![Bytes::from_static(record.as_bytes())]).unwrap()
}

fn by(epoch: u64, seq: u64) -> Option<ProducerStamp> {
    Some(ProducerStamp { id: "session:a".parse().unwrap(), epoch, seq })
}

async fn records(store: &LocalStreams, path: &StreamPath) -> Vec<String> {
    let page = store.read(path, Offset::Start, usize::MAX).await.unwrap();
    assert!(page.up_to_date);
    page.records.iter().map(|record| String::from_utf8(record.data.to_vec()).unwrap()).collect()
}

/// Everything that the old program acknowledged is there, and works on.
async fn is_whole(dir: &Path) {
    let report = offline::check(dir, &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report}");
    let store = LocalStreams::open(dir, Options::default()).unwrap();
    let paths = ["journal-closed", "journal-open", "tables-closed", "tables-open"];
    let paths = paths.map(|name| path(&format!("session/{name}")));
    assert_eq!(store.list("", None, 100).await.unwrap(), paths);
    let first = ["first 0", "first 1", "first 2", "by 0", "by 1", "by 0", "plain 0"];
    let first = first.map(|text| format!("\"{text}\""));
    for (path, closed) in paths.iter().zip([true, false, true, false]) {
        let late = (path.as_str() == "session/tables-open").then(|| "\"late 0\"".to_owned());
        let expected: Vec<_> = first.iter().cloned().chain(late.clone()).collect();
        assert_eq!(records(&store, path).await, expected);
        let head = store.head(path).await.unwrap();
        assert_eq!((head.closed, head.expiry), (closed, None));
        assert!(head.content_type.is_like(&ContentType::json()));
        if closed {
            let refused = store.append(path, batch("1"), None).await;
            assert!(matches!(refused, Err(StreamError::Closed { .. })), "{refused:?}");
            continue;
        }
        // The producer is known: a retry is one, a gap is refused, an older epoch is fenced.
        let last = if late.is_some() { 2 } else { 1 };
        let again = store.append(path, batch("1"), by(3, last)).await.unwrap();
        assert!(matches!(again, Appended::Duplicate { .. }), "{again:?}");
        let gap = store.append(path, batch("1"), by(3, last + 2)).await;
        assert!(matches!(gap, Err(StreamError::Gap { .. })), "{gap:?}");
        let fenced = store.append(path, batch("1"), by(2, 0)).await;
        assert!(matches!(fenced, Err(StreamError::Fenced { current: 3, .. })), "{fenced:?}");
        store.append(path, batch("1"), by(3, last + 1)).await.unwrap();
    }
    // The paths of the deleted ones are free, and what is new works on what is old.
    store.create(&path("session/tables-deleted"), CreateOptions::default()).await.unwrap();
    let fork = Some(Fork { plus: 1, at: Some(Offset::Position(9)), ..Fork::of(paths[1].clone()) });
    let made = CreateOptions { fork, ..CreateOptions::default() };
    store.create(&path("session/fork"), made).await.unwrap();
    assert_eq!(records(&store, &path("session/fork")).await, first[..2]);
    store.stop().await;
    let report = offline::check(dir, &mut |_| {}).unwrap();
    assert!(report.is_sound() && report.format == 2, "{report}");
}

#[tokio::test]
async fn a_directory_of_format_1_is_brought_to_this_format() {
    let dir = format_1();
    let report = offline::check(dir.path(), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.format, report.streams, report.producers), (1, 4, 5), "{report}");
    is_whole(dir.path()).await;
}

#[tokio::test]
async fn a_process_that_dies_while_it_brings_a_directory_to_this_format_loses_nothing() {
    let mut deaths = 0;
    for life in 0.. {
        let dir = format_1();
        let life = Life::of(life);
        let files = Dying { dir: dir.path().to_owned(), life: life.clone() };
        let opened = DiskEngine::over(Arc::new(files), &Options::default());
        let survived = !life.is_over();
        // What would be written at the end of a life is not written by one that is dead.
        life.end();
        if let Ok(engine) = opened {
            engine.close();
        }
        is_whole(dir.path()).await;
        if survived {
            break;
        }
        deaths += 1;
    }
    assert!(10 < deaths, "{deaths} deaths are too few to tell");
}
