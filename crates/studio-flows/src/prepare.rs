//! Preparing a session: infrastructure choice, sandbox, project files, agent. A job that can be
//! cancelled at any await and taken up again by a later server: every step is recorded in the
//! registry when it is done, and doing it again does no harm.

use std::{collections::BTreeMap, sync::Arc};

use studio_agent_codec::{DEFAULT_TOOLS, LaunchOptions, PermissionPolicy};
use studio_assets::{Duty, allowed_tools};
use studio_bridge::{AgentParts, CodecFactory};
use studio_events::{EngineEvent, LogLevel, Phase, SandboxRecord, SessionStatus, SessionUpdate};
use studio_gates::{GateKind, GateOutcome, infra_gate_id};
use studio_ids::{GateId, MessageId, SessionId};
use studio_limits::Budget;
use studio_registry::SessionRecord;
use studio_sandbox::{
    Progress, ProgressSink, Relay, Sandbox, SandboxError, SandboxRef, SandboxSpec, Secret,
};
use tokio::sync::mpsc;

use crate::{FlowError, inner::Inner, live::Live, relay::HookRelay, words::Infra};

/// Progress lines that may wait to be written; more are dropped, the sandbox is made all the same.
const PROGRESS_WAITING_MAX: usize = 64;
/// How often a sandbox is made that another server makes at the same time. Each server that was
/// taken over can be in the way once; several follow each other fast only when they crash.
const MAKE_ATTEMPTS_MAX: u32 = 5;
/// Where an app inside a sandbox listens (`VITE_PORT`).
pub(crate) const APP_PORT: u16 = 5173;

/// A session's first message to its agent.
pub(crate) struct First {
    id: MessageId,
    text: String,
}

/// The id of a session's first message: always the same, so a message that was on its way when
/// the server died is not delivered twice.
pub(crate) fn first_message(id: SessionId) -> MessageId {
    MessageId::from_bytes(*id.as_bytes())
}

/// What a session's agent is told first.
pub(crate) fn first_prompt(record: &SessionRecord) -> String {
    if record.internal.cloned.is_some() {
        crate::resume::PROMPT.to_owned()
    } else if record.internal.freeform {
        record.info.description.clone()
    } else {
        format!("/create-app {}", record.info.description)
    }
}

/// A log line of the studio's.
pub(crate) fn log(level: LogLevel, message: impl Into<String>) -> EngineEvent {
    EngineEvent::Log { level, message: message.into() }
}

impl Inner {
    /// Runs the preparation in the background until it is done, fails, or the session's token is
    /// cancelled.
    pub(crate) fn start_preparing(self: Arc<Self>, live: &Arc<Live>) {
        let live = Arc::clone(live);
        let (jobs, tasks) = (live.jobs.clone(), self.tasks.clone());
        jobs.spawn(tasks.track_future(async move {
            tokio::select! {
                biased;
                () = live.token.cancelled() => {}
                done = self.prepare(&live) => if let Err(error) = done {
                    self.preparation_failed(&live, &error).await;
                },
            }
        }));
    }

    async fn prepare(&self, live: &Arc<Live>) -> Result<(), FlowError> {
        let record = self.record(live.id)?;
        if record.internal.phase == Phase::AwaitingInfra && !self.infra_chosen(live).await? {
            return Ok(());
        }
        let credentials = self.credentials(live)?;
        let record = self.record(live.id)?;
        let found = live.sandbox().filter(|_| record.internal.phase == Phase::SettingUp);
        let run = live.bridge.open_run().await.map_err(|e| FlowError::bridge(live.id, &e))?;
        // A run begins when the project is there, so what lies there is the agent's work by now.
        let begun = found.is_some() && run.is_some();
        let sandbox = match found {
            Some(sandbox) => sandbox,
            None => self.make_sandbox(live, &record).await?,
        };
        // Before the project: git asks for its tokens this way.
        self.connect_relay(live, &sandbox).await;
        if !begun {
            self.set_up_project(live, sandbox.as_ref()).await?;
        }
        let record = self.record(live.id)?;
        self.start_agent(live, &record, sandbox, credentials).await
    }

    /// Waits for the infrastructure choice. `false` = the gate closed without one: nothing is to
    /// be made any more.
    async fn infra_chosen(&self, live: &Live) -> Result<bool, FlowError> {
        let outcome = self.gates.wait(live.id, &self.infra_gate(live.id)).await;
        let Some(GateOutcome::Answered(_)) = outcome else { return Ok(false) };
        let chosen = live.infra().and_then(|(_, repo)| repo);
        self.update(live.id, |u| {
            u.phase = Some(Phase::CreatingSandbox);
            u.git = chosen.map(|repo| crate::repository::wanted(&repo));
        })
        .await?;
        Ok(true)
    }

    /// The infrastructure gate that is open; the only one there ever was if none is.
    pub(crate) fn infra_gate(&self, id: SessionId) -> GateId {
        let pending = self.gates.pending(id).into_iter();
        let mut infra = pending.filter(|gate| gate.kind == GateKind::InfraConfig);
        infra.next().map_or_else(infra_gate_id, |gate| gate.id)
    }

    /// The environment that authenticates the agent: what the caller brought, else the server's.
    pub(crate) fn credentials(&self, live: &Live) -> Result<BTreeMap<String, Secret>, FlowError> {
        let brought = live.credentials();
        let settings = &self.parts.settings.agent;
        let mut env = settings.credentials.clone();
        // As in the reference: a login wins over a key, the server's key over the caller's.
        if let Some(token) = brought.oauth_token {
            env.clear();
            env.insert("CLAUDE_CODE_OAUTH_TOKEN".to_owned(), token);
        } else if env.is_empty()
            && let Some(key) = brought.api_key
        {
            env.insert("ANTHROPIC_API_KEY".to_owned(), key);
        }
        if env.is_empty() {
            return Err(FlowError::NoCredentials);
        }
        if let Some((Infra::Cloud { database_url, secret, .. }, _)) = live.infra() {
            env.insert("DATABASE_URL".to_owned(), database_url);
            env.insert("ELECTRIC_SECRET".to_owned(), secret);
        }
        if let Some(token) = brought.gh_token {
            env.insert("GH_TOKEN".to_owned(), token);
        }
        Ok(env)
    }

    async fn make_sandbox(
        &self,
        live: &Arc<Live>,
        record: &SessionRecord,
    ) -> Result<Arc<dyn Sandbox>, FlowError> {
        let runtime = self.parts.provider.name();
        let doing = log(LogLevel::Build, format!("Creating {runtime} sandbox..."));
        live.bridge.record(vec![doing]).await.map_err(|e| FlowError::bridge(live.id, &e))?;
        let spec = self.spec(live, record);
        let failed = |source| FlowError::sandbox(live.id, source);
        let mut attempt = 1;
        let sandbox = loop {
            // A server that was taken over makes none any more: what the newer one finds in its
            // way is at most what was being made at that moment.
            self.surely_ours().await?;
            // What an earlier server left half-made under this session's name is of no use.
            self.remove_if_ours(live.id).await?;
            match self.try_to_make_sandbox(live, &spec).await? {
                Ok(sandbox) => break sandbox,
                // A server that was just taken over was about to make it, too.
                Err(SandboxError::Exists { .. }) if attempt < MAKE_ATTEMPTS_MAX => attempt += 1,
                Err(error) => return Err(failed(error)),
            }
        };
        self.sandbox_is_ready(live, &sandbox).await?;
        Ok(sandbox)
    }

    /// Makes a sandbox and tells what its provider tells meanwhile.
    async fn try_to_make_sandbox(
        &self,
        live: &Live,
        spec: &SandboxSpec,
    ) -> Result<Result<Arc<dyn Sandbox>, SandboxError>, FlowError> {
        let (sink, mut progress) = progress_channel();
        let create = self.parts.provider.create(spec, sink);
        tokio::pin!(create);
        loop {
            tokio::select! {
                made = &mut create => return Ok(made),
                Some(Progress(line)) = progress.recv() => {
                    let line = log(LogLevel::Verbose, line);
                    live.bridge.record(vec![line]).await.map_err(|e| FlowError::bridge(live.id, &e))?;
                }
            }
        }
    }

    fn spec(&self, live: &Live, record: &SessionRecord) -> SandboxSpec {
        let mut env = BTreeMap::from([
            ("SANDBOX_MODE".to_owned(), "1".to_owned()),
            ("VITE_PORT".to_owned(), APP_PORT.to_string()),
        ]);
        if let Some((Infra::Cloud { electric_url, source_id, .. }, _)) = live.infra() {
            env.insert("ELECTRIC_URL".to_owned(), electric_url);
            env.insert("ELECTRIC_SOURCE_ID".to_owned(), source_id);
        }
        SandboxSpec {
            session: live.id,
            project: record.internal.project.clone().unwrap_or_else(default_project),
            env,
            limits: self.parts.settings.limits,
            ports: if self.parts.provider.abilities().ports { vec![APP_PORT] } else { Vec::new() },
            lease: self.registry.lease(),
        }
    }

    async fn sandbox_is_ready(
        &self,
        live: &Live,
        sandbox: &Arc<dyn Sandbox>,
    ) -> Result<(), FlowError> {
        let reference = sandbox.reference();
        let record =
            SandboxRecord { provider: reference.provider.clone(), id: reference.id.clone() };
        let port = sandbox.ports().await.ok().and_then(|ports| ports.first().map(|p| p.1));
        let dir = sandbox.project_dir().to_string();
        self.update(live.id, |u| {
            u.sandbox = Some(Some(record));
            u.phase = Some(Phase::SettingUp);
            u.sandbox_project_dir = Some(dir);
            u.app_port = Some(port);
        })
        .await?;
        live.set_sandbox(Some(Arc::clone(sandbox)));
        let runtime = self.parts.provider.name();
        let mut lines = vec![log(LogLevel::System, format!("Sandbox ready ({runtime})"))];
        let notice = self.parts.provider.abilities().notice;
        if !notice.is_empty() {
            lines.push(log(LogLevel::Verbose, notice));
        }
        live.bridge.record(lines).await.map_err(|e| FlowError::bridge(live.id, &e))?;
        Ok(())
    }

    async fn set_up_project(&self, live: &Live, sandbox: &dyn Sandbox) -> Result<(), FlowError> {
        let record = self.record(live.id)?;
        if let Some(cloned) = &record.internal.cloned {
            return self.clone_project(live, &record, cloned, sandbox).await;
        }
        if record.internal.freeform {
            return Ok(());
        }
        self.make_repository(live, &record, sandbox).await?;
        // With the repository, if there is one now.
        let record = self.record(live.id)?;
        let failed = |error| FlowError::bridge(live.id, &error);
        let doing = log(LogLevel::Build, "Setting up project...");
        live.bridge.record(vec![doing]).await.map_err(failed)?;
        if let Err(error) = self.put_project(live, &record, sandbox).await {
            // Told as the reference tells it; unlike there nothing goes on without its project.
            let told = log(LogLevel::Error, format!("Project setup failed: {error}"));
            live.bridge.record(vec![told]).await.map_err(failed)?;
            return Err(FlowError::sandbox(live.id, error));
        }
        let done = log(LogLevel::System, "Project ready");
        live.bridge.record(vec![done]).await.map_err(failed)?;
        Ok(())
    }

    /// Puts the project's first files into the sandbox, as bytes (`D30-71`).
    async fn put_project(
        &self,
        live: &Live,
        record: &SessionRecord,
        sandbox: &dyn Sandbox,
    ) -> Result<(), SandboxError> {
        let name = record.internal.project.clone().unwrap_or_else(default_project);
        let production = self.parts.settings.mode == crate::Mode::Production;
        let (dir, infra) = (sandbox.project_dir(), live.infra());
        let files =
            crate::project::files(record, &name, &dir, APP_PORT, infra.as_ref(), production);
        let files = files
            .map_err(|bad| SandboxError::File { path: dir.to_string(), reason: bad.to_string() })?;
        sandbox.put_files(files).await
    }

    /// Opens the way back from inside the sandbox. The agent does not need it, so a sandbox
    /// without it is not a failed session; the log says so.
    pub(crate) async fn connect_relay(&self, live: &Arc<Live>, sandbox: &Arc<dyn Sandbox>) {
        let Err(error) = Relay::install(sandbox.as_ref()).await else {
            HookRelay::serve(self.weak.clone(), live, Arc::clone(sandbox));
            return;
        };
        let line = format!("Hooks inside this sandbox cannot reach the studio: {error}");
        if let Err(error) = live.bridge.record(vec![log(LogLevel::Error, line)]).await {
            tracing::warn!(session.id = %live.id, "the log of session {} could not be written: {error}", live.id);
        }
    }

    async fn start_agent(
        &self,
        live: &Arc<Live>,
        record: &SessionRecord,
        sandbox: Arc<dyn Sandbox>,
        credentials: BTreeMap<String, Secret>,
    ) -> Result<(), FlowError> {
        let prompt = first_prompt(record);
        let said = match &record.internal.cloned {
            Some(_) => log(LogLevel::Build, "Starting Claude Code..."),
            None => log(LogLevel::Build, format!("Running: claude \"{prompt}\"")),
        };
        live.bridge.record(vec![said]).await.map_err(|e| FlowError::bridge(live.id, &e))?;
        let first = First { id: first_message(live.id), text: prompt };
        let parts = self.agent_parts(record, sandbox, credentials, None);
        self.launch(live, parts, Some(first)).await
    }

    /// Starts an agent process; when this returns it runs and the registry knows it.
    pub(crate) async fn launch(
        &self,
        live: &Live,
        parts: AgentParts,
        first: Option<First>,
    ) -> Result<(), FlowError> {
        let failed = |error| FlowError::bridge(live.id, &error);
        // A preparation that is taken up again finds the agent that it had started; one that was
        // written down and never ran (the server died in between) is started now.
        let found = match live.bridge.open_run().await.map_err(failed)? {
            Some(run) => {
                let attached = live.bridge.attach(parts.clone(), run).await.map_err(failed)?;
                attached.alive.then_some(run)
            }
            None => None,
        };
        let run = match found {
            Some(run) => run,
            None => live.bridge.launch(parts).await.map_err(failed)?,
        };
        if let Some(First { id, text }) = first {
            live.bridge.deliver(id, text).await.map_err(failed)?;
        }
        self.update(live.id, |u| {
            u.run = Some(Some(run));
            u.phase = Some(Phase::Started);
            u.status = Some(SessionStatus::Running);
        })
        .await
    }

    /// How the session's agent is run.
    pub(crate) fn agent_parts(
        &self,
        record: &SessionRecord,
        sandbox: Arc<dyn Sandbox>,
        credentials: BTreeMap<String, Secret>,
        resume: Option<String>,
    ) -> AgentParts {
        let settings = &self.parts.settings;
        let permissions = match record.internal.ask_all {
            Some(true) => PermissionPolicy::Ask,
            Some(false) => PermissionPolicy::AllowListed,
            None => settings.agent.permissions,
        };
        let production = settings.mode == crate::Mode::Production;
        let launch = LaunchOptions {
            model: record.internal.model.clone().or_else(|| settings.agent.model.clone()),
            tools: allowed_tools(&DEFAULT_TOOLS, production, Duty::General),
            permissions,
            resume,
            budget_usd: self.budget_of(record).left_usd(),
        };
        let (language, conversation) = (Arc::clone(&self.parts.codec), launch.resume.clone());
        let codec: CodecFactory = Arc::new(move || language(conversation.as_deref()));
        let cwd = sandbox.project_dir();
        AgentParts { sandbox, codec, launch, credentials, env: settings.agent.env.clone(), cwd }
    }

    /// What the session may spend and has: the smaller of its own and the server's limit.
    pub(crate) fn budget_of(&self, record: &SessionRecord) -> Budget {
        let settings = &self.parts.settings;
        let server = match settings.mode {
            crate::Mode::Production => settings.max_session_cost_usd,
            crate::Mode::Dev => None,
        };
        Budget::new(server, record.internal.budget_usd, record.info.total_cost_usd)
    }

    async fn preparation_failed(&self, live: &Live, error: &FlowError) {
        if error.is_anothers() {
            // The other server goes on with it.
            return;
        }
        let why = crate::error::causes(error);
        tracing::warn!(session.id = %live.id, error = why, "session {} could not be prepared", live.id);
        let record = self.registry.get(live.id);
        let resumed = record.as_ref().is_some_and(|record| record.internal.cloned.is_some());
        let what = if resumed { "Resume" } else { "Session" };
        let events = vec![
            log(LogLevel::Error, format!("{what} failed: {why}")),
            EngineEvent::SessionEnd {
                success: false,
                totals: studio_events::SessionTotals::default(),
                reason: Some("preparation_failed".to_owned()),
            },
        ];
        if let Err(error) = live.bridge.record(events).await {
            tracing::warn!(session.id = %live.id, "the failure of session {} is not in its log: {error}", live.id);
        }
        let failed = |u: &mut SessionUpdate| {
            u.status = Some(SessionStatus::Error);
            u.phase = Some(Phase::Ended);
            u.sandbox = Some(None);
        };
        live.set_sandbox(None);
        // First the decision: what is removed without it may be another server's by now.
        if let Err(error) = self.update(live.id, failed).await {
            tracing::warn!(session.id = %live.id, "session {} is not marked as failed: {error}", live.id);
            return;
        }
        if let Some(record) = record {
            self.end_git_token(&record).await;
        }
        // Nothing half-made stays behind; what cannot be removed now is at the next start.
        if let Err(error) = self.remove_if_ours(live.id).await {
            tracing::warn!(session.id = %live.id, "the sandbox of session {} could not be removed: {error}", live.id);
        }
    }

    /// Removes what this server and earlier ones made for a session. Unlike
    /// [`Self::surely_ours`] followed by [`Self::remove_sandbox`] this cannot come too late: what
    /// a server that took over has made stays, whenever it did.
    pub(crate) async fn remove_if_ours(&self, id: SessionId) -> Result<(), FlowError> {
        let removed = self.parts.provider.destroy_up_to(id, self.registry.lease()).await;
        removed.map_err(|source| FlowError::sandbox(id, source))
    }

    /// Removes whatever the provider has of a session: a person asked for its end.
    pub(crate) async fn remove_sandbox(&self, id: SessionId) -> Result<(), FlowError> {
        let removed = self.parts.provider.destroy_session(id).await;
        removed.map_err(|source| FlowError::sandbox(id, source))
    }

    /// Finds the session's sandbox again. `None` = it has none, or it is gone for good.
    pub(crate) async fn find_sandbox(
        &self,
        record: &SessionRecord,
    ) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        let Some(known) = &record.internal.sandbox else { return Ok(None) };
        let reference = SandboxRef { provider: known.provider.clone(), id: known.id.clone() };
        self.parts.provider.find(&reference).await
    }

    /// Writes a change of the session to the registry, with what agents caused before it.
    pub(crate) async fn update(
        &self,
        id: SessionId,
        change: impl FnOnce(&mut SessionUpdate),
    ) -> Result<(), FlowError> {
        let mut update = self.take_note(id);
        update.last_active_at = Some(self.now());
        change(&mut update);
        self.registry.update(id, update).await.map_err(FlowError::registry)?;
        Ok(())
    }
}

fn default_project() -> studio_ids::ProjectName {
    #[expect(clippy::expect_used, reason = "a constant that is a project name")]
    "project".parse().expect("`project` is a project name")
}

fn progress_channel() -> (ProgressSink, mpsc::Receiver<Progress>) {
    let (lines, progress) = mpsc::channel(PROGRESS_WAITING_MAX);
    let sink = Arc::new(move |line| {
        // A full queue drops the line: progress is for watching, not for keeping.
        lines.try_send(line).ok();
    });
    (sink, progress)
}
