//! Where a secret is, and everywhere else where it is not (lines 19 and 25 of the checklist,
//! D30-18, D31-27, D31-32).

use std::{path::Path, process::Command};

use serde_json::{Value, json};
use studio_testkit::{
    ModelServer, StudioServer, containers_labelled, needs, remove_containers_labelled,
};

use crate::studio::{Session, hooked, post, program, up_to, with_claude};

/// Every secret that a session can have, under names that are nowhere else.
struct Canaries {
    key: String,
    gh_token: String,
    password: String,
    source_secret: String,
}

impl Canaries {
    fn of(test: &str) -> Self {
        let canary = |what| format!("canary-{test}-{what}-5c1d77aa");
        Self {
            key: canary("key"),
            gh_token: canary("gh"),
            password: canary("password"),
            source_secret: canary("source"),
        }
    }

    fn all(&self) -> [&str; 4] {
        [&self.key, &self.gh_token, &self.password, &self.source_secret]
    }

    fn are_in(&self, text: &str) -> bool {
        self.all().iter().any(|canary| text.contains(canary))
    }

    /// A session of an app with a hosted database that ran one turn.
    async fn session(&self, server: &StudioServer) -> (Session, Vec<Value>) {
        let body = json!({ "description": "hello", "apiKey": self.key, "ghToken": self.gh_token });
        let session = Session::create(server, &body).await;
        let infra = json!({
            "gate": "infra_config", "mode": "cloud", "sourceId": "source-1",
            "databaseUrl": format!("postgres://user:{}@db.example.com/app", self.password),
            "electricUrl": "https://electric.example.com", "secret": self.source_secret,
        });
        let (status, told) = session.tell(server, "respond", &infra).await;
        assert_eq!(status, 200, "{told}");
        let mut watch = session.watch(server).await;
        let seen = up_to(&mut watch, "session_end").await;
        assert_eq!(seen.last().unwrap()["success"], true, "{seen:#?}");
        (session, seen)
    }

    /// That none is in `text`.
    fn not_in(&self, place: &str, text: &str) {
        for canary in self.all() {
            if let Some((before, after)) = text.split_once(canary) {
                let before: Vec<char> = before.chars().rev().take(200).collect();
                let before: String = before.into_iter().rev().collect();
                let after: String = after.chars().take(100).collect();
                panic!("{canary} is in {place}: …{before}{canary}{after}…");
            }
        }
    }

    fn not_below(&self, dir: &Path) {
        // The agent lives: what was listed a moment ago may be gone.
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() {
                self.not_below(&path);
            } else if meta.is_file() {
                let Ok(bytes) = std::fs::read(&path) else { continue };
                self.not_in(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
            }
        }
    }

    async fn not_shown(&self, server: &StudioServer, session: &Session, seen: &[Value]) {
        self.not_in("the log of the server", &server.output());
        self.not_in("the events", &Value::from(seen.to_vec()).to_string());
        for what in ["", "gates", "queue"] {
            self.not_in(what, &session.ask(server, what).await.1.to_string());
        }
        let health = server.client().get(server.url("/api/health")).send().await.unwrap();
        self.not_in("health", &health.text().await.unwrap());
        self.not_below(server.data_dir());
    }
}

/// On this machine: in the environment of that session's processes, and nowhere else.
#[tokio::test]
async fn d30_18_d31_27_d31_32_secrets_of_a_local_session_are_in_its_own_processes_only() {
    let model = ModelServer::start();
    let server = with_claude(&model.url("hello")).env("STUDIO_LOG", "trace").start().await;
    let canaries = Canaries::of("local");
    let (session, seen) = canaries.session(&server).await;
    canaries.not_shown(&server, &session, &seen).await;

    let mut holders = 0;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| {
            let bytes = std::fs::read(process.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        canaries.not_in("the arguments of a process", &read("cmdline"));
        let environment = read("environ");
        if canaries.are_in(&environment) {
            assert!(
                environment.contains(&session.id),
                "{} of another: {environment}",
                read("cmdline")
            );
            holders += 1;
        }
    }
    assert!(0 < holders, "the agent has them");

    // After the end nobody has them: neither a process nor a file.
    assert_eq!(session.delete(&server).await.0, 200);
    canaries.not_below(server.data_dir());
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let bytes = std::fs::read(process.path().join("environ")).unwrap_or_default();
        canaries.not_in("a process that is left", &String::from_utf8_lossy(&bytes));
    }
}

/// In a container: not in what the engine shows of it, not in its files, not on its disk.
#[tokio::test]
async fn d30_18_d31_27_d31_32_secrets_of_a_docker_session_are_in_its_own_processes_only() {
    let server = program()
        .env("SANDBOX_RUNTIME", "docker")
        .env("STUDIO_SANDBOX_IMAGE", needs::scripted_image())
        .env("ANTHROPIC_BASE_URL", "http://127.0.0.1:8555/s/hello")
        .env("STUDIO_LOG", "trace")
        .start()
        .await;
    let owner = std::fs::read_to_string(server.data_dir().join("owner")).unwrap();
    let _broom = Broom(format!("studio.instance={}", owner.trim()));
    let canaries = Canaries::of("docker");
    let (session, seen) = canaries.session(&server).await;
    canaries.not_shown(&server, &session, &seen).await;

    let found = containers_labelled(&format!("studio.session={}", session.id));
    let [container] = found.as_slice() else { panic!("one container: {found:?}") };
    let inspected = docker(&["inspect", container]);
    assert!(inspected.contains(&session.id), "{inspected}");
    canaries.not_in("docker inspect", &inspected);
    canaries.not_in("docker top", &docker(&["top", container, "-eo", "pid,args"]));
    canaries.not_in("docker logs", &docker(&["logs", container]));
    // The model server of the test image notes what it is asked; it is no part of the studio.
    let mut search = vec!["exec", container, "grep", "-rlsF", "--exclude=model-server.log"];
    search.extend(canaries.all().iter().flat_map(|canary| ["-e", canary]));
    search.extend(["/home", "/tmp", "/var", "/run", "/etc", "/root", "/opt", "/dev/shm"]);
    assert_eq!(docker(&search), "", "files with secrets");
    let finds = docker(&["exec", container, "grep", "-rlsF", "agent", "/etc/passwd"]);
    assert_eq!(finds, "/etc/passwd\n", "grep is there, and finds what is");
    assert_eq!(session.delete(&server).await.0, 200);
}

/// D30-3: a value that looks like an interpolation stays what it is, and a secret of the server's
/// is not put in its place; a value with a line break is none.
#[tokio::test]
async fn d30_2_d30_3_d31_36_d31_37_a_setting_is_data() {
    let model = ModelServer::start();
    let server = with_claude(&model.url("hello"))
        .env("ANTHROPIC_API_KEY", "dummy")
        .env("DS_SECRET", "the-master-secret")
        .start()
        .await;
    let session = Session::create(&server, &json!({ "description": "hello" })).await;
    let infra = |key: &str, value: &str| {
        let mut body = json!({
            "gate": "infra_config", "mode": "cloud", "databaseUrl": "postgres://u:p@h/d",
            "electricUrl": "https://electric.example.com", "sourceId": "s", "secret": "x",
        });
        body[key] = json!(value);
        body
    };
    for key in ["databaseUrl", "electricUrl", "sourceId", "secret"] {
        for value in ["a\n    privileged: true", "a\r\nb", "a\u{0}b", "https://h/\n#"] {
            let (status, told) = session.tell(&server, "respond", &infra(key, value)).await;
            assert_eq!(status, 400, "{key} = {value:?}: {told}");
        }
    }
    let chosen = infra("sourceId", "${DS_SECRET}$(id)`id`");
    let (status, told) = session.tell(&server, "respond", &chosen).await;
    assert_ne!(status, 500, "{told}");
    if status == 400 {
        // Refused as no identifier: nothing is left to be interpolated.
        let plain = infra("secret", "${DS_SECRET}$(id)`id`");
        assert_eq!(session.tell(&server, "respond", &plain).await.0, 200);
    }
    let mut watch = session.watch(&server).await;
    up_to(&mut watch, "session_end").await;
    let mut seen = false;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let bytes = std::fs::read(process.path().join("environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&bytes);
        if environment.contains(&session.id) {
            assert!(!environment.contains("the-master-secret"), "{environment}");
            seen |= environment.contains("${DS_SECRET}$(id)`id`");
        }
    }
    assert!(seen, "the value arrived as it was given");
}

/// A hook's token opens hooks of its own session; nothing of a gate, nothing to read.
#[tokio::test]
async fn d30_8_a_hooks_token_neither_answers_nor_reads() {
    let server = program().arg("--sandbox").arg("local").start().await;
    let (session, hook) = hooked(&server).await;
    let (other, other_hook) = hooked(&server).await;
    let stop = json!({ "hook_event_name": "Stop" });
    for (path, token) in [
        (session.path("respond"), hook.as_str()),
        (session.path("iterate"), &hook),
        (session.path("interrupt"), &hook),
        (session.path("cancel"), &hook),
        (session.path("hook-event"), &session.token),
        (session.path("hook-event"), &other_hook),
        (session.path("cancel"), &other.token),
    ] {
        assert_eq!(post(&server, &path, token, &stop).await.0, 401, "{path}");
    }
    for what in ["", "events", "gates", "queue"] {
        let get = server.client().get(server.url(&session.path(what)));
        assert_eq!(get.bearer_auth(&hook).send().await.unwrap().status(), 401, "{what}");
    }
    let events = server.url(&format!("{}?token={hook}", session.path("events")));
    assert_eq!(server.client().get(events).send().await.unwrap().status(), 401);
    assert_eq!(post(&server, &session.path("hook-event"), &hook, &stop).await.0, 200);
}

fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

struct Broom(String);

impl Drop for Broom {
    fn drop(&mut self) {
        remove_containers_labelled(&self.0);
    }
}
