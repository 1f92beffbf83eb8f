//! What a session may spend.

use serde_json::{Value, json};

use crate::studio::{Session, is_sound, up_to, with_script};

/// Tells a cent more with every turn, as the agent does: the sum so far.
const AGENT: &str = r#"#!/bin/sh
turns=0
while IFS= read -r line; do
    case $line in *'"type":"user"'*) ;; *) continue ;; esac
    turns=$((turns + 1))
    echo '{"type":"system","subtype":"init","session_id":"5d1f0c1e-0000-4000-8000-000000000002","cwd":"/","tools":[],"model":"m"}'
    echo '{"type":"result","subtype":"success","is_error":false,"result":"done","num_turns":1,"duration_ms":1,"total_cost_usd":0.0'$turns',"session_id":"5d1f0c1e-0000-4000-8000-000000000002"}'
done
"#;

/// D30-61, D30-62, D31-1, D31-2: what `total_cost_usd` tells is counted, the session that spent
/// more than it may is stopped, and stays so after a restart.
#[tokio::test]
async fn d30_61_d30_62_d31_2_a_session_over_its_budget_runs_no_more() {
    let (builder, _agent) = with_script(AGENT);
    let mut server = builder.start().await;
    let body = json!({ "description": "one", "freeform": true, "budgetUsd": 0.015 });
    let session = Session::create(&server, &body).await;
    let mut watch = session.watch(&server).await;
    let end = up_to(&mut watch, "session_end").await;
    assert_eq!(end.last().unwrap()["success"], true, "{end:#?}");
    let again = json!({ "request": "two" });
    assert_eq!(session.tell(&server, "iterate", &again).await.0, 200, "a cent of one and a half");
    let over = up_to(&mut watch, "budget_exceeded").await;
    let spent = over.last().and_then(|event| event["spent_usd"].as_f64());
    assert!(spent.is_some_and(|spent| (spent - 0.02).abs() < 1e-9), "{over:#?}");
    let refused = |told: &(u16, Value)| {
        assert_eq!((told.0 / 100, &told.1["code"]), (4, &json!("budget_exceeded")), "{told:?}");
    };
    refused(&session.tell(&server, "iterate", &again).await);
    studio_testkit::wait_for("the status", crate::studio::SOON, async || {
        (session.ask(&server, "").await.1["status"] == "error").then_some(())
    })
    .await;
    server.crash().await;
    server.restart().await;
    refused(&session.tell(&server, "iterate", &again).await);
    let info = session.ask(&server, "").await.1;
    let cost = info["totalCostUsd"].as_f64();
    assert!(cost.is_some_and(|cost| (cost - 0.02).abs() < 1e-9), "{info}");
    assert_eq!(info["status"], "error", "{info}");
    is_sound(&server);
}
