//! The needs of this workspace's tests, and the real agent against the scripted model.
#![allow(clippy::unwrap_used, reason = "a test helper may fail loudly")]

use std::process::{Command, Stdio};

use studio_testkit::{ModelServer, containers_labelled, needs, remove_containers_labelled};

#[test]
fn the_pinned_agent_is_the_one_installed() {
    let output = Command::new(needs::claude_cli()).arg("--version").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with(needs::pinned("CLAUDE_VERSION")), "{said}");
}

#[test]
fn both_recipes_of_the_agent_image_name_the_same_version() {
    let recipe = needs::workspace_root().join("sandbox-image/Dockerfile");
    let recipe = std::fs::read_to_string(recipe).unwrap();
    let version = needs::pinned("CLAUDE_VERSION");
    assert!(recipe.contains(&format!("ARG CLAUDE_VERSION={version}\n")), "agents.env: {version}");
    let node = needs::pinned("NODE_VERSION").split('.').next().unwrap();
    assert!(recipe.contains(&format!("ARG BASE=node:{node}-")), "agents.env: Node {node}");
}

#[test]
fn the_engine_has_the_images_of_this_checkout() {
    assert!(needs::docker_socket().exists());
    assert!(needs::agent_image().starts_with("agent-studio-agent:"));
    assert!(needs::scripted_image().starts_with("agent-studio-agent-scripted:"));
    assert_eq!(needs::test_image(), "sandbox-test:latest");
}

#[tokio::test]
async fn a_real_agent_answers_in_the_words_of_the_script() {
    let model = ModelServer::start();
    let home = tempfile::tempdir().unwrap();
    let output = tokio::process::Command::new(needs::claude_cli())
        .args(["-p", "--output-format", "text", "--", "hello there"])
        .env("ANTHROPIC_BASE_URL", model.url("hello"))
        .env("ANTHROPIC_API_KEY", "any")
        .env("HOME", home.path())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("I read your prompt: “hello there”"), "{said}");
    let asked = model.requests().await;
    assert!(asked.iter().any(|one| one["script"] == "hello" && one["status"] == 200), "{asked:?}");
}

#[tokio::test]
async fn a_script_can_be_loaded_while_the_model_runs() {
    let model = ModelServer::start();
    let script = serde_json::json!({"steps": [{"text": "a new line"}]});
    model.put_script("fresh", &script).await;
    let body = serde_json::json!({
        "model": "m", "max_tokens": 9,
        "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
        "messages": [{"role": "user", "content": "go"}],
    });
    let url = format!("{}/v1/messages", model.url("fresh"));
    let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(answer["content"][0]["text"], "a new line", "{answer}");
}

#[test]
fn containers_are_found_and_removed_by_their_label() {
    let label = format!("studio.testkit.test={}", std::process::id());
    let mut docker = Command::new("docker");
    docker.args(["run", "--detach", "--network", "none", "--label", &label]);
    let run = docker.arg(needs::test_image()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let id = String::from_utf8_lossy(&run.stdout).trim().to_owned();
    assert_eq!(containers_labelled(&label), [id]);
    remove_containers_labelled(&label);
    assert_eq!(containers_labelled(&label), [""; 0]);
}
