//! How sandboxes come and go, and what is left when something goes wrong.

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bollard::{models::ContainerCreateBody, query_parameters::CreateContainerOptions};
use bytes::Bytes;
use common::{Studio, run, said, silence, spec};
use studio_ids::SessionId;
use studio_sandbox::{
    Progress, ProgressSink, SandboxError, SandboxProvider, SandboxSpec, SandboxState,
};
use studio_sandbox_docker::{ContextFile, DockerOptions, DockerProvider, ImageSource, Recipe};
use studio_testkit::needs;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_is_dropped_at_any_moment_leaves_nothing() {
    let studio = Studio::new().await;
    for step in 0..12 {
        let spec = spec();
        let limit = Duration::from_millis(step * 25);
        let cut = tokio::time::timeout(limit, studio.provider.create(&spec, silence())).await;
        if let Ok(made) = cut {
            studio.provider.destroy(made.unwrap().reference()).await.unwrap();
        }
        studio.provider.settle().await;
        assert_eq!(studio.containers().await, [""; 0], "after {limit:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_removed_while_its_sandbox_is_being_made() {
    let studio = Studio::new().await;
    for step in 0..6 {
        let spec = spec();
        let (provider, wanted) = (studio.provider.clone(), spec.clone());
        let mut making =
            Box::pin(async move { provider.create(&wanted, silence()).await.map(drop) });
        // Its first step enters the creation: a removal before it would have nothing to remove.
        assert!(futures::poll!(&mut making).is_pending());
        let making = tokio::spawn(making);
        tokio::time::sleep(Duration::from_millis(step * 50)).await;
        studio.provider.destroy_session(spec.session).await.unwrap();
        assert_eq!(studio.containers().await, [""; 0], "at step {step}");
        // It was made and then removed, or it says that it is gone.
        if let Err(error) = making.await.unwrap() {
            assert!(matches!(error, SandboxError::Gone { .. }), "{error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_creations_at_once_one_gets_the_session() {
    let studio = Studio::new().await;
    let spec = spec();
    let (one, other) = tokio::join!(
        studio.provider.create(&spec, silence()),
        studio.provider.create(&spec, silence())
    );
    let failed = [one, other].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(matches!(failed[..], [SandboxError::Exists { .. }]), "{failed:?}");
    let again = studio.provider.create(&spec, silence()).await.err();
    assert!(matches!(again, Some(SandboxError::Exists { .. })), "{again:?}");
    assert_eq!(studio.containers().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_after_one_that_was_given_up_succeeds() {
    let studio = Studio::new().await;
    let spec = spec();
    let cut = Duration::from_millis(100);
    let first = tokio::time::timeout(cut, studio.provider.create(&spec, silence())).await;
    assert!(first.is_err(), "no container is that fast");
    let sandbox = studio.create(&spec).await;
    assert_eq!(said(&*sandbox, "pwd", &[]).await, "/home/agent");
    studio.provider.settle().await;
    assert_eq!(studio.containers().await, [sandbox.reference().id.clone()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_server_never_touches_what_a_newer_one_makes() {
    let studio = Studio::new().await;
    let older: Arc<dyn SandboxProvider> = studio.provider.clone();
    studio_sandbox::contract::leases::race(&older, &studio.beside().await, 6).await;
    studio.provider.settle().await;
    assert_eq!(studio.containers().await, [""; 0]);
}

#[tokio::test]
async fn a_container_without_a_lease_is_of_the_first_one() {
    let studio = Studio::new().await;
    let wanted = SandboxSpec { lease: 3, ..spec() };
    let made = studio.create(&wanted).await;
    let inspected = studio.inspect(made.reference()).await.config.unwrap();
    let mut labels = inspected.labels.unwrap();
    assert_eq!(labels["studio.lease"], "3");
    studio.provider.destroy(made.reference()).await.unwrap();
    // As an older version made them, and as nobody does.
    for lease in [None, Some("-1"), Some("'; rm -rf /")] {
        labels.remove("studio.lease");
        labels.extend(lease.map(|lease| ("studio.lease".to_owned(), lease.to_owned())));
        let body = ContainerCreateBody {
            image: inspected.image.clone(),
            labels: Some(labels.clone()),
            ..ContainerCreateBody::default()
        };
        studio.docker.create_container(None::<CreateContainerOptions>, body).await.unwrap();
        assert_eq!(studio.containers().await.len(), 1);
        studio.provider.destroy_up_to(wanted.session, 0).await.unwrap();
        assert_eq!(studio.containers().await, [""; 0], "{lease:?}");
    }
}

#[tokio::test]
async fn a_stopped_sandbox_keeps_its_files_and_wakes() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    said(&*sandbox, "echo kept >~/workspace/app/file", &[]).await;
    studio.docker.kill_container(&sandbox.reference().id, None).await.unwrap();
    assert_eq!(sandbox.state().await.unwrap(), SandboxState::Stopped);
    assert!(sandbox.ports().await.unwrap().is_empty());
    let error = run(&*sandbox, "true", &[]).await.unwrap_err();
    assert!(error.to_string().contains("stopped; wake it"), "{error}");
    assert!(studio.provider.find(sandbox.reference()).await.unwrap().is_some());
    sandbox.wake().await.unwrap();
    sandbox.wake().await.unwrap();
    assert_eq!(sandbox.state().await.unwrap(), SandboxState::Running);
    assert_eq!(said(&*sandbox, "cat ~/workspace/app/file", &[]).await, "kept");
}

#[tokio::test]
async fn every_verb_of_a_removed_sandbox_says_that_it_is_gone() {
    let studio = Studio::new().await;
    let sandbox = studio.create(&spec()).await;
    let start = std::time::Instant::now();
    studio.provider.destroy(sandbox.reference()).await.unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "{:?}: it was asked, not killed",
        start.elapsed()
    );
    studio.provider.destroy(sandbox.reference()).await.unwrap();
    let path = sandbox.home();
    let gone = |error: SandboxError| {
        let id = &sandbox.reference().id;
        assert!(matches!(&error, SandboxError::Gone { id: told } if told == id), "{error:?}");
    };
    gone(sandbox.state().await.unwrap_err());
    gone(sandbox.wake().await.unwrap_err());
    gone(sandbox.ports().await.unwrap_err());
    gone(run(&*sandbox, "true", &[]).await.unwrap_err());
    gone(sandbox.read_file(&path, 1).await.unwrap_err());
    let command = || studio_sandbox::Command::new(["true"]);
    gone(sandbox.spawn(command()).await.unwrap_err());
    gone(sandbox.spawn_detached(command()).await.unwrap_err());
}

#[tokio::test]
async fn a_missing_image_is_told_with_what_to_do() {
    let studio = Studio::with(ImageSource::Tag("studio-no-such-image:1".to_owned())).await;
    for error in [
        studio.provider.ready().await.unwrap_err(),
        studio.provider.create(&spec(), silence()).await.err().unwrap(),
    ] {
        assert!(matches!(error, SandboxError::NotSetUp { .. }), "{error:?}");
        assert!(error.to_string().contains("studio-no-such-image:1"), "{error}");
    }
    assert!(studio.containers().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_ends_at_once_says_why_and_is_removed() {
    // The project's directory cannot be made here.
    let recipe = recipe("RUN chown root /home/agent/workspace && chmod 755 /home/agent/workspace");
    let studio = Studio::with(ImageSource::Recipe(recipe.clone())).await;
    let error = studio.provider.create(&spec(), silence()).await.err().unwrap();
    assert!(matches!(error, SandboxError::Vendor { .. }), "{error:?}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("mkdir: ") && cause.contains("/home/agent/workspace"), "{cause}");
    assert!(studio.containers().await.is_empty());
    studio.remove_images(&format!("studio.test={}", recipe.tag)).await;
}

#[tokio::test]
async fn an_engine_that_is_away_is_told_from_a_sandbox_that_is_gone() {
    let options = DockerOptions {
        engine: Some("unix:///nonexistent/docker.sock".to_owned()),
        owner: "x".parse().unwrap(),
        image: ImageSource::Tag("x".to_owned()),
    };
    let error = DockerProvider::connect(options).await.unwrap_err();
    assert!(matches!(error, SandboxError::Unavailable { provider: "docker", .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_falls_silent_is_unknown_and_never_gone() {
    // A door to the engine that can be shut.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("door.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let engine = needs::docker_socket();
    let door = tokio::spawn(async move {
        let mut links = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let engine = engine.clone();
            links.spawn(async move {
                let mut far = tokio::net::UnixStream::connect(engine).await.unwrap();
                let _closed = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let studio = Studio::new().await;
    let options = DockerOptions {
        engine: Some(format!("unix://{}", path.display())),
        owner: studio.owner.clone(),
        image: ImageSource::Tag(needs::test_image()),
    };
    let provider = DockerProvider::connect(options).await.unwrap();
    let spec = spec();
    provider.ready().await.unwrap();
    let sandbox = provider.create(&spec, silence()).await.unwrap();
    let mut process = sandbox.spawn(studio_sandbox::Command::new(["cat"])).await.unwrap();
    door.abort();
    let _aborted = door.await;
    std::fs::remove_file(&path).unwrap();
    let away = |error: SandboxError| {
        assert!(matches!(error, SandboxError::Unavailable { .. }), "{error:?}");
    };
    away(sandbox.state().await.unwrap_err());
    away(run(&*sandbox, "true", &[]).await.unwrap_err());
    away(provider.find(sandbox.reference()).await.err().unwrap());
    away(provider.list().await.unwrap_err());
    away(provider.ready().await.unwrap_err());
    away(provider.destroy(sandbox.reference()).await.unwrap_err());
    away(provider.destroy_session(spec.session).await.unwrap_err());
    away(provider.create(&common::spec(), silence()).await.err().unwrap());
    // The program's link is cut: that is an error or an end without an exit code, never success.
    match process.output.next().await {
        Ok(None) => assert!(process.output.exit().await.is_err()),
        Ok(Some(chunk)) => panic!("{chunk:?}"),
        Err(error) => away(error),
    }
    assert_eq!(studio.containers().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_hangs_is_well_for_a_while_and_then_is_not() {
    // Takes every connection and says nothing once it is told to hang.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slow.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let (hang, hangs) = tokio::sync::watch::channel(false);
    let engine = needs::docker_socket();
    let door = tokio::spawn(async move {
        let mut links = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let (engine, hangs) = (engine.clone(), hangs.clone());
            links.spawn(async move {
                if *hangs.borrow() {
                    return std::future::pending().await;
                }
                let mut far = tokio::net::UnixStream::connect(engine).await.unwrap();
                let _closed = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let options = DockerOptions {
        engine: Some(format!("unix://{}", path.display())),
        owner: "hanging".parse().unwrap(),
        image: ImageSource::Tag(needs::test_image()),
    };
    let provider = DockerProvider::connect(options).await.unwrap();
    provider.ready().await.unwrap();
    hang.send_replace(true);
    let start = std::time::Instant::now();
    provider.ready().await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(1_900), "{:?}: it waited", start.elapsed());
    // The question that was left alone comes to its end and counts.
    provider.settle().await;
    let error = provider.ready().await.unwrap_err();
    assert!(matches!(error, SandboxError::TimedOut { .. }), "{error:?}");
    door.abort();
}

/// A recipe that needs no registry: a root directory that the build context brings along.
fn recipe(extra: &str) -> Recipe {
    let tag = format!("studio-recipe-test:{}", SessionId::random());
    let dockerfile = format!(
        "FROM {}\nLABEL studio.test={tag}\nUSER root\nCOPY greeting /greeting\nRUN chmod 444 /greeting && echo built it\n\
         {extra}\nUSER 1000\n",
        needs::test_image()
    );
    let file = |path: &str, data: Bytes| ContextFile { path: path.to_owned(), data };
    Recipe {
        tag,
        files: vec![
            file("Dockerfile", dockerfile.into()),
            file("greeting", Bytes::from_static(b"hello from the recipe\n")),
        ],
    }
}

fn listener() -> (ProgressSink, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let lines = heard.clone();
    let sink: ProgressSink = Arc::new(move |Progress(line)| {
        lines.lock().into_iter().for_each(|mut all| all.push(line.clone()))
    });
    (sink, heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipe_is_built_once_for_all_who_wait() {
    let recipe = recipe("");
    let studio = Studio::with(ImageSource::Recipe(recipe.clone())).await;
    studio.provider.ready().await.unwrap();
    let ((first, heard_first), (second, heard_second)) = (listener(), listener());
    let (one, other) = (spec(), spec());
    let (one, other) =
        tokio::join!(studio.provider.create(&one, first), studio.provider.create(&other, second));
    let sandboxes = [one.unwrap(), other.unwrap()];
    for sandbox in &sandboxes {
        assert_eq!(said(&**sandbox, "cat /greeting", &[]).await, "hello from the recipe");
    }
    let heard = [heard_first, heard_second].map(|heard| heard.lock().unwrap().join("\n"));
    assert!(heard[0].contains("built it") || heard[1].contains("built it"), "{heard:?}");
    let begun: usize =
        heard.iter().map(|lines| lines.matches("Building the sandbox image").count()).sum();
    assert!((1..=2).contains(&begun), "{heard:?}");
    // Now it is there: nothing is built and nothing told.
    let (silent, heard) = listener();
    studio.provider.create(&spec(), silent).await.unwrap();
    assert!(heard.lock().unwrap().is_empty());
    studio.remove_images(&format!("studio.test={}", recipe.tag)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipe_that_fails_says_why_and_is_tried_again() {
    let recipe = recipe("RUN echo the-reason >&2; exit 7");
    let studio = Studio::with(ImageSource::Recipe(recipe.clone())).await;
    for _ in 0..2 {
        let (sink, heard) = listener();
        let error = studio.provider.create(&spec(), sink).await.err().unwrap();
        assert!(matches!(error, SandboxError::NotSetUp { .. }), "{error:?}");
        assert!(error.to_string().contains("code: 7"), "{error}");
        assert!(heard.lock().unwrap().iter().any(|line| line.contains("the-reason")));
    }
    assert!(studio.containers().await.is_empty());
    studio.remove_images(&format!("studio.test={}", recipe.tag)).await;
}
