//! Two servers and one session: the older one does not know that it was taken over, and what it
//! removes and makes meets what the newer one makes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use studio_ids::{RunId, SessionId};

use super::{causes, said, silence, spec, with_sandbox};
use crate::{
    Command, Exit, JournalState, JournaledProcess, Sandbox, SandboxError, SandboxProvider,
    SandboxSpec,
};

/// The lease of the server that was taken over, and of the one that took over.
const OLDER: u64 = 7;
const NEWER: u64 = 8;
/// How often a newer server tries to make a sandbox: the older one is in the way at most once.
const TRIES_MAX: u32 = 3;

fn spec_of(session: SessionId, lease: u64) -> SandboxSpec {
    SandboxSpec { session, lease, ..spec() }
}

async fn is_there(provider: &dyn SandboxProvider, session: SessionId) -> bool {
    provider.list().await.unwrap().iter().any(|(found, _)| *found == session)
}

/// A program that goes on in the sandbox.
async fn at_work(sandbox: &dyn Sandbox) {
    let command = Command::script("echo $$ >pid.new; mv pid.new pid; exec sleep 1000", [""; 0]);
    sandbox.spawn_detached(command).await.unwrap();
    super::until("the program runs", async || !said(sandbox, "cat pid || :", []).await.is_empty())
        .await;
}

/// What a later server made stays, with what runs in it; its own removal takes it.
pub async fn an_older_lease_removes_nothing_of_a_newer_one(provider: Arc<dyn SandboxProvider>) {
    let session = SessionId::random();
    provider.destroy_up_to(session, NEWER).await.unwrap();
    let sandbox = provider.create(&spec_of(session, NEWER), silence()).await.unwrap();
    at_work(&*sandbox).await;
    for lease in [0, OLDER] {
        provider.destroy_up_to(session, lease).await.unwrap();
    }
    said(&*sandbox, "kill -0 $(cat pid)", []).await;
    assert!(is_there(&*provider, session).await);
    provider.destroy_up_to(session, NEWER).await.unwrap();
    assert!(!is_there(&*provider, session).await);
}

/// What an earlier server made is removed, however long ago.
pub async fn a_newer_lease_removes_what_an_older_one_made(provider: Arc<dyn SandboxProvider>) {
    for lease in [0, OLDER] {
        let session = SessionId::random();
        let sandbox = provider.create(&spec_of(session, lease), silence()).await.unwrap();
        at_work(&*sandbox).await;
        provider.destroy_up_to(session, NEWER).await.unwrap();
        assert!(!is_there(&*provider, session).await);
        assert!(matches!(sandbox.state().await, Err(SandboxError::Gone { .. })));
        provider.destroy_up_to(session, u64::MAX).await.unwrap();
    }
}

/// A run that a newer server found not started is not started by the older one either.
pub async fn a_run_that_is_ruled_out_is_never_started(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let run = || JournaledProcess::of(Arc::clone(&sandbox), RunId::random());
        let script = || Command::script("echo started >>~/starts; exec cat", [""; 0]);
        let exists = |error| matches!(error, SandboxError::Exists { .. });
        let process = run();
        assert_eq!(process.rule_out().await.unwrap(), JournalState::Absent);
        assert!(exists(process.start(script()).await.unwrap_err()));
        let ended = JournalState::Ended(Exit::Unknown);
        assert_eq!(process.state().await.unwrap(), ended);
        assert_eq!(process.rule_out().await.unwrap(), ended);
        assert!(process.lines(0).await.unwrap().next().await.unwrap().is_none());
        assert_eq!(process.stop(Duration::from_millis(100)).await.unwrap(), Exit::Unknown);
        // At the same time as the start: one of the two comes first.
        let mut started = 0;
        for _ in 0..8 {
            let process = run();
            match tokio::join!(process.start(script()), process.rule_out()) {
                (Ok(()), Ok(JournalState::Running)) => started += 1,
                (Err(SandboxError::Exists { .. }), Ok(JournalState::Absent)) => {}
                both => panic!("{both:?}"),
            }
            process.stop(Duration::from_millis(100)).await.unwrap();
        }
        let starts = said(&*sandbox, "cat starts 2>/dev/null | wc -l", []).await;
        assert_eq!(starts.parse::<u32>().unwrap(), started);
    })
    .await;
}

/// However an older server's making, giving up and removing falls together with a newer one's.
pub async fn two_servers_at_once_leave_the_newer_ones(provider: Arc<dyn SandboxProvider>) {
    race(&provider, &provider, 6).await;
}

/// `rounds` times: the older server is somewhere in making a sandbox, gives up at another moment
/// each time, and removes what it may; the newer one removes and makes its own meanwhile. Its own
/// works, with what runs in it, and its handle is good.
pub async fn race(older: &Arc<dyn SandboxProvider>, newer: &Arc<dyn SandboxProvider>, rounds: u32) {
    let start = std::time::Instant::now();
    let first = spec_of(SessionId::random(), OLDER);
    older.create(&first, silence()).await.unwrap();
    let took = start.elapsed();
    older.destroy_session(first.session).await.unwrap();
    for round in 0..rounds {
        one_round(older, newer, took * round / rounds, round % 2 == 0).await;
    }
}

async fn one_round(
    older: &Arc<dyn SandboxProvider>,
    newer: &Arc<dyn SandboxProvider>,
    patience: Duration,
    was_there: bool,
) {
    let session = SessionId::random();
    if was_there {
        older.create(&spec_of(session, OLDER), silence()).await.unwrap();
    }
    let over = Arc::new(AtomicBool::new(false));
    let (provider, is_over) = (Arc::clone(older), Arc::clone(&over));
    let stale = tokio::spawn(async move {
        let wanted = spec_of(session, OLDER);
        provider.destroy_up_to(session, OLDER).await.unwrap();
        // Given up, or too late, or in time: whatever, but nothing of the newer one's.
        drop(tokio::time::timeout(patience, provider.create(&wanted, silence())).await);
        loop {
            let last = is_over.load(Ordering::Acquire);
            provider.destroy_up_to(session, OLDER).await.unwrap();
            if last {
                break;
            }
        }
    });
    let sandbox = make(&**newer, session).await;
    at_work(&*sandbox).await;
    over.store(true, Ordering::Release);
    stale.await.unwrap();
    said(&*sandbox, "kill -0 $(cat pid)", []).await;
    assert!(is_there(&**newer, session).await);
    let found = newer.find(sandbox.reference()).await.unwrap().unwrap();
    said(&*found, "kill -0 $(cat pid)", []).await;
    newer.destroy_session(session).await.unwrap();
    assert!(!is_there(&**newer, session).await);
}

/// As a flow does it.
async fn make(provider: &dyn SandboxProvider, session: SessionId) -> Arc<dyn Sandbox> {
    for attempt in 1.. {
        provider.destroy_up_to(session, NEWER).await.unwrap();
        match provider.create(&spec_of(session, NEWER), silence()).await {
            Ok(sandbox) => return sandbox,
            Err(SandboxError::Exists { .. }) if attempt < TRIES_MAX => {}
            Err(error) => panic!("the newer server has no sandbox: {}", causes(&error)),
        }
    }
    unreachable!("the tries are counted")
}
