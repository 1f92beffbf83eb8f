//! Streams that begin as a copy of another one.

use super::*;
use crate::{ContentType, Deleted, Expiry, Fork};

fn options(source: &StreamPath, at: Option<Offset>, plus: u64) -> CreateOptions {
    let fork = Some(Fork { source: source.clone(), at, plus });
    CreateOptions { fork, ..CreateOptions::default() }
}

async fn fork(
    store: &Arc<dyn StreamStore>,
    source: &StreamPath,
    name: &str,
    at: Option<Offset>,
) -> StreamPath {
    let path = path(name);
    assert!(store.create(&path, options(source, at, 0)).await.unwrap().is_new());
    path
}

/// The place after so many records.
async fn place(store: &Arc<dyn StreamStore>, path: &StreamPath, records: usize) -> Offset {
    match records {
        0 => Offset::Start,
        _ => store.read(path, Offset::Start, records).await.unwrap().next,
    }
}

async fn add(store: &Arc<dyn StreamStore>, path: &StreamPath, record: &str) {
    store.append(path, batch([record]), None).await.unwrap();
}

pub async fn a_fork_has_what_its_source_had_and_goes_its_own_way(store: Arc<dyn StreamStore>) {
    let source = stream_of(&store, "source", &numbers(0..3)).await;
    let copy = fork(&store, &source, "copy", None).await;
    assert_eq!(store.head(&copy).await.unwrap().tail, store.head(&source).await.unwrap().tail);
    add(&store, &source, "source's").await;
    add(&store, &copy, "copy's").await;
    assert_eq!(all(&store, &source).await, ["0", "1", "2", "source's"]);
    assert_eq!(all(&store, &copy).await, ["0", "1", "2", "copy's"]);
}

pub async fn a_fork_can_begin_at_every_place(store: Arc<dyn StreamStore>) {
    let source = stream_of(&store, "source", &numbers(0..4)).await;
    for records in 0..=4 {
        let at = place(&store, &source, records).await;
        let copy = fork(&store, &source, &format!("copy-{records}"), Some(at)).await;
        assert_eq!(all(&store, &copy).await, numbers(0..records));
        add(&store, &copy, "more").await;
        let found = all(&store, &copy).await;
        assert_eq!(found.last().map(String::as_str), Some("more"));
        assert_eq!(found.len(), records + 1);
    }
    assert_eq!(all(&store, &source).await, numbers(0..4));
}

pub async fn a_forks_pages_and_backwards_reads_cross_its_beginning(store: Arc<dyn StreamStore>) {
    let source = stream_of(&store, "source", &numbers(0..10)).await;
    let at = place(&store, &source, 5).await;
    let copy = fork(&store, &source, "copy", Some(at)).await;
    for number in 5..10 {
        add(&store, &copy, &format!("own {number}")).await;
    }
    let expected: Vec<String> =
        numbers(0..5).into_iter().chain((5..10).map(|n| format!("own {n}"))).collect();
    assert_eq!(all(&store, &copy).await, expected);
    for max in 1..=11 {
        let page = store.read_back(&copy, Offset::Now, max).await.unwrap();
        let found: Vec<_> = page.records.iter().map(|record| text(&record.data)).collect();
        assert_eq!(found, expected[10 - max.min(10)..]);
        let page = store.read(&copy, Offset::Start, max).await.unwrap();
        let found: Vec<_> = page.records.iter().map(|record| text(&record.data)).collect();
        assert_eq!(found, expected[..max.min(10)]);
    }
    let mut from = Offset::Start;
    for record in &expected {
        let page = store.read(&copy, from, 1).await.unwrap();
        assert_eq!(text(&page.records[0].data), *record);
        from = page.next;
    }
}

pub async fn a_follower_of_a_fork_gets_old_and_new_records(store: Arc<dyn StreamStore>) {
    let source = stream_of(&store, "source", &numbers(0..3)).await;
    let copy = fork(&store, &source, "copy", None).await;
    let mut follow = store.follow(&copy, Offset::Start).await.unwrap();
    assert_eq!(take(&mut follow, 3).await, numbers(0..3));
    add(&store, &source, "not for the copy").await;
    add(&store, &copy, "3").await;
    assert_eq!(take(&mut follow, 1).await, ["3"]);
}

pub async fn a_fork_can_take_a_part_of_an_append(store: Arc<dyn StreamStore>) {
    let source = stream_of(&store, "source", &[]).await;
    store.append(&source, batch(numbers(0..2)), None).await.unwrap();
    let at = store.append(&source, batch(numbers(2..3)), None).await.unwrap().next().clone();
    store.append(&source, batch(numbers(3..6)), None).await.unwrap();
    store.append(&source, batch(["after"]), None).await.unwrap();
    for plus in 0..=3 {
        let copy = path(&format!("copy-{plus}"));
        store.create(&copy, options(&source, Some(at.clone()), plus)).await.unwrap();
        assert_eq!(all(&store, &copy).await, numbers(0..3 + plus as usize));
        add(&store, &copy, "own").await;
        assert_eq!(all(&store, &copy).await.len(), 4 + plus as usize);
    }
    // The append after the place has three records, whatever follows it.
    let refused = store.create(&path("copy-4"), options(&source, Some(at), 4)).await;
    assert!(matches!(refused, Err(StreamError::BadFork { .. })), "{refused:?}");
    let refused = store.create(&path("copy-5"), options(&source, None, 1)).await;
    assert!(matches!(refused, Err(StreamError::BadFork { .. })), "{refused:?}");
}

pub async fn a_fork_of_text_can_take_a_part_of_a_record(store: Arc<dyn StreamStore>) {
    let source = path("source");
    let content_type = Some("text/plain".parse::<ContentType>().unwrap());
    let made = CreateOptions { content_type, ..CreateOptions::default() };
    store.create(&source, made).await.unwrap();
    let plain = |text: &str| Batch::new(vec![Bytes::from(text.to_owned())]).unwrap();
    let at = store.append(&source, plain("first"), None).await.unwrap().next().clone();
    store.append(&source, plain("second"), None).await.unwrap();
    let copy = path("copy");
    let initial = Some(plain("XY"));
    let sliced = CreateOptions { initial, ..options(&source, Some(at.clone()), 3) };
    store.create(&copy, sliced).await.unwrap();
    assert_eq!(all(&store, &copy).await.concat(), "firstsecXY");
    let refused = store.create(&path("copy-7"), options(&source, Some(at), 7)).await;
    assert!(matches!(refused, Err(StreamError::BadFork { .. })), "{refused:?}");
}

pub async fn a_fork_inherits_neither_the_end_nor_producers(store: Arc<dyn StreamStore>) {
    let source = stream_of(&store, "source", &[]).await;
    store.append(&source, batch(["0"]), Some(stamp("p", 7, 0))).await.unwrap();
    store.close(&source).await.unwrap();
    let copy = fork(&store, &source, "copy", None).await;
    assert!(!store.head(&copy).await.unwrap().closed);
    written(store.append(&copy, batch(["1"]), Some(stamp("p", 1, 0))).await);
    assert_eq!(all(&store, &copy).await, numbers(0..2));
}

pub async fn a_fork_is_made_once_and_only_in_its_own_way(store: Arc<dyn StreamStore>) {
    let source = stream_of(&store, "source", &numbers(0..3)).await;
    let at = place(&store, &source, 2).await;
    let copy = fork(&store, &source, "copy", Some(at.clone())).await;
    let again = store.create(&copy, options(&source, Some(at.clone()), 0)).await.unwrap();
    assert!(!again.is_new());
    let other = place(&store, &source, 1).await;
    for conflicting in [
        options(&source, Some(other), 0),
        options(&source, Some(at), 1),
        options(&path("another"), None, 0),
        CreateOptions::default(),
    ] {
        let conflict = store.create(&copy, conflicting).await;
        assert!(matches!(conflict, Err(StreamError::Conflict { .. })), "{conflict:?}");
    }
}

pub async fn what_cannot_be_forked_is_refused_and_leaves_nothing(store: Arc<dyn StreamStore>) {
    let source = stream_of(&store, "source", &numbers(0..3)).await;
    let copy = path("copy");
    let missing = store.create(&copy, options(&path("missing"), None, 0)).await;
    assert!(matches!(missing, Err(StreamError::NotFound { .. })), "{missing:?}");
    let beyond = Offset::Position(1_000_000);
    let refused = store.create(&copy, options(&source, Some(beyond), 0)).await;
    assert!(
        matches!(refused, Err(StreamError::BadOffset { .. } | StreamError::BadFork { .. })),
        "{refused:?}"
    );
    let text = CreateOptions {
        content_type: Some("text/plain".parse().unwrap()),
        ..options(&source, None, 0)
    };
    let conflict = store.create(&copy, text).await;
    assert!(matches!(conflict, Err(StreamError::Conflict { .. })), "{conflict:?}");
    // No reference was left: the source is free at once.
    assert_eq!(store.delete(&source).await.unwrap(), Deleted::Now);
    assert!(store.create(&source, CreateOptions::default()).await.unwrap().is_new());
    assert!(matches!(store.head(&copy).await, Err(StreamError::NotFound { .. })));
}

pub async fn a_deleted_source_is_gone_but_its_forks_read_on(store: Arc<dyn StreamStore>) {
    let source = stream_of(&store, "source", &numbers(0..3)).await;
    let copy = fork(&store, &source, "copy", None).await;
    let mut follow = store.follow(&source, Offset::Now).await.unwrap();
    assert_eq!(store.delete(&source).await.unwrap(), Deleted::Now);
    let ended = follow.next().await;
    assert!(
        matches!(ended, Err(StreamError::Gone { .. } | StreamError::NotFound { .. })),
        "{ended:?}"
    );
    let failures = [
        store.append(&source, batch(["1"]), None).await.err(),
        store.read(&source, Offset::Start, 1).await.err(),
        store.follow(&source, Offset::Start).await.err(),
        store.head(&source).await.err(),
    ];
    for failure in failures {
        assert!(matches!(failure, Some(StreamError::Gone { .. })), "{failure:?}");
    }
    assert_eq!(store.delete(&source).await.unwrap(), Deleted::KeptByForks);
    let conflicts = [
        store.create(&source, CreateOptions::default()).await.err(),
        store.create(&path("late"), options(&source, None, 0)).await.err(),
    ];
    assert!(matches!(&conflicts[0], Some(StreamError::Conflict { .. })), "{conflicts:?}");
    assert!(
        matches!(&conflicts[1], Some(StreamError::Gone { .. } | StreamError::Conflict { .. })),
        "{conflicts:?}"
    );
    assert_eq!(all(&store, &copy).await, numbers(0..3));
    // The last fork takes its source with it.
    store.delete(&copy).await.unwrap();
    assert!(store.create(&source, CreateOptions::default()).await.unwrap().is_new());
    assert_eq!(all(&store, &source).await, Vec::<String>::new());
}

pub async fn a_chain_of_forks_is_freed_from_its_end(store: Arc<dyn StreamStore>) {
    let one = stream_of(&store, "one", &numbers(0..2)).await;
    let two = fork(&store, &one, "two", None).await;
    add(&store, &two, "2").await;
    let three = fork(&store, &two, "three", None).await;
    add(&store, &three, "3").await;
    let early = place(&store, &three, 1).await;
    let four = fork(&store, &three, "four", Some(early)).await;
    assert_eq!(all(&store, &three).await, numbers(0..4));
    assert_eq!(all(&store, &four).await, numbers(0..1));
    store.delete(&one).await.unwrap();
    store.delete(&two).await.unwrap();
    assert_eq!(all(&store, &three).await, numbers(0..4));
    store.delete(&three).await.unwrap();
    assert_eq!(all(&store, &four).await, numbers(0..1));
    store.delete(&four).await.unwrap();
    for free in [one, two, three, four] {
        let head = store.head(&free).await;
        assert!(matches!(head, Err(StreamError::NotFound { .. })), "{free}: {head:?}");
    }
}

pub async fn a_fork_has_its_sources_expiry_or_its_own(store: Arc<dyn StreamStore>) {
    let source = path("source");
    let expiry = Some(Expiry::AfterSeconds(3_600));
    let made = CreateOptions { expiry, ..CreateOptions::default() };
    store.create(&source, made).await.unwrap();
    let copy = fork(&store, &source, "copy", None).await;
    assert_eq!(store.head(&copy).await.unwrap().expiry, expiry);
    let own = Some(Expiry::AfterSeconds(60));
    let made = CreateOptions { expiry: own, ..options(&source, None, 0) };
    store.create(&path("own"), made).await.unwrap();
    assert_eq!(store.head(&path("own")).await.unwrap().expiry, own);
}
