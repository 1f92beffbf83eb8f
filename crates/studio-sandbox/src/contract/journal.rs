//! Processes that outlive the studio.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use studio_ids::RunId;

use super::{PATIENCE, causes, commands::HOSTILE, run, said, spec, until, with_sandbox};
use crate::{
    Command, Exit, JournalLine, JournalLines, JournalState, JournaledProcess, LINE_BYTES_MAX,
    Sandbox, SandboxError, SandboxProvider, Signal,
};

/// Long enough for a program that ends when it is told to, short enough for a test.
const SOON: Duration = Duration::from_millis(1500);

/// Starts a script as a new run.
async fn start(
    sandbox: &Arc<dyn Sandbox>,
    script: &'static str,
    arguments: impl IntoIterator<Item = &str>,
) -> JournaledProcess {
    let process = JournaledProcess::of(Arc::clone(sandbox), RunId::random());
    if let Err(error) = process.start(Command::script(script, arguments)).await {
        panic!("not started: {}", causes(&error));
    }
    process
}

/// The next line, which must come.
async fn next(lines: &mut JournalLines) -> JournalLine {
    match tokio::time::timeout(PATIENCE, lines.next()).await {
        Ok(Ok(Some(line))) => line,
        Ok(Ok(None)) => panic!("the process ended without this line"),
        Ok(Err(error)) => panic!("{}", causes(&error)),
        Err(_late) => panic!("no line came"),
    }
}

async fn next_text(lines: &mut JournalLines) -> String {
    String::from_utf8(next(lines).await.data.to_vec()).unwrap()
}

/// All lines up to the end.
async fn rest(lines: &mut JournalLines) -> Vec<String> {
    let mut all = Vec::new();
    let reading = async {
        while let Some(line) = lines.next().await.unwrap() {
            all.push(String::from_utf8(line.data.to_vec()).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    all
}

async fn ended(process: &JournaledProcess) -> Exit {
    let start = Instant::now();
    loop {
        match process.state().await.unwrap() {
            JournalState::Ended(exit) => return exit,
            JournalState::Running => assert!(start.elapsed() < PATIENCE, "it does not end"),
            JournalState::Absent => panic!("there is no such run"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Absent, running, ended; lines while it runs and after.
pub async fn a_process_is_followed_to_its_end(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let process = JournaledProcess::of(Arc::clone(&sandbox), RunId::random());
        assert_eq!(process.state().await.unwrap(), JournalState::Absent);
        let script = "echo one; read -r line; echo \"$line\"; echo three; exit 7";
        process.start(Command::script(script, [""; 0])).await.unwrap();
        assert_eq!(process.state().await.unwrap(), JournalState::Running);
        let mut lines = process.lines(0).await.unwrap();
        assert_eq!(next_text(&mut lines).await, "one");
        process.write("first", "two\n".into()).await.unwrap();
        assert_eq!(rest(&mut lines).await, ["two", "three"]);
        assert_eq!(process.state().await.unwrap(), JournalState::Ended(Exit::Code(7)));
        assert!(lines.next().await.unwrap().is_none());
        let mut lines = process.lines(0).await.unwrap();
        assert_eq!(rest(&mut lines).await, ["one", "two", "three"]);
    })
    .await;
}

/// Not one after another, and not ten at once.
pub async fn a_process_is_never_started_twice(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let process = JournaledProcess::of(Arc::clone(&sandbox), RunId::random());
        let mut starts = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let process = process.clone();
            let script = "echo started >>~/starts; exec cat";
            starts.spawn(async move { process.start(Command::script(script, [""; 0])).await });
        }
        let results = starts.join_all().await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        for result in results {
            assert!(matches!(result, Ok(()) | Err(SandboxError::Exists { .. })), "{result:?}");
        }
        assert_eq!(said(&*sandbox, "cat starts", []).await, "started");
        process.stop(SOON).await.unwrap();
        let again = process.start(Command::new(["true"])).await;
        assert!(matches!(again, Err(SandboxError::Exists { .. })), "{again:?}");
    })
    .await;
}

/// And the same run can be started after all.
pub async fn a_program_that_is_not_there_leaves_no_run(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        said(&*sandbox, "echo x >text; printf '#!/no/such/interpreter\\n' >odd; chmod +x odd", [])
            .await;
        let process = JournaledProcess::of(Arc::clone(&sandbox), RunId::random());
        let in_home = |name: &str| sandbox.home().join(name).unwrap();
        let (text, odd) = (in_home("text").to_string(), in_home("odd").to_string());
        for program in ["no-such-program", "/no/such/program", &text, &odd] {
            let error = process.start(Command::new([program, "-x"])).await.unwrap_err();
            assert!(
                matches!(&error, SandboxError::NotStarted { program: p, .. } if p == program),
                "{error:?}"
            );
            assert_eq!(process.state().await.unwrap(), JournalState::Absent, "{error}");
        }
        let nowhere = Command::new(["true"]).in_dir(in_home("nowhere"));
        let error = process.start(nowhere).await.unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
        process.start(Command::new(["true"])).await.unwrap();
        assert_eq!(ended(&process).await, Exit::Code(0));
        // Code 127 of a program of its own is no failed start.
        let process = start(&sandbox, "exit 127", []).await;
        assert_eq!(ended(&process).await, Exit::Code(127));
    })
    .await;
}

/// Untouched; and the environment is in no file and no argument.
pub async fn arguments_environment_and_directory_reach_the_process(
    provider: Arc<dyn SandboxProvider>,
) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let process = JournaledProcess::of(Arc::clone(&sandbox), RunId::random());
        let script = "for word; do printf '[%s]' \"$word\"; done; echo; pwd; echo \"$dir $SECRET\"; \
                      umask; read -r _; exit 0";
        let command = Command::script(script, HOSTILE.iter().copied())
            .with_env("SECRET", "not-to-be-seen")
            .with_env("dir", "kept")
            .in_dir(sandbox.project_dir());
        process.start(command).await.unwrap();
        let mut lines = process.lines(0).await.unwrap();
        let expected: String = HOSTILE.iter().map(|word| format!("[{word}]")).collect();
        let umask = said(&*sandbox, "umask", []).await;
        let expected = format!(
            "{expected}\n{}\nkept not-to-be-seen\n{umask}",
            sandbox.project_dir()
        );
        let mut heard = Vec::new();
        for _ in expected.lines() {
            heard.push(next_text(&mut lines).await);
        }
        assert_eq!(heard.join("\n"), expected);
        let script = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' >seen; \
                      grep -l 'not-to-be-see[n]' seen; cd .studio/runs; rm */out; \
                      find . -type f -exec grep -l 'not-to-be-see[n]' {} \\;; :";
        assert_eq!(said(&*sandbox, script, []).await, "");
        // Nor can anybody but the user look into the run.
        let modes = said(&*sandbox, "stat -c %a .studio/runs/*", []).await;
        assert_eq!(modes, "700");
    })
    .await;
}

/// Every offset that a line told, and any other.
pub async fn lines_go_on_at_any_offset(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let process = start(&sandbox, "echo a; echo; echo ccc; echo dd; read -r _", []).await;
        let whole = [("a", 2), ("", 3), ("ccc", 7), ("dd", 10)];
        let mut lines = process.lines(0).await.unwrap();
        for (text, at) in whole {
            let line = next(&mut lines).await;
            assert_eq!((&line.data[..], line.at), (text.as_bytes(), at));
        }
        for skipped in 0..whole.len() {
            let mut lines = process.lines(whole[skipped].1).await.unwrap();
            for (text, at) in &whole[skipped + 1..] {
                let line = next(&mut lines).await;
                assert_eq!((&line.data[..], line.at), (text.as_bytes(), *at));
            }
        }
        let mut lines = process.lines(5).await.unwrap();
        let line = next(&mut lines).await;
        assert_eq!((&line.data[..], line.at), (&b"c"[..], 7));
        process.stop(SOON).await.unwrap();
        let mut beyond = process.lines(1000).await.unwrap();
        assert!(beyond.next().await.unwrap().is_none());
        let nobody = JournaledProcess::of(sandbox, RunId::random());
        let lost = match nobody.lines(0).await {
            Ok(mut lines) => lines.next().await.map(drop),
            Err(error) => Err(error),
        };
        assert!(lost.is_err());
    })
    .await;
}

/// From the agent's write to the reader, when both were idle.
pub async fn lines_arrive_soon(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        // The agent says when it spoke, in hundredths of a second since boot.
        let script = "while read -r _; do read -r up _ </proc/uptime; echo \"$up\"; done";
        let process = start(&sandbox, script, []).await;
        let mut lines = process.lines(0).await.unwrap();
        let mut waits = Vec::new();
        for number in 0..8 {
            process.write(&format!("w{number}"), "x\n".into()).await.unwrap();
            let spoke: f64 = next_text(&mut lines).await.parse().unwrap();
            let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
            let now: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
            // Writing takes longer than speaking, so this holds the whole way twice over.
            waits.push((now - spoke).max(0.0));
        }
        waits.sort_by(f64::total_cmp);
        assert!(waits[4] < 0.35, "seconds until lines were heard: {waits:?}");
        process.stop(SOON).await.unwrap();
    })
    .await;
}

/// It is handed on once the process ended.
pub async fn a_last_line_without_a_break_arrives(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let process = start(&sandbox, "printf 'one\\nrest'", []).await;
        let mut lines = process.lines(0).await.unwrap();
        assert_eq!(next(&mut lines).await.at, 4);
        let line = next(&mut lines).await;
        assert_eq!((&line.data[..], line.at), (&b"rest"[..], 8));
        assert!(lines.next().await.unwrap().is_none());
    })
    .await;
}

/// Marked, with the right offset after, and the next line is whole.
pub async fn lines_over_the_limit_are_cut(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let size = LINE_BYTES_MAX + 1_000_000;
        let script = "head -c \"$1\" /dev/zero | tr '\\0' x; echo; \
                      head -c 2000000 /dev/zero | tr '\\0' y; echo; echo after";
        let process = start(&sandbox, script, [size.to_string().as_str()]).await;
        let mut lines = process.lines(0).await.unwrap();
        let line = next(&mut lines).await;
        assert_eq!(line.at, size as u64 + 1);
        assert!(line.data.starts_with(b"xxxx"));
        assert!(line.data.ends_with(b"[cut: 1000000 bytes more]"));
        assert!(line.data.len() < LINE_BYTES_MAX + 100);
        let line = next(&mut lines).await;
        assert!(line.data == "y".repeat(2_000_000), "{} bytes", line.data.len());
        assert_eq!(rest(&mut lines).await, ["after"]);
    })
    .await;
}

/// Bytes that are no text, and carriage returns.
pub async fn binary_lines_arrive_untouched(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let script = "printf 'a\\000b\\377\\376\\r\\n\\000\\n\\303'; sleep 0.1; printf '\\244\\n'";
        let process = start(&sandbox, script, []).await;
        let mut lines = process.lines(0).await.unwrap();
        assert_eq!(next(&mut lines).await.data, &b"a\0b\xff\xfe\r"[..]);
        assert_eq!(next(&mut lines).await.data, &b"\0"[..]);
        assert_eq!(next(&mut lines).await.data, "ä".as_bytes());
        assert!(lines.next().await.unwrap().is_none());
    })
    .await;
}

/// However often it is asked for, one after another and at once, and in order.
pub async fn input_is_written_once(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let process = start(&sandbox, "exec cat", []).await;
        let mut lines = process.lines(0).await.unwrap();
        for number in 0..5 {
            let text = format!("line {number}\n");
            let id = format!("id-{number}");
            let mut writes = tokio::task::JoinSet::new();
            for _ in 0..3 {
                let (process, id, text) = (process.clone(), id.clone(), text.clone());
                writes.spawn(async move { process.write(&id, text.into()).await });
            }
            for written in writes.join_all().await {
                written.unwrap();
            }
            process.write(&id, "something else\n".into()).await.unwrap();
        }
        process.write("end", "end\n".into()).await.unwrap();
        let mut heard = Vec::new();
        while heard.last().is_none_or(|line| line != "end") {
            heard.push(next_text(&mut lines).await);
        }
        assert_eq!(heard, ["line 0", "line 1", "line 2", "line 3", "line 4", "end"]);
        for bad in ["", "a/b", "../x", "a b", "a\nb", ".", &"x".repeat(101)] {
            assert!(process.write(bad, "x\n".into()).await.is_err(), "{bad:?}");
        }
        process.stop(SOON).await.unwrap();
    })
    .await;
}

/// Far over what a pipe holds, with every byte.
pub async fn large_input_arrives_whole(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let process = start(&sandbox, "exec cat", []).await;
        let mut lines = process.lines(0).await.unwrap();
        let text = "0123456789abcdef".repeat(150_000);
        process.write("large", format!("{text}\n").into()).await.unwrap();
        assert!(next(&mut lines).await.data == text);
        process.write("small", "small\n".into()).await.unwrap();
        assert_eq!(next_text(&mut lines).await, "small");
        process.stop(SOON).await.unwrap();
    })
    .await;
}

/// The error is told in time, and the input is neither lost nor doubled.
pub async fn input_that_is_not_read_times_out_and_arrives_later(
    provider: Arc<dyn SandboxProvider>,
) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let script = "while [ ! -e ~/go ]; do sleep 0.05; done; exec cat";
        let process = start(&sandbox, script, []).await;
        let mut lines = process.lines(0).await.unwrap();
        let text = "x".repeat(300_000);
        let input = Bytes::from(format!("{text}\n"));
        let patience = Duration::from_millis(500);
        for _ in 0..2 {
            let late = process.write_within("a", input.clone(), patience).await;
            assert!(matches!(late, Err(SandboxError::TimedOut { .. })), "{late:?}");
        }
        said(&*sandbox, "touch go", []).await;
        process.write("a", input.clone()).await.unwrap();
        process.write("a", input).await.unwrap();
        process.write("b", "y\n".into()).await.unwrap();
        assert!(next_text(&mut lines).await == text);
        assert_eq!(next_text(&mut lines).await, "y");
        process.stop(SOON).await.unwrap();
    })
    .await;
}

/// And so is input to one that never was.
pub async fn input_to_an_ended_process_is_refused(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let process = start(&sandbox, "read -r _; exit 0", []).await;
        process.write("a", "x\n".into()).await.unwrap();
        assert_eq!(ended(&process).await, Exit::Code(0));
        process.write("a", "x\n".into()).await.unwrap();
        let start = Instant::now();
        let refused = process.write("b", "x\n".into()).await;
        assert!(matches!(refused, Err(SandboxError::Failed { .. })), "{refused:?}");
        let nobody = JournaledProcess::of(sandbox, RunId::random());
        assert!(nobody.write("a", "x\n".into()).await.is_err());
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    })
    .await;
}

/// Each from its own place.
pub async fn two_readers_hear_the_same(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let script = "i=0; while [ $i -lt 3000 ]; do echo \"$i\"; i=$((i + 1)); done";
        let process = start(&sandbox, script, []).await;
        let mut first = process.lines(0).await.unwrap();
        let mut second = process.lines(0).await.unwrap();
        let (first, second) = tokio::join!(rest(&mut first), rest(&mut second));
        assert_eq!(first.len(), 3000);
        assert_eq!(first, second);
    })
    .await;
}

/// The process that reads the signal and its child.
pub async fn signals_reach_the_whole_group(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let script = "trap 'echo interrupted' INT; trap 'exit 9' TERM; \
                      (trap 'echo child; exit 0' INT; echo ready; while :; do sleep 0.05; done) & \
                      while :; do sleep 0.05; done";
        // A child in the background of a shell is deaf to INT, so this one is told by TERM only.
        let process = start(&sandbox, script, []).await;
        let mut lines = process.lines(0).await.unwrap();
        assert_eq!(next_text(&mut lines).await, "ready");
        process.signal(Signal::Int).await.unwrap();
        assert_eq!(next_text(&mut lines).await, "interrupted");
        process.signal(Signal::Term).await.unwrap();
        assert_eq!(ended(&process).await, Exit::Code(9));
        process.signal(Signal::Term).await.unwrap();
        process.signal(Signal::Kill).await.unwrap();
        let script = "read -r agent _ <$(echo .studio/runs/*/pid); \
                      sed 's/.*) //' /proc/[0-9]*/stat 2>/dev/null | while read -r state _ group _; do \
                      if [ $state != Z ] && [ $group = $agent ]; then echo left; fi; done; :";
        until("nothing of the group is left", async || {
            said(&*sandbox, script, []).await.is_empty()
        })
        .await;
    })
    .await;
}

/// A child, one in its own session, one whose parents are gone, one with no environment. `$1`
/// tells one family from another where all see the same processes.
const FAMILY: &str = "sleep ${1}1 & setsid sleep ${1}2 & \
                      (setsid sh -c \"sleep ${1}3 & sleep ${1}4\" &); \
                      env -i sleep ${1}5 & (setsid sleep ${1}6 &); echo ready; \
                      read -r _; echo went on";

fn family_name() -> String {
    let [a, b, ..] = *RunId::random().as_bytes();
    format!("3{:05}", u16::from_be_bytes([a, b]))
}

/// Those of the family that run, by their last digits.
async fn family(sandbox: &dyn Sandbox, name: &str) -> String {
    let script = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done 2>/dev/null | \
                  sed -n \"s/^sleep $1\\(.\\) \\$/\\1/p\" | sort | tr -d '\\n'; :";
    said(sandbox, script, [name]).await
}

async fn whole_family(sandbox: &dyn Sandbox, name: &str) {
    until("the whole family runs", async || family(sandbox, name).await == "123456").await;
}

/// Verified, descendants in sessions of their own included.
pub async fn stopping_leaves_nothing(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let name = family_name();
        let process = start(&sandbox, FAMILY, [name.as_str()]).await;
        let mut lines = process.lines(0).await.unwrap();
        assert_eq!(next_text(&mut lines).await, "ready");
        whole_family(&*sandbox, &name).await;
        let exit = process.stop(SOON).await.unwrap();
        assert!(matches!(exit, Exit::Code(code) if code != 0), "{exit:?}");
        assert_eq!(family(&*sandbox, &name).await, "");
        assert_eq!(process.state().await.unwrap(), JournalState::Ended(exit));
        assert_eq!(rest(&mut lines).await, [""; 0]);
        // Again, and of one that never was.
        assert_eq!(process.stop(SOON).await.unwrap(), exit);
        let nobody = JournaledProcess::of(sandbox, RunId::random());
        assert_eq!(nobody.stop(SOON).await.unwrap(), Exit::Unknown);
    })
    .await;
}

/// From INT over TERM to KILL, no further than needed.
pub async fn stopping_escalates(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        // So long that whoever obeys is heard, also on a busy machine.
        let patience = Duration::from_secs(2);
        let script = "trap 'echo int; [ \"$1\" = int ] && exit 1' INT; \
                      trap 'echo term; [ \"$1\" = term ] && exit 2' TERM; echo ready; \
                      while :; do sleep 0.02; done";
        for (obeys, heard, code) in [
            ("int", &["int"][..], 1),
            ("term", &["int", "term"], 2),
            ("none", &["int", "term"], 137),
        ] {
            let process = start(&sandbox, script, [obeys]).await;
            let mut lines = process.lines(0).await.unwrap();
            assert_eq!(next_text(&mut lines).await, "ready");
            assert_eq!(process.stop(patience).await.unwrap(), Exit::Code(code), "{obeys}");
            assert_eq!(rest(&mut lines).await, heard, "{obeys}");
        }
    })
    .await;
}

/// All it started is dead, it is not, and it can go on.
pub async fn killing_children_spares_the_process(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let name = family_name();
        let process = start(&sandbox, FAMILY, [name.as_str()]).await;
        let mut lines = process.lines(0).await.unwrap();
        assert_eq!(next_text(&mut lines).await, "ready");
        whole_family(&*sandbox, &name).await;
        process.kill_children().await.unwrap();
        assert_eq!(family(&*sandbox, &name).await, "");
        assert_eq!(process.state().await.unwrap(), JournalState::Running);
        process.write("a", "go on\n".into()).await.unwrap();
        assert_eq!(next_text(&mut lines).await, "went on");
        assert_eq!(ended(&process).await, Exit::Code(0));
        process.kill_children().await.unwrap();
    })
    .await;
}

/// Its stderr, the end of it.
pub async fn errors_are_kept(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let process =
            start(&sandbox, "echo first >&2; printf 'l\\303\\244st' >&2; exit 1", []).await;
        assert_eq!(ended(&process).await, Exit::Code(1));
        assert_eq!(process.stderr_tail(1000).await.unwrap(), "first\nläst");
        assert_eq!(process.stderr_tail(2).await.unwrap(), "st");
        let nobody = JournaledProcess::of(sandbox, RunId::random());
        assert_eq!(nobody.stderr_tail(100).await.unwrap(), "");
    })
    .await;
}

/// And then it is absent, its name free.
pub async fn a_run_is_removed_only_after_its_end(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let process = start(&sandbox, "read -r _", []).await;
        assert!(process.remove().await.is_err());
        assert_eq!(process.state().await.unwrap(), JournalState::Running);
        process.stop(SOON).await.unwrap();
        process.remove().await.unwrap();
        process.remove().await.unwrap();
        assert_eq!(process.state().await.unwrap(), JournalState::Absent);
        process.start(Command::new(["true"])).await.unwrap();
        assert_eq!(said(&*sandbox, "ls .studio/runs", []).await, process.run().to_string());
    })
    .await;
}

/// Nothing of the studio's side holds it up; another handle goes on where the first stopped.
pub async fn a_process_survives_its_handle_and_its_provider(provider: Arc<dyn SandboxProvider>) {
    let again = Arc::clone(&provider);
    with_sandbox(provider, spec(), async move |sandbox| {
        let reference = sandbox.reference().clone();
        let process = start(&sandbox, "while read -r line; do echo \"$line\"; done", []).await;
        let run_id = process.run();
        process.write("a", "one\n".into()).await.unwrap();
        let mut lines = process.lines(0).await.unwrap();
        let at = next(&mut lines).await.at;
        drop((lines, process, sandbox));

        let sandbox = again.find(&reference).await.unwrap().unwrap();
        let process = JournaledProcess::of(Arc::clone(&sandbox), run_id);
        assert_eq!(process.state().await.unwrap(), JournalState::Running);
        process.write("a", "one\n".into()).await.unwrap();
        process.write("b", "two\n".into()).await.unwrap();
        let mut lines = process.lines(at).await.unwrap();
        assert_eq!(next_text(&mut lines).await, "two");
        process.stop(SOON).await.unwrap();
        run(&*sandbox, Command::new(["true"])).await.unwrap();
    })
    .await;
}
