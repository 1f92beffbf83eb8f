//! Every operation of the OpenAPI document, tried by schemathesis on a real server: no failure of
//! the server's own, and nothing that the document does not tell.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::time::Duration;

use serde_json::Value;
use studio_testkit::{
    ElectricServer, GitHubServer, StudioServer, needs::workspace_root, schemathesis,
};
use tokio::process::Command;

/// How long all of it may take.
const BUDGET: Duration = Duration::from_secs(300);
#[tokio::test]
async fn every_operation_keeps_to_the_document_whatever_is_sent() {
    let github = GitHubServer::start().await;
    let electric = ElectricServer::start().await;
    let server = StudioServer::program(env!("CARGO_BIN_EXE_studio-server"))
        .arg("--sandbox")
        .arg("local")
        .env("STUDIO_DEV_MODE", "1")
        // Nothing is asked of the real ones.
        .env("GITHUB_API_URL", github.url())
        .env("ELECTRIC_API_BASE_URL", electric.api())
        // So that what waits for more comes back.
        .env("STUDIO_STREAMS_EVENTS_SECONDS", "1")
        .env("STUDIO_STREAMS_WAIT_SECONDS", "1")
        .env("STUDIO_GATE_HOOK_SECONDS", "1")
        .start()
        .await;
    let answer = server.client().post(server.url("/api/sessions/local")).send().await.unwrap();
    let session: Value = answer.json().await.unwrap();
    let operator = std::fs::read_to_string(server.data_dir().join("operator-token")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    // A session that is there, for every operation that leaves it there and comes to an end.
    let checks = workspace_root().join("tools/schemathesis/checks.toml");
    let checks = std::fs::read_to_string(checks).unwrap();
    let known = format!("{checks}\n[parameters]\n\"path.id\" = {}\n", session["sessionId"]);
    std::fs::write(dir.path().join("known.toml"), known).unwrap();
    std::fs::write(dir.path().join("unknown.toml"), checks).unwrap();
    let run = async |config: &str, options: &[&str]| {
        let mut command = Command::from(schemathesis());
        command.current_dir(dir.path()).kill_on_drop(true);
        command.args(["--config-file", config, "run", &server.url("/api/openapi.json")]);
        command.arg("--header").arg(format!("Authorization: Bearer {}", operator.trim()));
        command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", "8"]);
        command.args(["--seed", "4", "--no-color", "--warnings", "off"]);
        let output = command.args(options).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("Tested: ") && !said.contains("Tested: 0"), "{said}");
    };
    let apart = ["events", "deleteSession", "cancel", "deleteSandbox", "exportSession"];
    let options = |option, ids: &[&'static str]| -> Vec<&'static str> {
        ids.iter().flat_map(|id| [option, *id]).collect()
    };
    let most = options("--exclude-operation-id", &apart);
    // These get sessions of their own, which the tool makes and remembers.
    let mut others = options("--include-operation-id", &apart);
    others.extend(options("--include-operation-id", &["createSession", "createLocalSession"]));
    let both = async {
        tokio::join!(run("known.toml", &most), run("unknown.toml", &others));
    };
    tokio::time::timeout(BUDGET, both).await.expect("within the budget");
    let health = server.client().get(server.url("/api/health")).send().await.unwrap();
    assert_eq!(health.status(), 200);
}
