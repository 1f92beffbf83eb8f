use std::sync::Arc;

use studio_sandbox::SandboxProvider;
use studio_sandbox_local::{Jail, LocalOptions, LocalProvider};

/// A provider over a root of its own, which is removed with the runtime's temporary directory.
pub(crate) async fn provider(jail: Jail) -> Arc<dyn SandboxProvider> {
    let root = tempfile::tempdir().unwrap().keep();
    let options = LocalOptions { jail: Some(jail), ..LocalOptions::default() };
    Arc::new(
        LocalProvider::open(root, options)
            .await
            .unwrap_or_else(|error| panic!("{error}; on Debian: apt-get install bubblewrap")),
    )
}
