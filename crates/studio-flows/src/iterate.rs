//! Saying something to an agent that was started before.

use std::sync::Arc;

use studio_bridge::{BridgeError, Waiting, WaitingState};
use studio_events::{LogLevel, Phase, SessionStatus};
use studio_ids::{MessageId, SessionId};
use studio_sandbox::SandboxState;

use crate::{FlowError, Studio, inner::Inner, live::Live, prepare::log, words::QueuedMessage};

/// How often a session is taken up for one message, when it is put down again and again.
const TAKE_UP_ATTEMPTS_MAX: u32 = 3;

impl Studio {
    /// Says something to the agent; it hears it now, or when it can.
    pub async fn iterate(&self, id: SessionId, request: String) -> Result<(), FlowError> {
        self.whole(move |inner| async move { inner.iterate(id, request, None).await }).await
    }

    /// The messages of a session that wait for its agent, in order.
    pub async fn queue(&self, id: SessionId) -> Result<Vec<QueuedMessage>, FlowError> {
        let inner = self.inner();
        if inner.record(id)?.internal.phase != Phase::Started {
            return Ok(Vec::new());
        }
        let live = inner.live(id).await?;
        let waiting = live.bridge.queue().await.map_err(|e| FlowError::bridge(id, &e))?;
        let message = |w: Waiting| QueuedMessage {
            id: w.id,
            text: w.text,
            state: match w.state {
                WaitingState::Queued => "queued",
                WaitingState::Held => "held",
            },
        };
        Ok(waiting.into_iter().map(message).collect())
    }
}

impl Studio {
    /// Drops a message that waits for the agent, for good: one on which the agent dies again and
    /// again is got rid of.
    ///
    /// Errors: [`FlowError::NoMessage`]; [`FlowError::MessageHandedOver`].
    pub async fn drop_message(&self, id: SessionId, message: MessageId) -> Result<(), FlowError> {
        self.whole(move |inner| async move { inner.drop_message(id, message).await }).await
    }
}

impl Inner {
    async fn drop_message(&self, id: SessionId, message: MessageId) -> Result<(), FlowError> {
        if self.record(id)?.internal.phase != Phase::Started {
            return Err(FlowError::NoMessage(message));
        }
        let live = self.live(id).await?;
        live.bridge.drop_message(message).await.map_err(|e| FlowError::bridge(id, &e))
    }

    pub(crate) async fn iterate(
        &self,
        id: SessionId,
        text: String,
        sender: Option<String>,
    ) -> Result<(), FlowError> {
        let record = self.record(id)?;
        if record.internal.phase != Phase::Started {
            return Err(FlowError::NoSandbox(id));
        }
        self.check_budget(id)?;
        let mut live = self.live(id).await?;
        if live.is_outdated() {
            // The agent itself holds to the budget that it was started with. One that works is
            // started anew later.
            self.put_down_quiet(&live).await;
            live = self.live(id).await?;
        }
        if live.sandbox().is_none() {
            return Err(FlowError::NoSandbox(id));
        }
        let place = match record.info.status {
            SessionStatus::Running => None,
            SessionStatus::Complete | SessionStatus::Error | SessionStatus::Cancelled => {
                Some(self.place_for_run(&record)?)
            }
        };
        // Before the agent hears it: a server that dies in between is followed by one that looks.
        self.update(id, |u| u.status = Some(SessionStatus::Running)).await?;
        drop(place);
        let mut attempts = 1;
        let said = loop {
            let said = match live.bridge.say(text.clone(), sender.clone()).await {
                Ok(_message) => Ok(()),
                Err(BridgeError::NoAgent(_)) => {
                    self.relaunch(&live, text.clone(), sender.clone()).await
                }
                Err(error) => Err(FlowError::bridge(id, &error)),
            };
            let ended = matches!(
                &said,
                Err(FlowError::Bridge { source, .. }) if matches!(**source, BridgeError::Ended(_))
            );
            if !ended || attempts == TAKE_UP_ATTEMPTS_MAX {
                break said;
            }
            // It was quiet and has been put down, and did not hear this: taken up again.
            attempts += 1;
            live = self.live(id).await?;
        };
        if said.is_err() && record.info.status != SessionStatus::Running {
            self.update(id, |u| u.status = Some(record.info.status)).await?;
        }
        said
    }

    /// Refuses when the session has spent what it may: before a run, not after it (D30-61).
    fn check_budget(&self, id: SessionId) -> Result<(), FlowError> {
        let record = self.record(id)?;
        let budget = self.budget_of(&record);
        match budget.limit_usd() {
            Some(budget_usd) if !budget.allows_a_run() => Err(FlowError::OverBudget {
                session: id,
                budget_usd,
                spent_usd: budget.spent_usd(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Starts an agent that goes on with the session's conversation, and says `text` to it.
    async fn relaunch(
        &self,
        live: &Arc<Live>,
        text: String,
        sender: Option<String>,
    ) -> Result<(), FlowError> {
        let _launching = live.launching.lock().await;
        // Somebody else may have started it while this one waited.
        match live.bridge.say(text.clone(), sender.clone()).await {
            Ok(_message) => return Ok(()),
            Err(BridgeError::NoAgent(_)) => {}
            Err(error) => return Err(FlowError::bridge(live.id, &error)),
        }
        let record = self.record(live.id)?;
        let resume = record.info.last_coder_session_id.clone();
        self.start_again(live, resume).await?;
        let said = live.bridge.say(text, sender).await;
        said.map(|_message| ()).map_err(|e| FlowError::bridge(live.id, &e))
    }

    /// Starts the session's agent anew, with its conversation if there is one to go on with.
    pub(crate) async fn start_again(
        &self,
        live: &Arc<Live>,
        resume: Option<String>,
    ) -> Result<(), FlowError> {
        let record = self.record(live.id)?;
        let sandbox = live.sandbox().ok_or(FlowError::NoSandbox(live.id))?;
        let failed = |source| FlowError::sandbox(live.id, source);
        if sandbox.state().await.map_err(failed)? == SandboxState::Stopped {
            sandbox.wake().await.map_err(failed)?;
        }
        if resume.is_none() {
            let notice = "The agent starts without its earlier conversation.";
            let notice = vec![log(LogLevel::System, notice)];
            live.bridge.record(notice).await.map_err(|e| FlowError::bridge(live.id, &e))?;
        }
        let credentials = self.credentials(live)?;
        let parts = self.agent_parts(&record, sandbox, credentials, resume);
        self.launch(live, parts, None).await
    }

    /// The conversation that was to be gone on with is not there: the agent starts without it,
    /// and what waited to be said is said.
    pub(crate) async fn conversation_lost(&self, live: &Arc<Live>) -> Result<(), FlowError> {
        let _launching = live.launching.lock().await;
        self.start_again(live, None).await?;
        let said = live.bridge.say_held().await;
        said.map(|_messages| ()).map_err(|e| FlowError::bridge(live.id, &e))
    }
}
