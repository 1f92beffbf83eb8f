//! Looks into sandboxes past the studio: what runs there, what lies there.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use studio_testkit::{containers_labelled, needs, processes_under, template_packages, wait_for};

use crate::world::{Place, SOON, Session, World};

/// Tells every process: its id, a blank, its arguments.
const LIST: &str = r#"for p in /proc/[0-9]*; do printf '%s ' "${p#/proc/}"; tr '\0' ' ' < "$p/cmdline"; echo; done 2> /dev/null"#;

/// A process of a sandbox. The id is the sandbox's own in a container and this machine's locally.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) command: String,
}

impl World {
    /// The containers of a session; none locally.
    pub(crate) fn containers(&self, session: &Session) -> Vec<String> {
        match self.place {
            Place::Docker => containers_labelled(&format!("studio.session={}", session.id)),
            Place::Local => Vec::new(),
        }
    }

    /// Everything that runs in a session's sandbox.
    pub(crate) fn processes(&self, session: &Session) -> Vec<Process> {
        match self.place {
            Place::Docker => {
                let containers = self.containers(session);
                let Some(container) = containers.first() else { return Vec::new() };
                exec(container, &["sh", "-c", LIST]).lines().filter_map(process).collect()
            }
            Place::Local => {
                let pids = processes_under(&self.local_dir(session)).into_iter();
                let told = pids.filter(|pid| *pid != self.server.pid()).filter_map(|pid| {
                    let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
                    let command = String::from_utf8_lossy(&command).replace('\0', " ");
                    Some(Process { pid, command })
                });
                told.collect()
            }
        }
    }

    /// The agent's own process: the program `claude` itself, not what watches over it.
    pub(crate) fn agents(&self, session: &Session) -> Vec<i32> {
        let mut agents = self.agents_now(session);
        // A child that it has forked for a tool has its arguments until it becomes the tool:
        // only what is there at every look is the agent.
        for _ in 0..3 {
            if agents.len() < 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(30));
            let again = self.agents_now(session);
            agents.retain(|pid| again.contains(pid));
        }
        agents
    }

    fn agents_now(&self, session: &Session) -> Vec<i32> {
        let all = self.processes(session).into_iter();
        let agents = all.filter(|process| {
            let mut words = process.command.split(' ');
            words.next().is_some_and(|program| {
                program == "claude" || program.ends_with("/claude") || program.ends_with("/node")
            }) && process.command.contains("stream-json")
        });
        agents.map(|process| process.pid).collect()
    }

    pub(crate) fn signal(&self, session: &Session, pid: i32, signal: Signal) {
        match self.place {
            Place::Docker => {
                let name = signal.as_str().trim_start_matches("SIG");
                let containers = self.containers(session);
                let said = exec(&containers[0], &["sh", "-c", &format!("kill -{name} {pid}")]);
                assert_eq!(said, "", "kill -{name} {pid}");
            }
            Place::Local => kill(Pid::from_raw(pid), signal).unwrap(),
        }
    }

    /// A file of the project.
    pub(crate) async fn file(&self, session: &Session, name: &str) -> String {
        let project = self.ask(session, "").await["sandboxProjectDir"].as_str().unwrap().to_owned();
        match self.place {
            Place::Docker => {
                exec(&self.containers(session)[0], &["cat", &format!("{project}/{name}")])
            }
            Place::Local => {
                let file = self.project_outside(session, &project).join(name);
                std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"))
            }
        }
    }

    /// Runs a script in the project's directory, past the studio.
    pub(crate) async fn shell(&self, session: &Session, script: &str) -> String {
        let project = self.ask(session, "").await["sandboxProjectDir"].as_str().unwrap().to_owned();
        match self.place {
            Place::Docker => {
                let script = format!("cd '{project}' && {{ {script}\n}}");
                exec(&self.containers(session)[0], &["sh", "-c", &script])
            }
            Place::Local => {
                let dir = self.project_outside(session, &project);
                let done = std::process::Command::new("sh")
                    .args(["-c", script])
                    .current_dir(dir)
                    .output()
                    .unwrap();
                String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
            }
        }
    }

    /// Copies the packages of the app that projects begin with into the project's directory.
    pub(crate) async fn put_packages(&self, session: &Session) {
        let modules = template_packages();
        let project = self.ask(session, "").await["sandboxProjectDir"].as_str().unwrap().to_owned();
        // The sandbox's user is to own them.
        let script = match self.place {
            Place::Docker => {
                "tar -C \"$1\" --owner=1000 --group=1000 -cf - node_modules | docker cp - \"$2\""
            }
            Place::Local => "cp -a \"$1/node_modules\" \"$2\"",
        };
        let to = match self.place {
            Place::Docker => format!("{}:{project}", self.containers(session)[0]),
            Place::Local => self.project_outside(session, &project).display().to_string(),
        };
        let copied = std::process::Command::new("sh")
            .args(["-c", script, "sh"])
            .args([modules.parent().unwrap().as_os_str(), to.as_ref()])
            .env("DOCKER_HOST", format!("unix://{}", needs::docker_socket().display()))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    }

    /// Waits until no process of the sandbox has `word` in its arguments.
    pub(crate) async fn nothing_runs_with(&self, session: &Session, word: &str) {
        let what = format!("the end of every process with {word:?}");
        wait_for(&what, Duration::from_secs(3), async || {
            let left = self.processes(session);
            (!left.iter().any(|process| process.command.contains(word))).then_some(())
        })
        .await;
    }

    /// Waits until a process of the sandbox has `word` in its arguments.
    pub(crate) async fn something_runs_with(&self, session: &Session, word: &str) {
        wait_for(&format!("a process with {word:?}"), SOON, async || {
            let all = self.processes(session);
            all.iter().any(|process| process.command.contains(word)).then_some(())
        })
        .await;
    }

    /// That neither a container nor a process nor a directory is left of a session.
    pub(crate) fn leaves_nothing(&self, session: &Session) {
        assert_eq!(self.containers(session), Vec::<String>::new(), "containers");
        if self.place == Place::Local {
            assert_eq!(self.processes(session), [], "processes");
            assert!(!self.local_dir(session).exists(), "{:?}", self.local_dir(session));
        }
    }

    /// Waits for the sandbox to be there at all, ready or not.
    pub(crate) async fn sandbox_begins(&self, session: &Session) {
        wait_for("a sandbox", SOON, async || {
            let there = match self.place {
                Place::Docker => !self.containers(session).is_empty(),
                Place::Local => self.local_dir(session).exists(),
            };
            there.then_some(())
        })
        .await;
    }

    /// Where the project's directory of a jail lies on this machine.
    fn project_outside(&self, session: &Session, project: &str) -> PathBuf {
        let below_home = project.strip_prefix("/home/agent/").unwrap();
        self.local_dir(session).join("home").join(below_home)
    }

    fn local_dir(&self, session: &Session) -> PathBuf {
        self.server.data_dir().canonicalize().unwrap().join("sandboxes").join(&session.id)
    }
}

fn process(line: &str) -> Option<Process> {
    let (pid, command) = line.split_once(' ')?;
    let is_us = command.contains("cmdline");
    let pid = pid.parse().ok()?;
    (!command.trim().is_empty() && !is_us).then(|| Process { pid, command: command.to_owned() })
}

/// Runs a command in a container through the engine's API; what it wrote on both outputs.
fn exec(container: &str, command: &[&str]) -> String {
    let wanted = json!({ "AttachStdout": true, "AttachStderr": true, "Cmd": command });
    let made = engine(&format!("/containers/{container}/exec"), &wanted);
    let made: Value = serde_json::from_slice(&made).unwrap_or_default();
    let Some(id) = made["Id"].as_str() else { return format!("{made}") };
    let output = engine(&format!("/exec/{id}/start"), &json!({ "Detach": false, "Tty": false }));
    String::from_utf8_lossy(&frames(&output)).into_owned()
}

fn engine(path: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let mut stream = UnixStream::connect(needs::docker_socket()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let head = "Host: engine\r\nContent-Type: application/json\r\nConnection: close";
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.0\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    answer.split_off(end.map_or(answer.len(), |at| at + 4))
}

/// The engine sends outputs in frames: kind, three zeros, length in four bytes, bytes.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    while let [_kind, 0, 0, 0, a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (frame, next) = rest.split_at(length.min(rest.len()));
        text.extend_from_slice(frame);
        bytes = next;
    }
    text
}
