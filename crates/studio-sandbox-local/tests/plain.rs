//! The contract, without any jail.

mod support;

use std::sync::Arc;

use studio_sandbox::SandboxProvider;
use studio_sandbox_local::Jail;

async fn provider() -> Arc<dyn SandboxProvider> {
    support::provider(Jail::Plain).await
}

studio_sandbox::contract_tests!(provider);
