use proptest::prelude::*;
use studio_events::{GitInfo, Phase, SessionPrivate, SessionStatus, SessionTotals, SessionUpdate};
use studio_ids::SessionId;
use studio_registry::{Registry, RegistryError};
use tokio::task::JoinSet;

use crate::world::{Disturbed, Hand, all, id, info, try_open};

const SESSIONS: u16 = 6;

#[derive(Clone, Debug)]
enum Step {
    Register(u16),
    Update(u16, Box<SessionUpdate>),
    AddTotals(u16, u64),
    Touch(u16),
    Delete(u16),
    Map(u16, u8),
    /// Enough changes for a snapshot.
    Churn(u16),
    Snapshot,
    Restart,
    /// The process is killed: nothing is stopped, nothing flushed.
    Crash,
}

fn update() -> impl Strategy<Value = SessionUpdate> {
    let status = prop::sample::select(vec![
        SessionStatus::Running,
        SessionStatus::Complete,
        SessionStatus::Error,
        SessionStatus::Cancelled,
    ]);
    let phase = prop::sample::select(vec![Phase::SettingUp, Phase::Started, Phase::Ended]);
    let git = GitInfo { branch: "main".to_owned(), ..GitInfo::default() };
    (
        prop::option::of(status),
        prop::option::of(phase),
        prop::option::of(prop::option::of(1..9_u16)),
        prop::option::of(prop::option::of("[a-z]{0,4}")),
        prop::option::of(Just(git)),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(status, phase, app_port, preview_url, git, needs_input)| SessionUpdate {
            status,
            phase,
            app_port,
            preview_url,
            git,
            needs_input,
            ..SessionUpdate::default()
        })
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..SESSIONS;
    prop_oneof![
        6 => n.clone().prop_map(Step::Register),
        8 => (n.clone(), update()).prop_map(|(n, update)| Step::Update(n, Box::new(update))),
        4 => (n.clone(), 0..100_u64).prop_map(|(n, more)| Step::AddTotals(n, more)),
        2 => n.clone().prop_map(Step::Touch),
        2 => n.clone().prop_map(Step::Delete),
        2 => (n.clone(), 0..3_u8).prop_map(|(n, t)| Step::Map(n, t)),
        1 => n.prop_map(Step::Churn),
        2 => Just(Step::Snapshot),
        2 => Just(Step::Restart),
        2 => Just(Step::Crash),
    ]
}

fn transcript(n: u8) -> String {
    format!("/home/me/{n}.jsonl")
}

fn transcripts(registry: &Registry) -> Vec<Option<SessionId>> {
    (0..3).map(|n| registry.session_of_transcript(&transcript(n))).collect()
}

/// Does a step; it succeeds exactly if the session is there.
async fn act(registry: &Registry, step: Step) {
    let (n, there, done): (u16, bool, Result<(), RegistryError>) = match step {
        Step::Register(n) => {
            (n, true, registry.register(info(n), SessionPrivate::default()).await.map(drop))
        }
        Step::Update(n, update) => {
            let there = registry.get(id(n)).is_some();
            (n, there, registry.update(id(n), *update).await.map(drop))
        }
        Step::AddTotals(n, more) => {
            let there = registry.get(id(n)).is_some();
            let before = registry.get(id(n)).and_then(|record| record.info.total_turns);
            let totals = SessionTotals {
                cost_usd: Some(0.1),
                num_turns: Some(more),
                ..SessionTotals::default()
            };
            let done = registry.add_totals(id(n), totals).await;
            if let Ok(record) = &done {
                assert_eq!(record.info.total_turns, Some(before.unwrap_or(0) + more));
            }
            (n, there, done.map(drop))
        }
        Step::Touch(n) => {
            registry.touch(id(n));
            return;
        }
        Step::Delete(n) => {
            let there = registry.get(id(n)).is_some();
            let done = registry.delete(id(n)).await;
            assert_eq!(registry.get(id(n)), None);
            (n, there, done)
        }
        Step::Map(n, t) => {
            let there = registry.get(id(n)).is_some();
            (n, there, registry.map_transcript(transcript(t), id(n)).await)
        }
        Step::Churn(n) => {
            let mut changes = JoinSet::new();
            for turn in 0..1_100 {
                let registry = registry.clone();
                let update = SessionUpdate { total_turns: Some(turn), ..Default::default() };
                // A session that is not there is not changed.
                changes.spawn(async move { registry.update(id(n), update).await.ok() });
            }
            changes.join_all().await;
            return;
        }
        Step::Snapshot => {
            registry.snapshot().await.unwrap();
            return;
        }
        Step::Restart | Step::Crash => return,
    };
    match done {
        Ok(()) => assert!(there, "session {n}"),
        Err(RegistryError::NotFound { session }) => assert!(!there && session == id(n)),
        Err(error) => panic!("{error}"),
    }
}

async fn live(steps: Vec<Step>) {
    let (store, hand) = (Disturbed::new(), Hand::default());
    let mut registry = try_open(&store, &hand).await.unwrap();
    let mut lease = registry.lease();
    for (now, step) in steps.into_iter().enumerate() {
        hand.set(1_000 + i64::try_from(now).unwrap());
        let ends = matches!(step, Step::Restart | Step::Crash);
        if matches!(step, Step::Restart) {
            registry.stop().await;
        }
        act(&registry, step).await;
        if ends {
            let before = (all(&registry), transcripts(&registry));
            let next = try_open(&store, &hand).await.unwrap();
            assert_eq!((all(&next), transcripts(&next)), before);
            assert_eq!(next.lease(), lease + 1);
            lease = next.lease();
            registry = next;
        }
    }
    let next = try_open(&store, &hand).await.unwrap();
    assert_eq!(all(&next), all(&registry));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_restart_at_any_point_finds_the_same_table(
        steps in prop::collection::vec(step(), 1..50)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(steps));
    }
}
