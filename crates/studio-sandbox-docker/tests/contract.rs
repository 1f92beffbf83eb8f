//! The contract of every provider, on the engine of this machine.

mod common;

use std::sync::Arc;

use common::Studio;
use studio_sandbox::SandboxProvider;

studio_sandbox::contract_tests!(provider);

async fn provider() -> Arc<dyn SandboxProvider> {
    Studio::new().await.provider.clone()
}
