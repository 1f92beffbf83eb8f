//! The memory store keeps the contract.

use std::sync::Arc;

use studio_streams::{MemoryStreams, StreamStore};

studio_streams::store_contract!(async {
    (Arc::new(MemoryStreams::new()) as Arc<dyn StreamStore>, ())
});
