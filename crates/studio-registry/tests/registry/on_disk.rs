use std::sync::Arc;

use studio_events::{SessionPrivate, SessionTotals};
use studio_ids::InstanceId;
use studio_registry::Registry;
use studio_streams_local::{LocalStreams, Options};
use tokio::task::JoinSet;

use crate::world::{Hand, all, id, info};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sessions_are_there_when_the_directory_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = Vec::new();
    for round in 0..4_u16 {
        let store = LocalStreams::open(dir.path(), Options::default()).unwrap();
        let clock = Hand::default().clock();
        let registry =
            Registry::open(Arc::new(store.clone()), InstanceId::random(), clock).await.unwrap();
        assert_eq!(registry.lease(), u64::from(round) + 1);
        assert_eq!(all(&registry), before);

        let mut writes = JoinSet::new();
        for n in 0..400 {
            let (registry, n) = (registry.clone(), round * 1_000 + n);
            writes.spawn(async move {
                registry.register(info(n), SessionPrivate::default()).await.unwrap();
                let turn = SessionTotals { num_turns: Some(1), ..SessionTotals::default() };
                registry.add_totals(id(n), turn).await.unwrap();
            });
        }
        writes.join_all().await;
        // One start reads a snapshot and a tail, one a snapshot, one only the stream.
        if round % 2 == 1 {
            registry.snapshot().await.unwrap();
        }
        before = all(&registry);
        assert_eq!(before.len(), 400 * (usize::from(round) + 1));
        registry.stop().await;
        store.stop().await;
    }
}
