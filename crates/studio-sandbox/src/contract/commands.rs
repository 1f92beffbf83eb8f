//! Running programs inside.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{run, said, spec, until, with_sandbox};
use crate::{Command, Exit, Output, OutputChunk, Sandbox, SandboxError, SandboxProvider};

/// Words that something on the way could take for more than words.
pub const HOSTILE: &[&str] = &[
    "'; rm -rf /; '",
    "-rf",
    "--",
    "--help",
    "",
    " ",
    "two  blanks",
    "line\nbreak\n",
    "$(touch pwned)",
    "`touch pwned`",
    "$HOME",
    "${HOME}",
    "a\\b",
    "\"quoted\"",
    "*",
    "~",
    "%s%n",
    "umlaut ä 漢字 \u{1f980}",
    "a=b",
    "\t",
    "!!",
    "|&<>;",
];

/// Prints each argument in brackets.
const BRACKETS: &str = "for word; do printf '[%s]' \"$word\"; done";

/// No shell, engine or client on the way changes a word.
pub async fn hostile_arguments_arrive_untouched(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let command = Command::script(BRACKETS, HOSTILE.iter().copied());
        let output = run(&*sandbox, command).await.unwrap();
        let expected: String = HOSTILE.iter().map(|word| format!("[{word}]")).collect();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        let mut argv = vec!["printf", "[%s]"];
        argv.extend(HOSTILE);
        let output = run(&*sandbox, Command::new(argv)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        assert_eq!(said(&*sandbox, "ls -d pwned /pwned 2>/dev/null || :", []).await, "");
    })
    .await;
}

/// All bytes of the input, then its end.
pub async fn input_arrives_to_its_end(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let input: Bytes = (0..=255).cycle().take(3_000_000).collect();
        let output = Output { bytes_max: 4_000_000, ..Output::default() };
        let came = sandbox.exec(Command::new(["cat"]), input.clone(), output).await.unwrap();
        assert!(came.stdout == input, "{} of {} bytes", came.stdout.len(), input.len());
        assert!(!came.truncated);
        // One that reads nothing is no trouble.
        let output = Output::default();
        let came = sandbox.exec(Command::new(["true"]), input, output).await.unwrap();
        assert_eq!(came.exit, Exit::Code(0));
    })
    .await;
}

/// The sandbox's variables, overridden by the command's; the command's directory.
pub async fn environment_and_directory_are_as_asked(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let hostile = HOSTILE.join("|");
        let command = Command::script("printf '%s' \"$STUDIO_TEST-$A-\"; pwd", [""; 0])
            .with_env("A", hostile.clone())
            .in_dir(sandbox.project_dir());
        let output = run(&*sandbox, command).await.unwrap();
        let expected = format!("from the spec-{hostile}-{}", sandbox.project_dir());
        assert_eq!(output.text(), expected);
        let command = Command::script("printf %s \"$STUDIO_TEST\"", [""; 0])
            .with_env("STUDIO_TEST", "from the command");
        assert_eq!(run(&*sandbox, command).await.unwrap().text(), "from the command");
        // Variables of a command are in no other's environment and in no argument.
        let command = Command::script("cat /proc/self/cmdline /proc/$$/cmdline", [""; 0])
            .with_env("S", "very-secret");
        let output = run(&*sandbox, command).await.unwrap();
        assert!(!output.text().contains("very-secret"));
        let nowhere = sandbox.home().join("nowhere").unwrap();
        let nowhere = run(&*sandbox, Command::new(["true"]).in_dir(nowhere)).await;
        assert!(matches!(nowhere, Err(SandboxError::NotStarted { .. })), "{nowhere:?}");
    })
    .await;
}

/// Codes as they are, signals as 128 and more.
pub async fn exit_codes_and_signals_are_told(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        for code in [0, 1, 2, 77, 125, 126, 127, 128, 255] {
            let command =
                Command::script("echo out; echo err >&2; exit \"$1\"", [code.to_string()]);
            let output = run(&*sandbox, command).await.unwrap();
            assert_eq!(output.exit, Exit::Code(code));
            assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
        }
        let command = Command::script("kill -KILL $$", [""; 0]);
        assert_eq!(run(&*sandbox, command).await.unwrap().exit, Exit::Code(137));
        let failed = run(&*sandbox, Command::new(["false"])).await.unwrap().success("false");
        assert!(matches!(failed, Err(SandboxError::Failed { exit: Exit::Code(1), .. })));
    })
    .await;
}

/// A flood costs the limit, not memory, and the program ends as if it was read.
pub async fn output_over_the_limit_is_dropped(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let script = "head -c 20000000 /dev/zero | tr '\\0' x; echo end >&2; exit 3";
        let output = Output { bytes_max: 1000, ..Output::default() };
        let command = Command::script(script, [""; 0]);
        let output = sandbox.exec(command, Bytes::new(), output).await.unwrap();
        assert_eq!((output.exit, output.truncated), (Exit::Code(3), true));
        assert_eq!(output.stdout, "x".repeat(1000));
        assert_eq!(output.stderr, "end\n");
    })
    .await;
}

/// Whether a process with these words runs inside.
async fn runs(sandbox: &dyn Sandbox, words: &str) -> bool {
    let script = "for p in /proc/[0-9]*; do \
                  tr '\\0' ' ' <$p/cmdline; echo; done 2>/dev/null | grep -cx \"$1 \" || :";
    said(sandbox, script, [words]).await != "0"
}

/// The program and its children are killed, and the error says so.
pub async fn a_deadline_kills_the_program(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let start = Instant::now();
        let deadline = Duration::from_millis(1500);
        let output = Output { deadline, ..Output::default() };
        let command = Command::script("sleep 4321 & sleep 1234; echo never", [""; 0]);
        let late = sandbox.exec(command, Bytes::new(), output).await;
        assert!(matches!(late, Err(SandboxError::TimedOut { .. })), "{late:?}");
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        until("all of it is killed", async || {
            !runs(&*sandbox, "sleep 1234").await && !runs(&*sandbox, "sleep 4321").await
        })
        .await;
    })
    .await;
}

/// Not started is told from started and failed.
pub async fn a_program_that_is_not_there_is_not_started(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        said(&*sandbox, "echo text >~/text", []).await;
        let text = sandbox.home().join("text").unwrap().to_string();
        for program in ["no-such-program-here", "/no/such/program", text.as_str(), ""] {
            let not_started = |error: &SandboxError| {
                matches!(error, SandboxError::NotStarted { program: p, .. } if p == program)
            };
            let error = run(&*sandbox, Command::new([program, "x"])).await.unwrap_err();
            assert!(not_started(&error), "{program}: {error:?}");
            let error = sandbox.spawn(Command::new([program, "x"])).await.unwrap_err();
            assert!(not_started(&error), "{program}: {error:?}");
            let error = sandbox.spawn_detached(Command::new([program])).await.unwrap_err();
            assert!(not_started(&error), "{program}: {error:?}");
        }
    })
    .await;
}

/// Both pipes, the end of the input, and the exit code.
pub async fn a_spawned_program_talks_both_ways(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let script = "while read -r line; do echo \"got $line\"; done; echo bye >&2; exit 5";
        let mut process = sandbox.spawn(Command::script(script, [""; 0])).await.unwrap();
        let mut heard = Vec::new();
        for word in ["one", "two"] {
            process.input.write(format!("{word}\n").into()).await.unwrap();
            while !heard.ends_with(format!("got {word}\n").as_bytes()) {
                match process.output.next().await.unwrap() {
                    Some(OutputChunk::Stdout(data)) => heard.extend_from_slice(&data),
                    other => panic!("{other:?}"),
                }
            }
        }
        process.input.close().await.unwrap();
        let mut complaint = Vec::new();
        while let Some(chunk) = process.output.next().await.unwrap() {
            match chunk {
                OutputChunk::Stdout(data) => heard.extend_from_slice(&data),
                OutputChunk::Stderr(data) => complaint.extend_from_slice(&data),
            }
        }
        assert_eq!(process.output.exit().await.unwrap(), Exit::Code(5));
        assert_eq!(heard, b"got one\ngot two\n");
        assert_eq!(complaint, b"bye\n");
    })
    .await;
}

/// A program that reads its input ends when the link does.
pub async fn a_spawned_program_that_is_dropped_ends(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let process = sandbox.spawn(Command::new(["cat", "-"])).await.unwrap();
        assert!(runs(&*sandbox, "cat -").await);
        drop(process);
        until("it ended", async || !runs(&*sandbox, "cat -").await).await;
    })
    .await;
}

/// Nothing is lost while nobody reads, also when the program is long gone.
pub async fn output_of_a_spawned_program_waits_for_its_reader(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let script = "i=0; while [ $i -lt 20000 ]; do echo \"line $i\"; i=$((i + 1)); done";
        let mut process = sandbox.spawn(Command::script(script, [""; 0])).await.unwrap();
        // As a busy reader does. Not a wait for anything.
        tokio::time::sleep(Duration::from_millis(1000)).await;
        let mut heard = Vec::new();
        while let Some(chunk) = process.output.next().await.unwrap() {
            match chunk {
                OutputChunk::Stdout(data) => heard.extend_from_slice(&data),
                OutputChunk::Stderr(data) => panic!("{data:?}"),
            }
            if heard.len() < 200_000 {
                tokio::task::yield_now().await;
            }
        }
        let expected: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
        assert!(heard == expected.as_bytes(), "{} of {}", heard.len(), expected.len());
        assert_eq!(process.output.exit().await.unwrap(), Exit::Code(0));
    })
    .await;
}

/// It leads its own session, has no input, and nothing that happens to the studio's side ends it.
pub async fn a_detached_program_goes_on_alone(provider: Arc<dyn SandboxProvider>) {
    let again = Arc::clone(&provider);
    with_sandbox(provider, spec(), async move |sandbox| {
        let script = "read -r line; echo \"$? [$line]\" >input; \
                      trap 'echo survived >trapped' TERM; kill -TERM 0; \
                      echo much; echo much >&2; echo \"$A\" >ended";
        let command = Command::script(script, [""; 0]).with_env("A", "with its variables");
        sandbox.spawn_detached(command).await.unwrap();
        let reference = sandbox.reference().clone();
        drop(sandbox);
        let sandbox = again.find(&reference).await.unwrap().unwrap();
        until("it ended", async || {
            said(&*sandbox, "cat ended 2>/dev/null || :", []).await == "with its variables"
        })
        .await;
        assert_eq!(said(&*sandbox, "cat input trapped", []).await, "1 []\nsurvived");
    })
    .await;
}
