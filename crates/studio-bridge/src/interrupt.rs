//! How a running turn is ended: by asking first, by signals if that does not help, verified in
//! the end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use studio_events::GateClosed;
use studio_ids::{MessageId, RunId};
use studio_sandbox::{Exit, JournaledProcess, SandboxError};
use tokio::time::Instant;

use crate::{
    BridgeError,
    agent::{Agent, Outgoing, Stage},
    owner::{Owner, Reply},
    talk::Place,
};

/// An interrupt under way.
pub(crate) struct Interrupt {
    /// Who waits for it.
    replies: Vec<Reply<()>>,
    process: JournaledProcess,
    /// The id of our request to the agent.
    request: String,
    /// The agent answered it.
    heard: bool,
    /// A tool was running: what it started must be gone.
    tool: bool,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The agent was asked, and has until then.
    Asked(Instant),
    /// What the tool left is being killed.
    KillingChildren,
    /// Signals are being sent.
    Stopping,
    /// Nothing runs any more.
    Stopped,
}

impl Interrupt {
    /// When patience ends.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.step {
            Step::Asked(until) => Some(until),
            Step::KillingChildren | Step::Stopping | Step::Stopped => None,
        }
    }

    pub(crate) fn run(&self) -> RunId {
        self.process.run()
    }
}

impl Owner {
    pub(crate) async fn begin_interrupt(&mut self, reply: Reply<()>) {
        if let Some(interrupt) = &mut self.interrupt {
            interrupt.replies.push(reply);
            return;
        }
        let works = self.talk.is_working() || !self.talk.asks.is_empty();
        let Some(agent) = self.agent.as_mut().filter(|_| works) else {
            // The caller may have gone.
            reply.send(Ok(())).ok();
            return;
        };

        let starting = matches!(agent.stage, Stage::Starting(_));
        let dropped: Vec<_> = agent.outgoing.drain(..).collect();
        let request = format!("interrupt-{}", MessageId::random());
        let mut lines = Vec::new();
        for message in &self.talk.waiting {
            if matches!(message.place, Place::Handing | Place::Delivered) {
                let wire = crate::talk::wire_id(message.id, self.talk.run, message.holds);
                let id = format!("take-back-{}", MessageId::random());
                lines.extend(agent.codec.take_back(&id, wire).unwrap_or_default());
            }
        }
        lines.extend(agent.codec.interrupt(&request));
        if !starting {
            let line = Bytes::from(lines);
            agent.outgoing.push_back(Outgoing::Control { id: request.clone(), line });
            agent.write_was_good();
        }
        let process = agent.process.clone();

        let mut notes = self.talk.close_asks(GateClosed::Rejected);
        notes.extend(self.talk.hold(|message| message.place == Place::Undelivered));
        self.put(notes).await;
        dropped.into_iter().for_each(|outgoing| self.not_asked(outgoing));

        let until = Instant::now() + self.settings.interrupt_patience;
        self.interrupt = Some(Interrupt {
            replies: vec![reply],
            process,
            request,
            // A program that was not started yet runs no turn.
            heard: starting,
            tool: !self.talk.tools.is_empty(),
            step: Step::Asked(until),
        });
    }

    /// Whether nothing of the turn goes on and nothing will begin by itself.
    fn is_quiet(&self) -> bool {
        !self.talk.is_working()
    }

    /// Looks whether the interrupt came to its end.
    pub(crate) fn look_at_interrupt(&mut self) {
        let replies = std::mem::take(&mut self.talk.replies);
        let quiet = self.is_quiet();
        let gone =
            self.agent.as_ref().map(Agent::run) != self.interrupt.as_ref().map(Interrupt::run);
        let stuck = self.log.is_stuck();
        let Some(interrupt) = &mut self.interrupt else { return };
        interrupt.heard |= replies.contains(&interrupt.request);
        match interrupt.step {
            // It ended by itself: what its tool started may have stayed behind.
            Step::Asked(_) if gone && interrupt.tool => self.escalate(),
            Step::Asked(_) if gone => self.interrupted(Ok(())),
            Step::Asked(_) if interrupt.heard && quiet => self.clean_up(),
            // While nothing can be recorded the end is recorded later.
            Step::Stopped if gone || stuck => self.interrupted(Ok(())),
            Step::Asked(_) | Step::KillingChildren | Step::Stopping | Step::Stopped => {}
        }
    }

    pub(crate) fn interrupt_is_due(&mut self, now: Instant) {
        let quiet = self.is_quiet();
        let due = self.interrupt.as_ref().and_then(Interrupt::due).is_some_and(|due| due <= now);
        match due {
            false => {}
            // An agent that does not say that it was interrupted.
            true if quiet => self.clean_up(),
            true => self.escalate(),
        }
    }

    /// The turn is over; what its tool started must be, too.
    fn clean_up(&mut self) {
        let Some(interrupt) = &mut self.interrupt else { return };
        if interrupt.tool {
            interrupt.step = Step::KillingChildren;
            self.doing.kill_children(interrupt.process.clone());
        } else {
            self.interrupted(Ok(()));
        }
    }

    fn escalate(&mut self) {
        let Some(interrupt) = &mut self.interrupt else { return };
        interrupt.step = Step::Stopping;
        if let Some(agent) = self.agent.as_mut().filter(|agent| agent.run() == interrupt.run()) {
            agent.is_interrupted = true;
        }
        self.doing.stop(interrupt.process.clone(), self.settings.signal_patience);
    }

    pub(crate) fn children_killed(&mut self, result: Result<(), SandboxError>) {
        match result {
            Ok(()) | Err(SandboxError::Gone { .. }) => self.interrupted(Ok(())),
            Err(error) => {
                tracing::warn!(
                    session.id = %self.session,
                    error = &error as &dyn std::error::Error,
                    "what a tool of session {} started may be running, its agent is stopped",
                    self.session
                );
                self.escalate();
            }
        }
    }

    pub(crate) fn signals_sent(&mut self, result: Result<Exit, SandboxError>) {
        let Some(interrupt) = &mut self.interrupt else { return };
        match result {
            Ok(_) | Err(SandboxError::Gone { .. }) => interrupt.step = Step::Stopped,
            Err(error) => {
                let (session, source) = (self.session, Arc::new(error));
                let tried = "stopping the agent";
                self.interrupted(Err(BridgeError::Sandbox { session, tried, source }));
            }
        }
    }

    fn interrupted(&mut self, result: Result<(), BridgeError>) {
        let Some(interrupt) = self.interrupt.take() else { return };
        for reply in interrupt.replies {
            // The caller may have gone.
            reply.send(result.clone()).ok();
        }
    }
}

/// How long `finish` waits for a program that is just being started.
pub(crate) const START_PATIENCE: Duration = Duration::from_secs(5);
