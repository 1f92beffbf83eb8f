use std::sync::atomic::Ordering;

use studio_events::{Phase, SessionPrivate, SessionStatus};
use studio_registry::{Page, SessionRecord};
use studio_streams::StreamPath;

use crate::world::{Disturbed, all, id, info, open};

#[tokio::test]
async fn pages_are_newest_first_and_meet_without_gap() {
    let registry = open(&Disturbed::new()).await;
    for n in [3, 1, 7, 5, 6, 2, 4] {
        let mut info = info(n);
        // Two of the same moment are told apart by their ids.
        info.created_at = crate::world::info(n / 2).created_at;
        registry.register(info, SessionPrivate::default()).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = registry.page(after, 3, |_| true);
        assert!(page.records.len() <= 3);
        seen.extend(page.records.iter().map(|record| record.info.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1].map(id));
    let ids = |page: Page| page.records.iter().map(|r| r.info.id).collect::<Vec<_>>();
    let place = |n: u16| (crate::world::info(3).created_at, id(n));
    // A place is good without the session that had it.
    registry.delete(id(6)).await.unwrap();
    assert_eq!(ids(registry.page(Some(place(6)), 1, |_| true)), [id(5)]);
    assert_eq!(ids(registry.page(Some((info(0).created_at, id(1))), 3, |_| true)), []);
    let even = |record: &SessionRecord| [2, 4].map(id).contains(&record.info.id);
    let page = registry.page(None, 1, even);
    assert_eq!((page.next.map(|(_, id)| id), ids(page)), (Some(id(4)), vec![id(4)]));
    let rest = registry.page(Some((info(2).created_at, id(4))), 5, even);
    assert_eq!((rest.next, ids(rest)), (None, vec![id(2)]));
}

#[tokio::test]
async fn a_search_goes_through_all_sessions() {
    let registry = open(&Disturbed::new()).await;
    for n in 1..=600 {
        registry.register(info(n), SessionPrivate::default()).await.unwrap();
    }
    let found = |wanted: &[u16], max| {
        let wanted: Vec<_> = wanted.iter().copied().map(id).collect();
        let page = registry.page(None, max, |record| wanted.contains(&record.info.id));
        let ids: Vec<_> = page.records.iter().map(|record| record.info.id).collect();
        (ids, page.next.map(|(_, id)| id))
    };
    assert_eq!(found(&[1, 600, 300], 3), ([600, 300, 1].map(id).to_vec(), None));
    assert_eq!(found(&[1, 600, 300], 2), ([600, 300].map(id).to_vec(), Some(id(300))));
    assert_eq!(found(&[], 1), (Vec::new(), None));
}

#[tokio::test]
async fn a_restarted_server_finds_what_to_go_on_with() {
    let registry = open(&Disturbed::new()).await;
    for n in 1..=4 {
        let phase = if n % 2 == 0 { Phase::Started } else { Phase::AwaitingInfra };
        let internal = SessionPrivate { phase, ..SessionPrivate::default() };
        registry.register(info(n), internal).await.unwrap();
    }
    let started = registry.ids_where(|record| {
        record.internal.phase == Phase::Started && record.info.status == SessionStatus::Running
    });
    assert_eq!(started, [2, 4].map(id));
}

#[tokio::test]
async fn a_start_reads_to_the_end_however_small_the_pages() {
    let store = Disturbed::new();
    let first = open(&store).await;
    for n in 0..300 {
        first.register(info(n), SessionPrivate::default()).await.unwrap();
    }
    let before = all(&first);
    first.stop().await;
    store.page_max.store(1, Ordering::SeqCst);
    let second = open(&store).await;
    assert_eq!(all(&second), before);
}

#[tokio::test]
async fn entries_that_cannot_be_read_are_skipped() {
    let store = Disturbed::new();
    let good = |n: u16| {
        serde_json::json!({
            "type": "session_registered", "session": info(n), "ts": info(n).created_at,
            "unknownField": {"of": "a newer program"},
        })
        .to_string()
    };
    let unknown_update = format!(
        r#"{{"type":"session_updated","sessionId":"{}","update":{{"status":"error"}},"ts":"1970-01-01T00:00:00.000Z"}}"#,
        id(77)
    );
    let lines = [
        &good(1),
        "null",
        "7",
        "[]",
        "\"text\"",
        "{}",
        "{\"type\":7}",
        "{broken",
        "\u{fffd}",
        "{\"type\":\"from_the_future\",\"x\":1}",
        "{\"type\":\"session_registered\",\"ts\":\"1970-01-01T00:00:00.000Z\"}",
        "{\"type\":\"session_registered\",\"session\":{\"id\":\"../etc\"},\"ts\":\"x\"}",
        "{\"type\":\"session_updated\",\"sessionId\":\"nope\",\"update\":{},\"ts\":\"x\"}",
        "{\"type\":\"room_created\",\"room\":{\"id\":\"r\"},\"ts\":\"x\"}",
        &unknown_update,
        &good(2),
    ];
    store.scribble(&StreamPath::registry(), &lines).await;
    let registry = open(&store).await;
    let ids: Vec<_> = all(&registry).iter().map(|record| record.info.id).collect();
    assert_eq!(ids, [id(2), id(1)]);
    // And it works on.
    registry.delete(id(1)).await.unwrap();
    assert_eq!(registry.len(), 1);
}
