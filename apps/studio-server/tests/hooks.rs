//! Agents on a person's own machine: the installer run by a real shell, then the real agent.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the report")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use studio_testkit::{ModelServer, ServerBuilder, StudioServer, needs};
use tempfile::TempDir;
use tokio::{process::Command, time::Instant};

const SOON: Duration = Duration::from_secs(40);
/// What a person had in the settings.
const SETTINGS: &str = r#"{"permissions":{"allow":["Bash(ls)"]},"x":1,
    "hooks":{"Stop":[{"hooks":[{"type":"command","command":"true"}]}],
             "PreToolUse":[{"matcher":"Bash","hooks":[{"type":"command","command":"true"}]},
                           {"hooks":[{"type":"command","command":".claude/hooks/forward.sh"}]}]}}"#;

fn server() -> ServerBuilder {
    let builder = StudioServer::program(env!("CARGO_BIN_EXE_studio-server"));
    builder.env("STUDIO_DEV_MODE", "1").env("SANDBOX_RUNTIME", "local")
}

/// A git repository whose name is hostile.
struct Project {
    dir: TempDir,
    root: PathBuf,
}

impl Project {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let root = dir.path().join("it's \"my\" $(app)");
        fs::create_dir_all(root.join("sub/dir")).unwrap();
        let project = Self { dir, root };
        project.shell("git init -q .").await;
        project
    }

    fn claude(&self, name: &str) -> PathBuf {
        self.root.join(".claude").join(name)
    }

    fn settings(&self) -> Value {
        serde_json::from_slice(&fs::read(self.claude("settings.local.json")).unwrap()).unwrap()
    }

    fn secret(&self) -> String {
        let secret = fs::read_to_string(self.claude("hooks/.studio/secret")).unwrap();
        secret.trim_end().to_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.claude("hooks/.studio/forward.log")).unwrap_or_default()
    }

    async fn try_shell(&self, script: &str) -> Output {
        let mut shell = Command::new("bash");
        shell.args(["-o", "pipefail", "-c", script]).current_dir(&self.root).stdin(Stdio::null());
        shell.output().await.expect("this test needs bash: apt-get install bash")
    }

    /// What it printed, on both ways.
    async fn shell(&self, script: &str) -> String {
        let output = self.try_shell(script).await;
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8(told).unwrap();
        assert!(output.status.success(), "{script}: {told}");
        told
    }

    async fn try_install(&self, server: &StudioServer) -> Output {
        let port = server.port();
        self.try_shell(&format!("curl -fsS http://localhost:{port}/api/hooks/setup | bash")).await
    }

    async fn install(&self, server: &StudioServer) -> String {
        let output = self.try_install(server).await;
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{told}");
        told
    }

    /// What the installer said when it changed nothing.
    async fn refused(&self, server: &StudioServer) -> String {
        let before = self.shell("find . -path ./.git -prune -o -type f -exec md5sum {} +").await;
        let output = self.try_install(server).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let after = self.shell("find . -path ./.git -prune -o -type f -exec md5sum {} +").await;
        assert_eq!(before, after);
        String::from_utf8(output.stderr).unwrap()
    }

    /// The real agent, asked something in a directory of the project.
    fn agent(&self, model: &str, dir: &str) -> Command {
        let mut agent = Command::new(needs::claude_cli());
        for (name, _) in std::env::vars() {
            if name.starts_with("CLAUDE") || name.starts_with("ANTHROPIC") {
                agent.env_remove(name);
            }
        }
        agent
            .args(["-p", "do it", "--allowedTools", "Write,Edit,Read,Bash"])
            .args(["--permission-prompt-tool", "stdio"])
            .current_dir(self.root.join(dir))
            .env("HOME", self.dir.path())
            .env("ANTHROPIC_BASE_URL", model)
            .env("ANTHROPIC_API_KEY", "dummy")
            .env("CLAUDE_CODE_MAX_RETRIES", "1")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        agent
    }

    async fn ask(&self, model: &str, dir: &str) -> String {
        let output = tokio::time::timeout(SOON, self.agent(model, dir).output()).await;
        let output = output.expect("the agent ends").unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{told}");
        told
    }
}

fn operator(server: &StudioServer) -> String {
    fs::read_to_string(server.data_dir().join("operator-token")).unwrap().trim_end().to_owned()
}

async fn get(server: &StudioServer, path: &str) -> Value {
    let asked = server.client().get(server.url(path)).bearer_auth(operator(server));
    asked.send().await.unwrap().json().await.unwrap()
}

async fn sessions(server: &StudioServer) -> Vec<Value> {
    get(server, "/api/sessions").await["sessions"].as_array().unwrap().clone()
}

/// The types of a session's events.
async fn events(server: &StudioServer, session: &Value) -> Vec<String> {
    let id = session["id"].as_str().unwrap();
    let path = server.url(&format!("/api/sessions/{id}/export"));
    let asked = server.client().get(path).bearer_auth(operator(server));
    let file = asked.send().await.unwrap().text().await.unwrap();
    let lines = file.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| line["type"].as_str().unwrap().to_owned()).collect()
}

async fn tell(server: &StudioServer, secret: &str, body: &Value) -> reqwest::Result<(u16, Value)> {
    let asked = server.client().post(server.url("/api/hook")).bearer_auth(secret).json(body);
    let answer = asked.send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + SOON;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The commands of all hooks for this event.
fn commands(settings: &Value, event: &str) -> Vec<String> {
    let groups = settings["hooks"][event].as_array().unwrap();
    let hooks = groups.iter().flat_map(|group| group["hooks"].as_array().unwrap());
    hooks.map(|hook| hook["command"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_installer_keeps_what_was_there_and_can_be_run_again() {
    let (server, project) = (server().start().await, Project::new().await);
    fs::create_dir(project.root.join(".claude")).unwrap();
    fs::write(project.claude("settings.local.json"), SETTINGS).unwrap();
    let told = project.install(&server).await;
    assert!(told.contains(&format!("studio     http://localhost:{}\n", server.port())), "{told}");
    let (first, settings) = (project.secret(), project.settings());
    assert!(!told.contains(&first) && !settings.to_string().contains(&first));
    assert_eq!(settings["permissions"], json!({"allow": ["Bash(ls)"]}));
    assert_eq!(settings["x"], 1);
    let root = fs::canonicalize(&project.root).unwrap();
    let path = root.join(".claude/hooks/forward.sh");
    let ours = format!("'{}'", path.to_str().unwrap().replace('\'', r"'\''"));
    // That of the reference was ours, and is replaced where it stood.
    assert_eq!(commands(&settings, "PreToolUse"), ["true", &ours]);
    assert_eq!(commands(&settings, "Stop"), ["true", &ours]);
    for event in
        ["PostToolUse", "PostToolUseFailure", "SessionStart", "SessionEnd", "UserPromptSubmit"]
    {
        assert_eq!(commands(&settings, event), [ours.as_str()], "{event}");
    }
    assert_eq!(settings["hooks"]["SubagentStop"][0]["hooks"][0]["timeout"], 370);
    let mode = |name: &str| fs::metadata(project.claude(name)).unwrap().permissions().mode();
    assert_eq!(mode("hooks/.studio/secret") & 0o777, 0o600);
    assert_eq!(mode("hooks/.studio") & 0o777, 0o700);
    assert_eq!(mode("hooks/forward.sh") & 0o777, 0o755);
    project.shell("git add -A").await;
    let tracked = project.shell("git ls-files").await;
    assert!(!tracked.contains(".studio"), "{tracked}");
    assert!(!project.shell("git diff --cached").await.contains("sh1."));

    // Again: the same settings, another secret, and the one before is good no more.
    project.install(&server).await;
    assert_eq!(project.settings(), settings);
    let second = project.secret();
    let stop = json!({"hook_event_name": "Stop", "transcript_path": "/t"});
    assert_eq!(tell(&server, &first, &stop).await.unwrap().0, 401);
    assert_eq!(tell(&server, &second, &stop).await.unwrap().0, 200);
    assert_eq!(get(&server, "/api/hooks/projects").await["projects"].as_array().unwrap().len(), 1);

    // What cannot be merged is refused, and the secret stays good.
    for (bad, why) in [
        ("{\"x\": 1,}", "is not valid JSON"),
        ("[1]", "does not hold a JSON object"),
        ("{\"hooks\": []}", "its \"hooks\" is not an object"),
        ("{\"hooks\": {\"Stop\": {}}}", "its \"hooks.Stop\" is not a list"),
    ] {
        fs::write(project.claude("settings.local.json"), bad).unwrap();
        let told = project.refused(&server).await;
        assert!(told.contains(why), "{told}");
    }
    fs::write(project.claude("settings.local.json"), settings.to_string()).unwrap();
    fs::write(project.claude("hooks/forward.sh"), "#!/bin/sh\n# mine\n").unwrap();
    assert!(project.refused(&server).await.contains("not the studio's: it stays"));
    fs::remove_file(project.claude("hooks/forward.sh")).unwrap();
    project.shell("git add -f .claude/hooks/.studio/secret").await;
    assert!(project.refused(&server).await.contains("git tracks"));
    project.shell("git rm -q --cached .claude/hooks/.studio/secret").await;
    assert_eq!(tell(&server, &second, &stop).await.unwrap().0, 200);
    assert_eq!(project.secret(), second);

    // A link that somebody put there leads nowhere.
    project.shell("rm -r .claude/hooks/.studio; ln -s ../../sub .claude/hooks/.studio").await;
    assert!(project.refused(&server).await.contains("is a link"));
    project.shell("rm .claude/hooks/.studio; mkdir .claude/hooks/.studio").await;
    project.shell("touch victim; ln -s ../../../victim .claude/hooks/.studio/.gitignore").await;
    project.install(&server).await;
    assert_eq!(fs::read_to_string(project.root.join("victim")).unwrap(), "");

    let third = project.secret();
    let uninstall =
        format!("curl -fsS 'http://localhost:{}/api/hooks/setup?uninstall' | bash", server.port());
    project.shell(&uninstall).await;
    assert!(!project.claude("hooks").exists());
    let mut expected: Value = serde_json::from_str(SETTINGS).unwrap();
    expected["hooks"]["PreToolUse"].as_array_mut().unwrap().pop();
    assert_eq!(project.settings(), expected);
    assert_eq!(tell(&server, &third, &stop).await.unwrap().0, 401);
    project.shell(&uninstall).await;
    assert_eq!(project.settings(), expected);
}

#[tokio::test]
async fn in_production_the_installer_needs_the_operators_token() {
    let (server, project) =
        (server().env("STUDIO_DEV_MODE", "0").start().await, Project::new().await);
    assert!(!project.try_install(&server).await.status.success());
    assert!(!project.root.join(".claude").exists());
    let token = operator(&server);
    let url = server.url("/api/hooks/setup");
    project.shell(&format!("curl -fsS -H 'Authorization: Bearer {token}' {url} | bash")).await;
    // Settings of nobody begin as ours alone.
    assert_eq!(project.settings().as_object().unwrap().len(), 1);
    let stop = json!({"hook_event_name": "Stop", "session_id": "c"});
    assert_eq!(tell(&server, &project.secret(), &stop).await.unwrap().0, 200);
}

#[tokio::test]
async fn a_real_agent_appears_asks_and_is_never_disturbed() {
    let (model, project) = (ModelServer::start(), Project::new().await);
    let mut server = server().start().await;
    fs::create_dir(project.root.join(".claude")).unwrap();
    fs::write(project.claude("settings.local.json"), SETTINGS).unwrap();
    project.install(&server).await;

    let call = json!({"command": "cd sub && pwd", "description": "Go down"});
    let steps = json!([{"tools": [{"name": "Bash", "input": call}]}, {"text": "Done."}]);
    model
        .put_script("go-down", &json!({"description": "A tool that moves.", "steps": steps}))
        .await;
    project.ask(&model.url("go-down"), "").await;
    let all = sessions(&server).await;
    assert_eq!(all.len(), 1, "{all:?} {}", project.log());
    assert_eq!(all[0]["projectName"], "it's \"my\" $(app)");
    assert_eq!(all[0]["status"], "complete");
    let told = events(&server, &all[0]).await;
    for kind in
        ["session_start", "user_prompt", "pre_tool_use", "post_tool_use", "assistant_message"]
    {
        assert!(told.iter().any(|told| told == kind), "{kind}: {told:?}");
    }
    assert_eq!(told[told.len() - 2], "session_end");

    // From a directory below.
    project.ask(&model.url("hello"), "sub/dir").await;
    let all = sessions(&server).await;
    assert_eq!((all.len(), &all[0]["projectName"]), (2, &json!("dir")), "{}", project.log());

    // A question waits for a person.
    let asking = project.agent(&model.url("ask-user"), "").spawn().unwrap();
    let session = eventually("no question came", async || {
        let newest = sessions(&server).await.swap_remove(0);
        (newest["needsInput"] == true).then_some(newest)
    });
    let session = session.await;
    let id = session["id"].as_str().unwrap();
    let gates = get(&server, &format!("/api/sessions/{id}/gates")).await;
    let answers = json!({"Which colour should the page have?": "Mauve",
        "Which parts do you want?": "Header, Footer"});
    let answer = json!({"gate": "ask_user_question", "toolUseId": gates["gates"][0]["id"],
        "answers": answers});
    let url = server.url(&format!("/api/sessions/{id}/respond"));
    let told = server.client().post(url).bearer_auth(operator(&server)).json(&answer).send().await;
    assert_eq!(told.unwrap().status(), 200);
    let output = tokio::time::timeout(SOON, asking.wait_with_output()).await.unwrap().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains(r#""Which colour should the page have?"="Mauve""#), "{printed}");
    assert_eq!(project.log(), "");

    // A revoked secret, and a studio that is away, are no trouble of the agent's.
    let projects = get(&server, "/api/hooks/projects").await;
    let url = format!("/api/hooks/projects/{}", projects["projects"][0]["id"].as_str().unwrap());
    let revoked = server.client().delete(server.url(&url)).bearer_auth(operator(&server));
    assert_eq!(revoked.send().await.unwrap().status(), 200);
    let before = sessions(&server).await.len();
    let printed = project.ask(&model.url("hello"), "").await;
    assert!(printed.contains("Hello!"), "{printed}");
    assert_eq!(sessions(&server).await.len(), before);
    assert!(project.log().contains("refuses the secret (401)"), "{}", project.log());
    server.terminate().await;
    let printed = project.ask(&model.url("hello"), "").await;
    assert!(printed.contains("Hello!"), "{printed}");
    assert!(project.log().contains("is not reached"), "{}", project.log());
    assert_eq!(project.settings()["permissions"], json!({"allow": ["Bash(ls)"]}));
}

#[tokio::test]
async fn a_conversation_is_one_session_also_over_a_crash() {
    let (mut server, project) = (server().start().await, Project::new().await);
    project.install(&server).await;
    let secret = project.secret();
    let body = |n: usize| {
        json!({"hook_event_name": "PreToolUse", "tool_name": "Bash", "session_id": "c",
            "transcript_path": "/t.jsonl", "tool_use_id": format!("t{n}")})
    };
    // Told to a server that is killed meanwhile.
    let mut telling = tokio::task::JoinSet::new();
    for n in 0..64 {
        let asked = server.client().post(server.url("/api/hook")).bearer_auth(&secret);
        let asked = asked.json(&body(n));
        telling.spawn(async move { asked.send().await?.json::<Value>().await });
    }
    let first = telling.join_next().await.unwrap().unwrap().unwrap();
    server.crash().await;
    let mut ids = vec![first["sessionId"].clone()];
    while let Some(told) = telling.join_next().await {
        // The others were answered, or were cut off.
        ids.extend(told.unwrap().ok().map(|answer| answer["sessionId"].clone()));
    }
    server.restart().await;
    let more = futures::future::join_all((64..128).map(|n| {
        let (server, secret, body) = (&server, &secret, body(n));
        async move { tell(server, secret, &body).await.unwrap() }
    }));
    for (status, answer) in more.await {
        assert_eq!(status, 200, "{answer}");
        ids.push(answer["sessionId"].clone());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(sessions(&server).await.len(), 1);

    // A question that waited when the server died is open still, and who asks again joins it.
    let question = json!({"hook_event_name": "PreToolUse", "tool_name": "AskUserQuestion",
        "transcript_path": "/t.jsonl", "tool_use_id": "toolu_q",
        "tool_input": {"questions": [{"question": "Blue?", "options": []}]}});
    let asked = server.client().post(server.url("/api/hook")).bearer_auth(&secret);
    let asking = tokio::spawn(asked.json(&question).send());
    let waits = async |server: &StudioServer| {
        let newest = sessions(server).await.swap_remove(0);
        (newest["needsInput"] == true).then_some(newest)
    };
    let session = eventually("no question came", async || waits(&server).await).await;
    server.crash().await;
    assert!(asking.await.unwrap().is_err());
    server.restart().await;
    eventually("the question is lost", async || waits(&server).await).await;
    let answer = json!({"gate": "ask_user_question", "toolUseId": "toolu_q", "answer": "yes"});
    let path = server.url(&format!("/api/sessions/{}/respond", session["id"].as_str().unwrap()));
    let respond = async || {
        let asked = server.client().post(&path).bearer_auth(operator(&server)).json(&answer);
        (asked.send().await.unwrap().status() == 200).then_some(())
    };
    // Until the hook is there nobody would get the answer.
    let (told, ()) = tokio::join!(
        tell(&server, &secret, &question),
        eventually("the answer is not taken", respond)
    );
    let output = &told.unwrap().1["hookSpecificOutput"]["updatedInput"];
    assert_eq!(output["answers"], json!({"answer": "yes"}));
    let told = events(&server, &session).await;
    assert_eq!(told.iter().filter(|kind| *kind == "ask_user_question").count(), 1, "{told:?}");
}
