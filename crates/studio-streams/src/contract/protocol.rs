//! What the Durable Streams protocol asks beyond appends of JSON: ends, orders, content types.

use super::*;
use crate::{ContentType, Order, Write};

fn order(text: &str) -> Option<Order> {
    Some(text.parse().unwrap())
}

pub async fn the_last_records_and_the_end_are_one_write(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..1)).await;
    let mut follow = store.follow(&path, Offset::Start).await.unwrap();
    assert_eq!(take(&mut follow, 1).await, ["0"]);
    let end = store.write(&path, Write::end(Some(batch(["1", "2"])))).await.unwrap();
    assert!(end.closed && !end.duplicate, "{end:?}");
    assert_eq!(take(&mut follow, 2).await, ["1", "2"]);
    assert!(follow.next().await.unwrap().is_none());
    let head = store.head(&path).await.unwrap();
    assert_eq!((&head.tail, head.closed), (&end.next, true));
    assert_eq!(all(&store, &path).await, numbers(0..3));
}

pub async fn a_refused_append_says_where_a_closed_stream_ends(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..3)).await;
    let end = store.write(&path, Write::end(None)).await.unwrap();
    let refused = store.append(&path, batch(["9"]), None).await;
    let Err(StreamError::Closed { tail, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(tail, end.next);
    let again = store.write(&path, Write::end(None)).await.unwrap();
    assert!(again.closed && again.duplicate, "{again:?}");
    let more = store.write(&path, Write::end(Some(batch(["9"])))).await;
    assert!(matches!(more, Err(StreamError::Closed { .. })), "{more:?}");
    assert_eq!(all(&store, &path).await, numbers(0..3));
}

pub async fn a_producers_end_is_known_again_and_no_other(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    let by = |write: Write, epoch, seq| Write { by: Some(stamp("p", epoch, seq)), ..write };
    let records = |record: &str| Write::records(batch([record]));
    store.write(&path, by(records("0"), 1, 0)).await.unwrap();
    let end = by(Write::end(Some(batch(["1"]))), 1, 1);
    let first = store.write(&path, end).await.unwrap();
    assert!(first.closed && !first.duplicate, "{first:?}");
    // The same stamp, whatever it carries.
    let again = store.write(&path, by(Write::end(None), 1, 1)).await.unwrap();
    assert!(again.closed && again.duplicate, "{again:?}");
    for (epoch, seq) in [(1, 0), (1, 2), (2, 0)] {
        let refused = store.write(&path, by(Write::end(None), epoch, seq)).await;
        assert!(matches!(refused, Err(StreamError::Closed { .. })), "{refused:?}");
    }
    assert_eq!(all(&store, &path).await, numbers(0..2));
}

pub async fn a_duplicate_is_told_the_highest_sequence_number(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    for seq in 0..3 {
        let write = Write { by: Some(stamp("p", 4, seq)), ..Write::records(batch(["1"])) };
        assert_eq!(store.write(&path, write).await.unwrap().last_seq, Some(seq));
    }
    let write = Write { by: Some(stamp("p", 4, 1)), ..Write::records(batch(["1"])) };
    let again = store.write(&path, write).await.unwrap();
    assert_eq!((again.duplicate, again.last_seq), (true, Some(2)));
}

pub async fn a_writers_own_order_must_grow(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    let write = async |record: &str, own: &str| {
        let write = Write { order: order(own), ..Write::records(batch([record])) };
        store.write(&path, write).await
    };
    write("0", "09").await.unwrap();
    write("1", "10").await.unwrap();
    for own in ["10", "1", "09"] {
        let refused = write("x", own).await;
        assert!(matches!(refused, Err(StreamError::OutOfOrder { .. })), "{refused:?}");
    }
    store.append(&path, batch(["2"]), None).await.unwrap();
    write("3", "a").await.unwrap();
    assert_eq!(all(&store, &path).await, numbers(0..4));
}

pub async fn a_refused_order_leaves_its_producer_alone(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &[]).await;
    let write = async |record: &str, own: &str, seq: u64| {
        let by = Some(stamp("p", 1, seq));
        let write = Write { order: order(own), by, ..Write::records(batch([record])) };
        store.write(&path, write).await
    };
    write("0", "b", 0).await.unwrap();
    write("x", "a", 1).await.unwrap_err();
    write("1", "c", 1).await.unwrap();
    // A duplicate is one, whatever its order says.
    assert!(write("x", "a", 1).await.unwrap().duplicate);
    assert_eq!(all(&store, &path).await, numbers(0..2));
}

pub async fn a_stream_keeps_its_content_type(store: Arc<dyn StreamStore>) {
    let path = path("session/a");
    let text: ContentType = "Text/Plain; charset=utf-8".parse().unwrap();
    let options = CreateOptions { content_type: Some(text.clone()), ..CreateOptions::default() };
    store.create(&path, options).await.unwrap();
    assert!(store.head(&path).await.unwrap().content_type.is_like(&text));
    let like = CreateOptions {
        content_type: Some("text/plain".parse().unwrap()),
        ..CreateOptions::default()
    };
    assert!(!store.create(&path, like).await.unwrap().is_new());
    let conflict = store.create(&path, CreateOptions::default()).await;
    assert!(matches!(conflict, Err(StreamError::Conflict { .. })), "{conflict:?}");

    let write = |content_type: &str| Write {
        content_type: Some(content_type.parse().unwrap()),
        ..Write::records(batch(["0"]))
    };
    let refused = store.write(&path, write("application/json")).await;
    assert!(matches!(refused, Err(StreamError::WrongContentType { .. })), "{refused:?}");
    store.write(&path, write("TEXT/plain")).await.unwrap();
    let page = store.read(&path, Offset::Start, 10).await.unwrap();
    assert_eq!(text_of(&page.records), "0");
    assert!(page.head.content_type.is_like(&text));
}

fn text_of(records: &[crate::Record]) -> String {
    records.iter().map(|record| text(&record.data)).collect()
}

pub async fn a_stream_can_be_created_closed(store: Arc<dyn StreamStore>) {
    let path = path("session/a");
    let closed = CreateOptions {
        closed: true,
        initial: Some(batch(["0", "1"])),
        ..CreateOptions::default()
    };
    let made = store.create(&path, closed.clone()).await.unwrap();
    assert!(made.is_new() && made.head().closed);
    assert!(!store.create(&path, closed).await.unwrap().is_new());
    let refused = store.append(&path, batch(["2"]), None).await;
    assert!(matches!(refused, Err(StreamError::Closed { .. })), "{refused:?}");
    let mut follow = store.follow(&path, Offset::Start).await.unwrap();
    assert_eq!(take(&mut follow, 2).await, ["0", "1"]);
    assert!(follow.next().await.unwrap().is_none());
}

pub async fn a_page_tells_the_stream_as_it_was(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..3)).await;
    store.close(&path).await.unwrap();
    let head = store.head(&path).await.unwrap();
    let page = store.read(&path, Offset::Start, 2).await.unwrap();
    assert!(!page.up_to_date);
    assert_eq!(page.head, head);
    let page = store.read(&path, page.next, 2).await.unwrap();
    assert!(page.up_to_date && page.head.closed);
    assert_eq!(page.next, head.tail);
}

pub async fn a_recreated_stream_is_another_incarnation(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..1)).await;
    let first = store.head(&path).await.unwrap().incarnation;
    store.delete(&path).await.unwrap();
    stream_of(&store, "session/a", &numbers(0..1)).await;
    assert_ne!(store.head(&path).await.unwrap().incarnation, first);
}
