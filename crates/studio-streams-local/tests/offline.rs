//! What looks after a store that no server has open.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use bytes::Bytes;
use redb::TableDefinition;
use serde_json::{Value, json};
use studio_streams::{
    Batch, CreateOptions, Expiry, Fork, Offset, ProducerStamp, StreamPath, StreamStore, Write,
};
use studio_streams_local::{
    LocalStreams, OpenError, Options,
    engine::DiskEngine,
    offline::{self, DumpError, Dumped, Report},
};

fn path(text: &str) -> StreamPath {
    text.parse().unwrap()
}

fn batch<const N: usize>(records: [&str; N]) -> Batch {
    Batch::new(records.map(|record| Bytes::copy_from_slice(record.as_bytes())).to_vec()).unwrap()
}

fn open(dir: &Path) -> LocalStreams {
    LocalStreams::open(dir, Options::default()).unwrap()
}

/// A store with something of everything.
async fn filled(dir: &Path) {
    let store = open(dir);
    let source = path("session/a");
    store.create(&source, CreateOptions::default()).await.unwrap();
    store.append(&source, batch(["1", "{\"two\":\n2}", "3"]), None).await.unwrap();
    let by = |seq| Some(ProducerStamp { id: "p".parse().unwrap(), epoch: 1, seq });
    store.append(&source, batch(["4"]), by(0)).await.unwrap();
    let fork = Fork { at: Some(Offset::Position(1)), plus: 1, ..Fork::of(source.clone()) };
    let options = CreateOptions { fork: Some(fork), ..CreateOptions::default() };
    store.create(&path("session/fork"), options).await.unwrap();
    store.append(&path("session/fork"), batch(["5"]), by(0)).await.unwrap();
    store.append(&source, batch(["6"]), by(1)).await.unwrap();
    store.delete(&source).await.unwrap();
    let text = CreateOptions {
        content_type: Some("text/plain".parse().unwrap()),
        expiry: Some(Expiry::AfterSeconds(86_400)),
        initial: Some(batch(["some \"text\""])),
        ..CreateOptions::default()
    };
    store.create(&path("text"), text).await.unwrap();
    let bytes = Batch::new(vec![Bytes::from_static(&[0xff, 0])]).unwrap();
    store.write(&path("text"), Write::end(Some(bytes))).await.unwrap();
    store.stop().await;
}

fn check(dir: &Path) -> Report {
    offline::check(dir, &mut |_| {}).unwrap()
}

fn dump(dir: &Path, prefix: &str) -> (Dumped, Vec<Value>) {
    let mut out = Vec::new();
    let dumped = offline::dump(dir, prefix, &mut out, &mut |_| {}).unwrap();
    let lines = String::from_utf8(out).unwrap();
    let mut lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &mut lines {
        if let Some(at) = line.get_mut("at") {
            assert!(at.is_u64());
            *at = json!("some time");
        }
    }
    (dumped, lines)
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(path).unwrap()))
        .collect()
}

#[tokio::test]
async fn a_sound_store_is_called_sound_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let before = files(dir.path());
    let report = check(dir.path());
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.format, report.streams, report.records), (2, 3, 9));
    assert_eq!((report.producers, report.leftovers), (2, 0));
    dump(dir.path(), "");
    assert_eq!(files(dir.path()), before);
}

#[tokio::test]
async fn a_store_that_was_killed_is_looked_at_with_its_journal() {
    let dir = tempfile::tempdir().unwrap();
    let killed = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.create(&path("a"), CreateOptions::default()).await.unwrap();
    store.append(&path("a"), batch(["1"]), None).await.unwrap();
    for name in ["streams.redb", "streams.journal"] {
        fs::copy(dir.path().join(name), killed.path().join(name)).unwrap();
    }
    store.stop().await;
    let before = files(killed.path());
    let report = check(killed.path());
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.streams, report.records), (1, 1));
    let (dumped, _) = dump(killed.path(), "");
    assert_eq!((dumped.streams, dumped.records), (1, 1));
    let mut after = files(killed.path());
    after.remove(&killed.path().join("streams.lock").display().to_string());
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_store_in_use_or_not_there_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut none = Vec::new();
    let refusals = [
        offline::check(dir.path(), &mut |_| {}).err(),
        offline::compact(dir.path(), &mut |_| {}).err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Some(OpenError::InUse { .. })), "{refusal:?}");
    }
    let refused = offline::dump(dir.path(), "", &mut none, &mut |_| {});
    assert!(matches!(refused, Err(DumpError::Open(OpenError::InUse { .. }))), "{refused:?}");
    store.stop().await;
    let empty = tempfile::tempdir().unwrap();
    for missing in [dir.path().join("missing").as_path(), empty.path()] {
        let refused = offline::check(missing, &mut |_| {});
        assert!(matches!(refused, Err(OpenError::Directory { .. })), "{refused:?}");
        assert!(!missing.join("streams.redb").exists());
    }
    let missing = dir.path().join("missing");
    offline::compact(&missing, &mut |_| {}).unwrap_err();
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_dump_has_a_line_for_every_stream_record_and_producer() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let (dumped, lines) = dump(dir.path(), "");
    assert_eq!((dumped.streams, dumped.records), (3, 10));
    assert_eq!(dumped.problems, Vec::<String>::new());
    let offset = |at: u64| format!("{at:020}");
    let producer = |last_seq: u64| json!({"producer": "p", "epoch": 1, "last_seq": last_seq, "at": "some time"});
    let json_type = "application/json";
    let fork = json!({"source": "session/a", "at": 1, "plus": 1});
    let expected = [
        json!({"stream": "session/a", "id": 1, "content_type": json_type, "deleted": true, "forks": 1}),
        json!({"offset": offset(1), "json": 1}),
        json!({"offset": offset(11), "json": {"two": 2}}),
        json!({"offset": offset(12), "json": 3}),
        json!({"offset": offset(13), "json": 4}),
        json!({"offset": offset(14), "json": 6}),
        producer(1),
        json!({"stream": "session/fork", "id": 2, "content_type": json_type, "expiry_inherited": true, "fork": fork}),
        json!({"offset": offset(1), "json": 1}),
        json!({"offset": offset(11), "json": {"two": 2}}),
        json!({"offset": offset(12), "json": 5}),
        producer(0),
        json!({"stream": "text", "id": 3, "content_type": "text/plain", "expiry": {"after_seconds": 86_400}, "closed": true}),
        json!({"offset": offset(11), "text": "some \"text\""}),
        json!({"offset": offset(13), "base64": "/wA="}),
    ];
    assert_eq!(lines, expected);
    assert_eq!(dump(dir.path(), "session/f").1, expected[7..12]);
}

#[tokio::test]
async fn compacting_removes_what_deleted_streams_left() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let store = open(dir.path());
    let big = CreateOptions {
        initial: Some(Batch::new(vec![Bytes::from(vec![b'1'; 4_000]); 1_000]).unwrap()),
        ..CreateOptions::default()
    };
    store.create(&path("big"), big).await.unwrap();
    store.delete(&path("big")).await.unwrap();
    store.stop().await;
    let compacted = offline::compact(dir.path(), &mut |_| {}).unwrap();
    assert!(compacted.bytes_after < compacted.bytes_before, "{compacted}");
    let report = check(dir.path());
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.streams, report.records, report.leftovers), (3, 9, 0));
}

/// Changes the tables' file behind the store's back.
fn tamper(dir: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = redb::Database::open(dir.join("streams.redb")).unwrap();
    let write = database.begin_write().unwrap();
    change(&write);
    write.commit().unwrap();
}

const STREAMS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("streams-2");
const RECORDS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("records");
const APPENDS: TableDefinition<'_, (u64, u64), u64> = TableDefinition::new("appends");
const PRODUCERS: TableDefinition<'_, (u64, &str), (u64, u64, u64)> =
    TableDefinition::new("producers-2");
const DUE: TableDefinition<'_, (u64, u64), &str> = TableDefinition::new("due");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

#[tokio::test]
async fn whatever_does_not_agree_is_found() {
    type Change = fn(&redb::WriteTransaction);
    let damages: [(&str, Change); 10] = [
        ("that ends at 12, behind 1", |write| {
            write.open_table(RECORDS).unwrap().remove((1, 11)).unwrap();
        }),
        ("has no place 1", |write| {
            write.open_table(RECORDS).unwrap().remove((1, 1)).unwrap();
        }),
        ("belongs to no stream (id 9)", |write| {
            write.open_table(RECORDS).unwrap().insert((9, 1), &b"1"[..]).unwrap();
        }),
        ("producer q belongs to no stream", |write| {
            write.open_table(PRODUCERS).unwrap().insert((9, "q"), (1, 0, 0)).unwrap();
        }),
        ("counts 1 producers and has 2", |write| {
            write.open_table(PRODUCERS).unwrap().insert((1, "q"), (1, 0, 0)).unwrap();
        }),
        ("has an append from 0 to 2", |write| {
            write.open_table(APPENDS).unwrap().insert((1, 0), 2).unwrap();
        }),
        ("counts 1 forks and has 0", |write| {
            write.open_table(STREAMS).unwrap().remove("session/fork").unwrap();
        }),
        ("is a fork of session/a, which is not there", |write| {
            write.open_table(STREAMS).unwrap().remove("session/a").unwrap();
        }),
        ("whether stream text is over", |write| {
            let mut due = write.open_table(DUE).unwrap();
            due.pop_first().unwrap();
        }),
        ("which is not in use", |write| {
            write.open_table(NUMBERS).unwrap().insert("next-id", 2).unwrap();
        }),
    ];
    for (words, change) in damages {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path()).await;
        tamper(dir.path(), change);
        let report = check(dir.path());
        assert!(report.problems.iter().any(|problem| problem.contains(words)), "{words}: {report}");
        assert!(!report.is_sound() && report.to_string().contains("damaged"), "{report}");
    }
}

#[tokio::test]
async fn a_damaged_journal_is_told_and_what_stands_before_is_dumped() {
    let dir = tempfile::tempdir().unwrap();
    let killed = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.create(&path("a"), CreateOptions::default()).await.unwrap();
    for record in ["1", "\"a mark\"", "3"] {
        store.append(&path("a"), batch([record]), None).await.unwrap();
    }
    for name in ["streams.redb", "streams.journal"] {
        fs::copy(dir.path().join(name), killed.path().join(name)).unwrap();
    }
    store.stop().await;
    let journal = killed.path().join("streams.journal");
    let mut bytes = fs::read(&journal).unwrap();
    let at = bytes.windows(6).position(|window| window == b"a mark").unwrap();
    bytes[at] ^= 1;
    fs::write(&journal, bytes).unwrap();

    let refused = LocalStreams::open(killed.path(), Options::default());
    let Err(OpenError::Engine { source, .. }) = refused else { panic!("{refused:?}") };
    let words = source.to_string();
    assert!(words.contains("breaks off after commit 2"), "{words}");
    assert!(words.contains("studio streams check"), "{words}");
    let report = check(killed.path());
    assert_eq!(report.problems.len(), 1, "{report}");
    let (dumped, lines) = dump(killed.path(), "");
    assert_eq!((dumped.streams, dumped.records, dumped.problems.len()), (1, 1, 1));
    assert!(lines[0]["problem"].as_str().unwrap().contains("breaks off"));
}

#[tokio::test]
async fn of_a_file_with_damaged_pages_is_dumped_what_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for name in 0..40 {
        let records = vec![Bytes::from(format!("\"{name:03} {}\"", "x".repeat(2_000))); 20];
        let initial = Some(Batch::new(records).unwrap());
        let options = CreateOptions { initial, ..CreateOptions::default() };
        store.create(&path(&format!("stream-{name:02}")), options).await.unwrap();
    }
    store.stop().await;
    let file = dir.path().join("streams.redb");
    let mut bytes = fs::read(&file).unwrap();
    // Every page of records from one stream on: the bytes before the record tell of the page.
    let at = bytes.windows(5).position(|window| window == b"\"020 ").unwrap();
    let page = at / 4_096 * 4_096;
    bytes[page..page + 4_096].fill(0x5a);
    fs::write(&file, bytes).unwrap();
    let report = check(dir.path());
    assert!(!report.is_sound(), "{report}");
    let (dumped, _) = dump(dir.path(), "");
    assert!(!dumped.problems.is_empty(), "{dumped:?}");
    assert!(400 < dumped.records, "{dumped:?}");
}

/// Bytes of a page of the tables' file.
const PAGE_BYTES: usize = 4_096;

#[tokio::test]
async fn whichever_page_is_damaged_it_is_told_and_nothing_panics() {
    let made = tempfile::tempdir().unwrap();
    // What lies in the journal alone changes the tables before they are looked at.
    let store = open(made.path());
    for name in 0..4 {
        let records = vec![Bytes::from(vec![b'1'; 1_000]); 10];
        let initial = Some(Batch::new(records).unwrap());
        let options = CreateOptions { initial, ..CreateOptions::default() };
        store.create(&path(&format!("tables-{name}")), options).await.unwrap();
    }
    store.stop().await;
    let engine = Arc::new(DiskEngine::open(made.path(), &Options::default()).unwrap());
    let store = LocalStreams::over(engine.clone(), &Options::default()).unwrap();
    store.append(&path("tables-0"), batch(["1", "2"]), None).await.unwrap();
    store.delete(&path("tables-1")).await.unwrap();
    let (tables, journal) = {
        let _still = engine.pause();
        let read = |name| fs::read(made.path().join(name)).unwrap();
        (read("streams.redb"), read("streams.journal"))
    };
    store.stop().await;
    let dir = tempfile::tempdir().unwrap();
    let look = |tables: &[u8]| {
        fs::write(dir.path().join("streams.redb"), tables).unwrap();
        fs::write(dir.path().join("streams.journal"), &journal).unwrap();
        let mut out = Vec::new();
        let report = offline::check(dir.path(), &mut |_| {});
        let dumped = offline::dump(dir.path(), "", &mut out, &mut |_| {});
        let refused = report.as_ref().err().or(match &dumped {
            Err(DumpError::Open(error)) => Some(error),
            Ok(_) | Err(_) => None,
        });
        // The directory is free again, whatever came of it.
        assert!(!matches!(refused, Some(OpenError::InUse { .. })), "{refused:?}");
        (report.is_ok_and(|report| report.is_sound()), out)
    };
    let (is_sound, whole) = look(&tables);
    assert!(is_sound);
    let mut told = 0;
    for page in 0..tables.len() / PAGE_BYTES {
        let mut damaged = tables.clone();
        damaged[page * PAGE_BYTES..][..PAGE_BYTES].fill(0x5a);
        let (is_sound, out) = look(&damaged);
        // A page that nothing lies in makes no difference.
        assert!(!is_sound || out == whole, "page {page} is damaged and nobody tells");
        told += usize::from(!is_sound);
        match LocalStreams::open(dir.path(), Options::default()) {
            Ok(store) => store.stop().await,
            Err(OpenError::InUse { .. }) => panic!("page {page}: the directory is not free"),
            Err(_damaged) => {}
        }
    }
    assert!(10 < told, "of {told} damaged pages it was told");
}
