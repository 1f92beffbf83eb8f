//! A service that behaves badly: what the port makes of it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A test fails by panicking.

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::Method;
use bytes::Bytes;
use studio_streams::{
    Appended, Batch, CreateOptions, Offset, ProducerStamp, SessionWriter, StreamError, StreamPath,
    StreamStore,
};
use studio_streams_http::{ConnectError, HttpOptions, HttpStreams, ServiceState};

use support::{
    faulty::{Fault, Faulty},
    options,
};

/// One attempt may take all of the time: what is not tried again must not be cut short.
fn impatient(url: &str) -> HttpOptions {
    let deadline = Duration::from_secs(3);
    HttpOptions { deadline, attempt: deadline, ..options(url) }
}

async fn connect(faulty: &Faulty) -> HttpStreams {
    HttpStreams::connect(impatient(&faulty.url)).await.unwrap()
}

fn path() -> StreamPath {
    "session/a".parse().unwrap()
}

fn batch(record: &str) -> Batch {
    Batch::new(vec![Bytes::copy_from_slice(record.as_bytes())]).unwrap()
}

fn stamp(seq: u64) -> Option<ProducerStamp> {
    Some(ProducerStamp { id: "p".parse().unwrap(), epoch: 1, seq })
}

/// A service with one stream of these records, and the port over it.
async fn with_records(count: usize) -> (Faulty, HttpStreams) {
    let faulty = Faulty::start().await;
    let store = connect(&faulty).await;
    store.create(&path(), CreateOptions::default()).await.unwrap();
    for number in 0..count {
        store.append(&path(), batch(&number.to_string()), None).await.unwrap();
    }
    (faulty, store)
}

/// What the service really holds.
async fn held(faulty: &Faulty) -> Vec<String> {
    let path = format!("studio/{}", path()).parse().unwrap();
    let page = faulty.streams.read(&path, Offset::Start, 10_000).await.unwrap();
    page.records.iter().map(|record| String::from_utf8(record.data.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn an_append_without_a_stamp_is_never_sent_a_second_time() {
    for fault in [Fault::DoneThen(500), Fault::DoneThen(503), Fault::DoneThenBroken, Fault::Hang] {
        let (faulty, store) = with_records(0).await;
        faulty.next(Method::POST, "session/a", fault.clone(), 1);
        let lost = store.append(&path(), batch("1"), None).await;
        assert!(matches!(lost, Err(StreamError::Failed { .. })), "{fault:?}: {lost:?}");
        assert_eq!(held(&faulty).await, ["1"], "{fault:?}");
    }
}

#[tokio::test]
async fn a_writer_writes_once_whatever_happens_to_the_answers() {
    let faulty = Faulty::start().await;
    let options = HttpOptions { attempt: Duration::from_secs(1), ..options(&faulty.url) };
    let store: Arc<dyn StreamStore> = Arc::new(HttpStreams::connect(options).await.unwrap());
    store.create(&path(), CreateOptions::default()).await.unwrap();
    let first = Bytes::from_static(b"0");
    let producer = "session:a".parse().unwrap();
    let mut writer = SessionWriter::take_over(store, path(), producer, 1, first).await.unwrap();
    let faults = [
        Fault::DoneThen(500),
        Fault::DoneThenBroken,
        Fault::Answer(500, None),
        Fault::Answer(429, Some(0)),
        Fault::Answer(503, Some(0)),
        Fault::Hang,
        Fault::DoneThen(502),
    ];
    let mut expected = vec!["0".to_owned()];
    for (number, fault) in faults.into_iter().enumerate() {
        faulty.next(Method::POST, "session/a", fault, 2);
        let record = format!("{}", number + 1);
        writer.append(batch(&record)).await.unwrap();
        expected.push(record);
    }
    assert_eq!(held(&faulty).await, expected);
}

#[tokio::test]
async fn a_busy_service_is_asked_again_when_it_says() {
    let (faulty, store) = with_records(0).await;
    faulty.next(Method::POST, "session/a", Fault::Answer(429, Some(1)), 1);
    let began = Instant::now();
    store.append(&path(), batch("1"), None).await.unwrap();
    assert!(Duration::from_secs(1) <= began.elapsed());
    assert_eq!(faulty.seen(&Method::POST, "session/a").len(), 2);
    assert_eq!(held(&faulty).await, ["1"]);
}

#[tokio::test]
async fn a_service_that_stays_busy_is_told_as_it_is() {
    let (faulty, store) = with_records(0).await;
    for (fault, by) in [(429, None), (429, stamp(0)), (503, None)] {
        faulty.next(Method::POST, "session/a", Fault::Answer(fault, Some(30)), 100);
        let refused = store.append(&path(), batch("1"), by).await;
        match fault {
            429 => assert!(matches!(refused, Err(StreamError::Busy)), "{refused:?}"),
            _ => assert!(matches!(refused, Err(StreamError::ReadOnly { .. })), "{refused:?}"),
        }
        faulty.heal();
    }
    assert_eq!(held(&faulty).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_spool_is_bounded() {
    let faulty = Faulty::start().await;
    let options = HttpOptions { spool_bytes_max: 2_000, ..impatient(&faulty.url) };
    let store = HttpStreams::connect(options).await.unwrap();
    store.create(&path(), CreateOptions::default()).await.unwrap();
    faulty.next(Method::POST, "session/a", Fault::Hang, 100);
    let record = format!("\"{}\"", "x".repeat(398));
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let (store, record) = (store.clone(), record.clone());
            tokio::spawn(async move { store.append(&path(), batch(&record), None).await })
        })
        .collect();
    while faulty.seen(&Method::POST, "session/a").len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refused = store.append(&path(), batch(&record), None).await;
    assert!(matches!(refused, Err(StreamError::Busy)), "{refused:?}");
    for waiting in waiting {
        assert!(matches!(waiting.await.unwrap(), Err(StreamError::Failed { .. })));
    }
    faulty.heal();
    store.append(&path(), batch(&record), None).await.expect("the room was given back");
}

#[tokio::test]
async fn a_page_that_breaks_off_is_read_again() {
    let (faulty, store) = with_records(20).await;
    faulty.next(Method::GET, "session/a", Fault::Half, 2);
    let page = store.read(&path(), Offset::Start, 100).await.unwrap();
    assert_eq!(page.records.len(), 20);
    assert_eq!(faulty.seen(&Method::GET, "session/a").len(), 3);
    // A half that is itself well formed HTTP is no page either.
    faulty.next(Method::GET, "session/a", Fault::Body("[0,1,2"), 1);
    let page = store.read(&path(), Offset::Start, 100).await.unwrap();
    assert_eq!(page.records.len(), 20);
}

#[tokio::test]
async fn what_is_not_json_is_never_taken_for_records() {
    let (faulty, store) = with_records(3).await;
    for body in ["0\n1\n2\n", "{\"a\":1}", "[0,x]", "[0,1]2", "<html>", ""] {
        faulty.next(Method::GET, "session/a", Fault::Body(body), 100);
        let read = store.read(&path(), Offset::Start, 100).await;
        assert!(matches!(read, Err(StreamError::Failed { .. })), "{body:?}: {read:?}");
        faulty.heal();
    }
    assert_eq!(store.read(&path(), Offset::Start, 100).await.unwrap().records.len(), 3);
}

#[tokio::test]
async fn an_endless_answer_costs_no_more_than_a_page() {
    let (faulty, store) = with_records(3).await;
    faulty.next(Method::GET, "session/a", Fault::EndlessArray, 1);
    let page = store.read(&path(), Offset::Start, 1_000).await.unwrap();
    assert_eq!(page.records.len(), 1_000);
    assert!(!page.up_to_date);
    // The next page goes on in the same answer.
    let next = store.read(&path(), page.next, 1_000).await.unwrap();
    assert_eq!(next.records.len(), 1_000);
    assert_eq!(faulty.seen(&Method::GET, "session/a").len(), 1);

    faulty.next(Method::GET, "session/a", Fault::EndlessValue, 1);
    let read = store.read(&path(), Offset::Start, 1_000).await;
    assert!(matches!(read, Err(StreamError::Failed { .. })), "{read:?}");
}

#[tokio::test]
async fn an_append_of_ours_is_seen_behind_a_page_that_was_kept_open() {
    let (_faulty, store) = with_records(10).await;
    let page = store.read(&path(), Offset::Start, 4).await.unwrap();
    store.append(&path(), batch("10"), None).await.unwrap();
    let next = store.read(&path(), page.next, 100).await.unwrap();
    assert_eq!(next.records.len(), 6);
    assert!(!next.up_to_date, "one came since the page was opened");
    let last = store.read(&path(), next.next, 100).await.unwrap();
    assert_eq!(last.records.len(), 1);
    assert!(last.up_to_date);
}

#[tokio::test]
async fn a_stream_that_is_gone_is_told_so() {
    let (faulty, store) = with_records(1).await;
    for method in [Method::GET, Method::POST, Method::HEAD] {
        faulty.next(method, "session/a", Fault::Answer(410, None), 1);
    }
    let failures = [
        store.read(&path(), Offset::Start, 1).await.err(),
        store.append(&path(), batch("1"), None).await.err(),
    ];
    for failure in failures {
        assert!(matches!(failure, Some(StreamError::Gone { .. })), "{failure:?}");
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_seen_to_be_away_and_back() {
    let (faulty, store) = with_records(1).await;
    let mut state = store.state();
    assert_eq!(*state.borrow(), ServiceState::Up);
    store.ready().await.unwrap();
    for method in [Method::GET, Method::POST, Method::HEAD] {
        faulty.next(method, "", Fault::Answer(500, None), usize::MAX);
    }
    let failed = store.read(&path(), Offset::Start, 1).await;
    assert!(matches!(failed, Err(StreamError::Failed { .. })), "{failed:?}");
    assert!(matches!(*state.borrow_and_update(), ServiceState::Degraded { .. }));
    // Not the answer of a moment ago.
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert!(matches!(store.ready().await, Err(StreamError::ReadOnly { .. })));
    faulty.heal();
    // Nobody asks for anything, and it is noticed all the same.
    let back = state.wait_for(|state| *state == ServiceState::Up);
    tokio::time::timeout(Duration::from_secs(60), back).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    store.ready().await.unwrap();
}

#[tokio::test]
async fn many_questions_about_readiness_are_one_to_the_service() {
    let (faulty, store) = with_records(0).await;
    let before = faulty.seen(&Method::HEAD, "studio-index").len();
    for _ in 0..100 {
        store.ready().await.unwrap();
    }
    assert!(faulty.seen(&Method::HEAD, "studio-index").len() - before <= 2);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_and_not_answered_with_silence() {
    let (faulty, store) = with_records(0).await;
    faulty.next(Method::POST, "session/a", Fault::Answer(401, None), 1);
    let refused = store.append(&path(), batch("1"), stamp(0)).await;
    assert!(matches!(refused, Err(StreamError::Refused { .. })), "{refused:?}");
    assert!(matches!(*store.state().borrow(), ServiceState::Down { .. }));
    let faulty = Faulty::start().await;
    faulty.next(Method::PUT, "", Fault::Answer(403, None), 100);
    let refused = HttpStreams::connect(impatient(&faulty.url)).await;
    assert!(matches!(refused, Err(ConnectError::NotLetIn { status: 403 })), "{refused:?}");
}

#[tokio::test]
async fn a_service_that_does_not_keep_the_protocol_is_refused_at_once() {
    let faults = [
        (Method::GET, Fault::Body("{\"probe\": 1.50}\n[2]\n")),
        (Method::GET, Fault::Body("[{\"probe\": 1.5}, 2]")),
        (Method::PUT, Fault::Answer(404, None)),
        (Method::POST, Fault::Answer(204, None)),
        (Method::HEAD, Fault::Answer(404, None)),
        (Method::DELETE, Fault::Answer(403, None)),
    ];
    for (method, fault) in faults {
        let faulty = Faulty::start().await;
        faulty.next(method, "studio-probe", fault.clone(), 100);
        let refused = HttpStreams::connect(impatient(&faulty.url)).await;
        let is_refused = matches!(
            refused,
            Err(ConnectError::NotDurableStreams(_) | ConnectError::NotLetIn { .. })
        );
        assert!(is_refused, "{fault:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_within_the_deadline() {
    // Held, so that nobody else takes it, and not listened at.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}", held.local_addr().unwrap());
    let began = Instant::now();
    let refused = HttpStreams::connect(impatient(&url)).await;
    assert!(matches!(refused, Err(ConnectError::Unreachable(_))), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn after_the_stop_everything_fails_and_nothing_is_left_running() {
    let (faulty, store) = with_records(1).await;
    let mut follow = store.follow(&path(), Offset::Start).await.unwrap();
    follow.next().await.unwrap();
    let waiting = tokio::spawn(async move { follow.next().await });
    faulty.next(Method::POST, "session/a", Fault::Hang, 1);
    let appending = tokio::spawn({
        let store = store.clone();
        async move { store.append(&path(), batch("1"), None).await }
    });
    while faulty.seen(&Method::POST, "session/a").len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::timeout(Duration::from_secs(2), store.stop()).await.expect("it stops");
    assert!(matches!(waiting.await.unwrap(), Err(StreamError::Failed { .. })));
    assert!(matches!(appending.await.unwrap(), Err(StreamError::Failed { .. })));
    assert!(store.read(&path(), Offset::Start, 1).await.is_err());
    assert_eq!(*store.state().borrow(), ServiceState::Stopped);
}

#[tokio::test]
async fn writes_that_overtake_each_other_are_put_in_order() {
    let (faulty, store) = with_records(0).await;
    // Not awaited one after the other: on their way they may change places.
    let sent: Vec<_> = (0..40)
        .map(|seq| {
            let store = store.clone();
            async move { store.append(&path(), batch(&seq.to_string()), stamp(seq)).await }
        })
        .collect();
    for answer in futures::future::join_all(sent).await {
        assert!(matches!(answer, Ok(Appended::Written { .. })), "{answer:?}");
    }
    let expected: Vec<String> = (0..40).map(|seq| seq.to_string()).collect();
    assert_eq!(held(&faulty).await, expected);
}
