//! The contract with nothing but busybox's small programs in front: how an Alpine or a test image
//! behaves, where `tail` cannot wait for a file's next bytes.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of tests")]

mod support;

use std::{os::unix::fs::symlink, path::Path, sync::Arc};

use studio_sandbox::SandboxProvider;
use studio_sandbox_local::Jail;

const PROGRAMS: &[&str] = &[
    "awk", "cat", "chmod", "cp", "cut", "echo", "env", "find", "grep", "head", "id", "kill", "ls",
    "mkdir", "mkfifo", "mv", "printf", "ps", "pwd", "readlink", "rm", "sed", "setsid", "sh",
    "sleep", "sort", "stat", "tail", "touch", "tr", "true", "wc",
];

async fn provider() -> Arc<dyn SandboxProvider> {
    let busybox = ["/usr/bin/busybox", "/bin/busybox"].map(Path::new);
    let busybox = busybox.into_iter().find(|path| path.is_file());
    let busybox = busybox.expect("busybox is needed; on Debian: apt-get install busybox");
    let dir = tempfile::tempdir().unwrap().keep();
    for program in PROGRAMS {
        symlink(busybox, dir.join(program)).unwrap();
    }
    support::provider_with(Jail::Bubblewrap, vec![dir]).await
}

studio_sandbox::contract_tests!(provider);
