//! Making a database, against a claim API of our own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers are tests")]

use std::time::{Duration, Instant};

use serde_json::json;
use studio_electric::{Claimable, Databases, ElectricCloud, ElectricError, ElectricOptions};
use studio_testkit::{ElectricAnswer, ElectricServer};
use tokio_util::sync::CancellationToken;

fn options(server: &ElectricServer) -> ElectricOptions {
    ElectricOptions {
        api: server.api(),
        dashboard: "https://dashboard.example".to_owned(),
        interval: Duration::from_millis(5),
        attempt: Duration::from_secs(30),
        ..Default::default()
    }
}

async fn provision(options: ElectricOptions) -> Result<Claimable, ElectricError> {
    let cloud = ElectricCloud::new(options).unwrap();
    cloud.provision(&CancellationToken::new()).await
}

/// What a client is told.
async fn told(server: &ElectricServer) -> String {
    provision(options(server)).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_claim_is_begun_looked_at_and_handed_over() {
    let server = ElectricServer::start().await;
    let made = provision(options(&server)).await.unwrap();
    assert_eq!(made.source_id, "src-1");
    assert_eq!(made.secret.expose(), "sec-1");
    let database = "postgresql://owner:pw@db.example/app?sslmode=require";
    assert_eq!(made.database_url.expose(), database);
    assert_eq!(made.electric_url, "https://api.electric-sql.cloud");
    assert_eq!(made.claim_id.as_str(), ElectricServer::CLAIM);
    let claim = format!("https://dashboard.example/claim?uuid={}", ElectricServer::CLAIM);
    assert_eq!(made.claim_url, claim);
    let look = format!("GET {} create-electric-app", ElectricServer::CLAIM);
    let asked = ["POST {} create-electric-app", &look, &look, &look];
    assert_eq!(server.requests(), asked);
    let printed = format!("{made:?}");
    assert!(!printed.contains("sec-1") && !printed.contains("pw"), "{printed}");
}

#[tokio::test]
async fn an_api_that_refuses_is_told_with_its_status() {
    let server = ElectricServer::start().await;
    server.begins(ElectricAnswer::Text(502, "secret detail".into()));
    assert_eq!(told(&server).await, "Electric API error: 502 Bad Gateway");
    server.begins(ElectricAnswer::Json(json!({"claimId": ElectricServer::CLAIM})));
    server.looks([ElectricAnswer::Text(404, String::new()), ElectricAnswer::Text(403, "x".into())]);
    assert_eq!(told(&server).await, "Electric API error: 403 Forbidden");
}

#[tokio::test]
async fn a_claim_without_an_id_that_can_be_used_is_none() {
    let server = ElectricServer::start().await;
    for body in
        [json!({}), json!({"claimId": ""}), json!({"claimId": 7}), json!({"claimId": "../x"})]
    {
        server.begins(ElectricAnswer::Json(body));
        let missing = "Invalid response from Electric API — missing claimId";
        assert_eq!(told(&server).await, missing);
    }
    server.begins(ElectricAnswer::Text(200, "<html>".into()));
    assert_eq!(told(&server).await, "Invalid response from Electric API — it cannot be read");
}

#[tokio::test]
async fn a_failure_is_told_with_its_reason() {
    let server = ElectricServer::start().await;
    for (body, message) in [
        (json!({"state": "failed"}), "Resource provisioning failed"),
        (json!({"state": "failed", "error": ""}), "Resource provisioning failed"),
        (
            json!({"state": "failed", "error": "no\nregion"}),
            "Resource provisioning failed: no region",
        ),
        (
            json!({"state": "provisioning", "error": {"message": "quota"}}),
            "Resource provisioning failed: quota",
        ),
        (json!({"error": "gone"}), "Resource provisioning failed: gone"),
    ] {
        server.looks([ElectricAnswer::Json(body)]);
        assert_eq!(told(&server).await, message);
    }
}

#[tokio::test]
async fn what_is_ready_and_not_whole_is_told() {
    let server = ElectricServer::start().await;
    let source = json!({"source_id": "a", "secret": "b"});
    for body in [
        json!({"state": "ready"}),
        json!({"state": "ready", "source": source}),
        json!({"state": "ready", "source": {"source_id": "a"}, "connection_uri": "c"}),
        json!({"state": "ready", "source": {"secret": "b"}, "connection_uri": "c"}),
        json!({"state": "ready", "source": source, "connection_uri": ""}),
        // It would add lines to a file of settings.
        json!({"state": "ready", "source": source, "connection_uri": "c\nprivileged: true"}),
        json!({"state": "ready", "source": source, "connection_uri": "c".repeat(1_001)}),
    ] {
        server.looks([ElectricAnswer::Json(body)]);
        let missing = "Invalid response from Electric API — missing required credentials";
        assert_eq!(told(&server).await, missing);
    }
}

#[tokio::test]
async fn a_claim_that_is_never_ready_is_looked_at_sixty_times() {
    let server = ElectricServer::start().await;
    server.looks([ElectricAnswer::Text(404, String::new())]);
    let timeout = "Timeout waiting for resources to be provisioned after 60 attempts";
    assert_eq!(told(&server).await, timeout);
    assert_eq!(server.requests().len(), 61);
}

#[tokio::test]
async fn the_deadline_holds_before_all_looks_are_done() {
    let server = ElectricServer::start().await;
    server.looks([ElectricAnswer::Json(json!({"state": "provisioning"}))]);
    let short = ElectricOptions {
        deadline: Duration::from_secs(5),
        interval: Duration::from_secs(3),
        ..options(&server)
    };
    let error = provision(short).await.unwrap_err();
    assert!(matches!(error, ElectricError::TimedOut { attempts: 2 }), "{error}");
}

#[tokio::test]
async fn an_api_that_hangs_holds_nobody() {
    let server = ElectricServer::start().await;
    server.begins(ElectricAnswer::Hang);
    let short = ElectricOptions { attempt: Duration::from_millis(100), ..options(&server) };
    let begin = Instant::now();
    let error = provision(short).await.unwrap_err();
    assert_eq!(error.to_string(), "Electric API could not be reached");
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_look_that_breaks_is_not_the_end() {
    let server = ElectricServer::start().await;
    server.looks([ElectricAnswer::Break, ElectricAnswer::Json(ElectricServer::ready())]);
    provision(options(&server)).await.unwrap();
}

#[tokio::test]
async fn an_answer_without_end_is_not_read() {
    let server = ElectricServer::start().await;
    server.looks([ElectricAnswer::Text(200, "x".repeat(100_000))]);
    assert_eq!(told(&server).await, "Invalid response from Electric API — it is far too long");
}

#[tokio::test]
async fn who_cancels_waits_no_longer() {
    let server = ElectricServer::start().await;
    server.looks([ElectricAnswer::Hang]);
    let cloud = ElectricCloud::new(options(&server)).unwrap();
    let cancel = CancellationToken::new();
    let (done, ()) = tokio::join!(cloud.provision(&cancel), async {
        server.asked().await;
        cancel.cancel();
    });
    assert!(matches!(done.unwrap_err(), ElectricError::Cancelled));
    let done = cloud.provision(&cancel).await;
    assert!(matches!(done.unwrap_err(), ElectricError::Cancelled));
    assert!(server.requests().len() <= 2, "nothing is begun for who has cancelled");
}
