//! Programs inside: how they start, what is heard of them, and that they end.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Studio, run, said, spec, until};
use studio_sandbox::{Command, Exit, NewFile, Output, OutputChunk, Sandbox, SandboxError};

/// How many processes inside have `word` among their arguments.
async fn count(sandbox: &dyn Sandbox, word: &str) -> String {
    // The word is never whole in the arguments of the counting itself.
    let script = "for p in /proc/[0-9]*; do tr '\\0' '\\n' <$p/cmdline; done 2>/dev/null \
                  | { n=0; while read -r w; do [ \"$w\" = \"s$1\" ] && n=$((n + 1)); done; echo $n; }";
    said(sandbox, script, &[word.trim_start_matches('s')]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exec_that_is_dropped_takes_its_group_along() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    let script = "sh -c 'sleep 1000; :' s777 & sh -c 'sleep 1000; :' s777; :";
    let other = sandbox.clone();
    let running = tokio::spawn(async move {
        let command = Command::script(script, [""; 0]);
        let output = Output { deadline: Duration::from_secs(600), ..Output::default() };
        other.exec(command, Bytes::new(), output).await
    });
    until("both run", async || count(&*sandbox, "s777").await == "2").await;
    running.abort();
    until("both are ended", async || count(&*sandbox, "s777").await == "0").await;
    studio.provider.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exec_that_is_dropped_before_it_runs_leaves_nothing() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    for step in 0..10 {
        let command = Command::new(["sh", "-c", "sleep 1000; :", "s778"]);
        let exec = sandbox.exec(command, Bytes::new(), Output::default());
        let cut = tokio::time::timeout(Duration::from_millis(step * 8), exec).await;
        assert!(cut.is_err());
    }
    studio.provider.settle().await;
    assert_eq!(count(&*sandbox, "s778").await, "0");
}

#[tokio::test]
async fn a_background_child_does_not_hold_the_answer() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    let start = std::time::Instant::now();
    let output = run(&*sandbox, "sleep 30 & echo done", &[]).await.unwrap();
    assert_eq!((output.text().as_str(), output.exit), ("done", Exit::Code(0)));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_detached_program_leads_a_session_of_its_own() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    let command = Command::script("cat /proc/$$/stat >~/stat; exec sleep 1000", [""; 0])
        .with_env("A", "b")
        .in_dir(sandbox.project_dir());
    sandbox.spawn_detached(command).await.unwrap();
    until("it speaks", async || {
        !said(&*sandbox, "cat ~/stat 2>/dev/null || :", &[]).await.is_empty()
    })
    .await;
    let stat = said(&*sandbox, "cat ~/stat", &[]).await;
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let pid = stat.split(' ').next().unwrap();
    assert_eq!((fields[2], fields[3]), (pid, pid), "group and session: {stat}");
}

#[tokio::test]
async fn an_input_that_is_dropped_is_an_input_that_ends() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    let mut process = sandbox.spawn(Command::new(["sh", "-c", "cat; exit 9"])).await.unwrap();
    process.input.write("last words".into()).await.unwrap();
    drop(process.input);
    let mut heard = Vec::new();
    while let Some(chunk) = process.output.next().await.unwrap() {
        match chunk {
            OutputChunk::Stdout(data) => heard.extend_from_slice(&data),
            OutputChunk::Stderr(data) => panic!("{data:?}"),
        }
    }
    assert_eq!(heard, b"last words");
    assert_eq!(process.output.exit().await.unwrap(), Exit::Code(9));
}

#[tokio::test]
async fn a_program_whose_sandbox_goes_is_reported() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    let mut process = sandbox.spawn(Command::new(["cat"])).await.unwrap();
    studio.docker.kill_container(&sandbox.reference().id, None).await.unwrap();
    assert_eq!(process.output.next().await.unwrap(), None);
    assert_eq!(process.output.exit().await.unwrap(), Exit::Code(137));
}

#[tokio::test]
async fn secrets_in_the_environment_are_in_no_list_of_processes_and_no_inspection() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    let secret = "canary-5e6f";
    let command =
        Command::script("cat /proc/*/cmdline 2>/dev/null", [""; 0]).with_env("KEY", secret);
    let output = sandbox.exec(command.clone(), Bytes::new(), Output::default()).await.unwrap();
    assert!(!output.text().contains(secret));
    assert!(!format!("{command:?}").contains(secret));
    let mut process = sandbox.spawn(Command::new(["cat"]).with_env("KEY", secret)).await.unwrap();
    let container = studio.inspect(sandbox.reference()).await;
    assert!(!format!("{container:?}").contains(secret));
    for exec in container.exec_ids.unwrap_or_default() {
        let state = studio.docker.inspect_exec(&exec).await.unwrap();
        assert!(!format!("{state:?}").contains(secret));
    }
    process.input.close().await.unwrap();
}

#[tokio::test]
async fn variables_that_would_arrive_as_others_are_refused() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0y")] {
        let command = Command::new(["true"]).with_env(name, value);
        let error = sandbox.exec(command, Bytes::new(), Output::default()).await.unwrap_err();
        assert!(matches!(error, SandboxError::NotStarted { .. }), "{error:?}");
        let mut spec = spec();
        spec.env.insert(name.to_owned(), value.to_owned());
        assert!(
            studio_sandbox::SandboxProvider::create(&*studio.provider, &spec, common::silence())
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn a_link_of_the_agent_gives_a_file_no_more_rights() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    said(&*sandbox, "ln -s /etc ~/etc; ln -s /etc/passwd ~/passwd", &[]).await;
    let home = sandbox.home();
    let file = |path: &str| NewFile {
        path: home.join(path).unwrap(),
        data: Bytes::from_static(b"taken over"),
        mode: 0o644,
    };
    let before = said(&*sandbox, "cat /etc/passwd; ls /etc", &[]).await;
    let error = sandbox.put_files(vec![file("etc/passwd")]).await.unwrap_err();
    assert!(matches!(error, SandboxError::File { .. }), "{error:?}");
    // The link itself is the agent's: it is replaced, what it points to is not.
    sandbox.put_files(vec![file("passwd")]).await.unwrap();
    assert_eq!(said(&*sandbox, "cat ~/passwd", &[]).await, "taken over");
    assert_eq!(said(&*sandbox, "cat /etc/passwd; ls /etc", &[]).await, before);
}

#[tokio::test]
async fn files_outside_the_home_are_made_where_the_user_may() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    let file = |path: &str| NewFile {
        path: path.parse().unwrap(),
        data: Bytes::from_static(b"x"),
        mode: 0o600,
    };
    sandbox.put_files(vec![file("/tmp/a/b/c")]).await.unwrap();
    assert_eq!(
        said(&*sandbox, "stat -c '%u %a' /tmp/a/b/c /tmp/a", &[]).await,
        "1000 600\n1000 755"
    );
    let error = sandbox.put_files(vec![file("/root/x")]).await.unwrap_err();
    assert!(matches!(error, SandboxError::File { .. }), "{error:?}");
}
