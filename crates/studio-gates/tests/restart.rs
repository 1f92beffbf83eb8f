//! The gates after a restart: a fold over the session's stream.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use serde_json::{Value, json};
use studio_events::{EngineEvent, InternalEvent, SessionEntry, Timestamp};
use studio_gates::{Claim, Gate, GateClosed, GateKind, GateLog, GateOutcome, Gates};
use studio_ids::{GateId, SessionId};

const SESSION: SessionId = SessionId::from_bytes([7; 16]);
const NOW: Timestamp = Timestamp::from_unix_millis(1_000);

fn id(text: &str) -> GateId {
    text.parse().unwrap()
}

fn server(event: EngineEvent) -> Value {
    serde_json::from_slice(&SessionEntry::server(event, NOW).to_json()).unwrap()
}

fn agent(event: EngineEvent) -> Value {
    serde_json::from_slice(&SessionEntry::agent(event, NOW).to_json()).unwrap()
}

fn permission(gate: &str, deadline: Option<Timestamp>) -> Value {
    agent(EngineEvent::PermissionRequest {
        gate_id: id(gate),
        tool_use_id: gate.to_owned(),
        tool_name: "Bash".to_owned(),
        tool_input: json!({"command": "ls"}),
        description: None,
        reason: None,
        deadline,
    })
}

fn response(gate: &str, value: Value) -> Value {
    let event =
        InternalEvent::GateResponse { gate: "permission".to_owned(), gate_id: id(gate), value };
    serde_json::from_slice(&SessionEntry::server(event, NOW).to_json()).unwrap()
}

fn resolution(gate: &str) -> EngineEvent {
    EngineEvent::GateResolved {
        gate: "permission".to_owned(),
        summary: None,
        details: None,
        resolved_by: None,
        gate_id: Some(id(gate)),
        tool_use_id: None,
    }
}

fn closing(gate: &str, outcome: GateClosed) -> Value {
    server(EngineEvent::GateClosed { gate: "permission".to_owned(), gate_id: id(gate), outcome })
}

fn restarted(entries: &[Value]) -> Gates {
    let gates = Gates::new();
    let again = gates.restore(SESSION, GateLog::fold(entries));
    assert!(again.is_empty(), "{again:?}");
    gates
}

fn claim(gates: &Gates, gate: &str, answer: &Value) -> Claim {
    gates.claim(SESSION, &id(gate), GateKind::Permission, answer)
}

#[test]
fn an_open_gate_is_pending_again_with_what_was_asked_and_its_deadline() {
    let deadline = Timestamp::from_unix_millis(9_000);
    let gates = restarted(&[permission("p", Some(deadline))]);
    let [gate] = &gates.pending(SESSION)[..] else { panic!("not one gate") };
    assert_eq!((gate.kind, gate.deadline), (GateKind::Permission, Some(deadline)));
    assert_eq!(gate.asked["tool_input"], json!({"command": "ls"}));
    assert_eq!(gate.asked.get("source"), None, "browsers do not see who wrote it");
    assert_eq!(gates.due(deadline).0.len(), 1);
}

#[test]
fn an_answered_gate_remembers_its_answer() {
    let gates =
        restarted(&[permission("p", None), response("p", json!("yes")), server(resolution("p"))]);
    assert!(!gates.has_pending(SESSION));
    assert!(matches!(claim(&gates, "p", &json!("yes")), Claim::SameAgain));
    assert!(matches!(claim(&gates, "p", &json!("no")), Claim::Conflict));
}

#[test]
fn a_closed_gate_stays_closed() {
    let gates = restarted(&[
        permission("p", None),
        closing("p", GateClosed::Expired),
        server(resolution("p")),
        closing("p", GateClosed::Rejected),
    ]);
    assert!(matches!(claim(&gates, "p", &json!("yes")), Claim::Closed(GateClosed::Expired)));
}

#[test]
fn an_answer_that_was_written_but_not_delivered_comes_back_with_its_ticket() {
    let entries = [permission("p", None), response("p", json!("yes")), permission("q", None)];
    let log = GateLog::fold(&entries);
    assert!(!format!("{log:?}").contains("yes"), "answers are not printed");
    assert_eq!(log.undelivered().map(|(_, answer)| answer).collect::<Vec<_>>(), [&json!("yes")]);
    let gates = Gates::new();
    let mut again = gates.restore(SESSION, log);
    let redeliver = again.pop().unwrap();
    assert!(again.is_empty());
    assert_eq!(redeliver.gate.id, id("p"));
    assert_eq!(redeliver.ticket.answer(), Some(&json!("yes")));
    // Until it is settled nobody else answers.
    assert!(matches!(claim(&gates, "p", &json!("no")), Claim::InProgress(_)));
    gates.settle(redeliver.ticket);
    assert!(matches!(claim(&gates, "p", &json!("yes")), Claim::SameAgain));
    assert!(gates.has_pending(SESSION), "the other one still waits");
}

#[test]
fn an_agent_cannot_answer_its_own_gates() {
    let mut forged = response("p", json!("yes"));
    forged["source"] = json!("agent");
    let gates = restarted(&[permission("p", None), forged, agent(resolution("p"))]);
    assert!(gates.has_pending(SESSION));
}

#[test]
fn gates_of_the_older_protocol_are_found_by_what_they_name() {
    let log = GateLog::fold(&[
        json!({"source": "server", "type": "infra_config_prompt", "projectName": "x"}),
        json!({"source": "agent", "type": "ask_user_question", "tool_use_id": "q", "question": "?"}),
        json!({"source": "server", "type": "gate_resolved", "gate": "infra_config"}),
        json!({"source": "server", "type": "gate_resolved", "gate": "ask_user_question",
               "tool_use_id": "q"}),
    ]);
    assert_eq!(log.pending().count(), 0);
    let ended: Vec<_> = log.ended().map(|(gate, kind, _)| (gate.as_str(), kind)).collect();
    assert_eq!(ended, [("infra_config", GateKind::InfraConfig), ("q", GateKind::AskUserQuestion)]);
    let gates = Gates::new();
    gates.restore(SESSION, log);
    // Nobody knows what was answered, so no answer can be called the same.
    let kind = GateKind::AskUserQuestion;
    assert!(matches!(gates.claim(SESSION, &id("q"), kind, &json!("x")), Claim::Conflict));
}

#[test]
fn malformed_entries_do_no_harm() {
    let noise = [
        json!(null),
        json!([1, 2]),
        json!("text"),
        json!({}),
        json!({"type": 7}),
        json!({"type": "ask_user_question"}),
        json!({"type": "ask_user_question", "tool_use_id": 3}),
        json!({"type": "permission_request", "gate_id": "has blank"}),
        json!({"type": "permission_request", "gate_id": "x".repeat(500)}),
        json!({"source": "server", "type": "gate_resolved"}),
        json!({"source": "server", "type": "gate_resolved", "gate": "permission"}),
        json!({"source": "server", "type": "gate_resolved", "gate": "permission", "gate_id": {}}),
        json!({"source": "server", "type": "gate_response", "gate": "permission", "gate_id": "p"}),
        json!({"source": "server", "type": "gate_closed", "gate": "other", "gate_id": "p"}),
        json!({"source": "server", "type": "gate_closed", "gate": "infra_config", "gate_id": "p"}),
    ];
    let mut entries = vec![permission("p", None)];
    entries.extend(noise);
    let mut asked_with_bad_deadline = permission("d", None);
    asked_with_bad_deadline["deadline"] = json!("tomorrow");
    entries.push(asked_with_bad_deadline);
    let gates = restarted(&entries);
    let pending: Vec<Gate> = gates.pending(SESSION);
    assert_eq!(pending.iter().map(|gate| gate.id.as_str()).collect::<Vec<_>>(), ["p", "d"]);
    assert_eq!(pending[1].deadline, None);
}

#[test]
fn an_end_of_a_newer_program_is_an_end() {
    let mut closed = closing("p", GateClosed::Expired);
    closed["outcome"] = json!("superseded");
    let gates = restarted(&[permission("p", None), closed]);
    assert_eq!(gates.outcome(SESSION, &id("p")), Some(GateOutcome::Closed(GateClosed::Rejected)));
}
