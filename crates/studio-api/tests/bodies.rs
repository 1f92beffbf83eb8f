//! What each body takes and what it is told when it is not taken.

use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};
use studio_api::{Body, BodyError, CreateLocalSession, CreateSession, ErrorCode, Iterate, Respond};

/// The only place that decodes: one line for the outcome.
fn outcome<T: Body + std::fmt::Debug>(value: &Value) -> String {
    match T::decode(value) {
        Ok(body) => format!("{body:?}"),
        Err(BodyError::Invalid { details }) => details.join("\n"),
        Err(other) => format!("{}: {other}", other.code().as_str()),
    }
}

fn create(value: &Value) -> String {
    outcome::<CreateSession>(value)
}

fn respond(value: &Value) -> String {
    outcome::<Respond>(value)
}

#[test]
fn all_failures_are_told_in_the_reference_words() {
    let body = json!({
        "description": "", "name": 7, "baseDir": null, "freeform": "yes",
        "apiKey": "k\nk", "oauthToken": "x".repeat(1_001), "model": "--yolo",
        "budgetUsd": 0, "permissions": "none",
    });
    assert_snapshot!(create(&body), @r"
    description: String must contain at least 1 character(s)
    name: Expected string, received number
    baseDir: Expected string, received null
    freeform: Expected boolean, received string
    apiKey: String must not contain control characters
    oauthToken: String must contain at most 1000 character(s)
    model: Invalid
    budgetUsd: Number must be greater than 0
    permissions: Invalid enum value. Expected 'allow_listed' | 'ask'
    ");
    assert_snapshot!(create(&json!({})), @"description: Required");
    assert_snapshot!(create(&json!([1])), @": Expected object, received array");
    assert_snapshot!(create(&json!(null)), @": Expected object, received null");
}

#[test]
fn a_session_is_created_from_a_description_alone_and_keys_stay_unprinted() {
    assert_snapshot!(
        create(&json!({"description": "hi", "apiKey": "hunter2", "ghToken": "", "extra": [1]})),
        @r#"CreateSession { description: "hi", freeform: false, api_key: Some(PrivateText(..)), oauth_token: None, gh_token: None, model: None, budget_usd: None, permissions: None }"#
    );
}

#[test]
fn lengths_are_counted_in_utf16_units() {
    let two_units = "\u{1F600}";
    assert!(Iterate::decode(&json!({ "request": two_units.repeat(5_000) })).is_ok());
    let over = json!({ "request": two_units.repeat(5_001) });
    assert_snapshot!(
        outcome::<Iterate>(&over),
        @"request: String must contain at most 10000 character(s)"
    );
}

#[test]
fn bytes_that_are_not_json_are_an_invalid_body() {
    let deep = "[".repeat(100_000);
    for bad in [&b"{"[..], b"", b"\xff\xfe", b"{\"request\":\"\\ud800\"}", deep.as_bytes()] {
        assert_eq!(Iterate::from_bytes(bad), Err(BodyError::NotJson));
    }
}

#[test]
fn a_local_session_needs_nothing() {
    assert_snapshot!(outcome::<CreateLocalSession>(&json!({})), @"CreateLocalSession { description: None }");
    assert_snapshot!(
        outcome::<CreateLocalSession>(&json!({"description": 1})),
        @"description: Expected string, received number"
    );
}

#[test]
fn a_gate_must_be_named() {
    assert_snapshot!(respond(&json!({})), @"bad_request: gate is required");
    assert_snapshot!(respond(&json!({"gate": ""})), @"bad_request: gate is required");
    assert_snapshot!(respond(&json!({"gate": 1})), @"gate: Expected string, received number");
    assert_snapshot!(respond(&json!("x")), @": Expected object, received string");
    assert_snapshot!(
        respond(&json!({"gate": "ask_user_question"})),
        @"bad_request: toolUseId is required for ask_user_question"
    );
    assert_snapshot!(
        respond(&json!({"gate": "outbound_message_gate", "gateId": "x"})),
        @"bad_request: gateId and action are required for outbound_message_gate"
    );
    assert_snapshot!(
        respond(&json!({"gate": "clarification"})),
        @"bad_request: Cannot format response for gate: clarification"
    );
}

#[test]
fn questions_are_answered_in_both_spellings() {
    let new = json!({"gate": "ask_user_question", "toolUseId": "t1", "answers": {"Colour?": "red"}, "_summary": "red"});
    assert_snapshot!(respond(&new), @r#"Respond { answer: Question { gate: GateId("t1"), answers: {"Colour?": "red"} }, summary: Some("red") }"#);
    let old = json!({"gate": "ask_user_question", "toolUseId": "t1", "answer": "red"});
    assert_snapshot!(respond(&old), @r#"Respond { answer: Question { gate: GateId("t1"), answers: {"answer": "red"} }, summary: None }"#);
    let suffixed = json!({"gate": "ask_user_question:t1", "answer": "red", "question": "Q"});
    assert_snapshot!(respond(&suffixed), @r#"Respond { answer: Question { gate: GateId("t1"), answers: {"Q": "red"} }, summary: None }"#);
    let bad =
        json!({"gate": "ask_user_question", "toolUseId": "a b", "answers": {"q": 1, "r": null}});
    assert_snapshot!(respond(&bad), @r"
    toolUseId: Invalid
    answers.q: Expected string, received number
    answers.r: Expected string, received null
    ");
}

#[test]
fn a_permission_is_given_or_refused() {
    let yes = json!({"gate": "permission", "toolUseId": "t1", "decision": "allow", "always": true});
    assert_snapshot!(respond(&yes), @r#"Respond { answer: Permission { gate: GateId("t1"), allow: true, always: true, message: None }, summary: None }"#);
    let unsaid = json!({"gate": "permission", "gateId": "t1"});
    assert_snapshot!(respond(&unsaid), @"decision: Required");
}

#[test]
fn older_gates_become_the_text_that_the_agent_gets() {
    for (body, text) in [
        (json!({"gate": "approval"}), "approve"),
        (json!({"gate": "approval", "decision": "reject"}), "reject"),
        (json!({"gate": "continue", "proceed": true}), "continue"),
        (json!({"gate": "continue"}), "stop"),
        (json!({"gate": "clarification", "answers": ["a", "b"]}), "a\\nb"),
        (json!({"gate": "revision", "note": "x"}), r#"{\"note\":\"x\"}"#),
    ] {
        let told = respond(&body);
        assert!(told.contains(&format!("text: \"{text}\"")), "{told}");
    }
}

#[test]
fn d30_48_an_infrastructure_answer_is_checked_field_by_field() {
    let bad = json!({
        "gate": "infra_config", "mode": "claim",
        "databaseUrl": "postgres://h/db\nprivileged: true", "electricUrl": "ftp://x",
        "sourceId": "", "repoAccount": "a b", "repoName": "../x", "repoVisibility": "secret",
    });
    assert_snapshot!(respond(&bad), @r"
    databaseUrl: String must not contain control characters
    electricUrl: Invalid url
    sourceId: String must contain at least 1 character(s)
    secret: Required
    claimId: Required
    repoVisibility: Invalid enum value. Expected 'private' | 'public'
    repoAccount: Invalid
    repoName: Invalid
    ");
    let unknown = "mode: Invalid discriminator value. Expected 'local' | 'cloud' | 'claim'";
    assert_eq!(respond(&json!({"gate": "infra_config"})), unknown);
    assert_eq!(respond(&json!({"gate": "infra_config", "mode": "none"})), unknown);
}

#[test]
fn d30_46_an_infrastructure_answer_cannot_be_smuggled_through_another_gate() {
    let body =
        json!({"gate": "outbound_message_gate", "gateId": "infra_config", "action": "approve"});
    assert_snapshot!(respond(&body), @r#"Respond { answer: Outbound { gate: GateId("infra_config"), action: Approve, edited_body: None }, summary: None }"#);
}

#[test]
fn a_hosted_database_is_taken_and_its_secrets_stay_unprinted() {
    let good = json!({
        "gate": "infra_config", "mode": "cloud",
        "databaseUrl": "postgresql://u:p$a${X}ss@db.example.com/main", "electricUrl": "https://e.example.com",
        "sourceId": "s", "secret": "hunter2", "claimId": "", "repoAccount": "acme", "repoName": "todo.app",
    });
    assert_snapshot!(respond(&good), @r#"Respond { answer: Infra(InfraConfig { infra: Cloud { database_url: PrivateText(..), electric_url: "https://e.example.com", source_id: "s", secret: PrivateText(..), claim_id: None }, repo: Some(RepoConfig { account: "acme", name: "todo.app", public: false }) }), summary: None }"#);
    assert_snapshot!(respond(&json!({"gate": "infra_config", "mode": "local", "repoAccount": "acme", "repoName": " "})), @"Respond { answer: Infra(InfraConfig { infra: Local, repo: None }), summary: None }");
}

#[test]
fn codes_are_told_apart_and_are_never_a_success() {
    let mut seen = std::collections::HashSet::new();
    let table: String = ErrorCode::ALL
        .iter()
        .map(|code| {
            assert!(seen.insert(code.as_str()), "{code:?} twice");
            format!("{} {} {}\n", code.status(), code.as_str(), code.title())
        })
        .collect();
    assert_snapshot!("codes", table);
}

/// Any JSON value: what a hostile client may send.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 30, 6, |inner| {
        let names = prop_oneof![
            Just("gate".to_owned()),
            Just("answers".to_owned()),
            Just("mode".to_owned()),
            Just("toolUseId".to_owned()),
            Just("description".to_owned()),
            "[a-z]{1,8}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(names, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_value_makes_a_body_panic(value in any_json()) {
        let _ = CreateSession::decode(&value);
        let _ = CreateLocalSession::decode(&value);
        let _ = Iterate::decode(&value);
        let _ = Respond::decode(&value);
    }

    #[test]
    fn what_is_taken_as_a_database_url_is_a_plain_line(text in "\\PC{0,60}|postgres://.{0,60}") {
        let body = json!({
            "gate": "infra_config", "mode": "cloud", "databaseUrl": text,
            "electricUrl": "https://e.example.com", "sourceId": "s", "secret": "s",
        });
        if Respond::decode(&body).is_ok() {
            prop_assert!(text.starts_with("postgres"));
            prop_assert!(!text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '"'));
        }
    }
}
