//! Reading forwards and backwards.

use super::*;
use crate::{PAGE_BYTES_SOFT_MAX, Page};

fn texts(page: &Page) -> Vec<String> {
    page.records.iter().map(|record| text(&record.data)).collect()
}

pub async fn reading_from_every_offset_goes_on_after_it(store: Arc<dyn StreamStore>) {
    // Records of different sizes, so that positions are uneven.
    let records: Vec<String> = (0..25).map(|n| "x".repeat(1 + n * 3 % 11)).collect();
    let path = stream_of(&store, "session/a", &records).await;
    let whole = store.read(&path, Offset::Start, 100).await.unwrap();
    assert_eq!(texts(&whole), records);
    assert!(whole.up_to_date);
    for (index, record) in whole.records.iter().enumerate() {
        // An offset is remembered by clients as text.
        let offset: Offset = record.offset.to_string().parse().unwrap();
        let rest = store.read(&path, offset.clone(), 100).await.unwrap();
        assert_eq!(texts(&rest), records[index + 1..], "from {offset}");
        let earlier = store.read_back(&path, offset.clone(), 100).await.unwrap();
        assert_eq!(texts(&earlier), records[..=index], "back from {offset}");
    }
    let mut offsets: Vec<String> =
        whole.records.iter().map(|record| record.offset.to_string()).collect();
    offsets.dedup();
    assert_eq!(offsets.len(), records.len(), "every record has an offset of its own");
    assert!(offsets.is_sorted(), "offsets grow as texts");
}

pub async fn pages_are_bounded_by_count(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..10)).await;
    let page = store.read(&path, Offset::Start, 4).await.unwrap();
    assert_eq!(texts(&page), numbers(0..4));
    assert!(!page.up_to_date);
    let page = store.read(&path, page.next, 6).await.unwrap();
    assert_eq!(texts(&page), numbers(4..10));
    assert!(page.up_to_date, "a full page that reaches the tail is up to date");
}

pub async fn pages_are_bounded_by_bytes(store: Arc<dyn StreamStore>) {
    let quarter = PAGE_BYTES_SOFT_MAX / 4;
    // As JSON strings, so two bytes more than here; a service may count a few more.
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let records = letters.map(|letter| letter.repeat(quarter - 16));
    let path = stream_of(&store, "session/a", &records).await;
    let page = store.read(&path, Offset::Start, 100).await.unwrap();
    assert_eq!(page.records.len(), 4);
    assert!(!page.up_to_date);
    let page = store.read(&path, page.next, 100).await.unwrap();
    assert!(texts(&page).first().is_some_and(|record| record.starts_with('e')));
    let back = store.read_back(&path, Offset::Now, 100).await.unwrap();
    assert_eq!(back.records.len(), 4);
    assert!(texts(&back).first().is_some_and(|record| record.starts_with('g')));
}

pub async fn a_record_over_a_page_is_still_read(store: Arc<dyn StreamStore>) {
    let large = "y".repeat(PAGE_BYTES_SOFT_MAX * 2);
    let path =
        stream_of(&store, "session/a", &["1".to_owned(), large.clone(), "2".to_owned()]).await;
    let first = store.read(&path, Offset::Start, 100).await.unwrap();
    assert_eq!(texts(&first), ["1"]);
    let second = store.read(&path, first.next, 100).await.unwrap();
    assert_eq!(texts(&second), [large]);
    let third = store.read(&path, second.next, 100).await.unwrap();
    assert_eq!(texts(&third), ["2"]);
    assert!(third.up_to_date);
}

pub async fn reading_back_gives_the_last_records_in_order(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..10)).await;
    let page = store.read_back(&path, Offset::Now, 3).await.unwrap();
    assert_eq!(texts(&page), numbers(7..10));
    assert!(!page.up_to_date);
    // Forwards from where the page begins: the same records.
    let again = store.read(&path, page.next, 100).await.unwrap();
    assert_eq!(texts(&again), numbers(7..10));
    let none = store.read_back(&path, Offset::Start, 3).await.unwrap();
    assert!(none.records.is_empty() && none.up_to_date);
}

pub async fn reading_back_reaches_the_start_page_by_page(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..10)).await;
    let mut before = Offset::Now;
    let mut found = Vec::new();
    loop {
        let page = store.read_back(&path, before, 4).await.unwrap();
        found.splice(0..0, texts(&page));
        if page.up_to_date {
            break;
        }
        assert!(!page.records.is_empty(), "an empty page must be up to date");
        before = page.next;
    }
    assert_eq!(found, numbers(0..10));
}

pub async fn reading_from_now_is_empty_and_up_to_date(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &numbers(0..3)).await;
    let page = store.read(&path, Offset::Now, 10).await.unwrap();
    assert!(page.records.is_empty() && page.up_to_date);
    assert_eq!(page.next, store.head(&path).await.unwrap().tail);
    store.append(&path, batch(["3"]), None).await.unwrap();
    assert_eq!(texts(&store.read(&path, page.next, 10).await.unwrap()), ["3"]);

    let empty = stream_of(&store, "session/b", &[]).await;
    for from in [Offset::Start, Offset::Now, store.head(&empty).await.unwrap().tail] {
        let page = store.read(&empty, from, 10).await.unwrap();
        assert!(page.records.is_empty() && page.up_to_date);
    }
}

pub async fn an_offset_that_is_no_place_is_refused(store: Arc<dyn StreamStore>) {
    let path = stream_of(&store, "session/a", &["1234567".to_owned()]).await;
    let beyond = "99999999999999999998";
    for text in ["00000000000000000003", beyond, "not_an_offset_of_ours"] {
        let offset = Offset::Opaque(text.into());
        let offset = text.parse().unwrap_or(offset);
        let read = store.read(&path, offset.clone(), 1).await;
        assert!(matches!(read, Err(StreamError::BadOffset { .. })), "{text}: {read:?}");
        let back = store.read_back(&path, offset.clone(), 1).await;
        assert!(matches!(back, Err(StreamError::BadOffset { .. })), "{text}: {back:?}");
        let follow = store.follow(&path, offset).await;
        assert!(matches!(follow, Err(StreamError::BadOffset { .. })), "{text}: {follow:?}");
    }
}
