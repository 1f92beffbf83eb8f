//! Making, finding and removing sandboxes, and the walls between them.

use std::{sync::Arc, time::Duration};

use studio_ids::SessionId;

use super::{PATIENCE, causes, run, said, silence, spec, until, with_sandbox};
use crate::{Command, Isolation, NewFile, SandboxError, SandboxProvider, SandboxRef, SandboxState};

/// Home, project directory and state of a new sandbox are as the port says.
pub async fn a_new_sandbox_runs_commands_in_its_home(provider: Arc<dyn SandboxProvider>) {
    provider.ready().await.unwrap();
    let spec = spec();
    let session = spec.session;
    let name = provider.name();
    with_sandbox(provider, spec, async move |sandbox| {
        assert_eq!(sandbox.session(), session);
        assert_eq!(sandbox.reference().provider, name);
        assert_eq!(sandbox.state().await.unwrap(), SandboxState::Running);
        assert_eq!(said(&*sandbox, "pwd; echo \"$HOME\"", []).await, {
            let home = sandbox.home();
            format!("{home}\n{home}")
        });
        assert!(sandbox.project_dir().is_within(&sandbox.home()));
        assert!(sandbox.project_dir().as_str().ends_with("/workspace/app"));
        let project = sandbox.project_dir();
        let command = Command::script("touch new && ls && pwd", [""; 0]).in_dir(project.clone());
        let output = run(&*sandbox, command).await.unwrap();
        assert_eq!(output.text(), format!("new\n{project}"));
        sandbox.wake().await.unwrap();
    })
    .await;
}

/// A second creation for a session fails and harms nothing.
pub async fn a_session_has_one_sandbox(provider: Arc<dyn SandboxProvider>) {
    let spec = spec();
    let again = Arc::clone(&provider);
    with_sandbox(provider, spec.clone(), async move |sandbox| {
        match again.create(&spec, silence()).await {
            Err(SandboxError::Exists { .. }) => {}
            Err(other) => panic!("another error: {}", causes(&other)),
            Ok(_) => panic!("a second sandbox was made"),
        }
        assert_eq!(said(&*sandbox, "echo here", []).await, "here");
    })
    .await;
}

/// By its reference and in the list, with its files.
pub async fn a_sandbox_is_found_again(provider: Arc<dyn SandboxProvider>) {
    let again = Arc::clone(&provider);
    with_sandbox(provider, spec(), async move |sandbox| {
        said(&*sandbox, "echo kept >kept", []).await;
        let reference = sandbox.reference().clone();
        let stored = serde_json::to_string(&reference).unwrap();
        let reference: SandboxRef = serde_json::from_str(&stored).unwrap();
        let found = again.find(&reference).await.unwrap().unwrap();
        assert_eq!(found.session(), sandbox.session());
        assert_eq!(found.reference(), sandbox.reference());
        assert_eq!(found.home(), sandbox.home());
        assert_eq!(found.project_dir(), sandbox.project_dir());
        assert_eq!(said(&*found, "cat kept", []).await, "kept");
        let listed = again.list().await.unwrap();
        assert!(listed.contains(&(sandbox.session(), reference)));
    })
    .await;
}

/// After a removal nothing finds it, every verb says so, and removing again succeeds.
pub async fn what_is_gone_is_gone_for_good(provider: Arc<dyn SandboxProvider>) {
    let spec = spec();
    let sandbox = provider.create(&spec, silence()).await.unwrap();
    let reference = sandbox.reference().clone();
    sandbox.spawn_detached(Command::new(["sleep", "1000"])).await.unwrap();
    provider.destroy(&reference).await.unwrap();

    assert!(provider.find(&reference).await.unwrap().is_none());
    let listed = provider.list().await.unwrap();
    assert!(!listed.iter().any(|(session, _)| *session == spec.session));
    let is_gone = |error: SandboxError| matches!(error, SandboxError::Gone { .. });
    assert!(is_gone(sandbox.state().await.unwrap_err()));
    assert!(is_gone(run(&*sandbox, Command::new(["true"])).await.unwrap_err()));
    assert!(is_gone(sandbox.spawn(Command::new(["true"])).await.unwrap_err()));
    assert!(is_gone(sandbox.spawn_detached(Command::new(["true"])).await.unwrap_err()));
    let path = sandbox.home().join("x").unwrap();
    assert!(is_gone(sandbox.read_file(&path, 10).await.unwrap_err()));
    let file = NewFile { path, data: "x".into(), mode: 0o644 };
    assert!(is_gone(sandbox.put_files(vec![file]).await.unwrap_err()));
    assert!(is_gone(sandbox.wake().await.unwrap_err()));

    provider.destroy(&reference).await.unwrap();
    provider.destroy_session(spec.session).await.unwrap();
    // The name is free again.
    let sandbox = provider.create(&spec, silence()).await.unwrap();
    provider.destroy(sandbox.reference()).await.unwrap();
}

/// Unknown and foreign references are gone, not errors.
pub async fn what_never_was_is_removed_without_complaint(provider: Arc<dyn SandboxProvider>) {
    provider.destroy_session(SessionId::random()).await.unwrap();
    let own = |id: &str| SandboxRef { provider: provider.name().to_owned(), id: id.to_owned() };
    for id in ["00000000-0000-4000-8000-00000000000a", "nonsense", "../..", ""] {
        assert!(provider.find(&own(id)).await.unwrap().is_none(), "{id}");
        provider.destroy(&own(id)).await.unwrap();
    }
    let foreign = SandboxRef { provider: "another".to_owned(), id: "x".to_owned() };
    assert!(provider.find(&foreign).await.unwrap().is_none());
}

/// A creation that is cut off at any moment leaves nothing after `destroy_session`.
pub async fn a_creation_that_is_dropped_leaves_nothing(provider: Arc<dyn SandboxProvider>) {
    let start = std::time::Instant::now();
    let whole = spec();
    provider.create(&whole, silence()).await.unwrap();
    let took = start.elapsed();
    provider.destroy_session(whole.session).await.unwrap();
    for tenths in 0..10 {
        let spec = spec();
        let cut = tokio::time::timeout(took * tenths / 10, provider.create(&spec, silence())).await;
        drop(cut);
        provider.destroy_session(spec.session).await.unwrap();
        // A removal that the drop itself began may still go on, but nothing comes back.
        until("the session has no sandbox", async || {
            let listed = provider.list().await.unwrap();
            !listed.iter().any(|(session, _)| *session == spec.session)
        })
        .await;
    }
}

/// The notice is there, and sandboxes go on without the server where that is claimed.
pub async fn abilities_say_what_holds(provider: Arc<dyn SandboxProvider>) {
    let abilities = provider.abilities();
    assert!(20 < abilities.notice.len(), "people want a sentence: {}", abilities.notice);
    let other = Arc::clone(&provider);
    with_sandbox(provider, spec(), async move |sandbox| {
        if !abilities.outlives_server {
            return;
        }
        let command = Command::script("echo $$ >pid; exec sleep 1000", [""; 0]);
        sandbox.spawn_detached(command).await.unwrap();
        let reference = sandbox.reference().clone();
        until("the program runs", async || !said(&*sandbox, "cat pid || :", []).await.is_empty())
            .await;
        drop(sandbox);
        let sandbox = other.find(&reference).await.unwrap().unwrap();
        said(&*sandbox, "kill -0 $(cat pid)", []).await;
    })
    .await;
}

/// Where own namespaces are claimed, no other sandbox's process is seen.
pub async fn processes_of_another_sandbox_are_not_seen(provider: Arc<dyn SandboxProvider>) {
    if provider.abilities().isolation < Isolation::Namespaces {
        return;
    }
    let other = Arc::clone(&provider);
    with_sandbox(provider, spec(), async move |first| {
        first.spawn_detached(Command::new(["sleep", "98765"])).await.unwrap();
        with_sandbox(other, spec(), async move |second| {
            let seen = said(&*second, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '", []).await;
            assert!(!seen.contains("98765"), "{seen}");
            let count = said(&*second, "ls -d /proc/[0-9]* | wc -l", []).await;
            assert!(count.parse::<u32>().unwrap() < 12, "{count} processes are seen");
        })
        .await;
    })
    .await;
}

/// Where any wall is claimed, no other sandbox's file and no home of this machine is read, and
/// the system is not written.
pub async fn files_of_another_sandbox_are_not_read(provider: Arc<dyn SandboxProvider>) {
    if provider.abilities().isolation < Isolation::Filesystem {
        return;
    }
    let other = Arc::clone(&provider);
    // A file of the studio's own user, where the tests may write one.
    let outside = std::env::temp_dir().join(format!("studio-outside-{}", SessionId::random()));
    std::fs::write(&outside, "for nobody inside").unwrap();
    let path = outside.to_string_lossy().into_owned();
    with_sandbox(provider, spec(), async move |first| {
        said(&*first, "echo mine >~/mine; echo mine >/tmp/mine || :", []).await;
        let refused = run(&*first, Command::script("cat \"$1\"", [path])).await.unwrap();
        assert!(!refused.exit.is_success(), "a file of this machine was read: {refused:?}");
        let home = first.home().to_string();
        with_sandbox(other, spec(), async move |second| {
            let script = "cat \"$1/mine\"; cat \"$1/../../\"*/home/mine; cat /tmp/mine; \
                          echo x >/etc/studio-was-here; echo x >/usr/studio-was-here; :";
            let output = run(&*second, Command::script(script, [home])).await.unwrap();
            assert_eq!(output.text(), "", "{output:?}");
        })
        .await;
        let written = ["/etc/studio-was-here", "/usr/studio-was-here"];
        assert!(!written.iter().any(|path| std::path::Path::new(path).exists()));
    })
    .await;
    std::fs::remove_file(&outside).unwrap();
}

/// No variable of the process that runs the tests is seen inside, but those every sandbox has.
pub async fn the_servers_environment_stays_outside(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let inside = said(&*sandbox, "env", []).await;
        assert!(inside.contains("STUDIO_TEST=from the spec"), "{inside}");
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "RUST_BACKTRACE"] {
            assert!(!inside.contains(name), "{name} went in");
        }
    })
    .await;
}

/// A server inside is reached on loopback where the provider claims ports.
pub async fn ports_inside_are_reached_from_outside(provider: Arc<dyn SandboxProvider>) {
    if !provider.abilities().ports {
        return;
    }
    // One that is free now; inside it may be anything.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let spec = crate::SandboxSpec { ports: vec![port], ..spec() };
    with_sandbox(provider, spec, async move |sandbox| {
        let ports = sandbox.ports().await.unwrap();
        let outside = ports.iter().find(|(inside, _)| *inside == port).unwrap().1;
        // The first that is there: busybox, netcat, python.
        let serve = "echo hello >index.html; \
                     if busybox httpd --help 2>/dev/null; then :; fi; \
                     if command -v httpd >/dev/null && httpd -h . -p \"$1\"; then exit; fi; \
                     if command -v busybox >/dev/null && busybox httpd -h . -p \"$1\"; then exit; fi; \
                     exec python3 -m http.server \"$1\"";
        sandbox.spawn_detached(Command::script(serve, [port.to_string()])).await.unwrap();
        until("the server inside answers", async || {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let ask = async {
                let mut link = tokio::net::TcpStream::connect(("127.0.0.1", outside)).await?;
                link.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").await?;
                let mut answer = String::new();
                link.read_to_string(&mut answer).await?;
                std::io::Result::Ok(answer)
            };
            let answer = tokio::time::timeout(Duration::from_secs(2), ask).await;
            matches!(answer, Ok(Ok(answer)) if answer.contains("hello"))
        })
        .await;
    })
    .await;
}

/// Twenty commands at once each get their own answer.
pub async fn many_verbs_at_once_do_not_mix(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let mut asked = tokio::task::JoinSet::new();
        for number in 0..20 {
            let sandbox = Arc::clone(&sandbox);
            asked.spawn(async move {
                let script = "printf '%s' \"$1\"; cat";
                let command = Command::script(script, [number.to_string()]);
                let input = format!("-{number}");
                let output = sandbox.exec(command, input.into(), crate::Output::default());
                assert_eq!(output.await.unwrap().text(), format!("{number}-{number}"));
            });
        }
        let all = tokio::time::timeout(PATIENCE * 2, asked.join_all()).await;
        assert_eq!(all.unwrap().len(), 20);
    })
    .await;
}
