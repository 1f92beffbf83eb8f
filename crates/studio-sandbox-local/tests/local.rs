//! What is promised of local sandboxes beyond the contract: what the jail hides, and that all of
//! it outlives a studio that is killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use studio_ids::{RunId, SessionId};
use studio_sandbox::{
    Command, Exit, JournalState, JournaledProcess, Output, Sandbox, SandboxError, SandboxProvider,
    SandboxRef, SandboxState,
    contract::{silence, spec},
};
use studio_sandbox_local::{Jail, LocalOptions, LocalProvider};

async fn open(root: &Path, options: LocalOptions) -> LocalProvider {
    let options = LocalOptions { jail: Some(Jail::Bubblewrap), ..options };
    LocalProvider::open(root.to_owned(), options).await.unwrap()
}

async fn said(sandbox: &dyn Sandbox, script: &'static str, arguments: &[&str]) -> String {
    let command = Command::script(script, arguments.iter().copied());
    let output = sandbox.exec(command, Bytes::new(), Output::default()).await.unwrap();
    output.success(script).unwrap().text()
}

fn holder(root: &Path, session: SessionId) -> i32 {
    let text = std::fs::read(root.join(session.to_string()).join("holder.json")).unwrap();
    let holder: serde_json::Value = serde_json::from_slice(&text).unwrap();
    i32::try_from(holder["pid"].as_i64().unwrap()).unwrap()
}

fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

fn patiently(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn the_jail_hides_what_it_says_and_shows_what_is_asked() {
    let base = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dir = |name: &str| {
        let dir = base.path().canonicalize().unwrap().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("file"), name).unwrap();
        dir
    };
    let (private, tools, library) = (dir("private"), dir("private/tools"), dir("library"));
    studio_testkit::write_program(&tools.join("agent"), "#!/bin/sh\necho \"agent $*\"\n");
    let options = LocalOptions {
        hidden: vec![private.clone()],
        path_dirs: vec![tools.clone()],
        readable: vec![library.clone()],
        ..LocalOptions::default()
    };
    let provider = open(&base.path().join("root"), options).await;
    let notice = provider.abilities().notice;
    assert!(notice.contains("bubblewrap") && notice.contains("no wall"), "{notice}");
    let sandbox = provider.create(&spec(), silence()).await.unwrap();

    assert_eq!(said(&*sandbox, "agent -x", &[]).await, "agent -x");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (private, tools, library) = (text(&private), text(&tools), text(&library));
    let see = "cat \"$1/file\" 2>/dev/null || echo hidden";
    assert_eq!(said(&*sandbox, see, &[&private]).await, "hidden");
    assert_eq!(said(&*sandbox, see, &[&tools]).await, "private/tools");
    assert_eq!(said(&*sandbox, see, &[&library]).await, "library");
    let write = "echo x 2>/dev/null >\"$1/new\" && echo written || echo refused";
    assert_eq!(said(&*sandbox, write, &[&tools]).await, "refused");
    assert_eq!(said(&*sandbox, write, &[&library]).await, "refused");
    assert_eq!(said(&*sandbox, write, &["/tmp"]).await, "written");

    let root = text(&base.path().canonicalize().unwrap().join("root"));
    let empty = "ls -A /home /root /run \"$1\" 2>/dev/null | grep -v ':$' | grep -v '^$'; :";
    let seen = said(&*sandbox, empty, &[&root]).await;
    // What is asked to be shown may lie below a hidden directory (build results in a cache below
    // `/root`): then the way to it is seen, and nothing beside it.
    let way = base.path().canonicalize().unwrap();
    let on_the_way = |name: &str| way.components().any(|part| part.as_os_str() == name);
    let fits = |name: &str| ["agent", "systemd"].contains(&name) || on_the_way(name);
    assert!(seen.lines().all(fits), "{seen}");
    let mut above = way.as_path();
    while let Some(parent) =
        above.parent().filter(|p| p.starts_with("/root") || p.starts_with("/home"))
    {
        let list = said(&*sandbox, "ls -A \"$1\"", &[&text(parent)]).await;
        assert!(list.lines().all(fits), "{parent:?}: {list}");
        above = parent;
    }
    // Not root inside, whoever runs the studio, and no way to become it.
    assert_ne!(said(&*sandbox, "id -u", &[]).await, "0");
    let status = said(&*sandbox, "grep -E '^(CapEff|CapPrm|NoNewPrivs)' /proc/self/status", &[]);
    let status = status.await;
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert_eq!(status.matches("0000000000000000").count(), 2, "{status}");
    provider.destroy_session(sandbox.session()).await.unwrap();
}

#[tokio::test]
async fn the_strongest_jail_is_chosen_by_itself() {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let provider =
        LocalProvider::open(root.path().to_owned(), LocalOptions::default()).await.unwrap();
    assert_eq!(provider.jail(), Jail::Bubblewrap);
    // Trying it out left nothing.
    assert_eq!(provider.list().await.unwrap(), []);
}

#[tokio::test]
async fn removing_kills_all_and_removes_what_cannot_be_written() {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let provider = open(root.path(), LocalOptions::default()).await;
    let spec = spec();
    let sandbox = provider.create(&spec, silence()).await.unwrap();
    let pid = holder(root.path(), spec.session);
    assert!(is_alive(pid));
    let script = "mkdir -p cache/deep && echo x >cache/deep/file && chmod 500 cache/deep cache; \
                  chmod 000 cache/deep/file; mkfifo pipe; ln -s / up";
    said(&*sandbox, script, &[]).await;
    sandbox.spawn_detached(Command::script("trap '' TERM; sleep 77777", [""; 0])).await.unwrap();
    // A holder that nobody wrote down is found too.
    std::fs::remove_file(root.path().join(spec.session.to_string()).join("holder.json")).unwrap();
    let start = Instant::now();
    provider.destroy_session(spec.session).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(!is_alive(pid));
    assert!(!root.path().join(spec.session.to_string()).exists());
    assert_eq!(std::fs::read_dir(root.path().join(".removed")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_sandbox_that_was_stopped_wakes_with_its_files_and_without_its_processes() {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let provider = open(root.path(), LocalOptions::default()).await;
    let spec = spec();
    let sandbox = provider.create(&spec, silence()).await.unwrap();
    let process = JournaledProcess::of(Arc::clone(&sandbox), RunId::random());
    process.start(Command::script("echo kept; read -r _", [""; 0])).await.unwrap();
    let mut lines = process.lines(0).await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap().data, "kept");

    let pid = holder(root.path(), spec.session);
    let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
    patiently("the holder ended", || !is_alive(pid));
    assert_eq!(sandbox.state().await.unwrap(), SandboxState::Stopped);
    assert!(lines.next().await.is_err(), "the link was lost, the process may live");
    let stopped = sandbox.exec(Command::new(["true"]), Bytes::new(), Output::default()).await;
    assert!(matches!(stopped, Err(SandboxError::NotStarted { .. })), "{stopped:?}");

    // Two who wake it make one holder.
    let (first, second) = tokio::join!(sandbox.wake(), sandbox.wake());
    first.and(second).unwrap();
    assert_eq!(sandbox.state().await.unwrap(), SandboxState::Running);
    assert_eq!(process.state().await.unwrap(), JournalState::Ended(Exit::Unknown));
    let mut lines = process.lines(0).await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap().data, "kept");
    assert!(lines.next().await.unwrap().is_none());
    assert_eq!(process.stop(Duration::from_millis(100)).await.unwrap(), Exit::Unknown);
    assert!(process.write("a", "x\n".into()).await.is_err());
    process.remove().await.unwrap();
    process.start(Command::new(["true"])).await.unwrap();
    provider.destroy_session(spec.session).await.unwrap();
}

#[tokio::test]
async fn a_sandbox_whose_directory_is_lost_ends_by_itself() {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let provider = open(root.path(), LocalOptions::default()).await;
    let spec = spec();
    let sandbox = provider.create(&spec, silence()).await.unwrap();
    sandbox.spawn_detached(Command::new(["sleep", "66666"])).await.unwrap();
    let pid = holder(root.path(), spec.session);
    std::fs::remove_dir_all(root.path().join(spec.session.to_string())).unwrap();
    patiently("the holder ended", || !is_alive(pid));
}

#[tokio::test]
async fn a_jail_that_does_not_work_is_not_set_up() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let opened = LocalProvider::open(file.path().to_owned(), LocalOptions::default()).await;
    assert!(matches!(opened, Err(SandboxError::NotSetUp { .. })), "{opened:?}");
}

// ---- A studio that is killed ----

/// What the studio of the next test is told through its environment: root, session, run, offset.
const TOLD: &str = "STUDIO_TEST_FOLLOW";

/// Not a test of its own: the studio of the next one, which is killed. It makes the sandbox and
/// starts the run unless they are there, and prints `offset length checksum` of each line.
#[test]
fn the_studio_that_is_killed() {
    // Only when the next test starts it.
    let Ok(told) = std::env::var(TOLD) else { return };
    let mut told = told.split('|');
    let root = PathBuf::from(told.next().unwrap());
    let session: SessionId = told.next().unwrap().parse().unwrap();
    let run: RunId = told.next().unwrap().parse().unwrap();
    let from: u64 = told.next().unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let provider = open(&root, LocalOptions::default()).await;
        let reference = SandboxRef { provider: "local".to_owned(), id: session.to_string() };
        let sandbox = match provider.find(&reference).await.unwrap() {
            Some(sandbox) => sandbox,
            None => {
                let spec = studio_sandbox::SandboxSpec { session, ..spec() };
                provider.create(&spec, silence()).await.unwrap()
            }
        };
        let process = JournaledProcess::of(sandbox, run);
        if process.state().await.unwrap() == JournalState::Absent {
            let script = "awk 'BEGIN { srand(7); for (n = 0; n < 2500; n++) { \
                          size = int(rand() * rand() * 3000); line = n \" \"; \
                          while (length(line) < size) line = line \"abcdefghijklmnopqrstuvwxyz\"; \
                          print line; if (n % 10 == 0) { fflush(); system(\"sleep 0.01\") } } }'";
            process.start(Command::script(script, [""; 0])).await.unwrap();
        }
        let mut lines = process.lines(from).await.unwrap();
        let mut out = std::io::stdout().lock();
        while let Some(line) = lines.next().await.unwrap() {
            writeln!(out, "heard {} {} {}", line.at, line.data.len(), number(&line.data)).unwrap();
            out.flush().unwrap();
        }
        writeln!(out, "ended").unwrap();
    });
}

/// The number that a line begins with.
fn number(line: &[u8]) -> String {
    String::from_utf8_lossy(line).split(' ').next().unwrap().to_owned()
}

#[test]
fn a_killed_studio_loses_nothing_and_hears_nothing_twice() {
    let base = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = base.path().canonicalize().unwrap();
    let (session, run) = (SessionId::random(), RunId::random());
    let mut at = 0;
    let mut numbers = Vec::<u32>::new();
    let mut kills = 0;
    let mut agent = None;
    loop {
        let mut studio = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "the_studio_that_is_killed"])
            .env(TOLD, format!("{}|{session}|{run}|{at}", root.display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut is_over = false;
        // A different number of lines each time, some of them none.
        let mut patience = (kills * 37) % 190 + usize::from(kills == 0);
        let said = BufReader::new(studio.stdout.take().unwrap());
        if patience == 0 {
            std::thread::sleep(Duration::from_millis(120));
        } else {
            for line in said.lines() {
                let line = line.unwrap();
                if line.ends_with("ended") {
                    is_over = true;
                }
                let Some((_, line)) = line.split_once("heard ") else { continue };
                let words: Vec<&str> = line.split(' ').collect();
                let [after, size, number] = words[..] else { panic!("{line}") };
                let (after, size): (u64, u64) = (after.parse().unwrap(), size.parse().unwrap());
                assert_eq!(after, at + size + 1, "the offset counts every byte");
                at = after;
                numbers.push(number.parse().unwrap());
                patience -= 1;
                if patience == 0 {
                    break;
                }
            }
        }
        studio.kill().unwrap();
        studio.wait().unwrap();
        // The agent is the same process all the time.
        let home = root.join(session.to_string()).join("home");
        if let Ok(pid) = std::fs::read_to_string(home.join(format!(".studio/runs/{run}/pid"))) {
            assert_eq!(agent.get_or_insert_with(|| pid.clone()), &pid);
        }
        if is_over {
            break;
        }
        kills += 1;
        assert!(kills < 500, "the run does not end");
    }
    assert!(15 <= kills, "killed only {kills} times");
    assert_eq!(numbers, (0..2500).collect::<Vec<u32>>());
    // What the killed studios left: nothing but the sandbox, which the next one removes.
    let pid = holder(&root, session);
    assert!(is_alive(pid));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let provider = open(&root, LocalOptions::default()).await;
        assert_eq!(provider.list().await.unwrap().len(), 1);
        provider.destroy_session(session).await.unwrap();
    });
    assert!(!is_alive(pid));
}
