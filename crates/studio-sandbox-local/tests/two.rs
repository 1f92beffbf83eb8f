//! Two servers over one root, as after a take-over of which the older one does not know yet.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use studio_ids::SessionId;
use studio_sandbox::{
    Command, Output, Sandbox, SandboxError, SandboxProvider, SandboxSpec, SandboxState,
    contract::{leases::race, silence, spec},
};
use studio_sandbox_local::{Jail, LocalOptions, LocalProvider};
use tempfile::TempDir;

async fn open(root: &Path, jail: Jail) -> Arc<dyn SandboxProvider> {
    let options = LocalOptions { jail: Some(jail), ..LocalOptions::default() };
    Arc::new(LocalProvider::open(root.to_owned(), options).await.unwrap())
}

fn root() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

async fn works(sandbox: &dyn Sandbox) -> bool {
    let ran = sandbox.exec(Command::new(["true"]), Bytes::new(), Output::default()).await;
    ran.is_ok_and(|output| output.exit.is_success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_server_never_touches_what_a_newer_one_makes_in_a_jail() {
    let root = root();
    race(
        &open(root.path(), Jail::Bubblewrap).await,
        &open(root.path(), Jail::Bubblewrap).await,
        30,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_server_never_touches_what_a_newer_one_makes_without_a_jail() {
    let root = root();
    race(&open(root.path(), Jail::Plain).await, &open(root.path(), Jail::Plain).await, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_of_the_older_server_reaches_nothing_of_the_newer_sandbox() {
    for jail in [Jail::Bubblewrap, Jail::Plain] {
        let root = root();
        let (older, newer) = (open(root.path(), jail).await, open(root.path(), jail).await);
        let wanted = SandboxSpec { lease: 1, ..spec() };
        let stale = older.create(&wanted, silence()).await.unwrap();
        newer.destroy_up_to(wanted.session, 2).await.unwrap();
        let wanted = SandboxSpec { lease: 2, ..wanted };
        let sandbox = newer.create(&wanted, silence()).await.unwrap();
        let is_gone = |error| matches!(error, SandboxError::Gone { .. });
        assert!(is_gone(stale.state().await.unwrap_err()), "{jail:?}");
        assert!(is_gone(stale.wake().await.unwrap_err()), "{jail:?}");
        let command = || Command::new(["touch", "stray"]);
        assert!(is_gone(stale.spawn_detached(command()).await.unwrap_err()), "{jail:?}");
        assert!(is_gone(stale.spawn(command()).await.err().unwrap()), "{jail:?}");
        assert!(works(&*sandbox).await, "{jail:?}");
        assert!(!root.path().join(format!("{}/home/stray", wanted.session)).exists());
        newer.destroy_session(wanted.session).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_disturbs_no_making_and_no_removal() {
    let root = root();
    let provider = open(root.path(), Jail::Plain).await;
    let path = root.path().to_owned();
    let starts = tokio::spawn(async move {
        loop {
            open(&path, Jail::Plain).await;
        }
    });
    for _ in 0..60 {
        let wanted = spec();
        provider.create(&wanted, silence()).await.unwrap();
        provider.destroy_session(wanted.session).await.unwrap();
        assert_eq!(provider.list().await.unwrap(), []);
    }
    starts.abort();
}

#[tokio::test]
async fn a_sandbox_of_an_older_version_is_of_the_first_lease() {
    let root = root();
    let provider = open(root.path(), Jail::Bubblewrap).await;
    for record in [None, Some("{ not JSON"), Some("")] {
        let wanted = SandboxSpec { lease: 9, ..spec() };
        let sandbox = provider.create(&wanted, silence()).await.unwrap();
        let place = root.path().join(wanted.session.to_string());
        let written = std::fs::read(place.join("sandbox.json")).unwrap();
        let mut known: serde_json::Value = serde_json::from_slice(&written).unwrap();
        known.as_object_mut().unwrap().retain(|name, _| name != "lease" && name != "making");
        let record = record.map_or(known.to_string(), str::to_owned);
        std::fs::write(place.join("sandbox.json"), record).unwrap();
        if let Ok(Some(found)) = provider.find(sandbox.reference()).await {
            assert_eq!(found.state().await.unwrap(), SandboxState::Running);
            assert!(works(&*found).await);
        }
        provider.destroy_up_to(wanted.session, 0).await.unwrap();
        assert!(!place.exists());
    }
}

#[tokio::test]
async fn sessions_that_share_a_lock_have_sandboxes_of_their_own() {
    let root = root();
    let provider = open(root.path(), Jail::Plain).await;
    let mut bytes = *SessionId::random().as_bytes();
    let one = SandboxSpec { lease: 1, ..spec() };
    let one = SandboxSpec { session: SessionId::from_bytes(bytes), ..one };
    bytes[15] ^= 1;
    let other = SandboxSpec { session: SessionId::from_bytes(bytes), ..one.clone() };
    let (first, second) =
        tokio::join!(provider.create(&one, silence()), provider.create(&other, silence()));
    let second = second.unwrap();
    first.unwrap();
    provider.destroy_up_to(one.session, 1).await.unwrap();
    assert!(works(&*second).await);
    provider.destroy_session(other.session).await.unwrap();
}
