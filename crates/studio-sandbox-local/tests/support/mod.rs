#![expect(clippy::unwrap_used, reason = "a helper of tests")]

use std::{path::PathBuf, sync::Arc};

use studio_sandbox::SandboxProvider;
use studio_sandbox_local::{Jail, LocalOptions, LocalProvider};

/// A provider over a new root.
#[allow(dead_code, reason = "each test program uses one of the two")]
pub(crate) async fn provider(jail: Jail) -> Arc<dyn SandboxProvider> {
    provider_with(jail, Vec::new()).await
}

/// A provider over a new root, with programs of one's own.
pub(crate) async fn provider_with(jail: Jail, path_dirs: Vec<PathBuf>) -> Arc<dyn SandboxProvider> {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
    let options = LocalOptions { jail: Some(jail), path_dirs, ..LocalOptions::default() };
    Arc::new(
        LocalProvider::open(root, options)
            .await
            .unwrap_or_else(|error| panic!("{error}; on Debian: apt-get install bubblewrap")),
    )
}
