//! The app that a session's agent builds: started as a process that outlives the studio, told as
//! it is observed (`D30-68`), stopped with everything that it started.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use studio_events::{AppState, EngineEvent, LogLevel};
use studio_ids::{RunId, SessionId};
use studio_sandbox::{
    Command, Exit, Isolation, JournalState, JournaledProcess, Output, Sandbox, SandboxError, Secret,
};
use tokio::time::{Instant, sleep};

use crate::{
    FlowError, Studio,
    inner::Inner,
    live::Live,
    look::place,
    prepare::{APP_PORT, log},
    words::{AppStatus, Infra},
};

/// How long who starts an app waits for it to serve. It may serve later: that is told, too.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How long each signal may take to end an app.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// How long a look at the sandbox's ports may take.
const LOOK_PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks whether an app that was started serves.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// The same, once nobody waits for it.
const LOOK_LATER_EVERY: Duration = Duration::from_secs(2);
/// How much of an app's last words is told when it fails, in bytes.
const LAST_WORDS_BYTES: usize = 2_000;

const RUN: &str = concat!(include_str!("look/project.sh"), include_str!("app/run.sh"));
const LISTENS: &str = include_str!("app/listens.sh");
const FREE: &str = include_str!("app/free.sh");

impl Studio {
    /// Whether the session's app runs, and where it is reached.
    pub async fn app_status(&self, id: SessionId) -> Result<AppStatus, FlowError> {
        self.inner().app_status(id).await
    }

    /// Starts the app if it does not run. `false` = it could not be started or ended at once; the
    /// session's log says why.
    ///
    /// Errors: [`FlowError::NoSandbox`].
    pub async fn start_app(&self, id: SessionId) -> Result<bool, FlowError> {
        self.whole(move |inner| async move { inner.start_app(id).await }).await
    }

    /// Stops the app with everything that it started; success when none runs. An error means that
    /// it is not known to be gone.
    pub async fn stop_app(&self, id: SessionId) -> Result<(), FlowError> {
        self.whole(move |inner| async move { inner.stop_app(id).await }).await
    }
}

/// The app's process: always the same id, so that any server finds it again.
fn app_run(id: SessionId) -> RunId {
    let mut bytes = *id.as_bytes();
    for (byte, mark) in bytes.iter_mut().zip(*b"the session's app") {
        *byte ^= mark;
    }
    RunId::from_bytes(bytes)
}

impl Inner {
    async fn app_status(&self, id: SessionId) -> Result<AppStatus, FlowError> {
        let info = self.record(id)?.info.clone();
        let Some(sandbox) = self.sandbox_now(id).await? else {
            return Ok(AppStatus {
                running: false,
                port: info.app_port,
                preview_url: info.preview_url,
            });
        };
        let running = self.app_runs(&sandbox).await;
        let running = running.map_err(|source| FlowError::sandbox(id, source))?;
        let port = outside_port(sandbox.as_ref()).await.or(info.app_port);
        Ok(AppStatus { running, port, preview_url: info.preview_url })
    }

    async fn start_app(&self, id: SessionId) -> Result<bool, FlowError> {
        self.record(id)?;
        let sandbox = self.sandbox_now(id).await?.ok_or(FlowError::NoSandbox(id))?;
        let live = self.live(id).await?;
        let failed = |source| FlowError::sandbox(id, source);
        let mut told = live.app.lock().await;
        let app = JournaledProcess::of(Arc::clone(&sandbox), app_run(id));
        if !self.app_runs(&sandbox).await.map_err(failed)? {
            match start(&app, sandbox.as_ref(), app_env(&live)).await {
                Ok(()) => {}
                Err(SandboxError::NotStarted { reason, .. }) => {
                    self.app_failed(&live, &reason).await?;
                    return Ok(false);
                }
                Err(error) => return Err(failed(error)),
            }
            self.watch_app(&live, &sandbox);
        }
        let until = Instant::now() + START_PATIENCE;
        loop {
            if listens(sandbox.as_ref()).await.map_err(failed)? {
                self.tell_app(&live, &sandbox, &mut told, AppState::Running).await?;
                return Ok(true);
            }
            let state = app.state().await.map_err(failed)?;
            // A script that puts its app into the background ends well before it serves.
            let gone = !matches!(state, JournalState::Running | JournalState::Ended(Exit::Code(0)));
            let late = until <= Instant::now();
            if gone || (late && state != JournalState::Running) {
                let words = app.stderr_tail(LAST_WORDS_BYTES).await.unwrap_or_default();
                self.app_failed(&live, words.trim()).await?;
                return Ok(false);
            }
            if late {
                return Ok(true);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn stop_app(&self, id: SessionId) -> Result<(), FlowError> {
        self.record(id)?;
        let Some(sandbox) = self.sandbox_now(id).await? else { return Ok(()) };
        let live = self.live(id).await?;
        let failed = |source| FlowError::sandbox(id, source);
        let mut told = live.app.lock().await;
        let ran = self.app_runs(&sandbox).await.map_err(failed)?;
        let app = JournaledProcess::of(Arc::clone(&sandbox), app_run(id));
        if app.state().await.map_err(failed)? != JournalState::Absent {
            app.stop(STOP_PATIENCE).await.map_err(failed)?;
        }
        if self.has_own_network() && listens(sandbox.as_ref()).await.map_err(failed)? {
            // The agent started it itself, past the studio.
            let output = Output { bytes_max: 4 * 1024, deadline: LOOK_PATIENCE };
            let free = Command::script(FREE, [APP_PORT.to_string()]);
            let freed = sandbox.exec(free, Bytes::new(), output).await.map_err(failed)?;
            freed.success("stopping the app").map_err(failed)?;
        }
        if ran || *told == Some(AppState::Running) {
            self.tell_app(&live, &sandbox, &mut told, AppState::Stopped).await?;
        }
        Ok(())
    }

    /// Whether the app runs: its process does, or something serves where only it can be.
    pub(crate) async fn app_runs(&self, sandbox: &Arc<dyn Sandbox>) -> Result<bool, SandboxError> {
        let app = JournaledProcess::of(Arc::clone(sandbox), app_run(sandbox.session()));
        if app.state().await? == JournalState::Running {
            return Ok(true);
        }
        Ok(self.has_own_network() && listens(sandbox.as_ref()).await?)
    }

    /// Whether a port of a sandbox is its own: nothing else of this machine can listen there.
    fn has_own_network(&self) -> bool {
        Isolation::Container <= self.parts.provider.abilities().isolation
    }

    /// Tells the session's readers how the app stands, unless they know.
    async fn tell_app(
        &self,
        live: &Live,
        sandbox: &Arc<dyn Sandbox>,
        told: &mut Option<AppState>,
        status: AppState,
    ) -> Result<(), FlowError> {
        if *told == Some(status) {
            return Ok(());
        }
        let mut event = EngineEvent::AppStatus { status, port: None, preview_url: None };
        if let (AppState::Running, EngineEvent::AppStatus { port, preview_url, .. }) =
            (status, &mut event)
        {
            *port = outside_port(sandbox.as_ref()).await;
            *preview_url = self.record(live.id)?.info.preview_url.clone();
        }
        live.bridge.record(vec![event]).await.map_err(|e| FlowError::bridge(live.id, &e))?;
        *told = Some(status);
        Ok(())
    }

    async fn app_failed(&self, live: &Live, why: &str) -> Result<(), FlowError> {
        let line = format!("The app could not be started: {why}");
        let line = log(LogLevel::Error, line.trim_end_matches([' ', ':']));
        live.bridge.record(vec![line]).await.map_err(|e| FlowError::bridge(live.id, &e))?;
        Ok(())
    }

    /// Tells when the app begins to serve and when it ends, as long as the session is in use.
    fn watch_app(&self, live: &Arc<Live>, sandbox: &Arc<dyn Sandbox>) {
        let Some(inner) = self.weak.upgrade() else { return };
        let (live, sandbox) = (Arc::clone(live), Arc::clone(sandbox));
        let (jobs, tasks) = (live.jobs.clone(), self.tasks.clone());
        jobs.spawn(tasks.track_future(async move {
            tokio::select! {
                biased;
                () = live.token.cancelled() => {}
                watched = inner.watch_app_to_its_end(&live, &sandbox) => {
                    if let Err(error) = watched {
                        tracing::debug!(session.id = %live.id, "the app of session {} is not watched any more: {error}", live.id);
                    }
                }
            }
        }));
    }

    async fn watch_app_to_its_end(
        &self,
        live: &Live,
        sandbox: &Arc<dyn Sandbox>,
    ) -> Result<(), FlowError> {
        let failed = |source| FlowError::sandbox(live.id, source);
        let app = JournaledProcess::of(Arc::clone(sandbox), app_run(live.id));
        let mut lines = app.lines(0).await.map_err(failed)?;
        let ended = async {
            // What it says is not told; that it says no more is.
            while lines.next().await.map_err(failed)?.is_some() {}
            Ok::<(), FlowError>(())
        };
        let serves = async {
            while !listens(sandbox.as_ref()).await.map_err(failed)? {
                sleep(LOOK_LATER_EVERY).await;
            }
            {
                // Not kept while this waits: whoever stops the app needs it.
                let mut told = live.app.lock().await;
                self.tell_app(live, sandbox, &mut told, AppState::Running).await?;
            }
            std::future::pending::<Result<(), FlowError>>().await
        };
        tokio::select! {
            ended = ended => ended?,
            failed = serves => failed?,
        }
        // Who starts or stops it tells of it, so this comes after.
        let mut told = live.app.lock().await;
        if *told == Some(AppState::Running) && !self.app_runs(sandbox).await.map_err(failed)? {
            self.tell_app(live, sandbox, &mut told, AppState::Stopped).await?;
        }
        Ok(())
    }
}

/// Starts the app's process, whatever is left of an earlier one.
async fn start(
    app: &JournaledProcess,
    sandbox: &dyn Sandbox,
    env: BTreeMap<String, Secret>,
) -> Result<(), SandboxError> {
    if app.state().await? != JournalState::Absent {
        app.stop(STOP_PATIENCE).await?;
        app.remove().await?;
    }
    let mut command = Command::script(RUN, place(sandbox)).with_env("PORT", APP_PORT.to_string());
    for (name, secret) in env {
        command = command.with_env(name, secret.expose());
    }
    app.start(command).await
}

/// What an app needs to reach its data; in its process's environment and nowhere else.
fn app_env(live: &Live) -> BTreeMap<String, Secret> {
    let Some((Infra::Cloud { database_url, secret, .. }, _)) = live.infra() else {
        return BTreeMap::new();
    };
    let named = [("DATABASE_URL", database_url), ("ELECTRIC_SECRET", secret)];
    named.map(|(name, secret)| (name.to_owned(), secret)).into()
}

/// Whether something serves at the app's port inside.
async fn listens(sandbox: &dyn Sandbox) -> Result<bool, SandboxError> {
    let output = Output { bytes_max: 4 * 1024, deadline: LOOK_PATIENCE };
    let ask = Command::script(LISTENS, [APP_PORT.to_string()]);
    let said = sandbox.exec(ask, Bytes::new(), output).await?;
    Ok(said.success("looking at the sandbox's ports")?.text() == "yes")
}

/// Where the app's port is reached on the studio's machine.
async fn outside_port(sandbox: &dyn Sandbox) -> Option<u16> {
    let ports = sandbox.ports().await.ok()?;
    ports.into_iter().find(|(inside, _)| *inside == APP_PORT).map(|(_, outside)| outside)
}
