//! Files in and out, as bytes.

use std::sync::Arc;

use bytes::Bytes;

use super::{commands::HOSTILE, said, spec, with_sandbox};
use crate::{NewFile, Sandbox, SandboxError, SandboxPath, SandboxProvider};

fn file(path: SandboxPath, data: impl Into<Bytes>) -> NewFile {
    NewFile { path, data: data.into(), mode: 0o644 }
}

async fn put_and_read(sandbox: &dyn Sandbox, path: &SandboxPath, data: Bytes) {
    sandbox.put_files(vec![file(path.clone(), data.clone())]).await.unwrap();
    let read = sandbox.read_file(path, data.len()).await.unwrap();
    assert!(read == data, "{path}: {} of {} bytes", read.len(), data.len());
}

/// Binary, empty, without a line break, and what ends a here-document.
pub async fn bytes_come_back_as_they_went_in(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let dir = sandbox.project_dir();
        let all: Bytes = (0..=255).collect();
        for (name, data) in [
            ("all", all),
            ("empty", Bytes::new()),
            ("no-break", "text".into()),
            ("here", "EOF\nSTUDIO_EOF\n$(touch pwned)\n".into()),
        ] {
            put_and_read(&*sandbox, &dir.join(name).unwrap(), data).await;
        }
        let files = (0..30).map(|n| file(dir.join(&format!("d/{n}/f")).unwrap(), n.to_string()));
        sandbox.put_files(files.collect()).await.unwrap();
        let seen = said(&*sandbox, "cat workspace/app/d/0/f workspace/app/d/29/f", []).await;
        assert_eq!(seen, "029");
        sandbox.put_files(vec![]).await.unwrap();
        assert_eq!(said(&*sandbox, "find . -name pwned", []).await, "");
    })
    .await;
}

/// A name is never an option, a pattern or a script.
pub async fn odd_names_are_only_names(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let dir = sandbox.project_dir();
        let mut count = 0;
        for name in HOSTILE.iter().copied().chain(["-n", "a b/c d", &"x".repeat(255)]) {
            let Ok(path) = dir.join(name) else { continue };
            if name.contains("pwned") || name.contains("rm -rf") || !name.contains('/') {
                put_and_read(&*sandbox, &path, format!("in {name}").into()).await;
                count += 1;
            }
        }
        assert!(15 < count, "{count} names were tried");
        put_and_read(&*sandbox, &dir.join("a b/-c/$d").unwrap(), "deep".into()).await;
        let seen = said(&*sandbox, "cd workspace/app; cat -- '$(touch pwned)' ./-rf", []).await;
        assert_eq!(seen, "in $(touch pwned)in -rf");
        assert_eq!(said(&*sandbox, "find . -name pwned", []).await, "");
    })
    .await;
}

/// 5 MiB, and the reader's limit to the byte.
pub async fn large_files_go_in_and_out(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let data: Bytes =
            (0..5 * 1024 * 1024u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let path = sandbox.project_dir().join("large").unwrap();
        put_and_read(&*sandbox, &path, data.clone()).await;
        let size = said(&*sandbox, "wc -c <workspace/app/large", []).await;
        assert_eq!(size.trim(), data.len().to_string());
        let over = sandbox.read_file(&path, data.len() - 1).await;
        assert!(matches!(over, Err(SandboxError::File { .. })), "{:?}", over.map(|b| b.len()));
    })
    .await;
}

/// New files and the directories made for them belong to the user inside.
pub async fn modes_and_owner_are_those_of_the_user(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let path = |name: &str| sandbox.home().join(name).unwrap();
        let secret = NewFile { path: path("new/dir/secret"), data: "x".into(), mode: 0o600 };
        let script = "#!/bin/sh\necho ran \"$@\"\n";
        let tool = NewFile { path: path("bin/tool"), data: script.into(), mode: 0o755 };
        sandbox.put_files(vec![secret, tool]).await.unwrap();
        let modes = said(&*sandbox, "stat -c %a new/dir/secret bin/tool", []).await;
        assert_eq!(modes, "600\n755");
        let owners = said(&*sandbox, "stat -c %u new new/dir new/dir/secret bin/tool; id -u", []);
        let owners = owners.await;
        let owners: Vec<_> = owners.lines().collect();
        assert!(owners.windows(2).all(|pair| pair[0] == pair[1]), "{owners:?}");
        assert_eq!(said(&*sandbox, "bin/tool -x 'a b'", []).await, "ran -x a b");
        said(&*sandbox, "touch new/dir/more && rm -r new", []).await;
    })
    .await;
}

/// Also one that cannot be written, and its mode.
pub async fn a_file_is_replaced(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let path = sandbox.home().join("file").unwrap();
        let old = NewFile { path: path.clone(), data: "old and long".into(), mode: 0o400 };
        sandbox.put_files(vec![old]).await.unwrap();
        put_and_read(&*sandbox, &path, "new".into()).await;
        assert_eq!(said(&*sandbox, "stat -c %a file", []).await, "644");
    })
    .await;
}

/// Nothing there, a directory, a pipe, a file in the way.
pub async fn what_cannot_be_read_says_why(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        said(&*sandbox, "mkdir dir; mkfifo pipe; echo x >plain", []).await;
        let path = |name: &str| sandbox.home().join(name).unwrap();
        for name in ["nothing", "no/where", "dir", "pipe", "plain/below"] {
            let error = sandbox.read_file(&path(name), 1000).await.unwrap_err();
            assert!(matches!(error, SandboxError::File { .. }), "{name}: {error:?}");
            assert!(error.to_string().contains(path(name).as_str()), "{error}");
        }
        for name in ["dir", "plain/below"] {
            let error = sandbox.put_files(vec![file(path(name), "x")]).await.unwrap_err();
            assert!(matches!(error, SandboxError::File { .. }), "{name}: {error:?}");
        }
    })
    .await;
}

/// A link that the agent makes points into the sandbox, whatever its text is.
pub async fn a_link_leads_nowhere_outside(provider: Arc<dyn SandboxProvider>) {
    if provider.abilities().isolation == crate::Isolation::None {
        return;
    }
    let outside = tempfile_outside();
    let dir = outside.to_string_lossy().into_owned();
    with_sandbox(provider, spec(), async move |sandbox| {
        said(&*sandbox, "ln -s \"$1\" link; ln -s \"$1/file\" file", [dir.as_str()]).await;
        let path = |name: &str| sandbox.home().join(name).unwrap();
        // Whether these succeed inside is the sandbox's business.
        drop(sandbox.put_files(vec![file(path("link/new"), "x")]).await);
        drop(sandbox.put_files(vec![file(path("file"), "x")]).await);
        assert!(sandbox.read_file(&path("link/file"), 100).await.is_err());
    })
    .await;
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "outside");
    assert!(!outside.join("new").exists());
    std::fs::remove_dir_all(outside).unwrap();
}

fn tempfile_outside() -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("studio-outside-{}", studio_ids::RunId::random()));
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("file"), "outside").unwrap();
    dir
}
