use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::NodeTool;

/// Core tests of version 0.3.6 of the suite. Those of the optional subscriptions are beside them.
const CORE: usize = 332;
/// Where the tests of what nobody here offers stand.
const OPTIONAL: &str = "Reserved subscription APIs";

/// Runs the published conformance suite of the Durable Streams protocol against the server at
/// `url` (without the path of its streams, `/v1/stream`), whole.
///
/// # Panics
/// When one of its core tests fails, is skipped or is missing; the message has what it said. When
/// its packages are not installed.
pub async fn run_conformance_suite(url: &str) {
    let tool = NodeTool::durable_streams();
    let mut node = Command::from(tool.node("conformance.mjs"));
    node.env("CONFORMANCE_URL", url).stdout(Stdio::null()).kill_on_drop(true);
    let output = node.output().await.unwrap_or_else(|error| panic!("node: {error}"));
    check(&tool.dir().join("report.json"), &String::from_utf8_lossy(&output.stderr));
}

fn check(report: &Path, told: &str) {
    let text =
        std::fs::read(report).unwrap_or_else(|e| panic!("the suite did not run: {e}\n{told}"));
    let report: Value = serde_json::from_slice(&text)
        .unwrap_or_else(|error| panic!("the suite's report: {error}\n{told}"));
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let files = list(&report, "testResults");
    let tests = files.iter().flat_map(|file| list(file, "assertionResults"));
    let (mut passed, mut wrong) = (0, Vec::new());
    for test in tests {
        let name = test["fullName"].as_str().unwrap_or_default();
        let status = test["status"].as_str().unwrap_or_default();
        match (status, name.trim_start().starts_with(OPTIONAL)) {
            ("passed", _) => passed += 1,
            ("skipped" | "pending", true) => {}
            _ => wrong.push(format!("{status}: {name}\n{}", test["failureMessages"])),
        }
    }
    assert!(wrong.is_empty(), "{} tests of the suite:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(passed, CORE, "tests of the suite that ran and passed");
}
