//! The way back from inside to the studio.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{PATIENCE, said, spec, until, with_sandbox};
use crate::{
    Command, Exit, Output, RELAY_BODY_BYTES_MAX, Relay, RelayHandler, Sandbox, SandboxError,
    SandboxProvider,
};

/// Answers with what was asked, backwards. `slow` waits until it is let go.
struct Backwards {
    asked: Mutex<Vec<String>>,
    go: Semaphore,
}

impl Backwards {
    fn new() -> Arc<Self> {
        Arc::new(Self { asked: Mutex::default(), go: Semaphore::new(0) })
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl RelayHandler for Backwards {
    async fn handle(&self, verb: &str, body: Bytes) -> Bytes {
        self.asked.lock().unwrap().push(verb.to_owned());
        if verb == "slow" {
            self.go.acquire().await.unwrap().forget();
        }
        let mut answer = body.to_vec();
        answer.reverse();
        answer.into()
    }
}

struct Served {
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), SandboxError>>,
}

impl Served {
    fn start(sandbox: &Arc<dyn Sandbox>, handler: &Arc<Backwards>) -> Self {
        let cancel = CancellationToken::new();
        let handler: Arc<dyn RelayHandler> = Arc::<Backwards>::clone(handler);
        let serving = Relay::serve(Arc::clone(sandbox), handler, cancel.clone());
        Self { cancel, task: tokio::spawn(serving) }
    }

    async fn stop(self) {
        self.cancel.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

async fn ask(sandbox: &dyn Sandbox, verb: &str, body: impl Into<Bytes>) -> (Exit, Bytes) {
    let client = Relay::client(sandbox).unwrap();
    let output = Output { bytes_max: 2 * RELAY_BODY_BYTES_MAX, deadline: PATIENCE };
    let command = Command::new([client.as_str(), verb]);
    let output = sandbox.exec(command, body.into(), output).await.unwrap();
    (output.exit, output.stdout)
}

/// Small, empty, binary and as large as may be; one after another and many at once.
pub async fn what_is_asked_inside_is_answered(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        Relay::install(&*sandbox).await.unwrap();
        Relay::install(&*sandbox).await.unwrap();
        let handler = Backwards::new();
        let served = Served::start(&sandbox, &handler);
        let largest = vec![b'x'; RELAY_BODY_BYTES_MAX];
        for body in [&b"abc"[..], b"", b"\0\n\xff", &largest] {
            let (exit, answer) = ask(&*sandbox, "hook-event", body.to_vec()).await;
            let mut expected = body.to_vec();
            expected.reverse();
            assert_eq!(exit, Exit::Code(0));
            assert!(answer == expected, "{} of {} bytes", answer.len(), expected.len());
        }
        let mut asks = tokio::task::JoinSet::new();
        for number in 10..50 {
            let sandbox = Arc::clone(&sandbox);
            asks.spawn(async move {
                let (exit, answer) = ask(&*sandbox, "many", number.to_string()).await;
                let expected: String = number.to_string().chars().rev().collect();
                assert_eq!((exit, &answer[..]), (Exit::Code(0), expected.as_bytes()));
            });
        }
        assert_eq!(asks.join_all().await.len(), 40);
        // No request is left behind.
        let left = said(&*sandbox, "ls .studio/relay/asked .studio/relay/new", []).await;
        assert_eq!(left.lines().filter(|line| line.contains("many")).count(), 0, "{left}");
        served.stop().await;
    })
    .await;
}

/// Too much, no verb, and verbs that are paths.
pub async fn bad_requests_are_refused_inside(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        Relay::install(&*sandbox).await.unwrap();
        let handler = Backwards::new();
        let served = Served::start(&sandbox, &handler);
        let over = vec![b'x'; RELAY_BODY_BYTES_MAX + 1];
        assert_eq!(ask(&*sandbox, "hook-event", over).await.0, Exit::Code(65));
        for verb in ["", "../x", "a b", "A", "$(x)", &"x".repeat(65)] {
            assert_eq!(ask(&*sandbox, verb, "x").await.0, Exit::Code(64), "{verb:?}");
        }
        // What an agent puts there by hand does no harm.
        let script = "cd .studio/relay/asked; mkdir odd.1.2.3 'b a d' more.1.1.1; mkfifo pipe; \
                      echo '1 0' >odd.1.2.3/client; ln -s /etc link; mkfifo more.1.1.1/body; \
                      echo \"$$ $(cut -d ' ' -f 22 /proc/$$/stat)\" >more.1.1.1/client; \
                      echo >../bell";
        said(&*sandbox, script, []).await;
        let (exit, answer) = ask(&*sandbox, "after", "abc").await;
        assert_eq!((exit, &answer[..]), (Exit::Code(0), &b"cba"[..]));
        assert_eq!(handler.asked.lock().unwrap().as_slice(), ["after"]);
        let modes = said(&*sandbox, "stat -c %a .studio/relay .studio/relay/asked", []).await;
        assert_eq!(modes, "700\n700");
        served.stop().await;
    })
    .await;
}

/// A request waits for the studio to come, and is asked again when it went before it answered.
pub async fn requests_wait_while_the_studio_is_away(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        Relay::install(&*sandbox).await.unwrap();
        let asking = {
            let sandbox = Arc::clone(&sandbox);
            tokio::spawn(async move { ask(&*sandbox, "slow", "abc").await })
        };
        until("the request lies there", async || {
            !said(&*sandbox, "ls .studio/relay/asked", []).await.is_empty()
        })
        .await;
        let handler = Backwards::new();
        let served = Served::start(&sandbox, &handler);
        until("it is asked", async || handler.count() == 1).await;
        served.stop().await;
        let served = Served::start(&sandbox, &handler);
        until("it is asked again", async || handler.count() == 2).await;
        handler.go.add_permits(1);
        let answered = tokio::time::timeout(PATIENCE, asking).await.unwrap().unwrap();
        assert_eq!((answered.0, &answered.1[..]), (Exit::Code(0), &b"cba"[..]));
        served.stop().await;
    })
    .await;
}

/// One whose client was killed is dropped, and never asked.
pub async fn a_request_without_a_client_is_dropped(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        Relay::install(&*sandbox).await.unwrap();
        let client = Relay::client(&*sandbox).unwrap().to_string();
        let script = "echo x | \"$1\" gone & \
                      while [ -z \"$(ls .studio/relay/asked)\" ]; do sleep 0.02; done; \
                      kill -KILL $(cut -d ' ' -f 1 .studio/relay/asked/*/client); wait; \
                      ls .studio/relay/asked";
        assert!(said(&*sandbox, script, [client.as_str()]).await.starts_with("gone."));
        let handler = Backwards::new();
        let served = Served::start(&sandbox, &handler);
        let (exit, answer) = ask(&*sandbox, "here", "abc").await;
        assert_eq!((exit, &answer[..]), (Exit::Code(0), &b"cba"[..]));
        assert_eq!(handler.asked.lock().unwrap().as_slice(), ["here"]);
        let left = said(&*sandbox, "ls .studio/relay/asked", []).await;
        assert!(!left.contains("gone"), "{left}");
        served.stop().await;
    })
    .await;
}

/// The caller is told, and can serve again.
pub async fn a_lost_link_is_told(provider: Arc<dyn SandboxProvider>) {
    with_sandbox(provider, spec(), async move |sandbox| {
        let handler = Backwards::new();
        // Nothing is installed.
        let served = Served::start(&sandbox, &handler);
        let lost = tokio::time::timeout(PATIENCE, served.task).await.unwrap().unwrap();
        assert!(lost.is_err());
        Relay::install(&*sandbox).await.unwrap();
        let served = Served::start(&sandbox, &handler);
        let asked = tokio::time::timeout(PATIENCE, ask(&*sandbox, "x", "ab")).await.unwrap();
        assert_eq!(&asked.1[..], b"ba");
        // Its script is killed; other sandboxes' may be seen, but have another home.
        let script = "for p in /proc/[0-9]*; do \
                      if tr '\\0' ' ' <$p/cmdline | grep -q 'name of each reques[t], once' && \
                      tr '\\0' ' ' <$p/cmdline | grep -q \"$HOME\"; then \
                      kill -KILL ${p#/proc/}; fi; done 2>/dev/null; :";
        said(&*sandbox, script, []).await;
        let lost = tokio::time::timeout(PATIENCE, served.task).await;
        assert!(lost.unwrap().unwrap().is_err());
    })
    .await;
}
