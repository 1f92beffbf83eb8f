//! What people say and answer: recorded, handed to the process one after the other, and what
//! becomes of it.

use studio_agent_codec::Answer;
use studio_events::{EngineEvent, InternalEvent};
use studio_ids::{GateId, MessageId};
use studio_sandbox::SandboxError;

use crate::{
    AnswerRecord, BridgeError, MESSAGES_WAITING_MAX,
    agent::{Outgoing, OutgoingAnswer, Stage, answer_write_id},
    log::{Draft, Then},
    owner::{Owner, Reply},
    talk::{Message, Note, Place, states, wire_id},
};

/// How often an answer is written before its giver is told that it did not arrive.
const ANSWER_ATTEMPTS_MAX: u32 = 3;

impl Owner {
    /// Whether the agent can be told something more.
    fn may_say(&self) -> Result<(), BridgeError> {
        let (session, max) = (self.session, MESSAGES_WAITING_MAX);
        if !self.is_reachable() {
            return Err(BridgeError::NoAgent(session));
        }
        if max <= self.talk.waiting.len() {
            return Err(BridgeError::QueueFull { session, max });
        }
        Ok(())
    }

    pub(crate) async fn deliver(&mut self, id: MessageId, text: String) -> Result<(), BridgeError> {
        self.may_say()?;
        let was_read = self.talk.read.contains(&id);
        let held = match self.talk.message(id) {
            None if was_read => return Ok(()),
            None => false,
            Some(message) if message.place == Place::Held => true,
            Some(_on_its_way) => return Ok(()),
        };
        let mut ids = self.talk.held();
        if !held {
            ids.push(id);
        }
        let mut draft = Draft::default();
        draft.server(states(ids, "queued"));
        if held {
            self.log.write(draft, Then::Nothing).await?;
            self.send_released();
        } else {
            self.log.write(draft, Then::Said { id, text: text.clone() }).await?;
            self.said(id, text);
        }
        Ok(())
    }

    pub(crate) async fn say(
        &mut self,
        text: String,
        sender: Option<String>,
    ) -> Result<MessageId, BridgeError> {
        self.may_say()?;
        let id = MessageId::random();
        let mut draft = Draft::default();
        let held = self.talk.held();
        if !held.is_empty() {
            draft.server(states(held, "queued"));
        }
        let message = text.clone();
        draft.server(EngineEvent::UserPrompt { message, sender, message_id: Some(id) });
        self.log.write(draft, Then::Said { id, text: text.clone() }).await?;
        self.said(id, text);
        Ok(id)
    }

    /// The words are recorded: they go to the agent, after what was held.
    pub(crate) fn said(&mut self, id: MessageId, text: String) {
        self.send_released();
        let message = Message { id, text, place: Place::Undelivered, holds: 0 };
        self.talk.waiting.push_back(message);
        match &mut self.agent {
            Some(agent) => agent.outgoing.push_back(Outgoing::Say(id)),
            // It ended while the record was in doubt. The words are in the stream and are found
            // there by the next server; this one holds them.
            None => {
                self.talk.hold(|message| message.id == id);
            }
        }
    }

    fn send_released(&mut self) -> usize {
        let Some(agent) = &mut self.agent else { return 0 };
        let released = self.talk.release();
        agent.outgoing.extend(released.iter().copied().map(Outgoing::Say));
        released.len()
    }

    pub(crate) async fn say_held(&mut self) -> Result<usize, BridgeError> {
        if !self.is_reachable() {
            return Err(BridgeError::NoAgent(self.session));
        }
        let held = self.talk.held();
        if held.is_empty() {
            return Ok(0);
        }
        let mut draft = Draft::default();
        draft.server(states(held, "queued"));
        self.log.write(draft, Then::Nothing).await?;
        Ok(self.send_released())
    }

    pub(crate) async fn drop_message(&mut self, id: MessageId) -> Result<(), BridgeError> {
        self.remember().await?;
        let session = self.session;
        match self.talk.message(id).map(|message| message.place) {
            Some(Place::Held | Place::Undelivered) => {}
            Some(Place::Handing | Place::Delivered) => {
                return Err(BridgeError::HandedOver { session, message: id });
            }
            None => return Err(BridgeError::NotWaiting { session, message: id }),
        }
        let mut draft = Draft::default();
        draft.server(states(vec![id], "cancelled"));
        self.log.write(draft, Then::Nothing).await?;
        // What is in line for the process without its words is passed over.
        self.talk.waiting.retain(|message| message.id != id);
        self.talk.read.insert(id);
        Ok(())
    }

    /// Whether there is a process that will read what is said now.
    fn is_reachable(&self) -> bool {
        !self.talk.lost
            && self.agent.as_ref().is_some_and(|agent| !matches!(agent.stage, Stage::Ending))
    }

    pub(crate) async fn answer(
        &mut self,
        gate: GateId,
        answer: Answer,
        recorded: AnswerRecord,
        reply: Reply<()>,
    ) {
        match self.accept_answer(&gate, recorded).await {
            Ok(resolved) => {
                let outgoing = OutgoingAnswer { gate, answer, resolved, reply, attempts: 0 };
                if let Some(agent) = &mut self.agent {
                    agent.outgoing.push_back(Outgoing::Answer(Box::new(outgoing)));
                }
            }
            // The caller may have gone.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    async fn accept_answer(
        &mut self,
        gate: &GateId,
        recorded: AnswerRecord,
    ) -> Result<EngineEvent, BridgeError> {
        let session = self.session;
        let reachable = self.agent.is_some();
        let Some(pending) = self.talk.ask(gate).filter(|_| reachable) else {
            return Err(BridgeError::NotAsked { session, gate: gate.clone() });
        };
        if pending.answering {
            let what = format!("the answer to gate {gate}");
            let reason = "another one is on its way".to_owned();
            return Err(BridgeError::Undelivered { session, what, reason });
        }
        if pending.response.is_none() {
            let value = match &recorded.response {
                InternalEvent::GateResponse { value, .. } => value.clone(),
                InternalEvent::WriterStarted { .. }
                | InternalEvent::RunStarted { .. }
                | InternalEvent::Recorded => serde_json::Value::Null,
            };
            let mut draft = Draft::default();
            draft.internal(recorded.response);
            self.log.write(draft, Then::Nothing).await?;
            if let Some(pending) = self.talk.ask(gate) {
                pending.response = Some(value);
            }
        }
        if let Some(pending) = self.talk.ask(gate) {
            pending.answering = true;
            pending.resolved = Some(recorded.resolved.clone());
        }
        Ok(recorded.resolved)
    }

    /// Hands the next thing in line to the process.
    pub(crate) fn pump(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        let busy = agent.writing.is_some() || agent.write_at.is_some();
        if busy || matches!(agent.stage, Stage::Starting(_) | Stage::Ending) {
            return;
        }
        let run = agent.run();
        while let Some(next) = agent.outgoing.pop_front() {
            let (id, input) = match &next {
                Outgoing::Control { id, line } => (id.clone(), line.clone()),
                Outgoing::Say(id) => {
                    let message = self.talk.message(*id);
                    let Some(message) = message.filter(|m| m.place != Place::Held) else {
                        continue;
                    };
                    message.place = Place::Handing;
                    let wire = wire_id(message.id, run, message.holds);
                    let line = agent.codec.say(wire, &message.text);
                    (format!("say-{wire}"), line.into())
                }
                Outgoing::Answer(answer) => {
                    let Some(pending) = self.talk.ask(&answer.gate) else {
                        self.not_asked(next);
                        return self.pump();
                    };
                    let id = answer_write_id(&answer.gate, &pending.ask.request_id);
                    (id, agent.codec.answer(&pending.ask, &answer.answer).into())
                }
            };
            self.doing.write(agent.process.clone(), id, input);
            agent.writing = Some(next);
            return;
        }
    }

    /// The question was closed before its answer was delivered.
    pub(crate) fn not_asked(&self, outgoing: Outgoing) {
        if let Outgoing::Answer(answer) = outgoing {
            let (session, gate) = (self.session, answer.gate);
            // The caller may have gone.
            answer.reply.send(Err(BridgeError::NotAsked { session, gate })).ok();
        }
    }

    pub(crate) async fn delivered(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Control { .. } => {}
            Outgoing::Say(id) => {
                if let Some(message) = self.talk.message(id)
                    && message.place == Place::Handing
                {
                    message.place = Place::Delivered;
                }
            }
            Outgoing::Answer(answer) => {
                let asks = &mut self.talk.asks;
                let Some(found) = asks.iter().position(|p| p.ask.gate == answer.gate) else {
                    return self.not_asked(Outgoing::Answer(answer));
                };
                asks.remove(found);
                let OutgoingAnswer { resolved, reply, .. } = *answer;
                self.put(vec![Note::server(resolved)]).await;
                // The caller may have gone.
                reply.send(Ok(())).ok();
            }
        }
    }

    pub(crate) async fn undelivered(&mut self, outgoing: Outgoing, error: SandboxError) {
        let Some(agent) = &mut self.agent else { return };
        if matches!(error, SandboxError::Gone { .. }) {
            agent.writing = Some(outgoing);
            return self.ended(None, "").await;
        }
        tracing::debug!(
            session.id = %self.session,
            run.id = %agent.run(),
            error = &error as &dyn std::error::Error,
            "the agent of session {} did not take its input",
            self.session
        );
        match outgoing {
            Outgoing::Answer(mut answer) => {
                answer.attempts += 1;
                let hopeless =
                    matches!(error, SandboxError::TimedOut { .. } | SandboxError::Failed { .. });
                if !hopeless && answer.attempts < ANSWER_ATTEMPTS_MAX {
                    agent.write_again(Outgoing::Answer(answer));
                } else {
                    if let Some(pending) = self.talk.ask(&answer.gate) {
                        pending.answering = false;
                    }
                    self.not_delivered(*answer, error.to_string());
                }
            }
            outgoing @ Outgoing::Control { .. } => agent.write_again(outgoing),
            Outgoing::Say(id) => {
                if let Some(message) = self.talk.message(id)
                    && message.place == Place::Handing
                {
                    message.place = Place::Undelivered;
                }
                agent.write_again(Outgoing::Say(id));
            }
        }
    }

    pub(crate) fn not_delivered(&self, answer: OutgoingAnswer, reason: String) {
        let (session, what) = (self.session, format!("the answer to gate {}", answer.gate));
        // The caller may have gone.
        answer.reply.send(Err(BridgeError::Undelivered { session, what, reason })).ok();
    }
}
