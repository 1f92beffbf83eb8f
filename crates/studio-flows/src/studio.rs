use std::sync::Arc;

use serde_json::Value;
use studio_events::{SessionInfo, Timestamp};
use studio_ids::SessionId;
use studio_sandbox::SandboxProvider;
use studio_streams::{Follow, Offset, StreamStore};

use crate::{
    FlowError, Settings,
    words::{Health, HookReply, NewSession, PendingGate, QueuedMessage, Response, SessionPage},
};

/// What a studio is made of. Adapters come from outside: an app, a test, another host.
pub struct Parts {
    /// Where everything is written.
    pub streams: Arc<dyn StreamStore>,
    /// Where agents work.
    pub provider: Arc<dyn SandboxProvider>,
    /// How it behaves.
    pub settings: Settings,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// The application object. Cheap to clone; all state hangs on it.
#[derive(Clone)]
pub struct Studio {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
}

impl Studio {
    /// Loads the registry, takes the lease and begins to pick up what an earlier server left.
    pub async fn start(parts: Parts) -> Result<Self, FlowError> {
        Ok(Self { inner: Arc::new(Inner { parts }) })
    }

    /// How it was set up.
    pub fn settings(&self) -> &Settings {
        &self.inner.parts.settings
    }

    /// Whether it can work.
    pub async fn health(&self) -> Health {
        Health { streams: Ok(()), sandbox: Ok(()), runtime: "local", recovered: true }
    }

    /// Creates a session and begins to work on it in the background.
    pub async fn create_session(&self, _new: NewSession) -> Result<SessionInfo, FlowError> {
        Err(FlowError::Stopping)
    }

    /// Registers a session that an agent on somebody's machine feeds through hooks.
    pub async fn create_local_session(
        &self,
        _description: Option<String>,
    ) -> Result<SessionInfo, FlowError> {
        Err(FlowError::Stopping)
    }

    /// One session.
    pub fn session(&self, id: SessionId) -> Result<SessionInfo, FlowError> {
        Err(FlowError::NoSession(id))
    }

    /// Sessions, newest first; `after` is the last id of the page before.
    pub fn sessions(&self, _after: Option<SessionId>, _max: usize) -> SessionPage {
        SessionPage { sessions: Vec::new(), next: None }
    }

    /// The session's events from a place on, then live.
    pub async fn watch(&self, id: SessionId, _from: Offset) -> Result<Follow, FlowError> {
        Err(FlowError::NoSession(id))
    }

    /// Says something to the agent; it hears it now, or when it can.
    pub async fn iterate(&self, id: SessionId, _request: String) -> Result<(), FlowError> {
        Err(FlowError::NoSession(id))
    }

    /// Answers a gate.
    pub async fn respond(&self, id: SessionId, _response: Response) -> Result<(), FlowError> {
        Err(FlowError::NoSession(id))
    }

    /// Stops the running turn; success when there was none, or no such session.
    pub async fn interrupt(&self, _id: SessionId) -> Result<(), FlowError> {
        Ok(())
    }

    /// Ends the session for good: agent, sandbox and gates are gone; success when they were.
    pub async fn cancel(&self, _id: SessionId) -> Result<(), FlowError> {
        Ok(())
    }

    /// As cancel, and forgets it.
    pub async fn delete(&self, id: SessionId) -> Result<(), FlowError> {
        Err(FlowError::NoSession(id))
    }

    /// Takes a hook event of the session's agent.
    pub async fn hook_event(&self, _id: SessionId, _body: Value) -> Result<HookReply, FlowError> {
        Ok(HookReply::Ok)
    }

    /// The gates of a session that wait for a person.
    pub async fn pending_gates(&self, id: SessionId) -> Result<Vec<PendingGate>, FlowError> {
        Err(FlowError::NoSession(id))
    }

    /// The messages of a session that wait for its agent, in order.
    pub async fn queue(&self, id: SessionId) -> Result<Vec<QueuedMessage>, FlowError> {
        Err(FlowError::NoSession(id))
    }

    /// Detaches from all agents (they go on) and ends every task.
    pub async fn stop(&self) {}
}
