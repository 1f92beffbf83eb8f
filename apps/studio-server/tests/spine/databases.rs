//! A database that was provisioned, on the real server, from the route to the agent.

use std::process::Command;

use serde_json::json;
use studio_testkit::{ElectricAnswer, ElectricServer};

use crate::world::{Place, World};

/// Secrets that are nowhere else.
const PASSWORD: &str = "canary-database-password-5c1d77aa";
const SOURCE: &str = "canary-source-secret-5c1d77aa";

/// The route's answer is what the gate takes; its values are the agent's, and nobody else's.
#[tokio::test]
async fn a_database_that_was_provisioned_reaches_its_agent_and_no_log() {
    let electric = ElectricServer::start().await;
    let database = format!("postgresql://owner:{PASSWORD}@db.example/app?sslmode=require");
    electric.looks([ElectricAnswer::Json(json!({
        "state": "ready",
        "source": {"source_id": "source-1", "secret": SOURCE},
        "connection_uri": database,
    }))]);
    let world = World::start_with(Place::Local, "hello", |builder| {
        builder
            .env("ELECTRIC_API_BASE_URL", electric.api())
            .env("ELECTRIC_DASHBOARD_URL", "https://claims.example")
            .env("STUDIO_LOG", "trace")
    })
    .await;
    let (status, made) = world.post("/api/provision-electric", "", &json!({})).await;
    assert_eq!(status, 200, "{made}");
    let page = format!("https://claims.example/claim?uuid={}", ElectricServer::CLAIM);
    assert_eq!(made["claimUrl"], page);

    let session = world.session_of(json!({ "description": "a page with a clock" })).await;
    let mut watch = world.watch(&session).await;
    watch.next("infra_config_prompt").await;
    let mut answer = made;
    answer["gate"] = "infra_config".into();
    answer["mode"] = "claim".into();
    world.tell(&session, "respond", answer).await;
    let details = watch.next("gate_resolved").await.event["details"].clone();
    assert_eq!(details["Infrastructure"], "Provisioned (Cloud)");
    assert_eq!(details["Claim link"], page, "{details}");
    watch.turn_end().await;

    let told = world.file(&session, "CLAUDE.md").await;
    assert!(told.contains("Database and sync are ready"), "{told}");
    let agents = world.agents(&session);
    let environment = std::fs::read(format!("/proc/{}/environ", agents[0])).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    for (name, value) in [
        ("DATABASE_URL", database.as_str()),
        ("ELECTRIC_URL", "https://api.electric-sql.cloud"),
        ("ELECTRIC_SOURCE_ID", "source-1"),
        ("ELECTRIC_SECRET", SOURCE),
    ] {
        assert!(environment.split('\0').any(|line| line == format!("{name}={value}")), "{name}");
    }

    let seen = format!("{:?} {}", watch.seen, world.ask(&session, "").await);
    let log = world.server.output();
    assert!(log.contains("TRACE"), "all that can be logged is");
    for secret in [PASSWORD, SOURCE] {
        assert!(!log.contains(secret) && !seen.contains(secret), "{secret}");
    }
    let search = Command::new("grep")
        .args(["-rlsF", "-e", PASSWORD, "-e", SOURCE])
        .arg(world.server.data_dir())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&search.stdout), "", "files with secrets");
}
