//! Which session an agent's conversation is that the studio does not run: found by the transcript,
//! else by the agent's own id (`D30-93`), else made.

use studio_agent_codec::hook::HookBody;
use studio_events::{
    EngineEvent, InternalEvent, LogLevel, Phase, SessionEntry, SessionInfo, SessionPrivate,
    SessionStatus,
};
use studio_ids::SessionId;
use studio_registry::Registry;
use studio_streams::{Batch, CreateOptions, StreamError, StreamPath};

use crate::{
    FlowError, Studio,
    create::{create_failed, info},
    inner::Inner,
    prepare::log,
    words::{HookSource, HookTold},
};

/// Longest path that a hook may name, in bytes.
const PATH_BYTES_MAX: usize = 4_096;
/// Longest id that an agent may give its conversation, in bytes.
const ID_BYTES_MAX: usize = 500;
/// What a session is called whose directory is not told.
const LOCAL_NAME: &str = "local-session";
/// What begins a name that is no transcript's path as it came.
const RESERVED: [&str; 3] = ["project:", "agent:", "transcript:"];

impl Studio {
    /// Takes a hook event of an agent that the studio does not run: its session is found or made,
    /// and then it is as [`Studio::hook_event`].
    ///
    /// A caller of one project finds and makes sessions of that project alone.
    pub async fn hook(
        &self,
        from: HookSource,
        body: serde_json::Value,
    ) -> Result<HookTold, FlowError> {
        let hook = HookBody::from(body.clone());
        let names = Names::of(from, &hook)?;
        let found = self.whole(move |inner| async move {
            inner.conversation(from, names, &Opening::of(&hook)).await
        });
        let (session, is_over) = found.await?;
        if is_over {
            return Ok(HookTold { session, reply: crate::words::HookReply::Ok });
        }
        let reply = self.inner().hook_event(session, body).await?;
        Ok(HookTold { session, reply })
    }

    /// Registers a session that the agent of this `SessionStart` feeds with a token of its own.
    ///
    /// Always a new one: who only knows a transcript's path does not get at the session that
    /// somebody else's hooks feed.
    pub async fn create_auto_session(
        &self,
        body: serde_json::Value,
    ) -> Result<SessionInfo, FlowError> {
        let hook = HookBody::from(body);
        if hook.name() != "SessionStart" {
            return Err(FlowError::NotASessionStart);
        }
        Names::of(HookSource::Anybody, &hook)?;
        self.whole(move |inner| async move { inner.create_auto_session(&hook).await }).await
    }
}

/// What a conversation is called in the registry: nothing of one project is called like anything
/// of another, or of none.
struct Names(Vec<String>);

impl Names {
    fn of(from: HookSource, hook: &HookBody) -> Result<Self, FlowError> {
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let transcript = given(hook.transcript_path());
        let agent = given(hook.session_id());
        if transcript.is_none() && agent.is_none() {
            return Err(FlowError::NoConversation);
        }
        let fits = |text: &Option<String>, bytes_max| {
            text.as_ref().is_none_or(|t| t.len() <= bytes_max && !t.chars().any(char::is_control))
        };
        if !fits(&transcript, PATH_BYTES_MAX) {
            return Err(FlowError::BadHook("transcript_path"));
        }
        if !fits(&agent, ID_BYTES_MAX) {
            return Err(FlowError::BadHook("session_id"));
        }
        let transcript = transcript.map(|path| match from {
            // As the reference wrote it, unless it could be taken for something else.
            HookSource::Anybody if !RESERVED.iter().any(|r| path.starts_with(r)) => path,
            HookSource::Anybody | HookSource::Project(_) => format!("transcript:{path}"),
        });
        let names = transcript.into_iter().chain(agent.map(|id| format!("agent:{id}")));
        Ok(Self(match from {
            HookSource::Anybody => names.collect(),
            HookSource::Project(id) => names.map(|name| format!("project:{id}:{name}")).collect(),
        }))
    }

    /// The session that the first known name belongs to, and the names that belong to none.
    fn known(&self, registry: &Registry) -> Option<(SessionId, Vec<String>)> {
        let owner = |name: &String| registry.session_of_transcript(name);
        let session = self.0.iter().find_map(owner)?;
        let unknown = self.0.iter().filter(|name| owner(name).is_none()).cloned().collect();
        Some((session, unknown))
    }
}

/// What a new session of a hook is called and where it works.
struct Opening {
    starts: bool,
    cwd: Option<String>,
}

impl Opening {
    fn of(hook: &HookBody) -> Self {
        Self { starts: hook.name() == "SessionStart", cwd: hook.cwd().map(str::to_owned) }
    }

    fn session(&self, inner: &Inner) -> Result<SessionInfo, FlowError> {
        let cwd = self.cwd.as_deref().unwrap_or_default();
        if PATH_BYTES_MAX < cwd.len() || cwd.chars().any(char::is_control) {
            return Err(FlowError::BadHook("cwd"));
        }
        let name = cwd.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(LOCAL_NAME);
        let description = format!("Local session: {name}");
        let info = info(SessionId::random(), name.to_owned(), description, inner.now());
        Ok(SessionInfo { sandbox_project_dir: cwd.to_owned(), ..info })
    }
}

impl Inner {
    /// The conversation's session, and whether a person has ended it: then nothing of it is taken
    /// until the agent starts it again.
    async fn conversation(
        &self,
        from: HookSource,
        names: Names,
        opening: &Opening,
    ) -> Result<(SessionId, bool), FlowError> {
        self.is_ours()?;
        let known = match names.known(&self.registry) {
            Some(known) => Some(known),
            // Whoever comes at the same time with the same conversation finds it made.
            None => {
                let _opening = self.opening.lock().await;
                match names.known(&self.registry) {
                    Some(known) => Some(known),
                    None => {
                        return Ok((self.open_conversation(from, names, opening).await?, false));
                    }
                }
            }
        };
        let Some((id, unknown)) = known else { return Err(FlowError::NoConversation) };
        for name in unknown {
            self.registry.map_transcript(name, id).await.map_err(FlowError::registry)?;
        }
        let over = self.record(id)?.internal.phase == Phase::Ended;
        if over && opening.starts {
            self.update(id, |u| u.phase = Some(Phase::Hosted)).await?;
        }
        Ok((id, over && !opening.starts))
    }

    async fn open_conversation(
        &self,
        from: HookSource,
        names: Names,
        opening: &Opening,
    ) -> Result<SessionId, FlowError> {
        let info = opening.session(self)?;
        let counted = self.hook_limit.take(from, self.now())?;
        let made = self.open_hosted(&info, from, names.0).await;
        if made.is_err() {
            self.hook_limit.give_back(from, counted);
        }
        made
    }

    /// Makes the stream, then registers the session together with its names.
    async fn open_hosted(
        &self,
        info: &SessionInfo,
        from: HookSource,
        names: Vec<String>,
    ) -> Result<SessionId, FlowError> {
        let (now, epoch) = (self.now(), self.next_epoch());
        // A first record of now: a stream that no session has is swept away by it.
        let first = InternalEvent::WriterStarted { instance: self.instance, epoch };
        let initial = Batch::new(vec![SessionEntry::server(first, now).to_json().into()]).ok();
        let path = StreamPath::session(info.id);
        let options = CreateOptions { initial, ..CreateOptions::default() };
        self.parts.streams.create(&path, options).await.map_err(create_failed)?;
        self.make_here(info.id);
        let hook_project = match from {
            HookSource::Anybody => None,
            HookSource::Project(id) => Some(id),
        };
        let private =
            SessionPrivate { phase: Phase::Hosted, hook_project, ..SessionPrivate::default() };
        let claimed = self.registry.claim(names, info.clone(), private).await;
        let claimed = claimed.map_err(FlowError::registry)?.info.id;
        if claimed != info.id {
            self.forget_making(info.id);
            if let Err(error) = self.parts.streams.delete(&path).await
                && !matches!(error, StreamError::NotFound { .. })
            {
                // The next start removes it: it belongs to no session.
                tracing::warn!(session.id = %info.id, "the stream of a session that was made twice could not be removed: {error}");
            }
        }
        Ok(claimed)
    }

    async fn create_auto_session(&self, hook: &HookBody) -> Result<SessionInfo, FlowError> {
        let claude_session_id = hook.session_id().filter(|id| !id.is_empty()).map(str::to_owned);
        let info = SessionInfo { claude_session_id, ..Opening::of(hook).session(self)? };
        let id = self.open_hosted(&info, HookSource::Anybody, Vec::new()).await?;
        let live = self.live(id).await?;
        if let Some(event) = hook.event("") {
            let event = studio_bridge::Record::Agent(event);
            let told = live.bridge.record_all(vec![event]).await;
            told.map_err(|e| FlowError::bridge(id, &e))?;
        }
        self.registry.get(id).map(|record| self.shown(&record.info)).ok_or(FlowError::NoSession(id))
    }

    /// Ends a session of which nothing was heard for long: its agent may have gone without a
    /// word (`D30-94`). The next hook event opens it again.
    pub(crate) async fn end_unheard(&self, id: SessionId) -> Result<(), FlowError> {
        self.surely_ours().await?;
        let live = self.live(id).await?;
        let hours = self.parts.settings.local_idle_after.as_secs_f64() / 3_600.0;
        let line = format!("No hook event came for {hours:.1} h: the session counts as over.");
        let end = EngineEvent::SessionEnd {
            success: false,
            totals: studio_events::SessionTotals::default(),
            reason: Some("idle".to_owned()),
        };
        let told = live.bridge.record(vec![log(LogLevel::System, line), end]).await;
        told.map_err(|e| FlowError::bridge(id, &e))?;
        self.update(id, |u| u.status = Some(SessionStatus::Complete)).await
    }
}
