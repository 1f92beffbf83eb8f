use std::time::Duration;

use serde_json::json;
use studio_events::{SessionPrivate, SessionUpdate};
use studio_registry::RegistryError;

use crate::world::{Disturbed, Hand, Weather, all, id, info, open, try_open};

#[tokio::test]
async fn every_start_takes_a_new_lease() {
    let store = Disturbed::new();
    for lease in 1..=3 {
        let registry = open(&store).await;
        assert_eq!(registry.lease(), lease);
        let entries = store.entries().await;
        let last = entries.last().unwrap();
        assert_eq!((&last["type"], &last["lease"]), (&json!("writer_started"), &json!(lease)));
        registry.stop().await;
    }
}

#[tokio::test]
async fn a_server_whose_lease_is_over_stands_down() {
    let store = Disturbed::new();
    let first = open(&store).await;
    first.register(info(1), SessionPrivate::default()).await.unwrap();
    let second = open(&store).await;
    assert_eq!(second.lease(), first.lease() + 1);

    let refused = first.register(info(2), SessionPrivate::default()).await;
    assert!(matches!(refused, Err(RegistryError::Fenced { lease: 1 })));
    tokio::time::timeout(Duration::from_secs(60), first.fenced()).await.unwrap();
    for _ in 0..2 {
        let refused = first.update(id(1), SessionUpdate::default()).await;
        assert!(matches!(refused, Err(RegistryError::Fenced { lease: 1 })));
    }
    first.touch(id(1));
    first.stop().await;

    second.register(info(3), SessionPrivate::default()).await.unwrap();
    let ids: Vec<_> = all(&second).iter().map(|record| record.info.id).collect();
    assert_eq!(ids, [id(3), id(1)]);
    assert_eq!(all(&open(&store).await), all(&second));
}

#[tokio::test]
async fn servers_that_start_at_the_same_time_get_different_leases() {
    let store = Disturbed::new();
    let hand = Hand::default();
    let door = store.shut();
    let starts: Vec<_> = (0..3)
        .map(|_| {
            let (store, hand) = (store.clone(), hand.clone());
            tokio::spawn(async move { try_open(&store, &hand).await.unwrap() })
        })
        .collect();
    // All have read, all ask for lease 1.
    store.until_came(3).await;
    door.add_permits(100);
    let mut leases = Vec::new();
    let mut registries = Vec::new();
    for start in starts {
        let registry = start.await.unwrap();
        leases.push(registry.lease());
        registries.push(registry);
    }
    leases.sort_unstable();
    assert_eq!(leases, [1, 2, 3]);
    registries.sort_by_key(studio_registry::Registry::lease);
    let newest = registries.pop().unwrap();
    newest.register(info(1), SessionPrivate::default()).await.unwrap();
    for older in registries {
        let refused = older.register(info(2), SessionPrivate::default()).await;
        assert!(matches!(refused, Err(RegistryError::Fenced { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_cannot_write_fails() {
    let store = Disturbed::new();
    store.weather(Weather::Unreachable);
    let failed = try_open(&store, &Hand::default()).await;
    assert!(matches!(failed, Err(RegistryError::TakeOver { lease: 1, .. })));
    store.weather(Weather::Fair);
    assert_eq!(open(&store).await.lease(), 1);
}

#[tokio::test]
async fn a_server_learns_that_it_was_followed_also_when_it_has_nothing_to_write() {
    let store = Disturbed::new();
    let first = open(&store).await;
    assert!(!first.is_fenced());
    first.lead().await.unwrap();
    first.register(info(1), SessionPrivate::default()).await.unwrap();
    assert!(!first.is_fenced(), "its own entries are no rival's");
    let second = open(&store).await;
    let appends = store.appends.load(std::sync::atomic::Ordering::SeqCst);
    tokio::time::timeout(Duration::from_secs(60), first.fenced()).await.unwrap();
    assert_eq!(store.appends.load(std::sync::atomic::Ordering::SeqCst), appends);
    assert!(matches!(first.lead().await, Err(RegistryError::Fenced { lease: 1 })));
    second.lead().await.unwrap();
    assert!(!second.is_fenced());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_follow_learns_it_with_its_next_write_or_when_it_can() {
    let store = Disturbed::new();
    store.follows.store(false, std::sync::atomic::Ordering::SeqCst);
    let writing = open(&store).await;
    let silent = open(&store).await;
    let _newest = open(&store).await;
    // Paused time, all of it: whatever could be learnt meanwhile has been tried.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!writing.is_fenced() && !silent.is_fenced());
    assert!(matches!(writing.lead().await, Err(RegistryError::Fenced { .. })));
    assert!(writing.is_fenced() && !silent.is_fenced());
    store.follows.store(true, std::sync::atomic::Ordering::SeqCst);
    tokio::time::timeout(Duration::from_secs(60), silent.fenced()).await.unwrap();
}
