//! What becomes of answers, closings and deadlines.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that panics has failed, as it should"
)]

use std::time::Duration;

use serde_json::{Value, json};
use studio_events::Timestamp;
use studio_gates::{
    Claim, ENDED_REMEMBERED_MAX, Gate, GateClosed, GateKind, GateOutcome, Gates, Opened,
    PENDING_MAX, infra_gate_id,
};
use studio_ids::{GateId, SessionId};

const SESSION: SessionId = SessionId::from_bytes([7; 16]);

fn id(text: &str) -> GateId {
    text.parse().unwrap()
}

fn question(text: &str) -> Gate {
    Gate {
        id: id(text),
        kind: GateKind::AskUserQuestion,
        deadline: None,
        asked: json!({ "type": "ask_user_question", "tool_use_id": text }),
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn due_at(text: &str, millis: i64) -> Gate {
    Gate { deadline: Some(at(millis)), ..question(text) }
}

fn claim(gates: &Gates, gate: &str, answer: &Value) -> Claim {
    gates.claim(SESSION, &id(gate), GateKind::AskUserQuestion, answer)
}

fn answer(gates: &Gates, gate: &str, answer: &Value) {
    match claim(gates, gate, answer) {
        Claim::Granted(ticket) => {
            assert_eq!(gates.settle(ticket), GateOutcome::Answered(answer.clone()));
        }
        other => panic!("{other:?}"),
    }
}

/// A wait that must be over already.
async fn now<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("nobody was told")
}

#[test]
fn the_first_answer_wins_and_the_same_again_is_a_success() {
    let gates = Gates::new();
    assert_eq!(gates.open(SESSION, question("q")), Opened::New);
    answer(&gates, "q", &json!({"a": 1, "b": 2}));
    assert!(matches!(claim(&gates, "q", &json!({"b": 2, "a": 1})), Claim::SameAgain));
    assert!(matches!(claim(&gates, "q", &json!({"a": 2})), Claim::Conflict));
    assert!(matches!(claim(&gates, "other", &json!({"a": 2})), Claim::Unknown));
    assert!(!gates.has_pending(SESSION));
}

#[test]
fn an_answer_of_another_kind_reaches_no_gate() {
    let gates = Gates::new();
    let infra = Gate { id: infra_gate_id(), kind: GateKind::InfraConfig, ..question("x") };
    gates.open(SESSION, infra);
    let outbound = gates.claim(SESSION, &infra_gate_id(), GateKind::Permission, &json!("allow"));
    assert!(matches!(outbound, Claim::Unknown));
    assert!(gates.has_pending(SESSION));

    let local = json!({"mode": "local"});
    let Claim::Granted(ticket) =
        gates.claim(SESSION, &infra_gate_id(), GateKind::InfraConfig, &local)
    else {
        panic!("not granted")
    };
    gates.settle(ticket);
    let late = gates.claim(SESSION, &infra_gate_id(), GateKind::Permission, &local);
    assert!(matches!(late, Claim::Unknown));
}

#[tokio::test]
async fn a_gate_that_is_asked_again_is_the_same_gate() {
    let gates = Gates::new();
    assert_eq!(gates.open(SESSION, question("q")), Opened::New);
    assert_eq!(gates.open(SESSION, question("q")), Opened::Joined);
    assert_eq!(gates.pending(SESSION), [question("q")]);
    assert!(!gates.is_awaited(SESSION, &id("q")));

    let (first, second) = (gates.clone(), gates.clone());
    let first = tokio::spawn(async move { first.wait(SESSION, &id("q")).await });
    let second = tokio::spawn(async move { second.wait(SESSION, &id("q")).await });
    while !gates.is_awaited(SESSION, &id("q")) {
        tokio::task::yield_now().await;
    }
    answer(&gates, "q", &json!("blue"));
    let told = Some(GateOutcome::Answered(json!("blue")));
    assert_eq!(now(first).await.unwrap(), told);
    assert_eq!(now(second).await.unwrap(), told);
    // One that comes late is told what became of it.
    assert_eq!(gates.open(SESSION, question("q")), Opened::Ended(told.clone().unwrap()));
    assert_eq!(now(gates.wait(SESSION, &id("q"))).await, told);
    assert_eq!(now(gates.wait(SESSION, &id("never"))).await, None);
}

#[tokio::test]
async fn an_answer_that_was_not_delivered_leaves_the_gate_pending() {
    let gates = Gates::new();
    gates.open(SESSION, question("q"));
    let Claim::Granted(ticket) = claim(&gates, "q", &json!(1)) else { panic!("not granted") };
    assert_eq!(ticket.answer(), Some(&json!(1)));
    assert_eq!(gates.pending(SESSION).len(), 1, "not settled, so still open for people");
    assert_eq!(gates.release(ticket), None);

    let Claim::Granted(ticket) = claim(&gates, "q", &json!(2)) else { panic!("not granted") };
    drop(ticket);
    answer(&gates, "q", &json!(3));
    assert_eq!(gates.outcome(SESSION, &id("q")), Some(GateOutcome::Answered(json!(3))));
}

#[tokio::test]
async fn a_second_answer_waits_for_the_fate_of_the_first() {
    for delivered in [true, false] {
        let gates = Gates::new();
        gates.open(SESSION, question("q"));
        let Claim::Granted(ticket) = claim(&gates, "q", &json!(1)) else { panic!("not granted") };
        let Claim::InProgress(attempt) = claim(&gates, "q", &json!(2)) else {
            panic!("not in progress")
        };
        let waiting = gates.clone();
        let second = tokio::spawn(async move {
            waiting.claim_in_turn(SESSION, &id("q"), GateKind::AskUserQuestion, &json!(2)).await
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        if delivered {
            gates.settle(ticket);
            assert!(matches!(now(second).await.unwrap(), Claim::Conflict));
        } else {
            gates.release(ticket);
            assert!(matches!(now(second).await.unwrap(), Claim::Granted(_)));
        }
        now(attempt.over()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_answers_at_once_one_is_delivered() {
    for _ in 0..50 {
        let gates = Gates::new();
        gates.open(SESSION, question("q"));
        let mut answers = tokio::task::JoinSet::new();
        for n in 0..20 {
            let gates = gates.clone();
            answers.spawn(async move {
                let given = json!(n % 4);
                let kind = GateKind::AskUserQuestion;
                match gates.claim_in_turn(SESSION, &id("q"), kind, &given).await {
                    Claim::Granted(ticket) if n % 5 == 0 => {
                        tokio::task::yield_now().await;
                        gates.release(ticket);
                        (given, "undelivered")
                    }
                    Claim::Granted(ticket) => {
                        tokio::task::yield_now().await;
                        gates.settle(ticket);
                        (given, "delivered")
                    }
                    Claim::SameAgain => (given, "same"),
                    Claim::Conflict => (given, "conflict"),
                    other => panic!("{other:?}"),
                }
            });
        }
        let all = answers.join_all().await;
        let delivered: Vec<_> = all.iter().filter(|(_, fate)| *fate == "delivered").collect();
        assert_eq!(delivered.len(), 1, "{all:?}");
        let (winner, _) = delivered[0];
        for (given, fate) in &all {
            match *fate {
                "same" => assert_eq!(given, winner),
                "conflict" => assert_ne!(given, winner),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn cancelling_a_session_closes_what_waits_and_tells_so() {
    let gates = Gates::new();
    gates.open(SESSION, question("a"));
    gates.open(SESSION, question("b"));
    let waiting = gates.clone();
    let waiter = tokio::spawn(async move { waiting.wait(SESSION, &id("a")).await });
    while !gates.is_awaited(SESSION, &id("a")) {
        tokio::task::yield_now().await;
    }
    let closed = gates.close_all(SESSION, GateClosed::Rejected);
    assert_eq!(closed, [question("a"), question("b")]);
    let told = Some(GateOutcome::Closed(GateClosed::Rejected));
    assert_eq!(now(waiter).await.unwrap(), told);
    assert!(matches!(claim(&gates, "b", &json!(1)), Claim::Closed(GateClosed::Rejected)));
    assert!(gates.close_all(SESSION, GateClosed::Rejected).is_empty());
    assert!(!gates.close(SESSION, &id("a"), GateClosed::Expired));
}

#[test]
fn a_close_during_a_delivery_yields_to_it_or_takes_its_place() {
    let gates = Gates::new();
    gates.open(SESSION, question("a"));
    gates.open(SESSION, question("b"));
    let Claim::Granted(a) = claim(&gates, "a", &json!(1)) else { panic!("not granted") };
    let Claim::Granted(b) = claim(&gates, "b", &json!(1)) else { panic!("not granted") };
    assert!(gates.close_all(SESSION, GateClosed::Rejected).is_empty());
    assert_eq!(gates.settle(a), GateOutcome::Answered(json!(1)));
    assert_eq!(gates.release(b), Some(GateClosed::Rejected));
    assert!(!gates.has_pending(SESSION));
    assert!(matches!(claim(&gates, "b", &json!(1)), Claim::Closed(GateClosed::Rejected)));
}

#[test]
fn what_the_log_says_goes_over_a_ticket() {
    let gates = Gates::new();
    gates.open(SESSION, question("a"));
    let Claim::Granted(ticket) = claim(&gates, "a", &json!(1)) else { panic!("not granted") };
    assert!(gates.closed(SESSION, &id("a"), GateClosed::Withdrawn));
    assert!(!gates.resolved(SESSION, &id("a"), &json!(1)), "the first outcome stays");
    assert_eq!(gates.settle(ticket), GateOutcome::Closed(GateClosed::Withdrawn));
}

#[test]
fn a_deadline_closes_only_what_nobody_is_answering() {
    let gates = Gates::new();
    gates.open(SESSION, due_at("late", 3_000));
    gates.open(SESSION, due_at("soon", 1_000));
    gates.open(SESSION, due_at("answered", 1_000));
    gates.open(SESSION, question("patient"));
    let Claim::Granted(held) = claim(&gates, "answered", &json!(1)) else { panic!("no") };

    assert_eq!(gates.due(at(999)), (vec![], Some(at(1_000))));
    let (due, next) = gates.due(at(1_000));
    assert_eq!(due, [(SESSION, due_at("soon", 1_000))]);
    assert_eq!(next, Some(at(3_000)));

    let expiry = gates.claim_close(SESSION, &id("soon"), GateClosed::Expired).unwrap();
    assert_eq!(expiry.answer(), None);
    assert!(matches!(claim(&gates, "soon", &json!(1)), Claim::InProgress(_)));
    assert!(gates.due(at(1_000)).0.is_empty());
    gates.settle(expiry);
    assert!(matches!(claim(&gates, "soon", &json!(1)), Claim::Closed(GateClosed::Expired)));
    assert!(gates.claim_close(SESSION, &id("answered"), GateClosed::Expired).is_none());

    drop(held);
    assert_eq!(gates.due(at(1_000)).0, [(SESSION, due_at("answered", 1_000))]);
    // An expiry that could not be written is due again.
    drop(gates.claim_close(SESSION, &id("answered"), GateClosed::Expired));
    assert_eq!(gates.due(at(1_000)).0, [(SESSION, due_at("answered", 1_000))]);
}

#[tokio::test]
async fn a_nearer_deadline_wakes_the_one_who_sleeps() {
    let gates = Gates::new();
    let woken = async |gates: &Gates| {
        tokio::time::timeout(Duration::from_millis(20), gates.changed()).await.is_ok()
    };
    gates.open(SESSION, due_at("b", 2_000));
    assert!(woken(&gates).await);
    gates.open(SESSION, due_at("c", 3_000));
    assert!(!woken(&gates).await, "nothing new is near");
    gates.open(SESSION, due_at("a", 1_000));
    assert!(woken(&gates).await);
    // A released answer brings its deadline back.
    let Claim::Granted(ticket) = claim(&gates, "a", &json!(1)) else { panic!("not granted") };
    gates.release(ticket);
    assert!(woken(&gates).await);
}

#[tokio::test]
async fn a_deleted_session_leaves_nothing() {
    let gates = Gates::new();
    gates.open(SESSION, due_at("a", 1_000));
    let waiting = gates.clone();
    let waiter = tokio::spawn(async move { waiting.wait(SESSION, &id("a")).await });
    while !gates.is_awaited(SESSION, &id("a")) {
        tokio::task::yield_now().await;
    }
    let Claim::Granted(ticket) = claim(&gates, "a", &json!(1)) else { panic!("not granted") };
    let Claim::InProgress(attempt) = claim(&gates, "a", &json!(1)) else { panic!("not held") };
    gates.forget(SESSION);
    now(attempt.over()).await;
    assert_eq!(now(waiter).await.unwrap(), Some(GateOutcome::Closed(GateClosed::Rejected)));
    assert_eq!(gates.due(at(5_000)), (vec![], None));

    // The old ticket has no power over a new gate of the same name.
    gates.open(SESSION, question("a"));
    assert_eq!(gates.settle(ticket), GateOutcome::Closed(GateClosed::Rejected));
    assert!(gates.has_pending(SESSION));
}

#[test]
fn a_session_remembers_a_bounded_number_of_gates() {
    let gates = Gates::new();
    for n in 0..=ENDED_REMEMBERED_MAX {
        let name = format!("q{n}");
        gates.open(SESSION, question(&name));
        answer(&gates, &name, &json!(n));
    }
    assert!(matches!(claim(&gates, "q0", &json!(0)), Claim::Unknown));
    assert!(matches!(claim(&gates, "q1", &json!(1)), Claim::SameAgain));

    for n in 0..PENDING_MAX {
        assert_eq!(gates.open(SESSION, question(&format!("p{n}"))), Opened::New);
    }
    assert_eq!(gates.open(SESSION, question("one-more")), Opened::Full);
    assert_eq!(gates.open(SessionId::from_bytes([8; 16]), question("q")), Opened::New);
}

#[test]
fn an_answer_is_never_printed() {
    let gates = Gates::new();
    gates.open(SESSION, question("q"));
    let Claim::Granted(ticket) = claim(&gates, "q", &json!("postgres://u:hunter2@db")) else {
        panic!("not granted")
    };
    assert!(!format!("{ticket:?}").contains("hunter2"));
    gates.settle(ticket);
    let told = gates.outcome(SESSION, &id("q"));
    assert!(!format!("{told:?} {gates:?}").contains("hunter2"));
}
