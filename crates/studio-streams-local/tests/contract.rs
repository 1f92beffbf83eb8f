//! The local store keeps the contract, over the disk and over the engine for tests.

use std::sync::Arc;

use studio_streams::StreamStore;
use studio_streams_local::{LocalStreams, Options, engine::MemoryEngine};

mod disk {
    use super::*;

    studio_streams::store_contract!(async {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStreams::open(dir.path(), Options::default()).unwrap();
        (Arc::new(store) as Arc<dyn StreamStore>, dir)
    });
}

mod disk_with_small_bounds {
    use super::*;

    studio_streams::store_contract!(async {
        let dir = tempfile::tempdir().unwrap();
        // Followers fall out of the ring all the time.
        let options = Options { ring_frames_max: 2, reads_at_once_max: 1, ..Options::default() };
        let store = LocalStreams::open(dir.path(), options).unwrap();
        (Arc::new(store) as Arc<dyn StreamStore>, dir)
    });
}

mod memory {
    use super::*;

    studio_streams::store_contract!(async {
        let store = LocalStreams::over(Arc::new(MemoryEngine::new()), &Options::default()).unwrap();
        (Arc::new(store) as Arc<dyn StreamStore>, ())
    });
}
