//! What is known of a conversation: plain data, no clock, no process, no stream.

use std::collections::{BTreeSet, HashSet, VecDeque};

use serde_json::Value;
use studio_agent_codec::{Ask, AskKind, Heard, MessageState};
use studio_events::{EngineEvent, GateClosed, LogLevel, Source};
use studio_ids::{GateId, MessageId, RunId};

use crate::{Activity, OpenAsk, Told, Waiting, WaitingState};

/// What a change comes to: to be recorded and told, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Note {
    /// Into the stream, then to the listener.
    Event(Source, EngineEvent),
    /// To the listener alone.
    Told(Told),
}

impl Note {
    pub(crate) fn server(event: EngineEvent) -> Self {
        Self::Event(Source::Server, event)
    }
}

/// Where a message that the agent has not begun to read stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It waits for its turn to be handed over.
    Undelivered,
    /// It is being handed to the process; the agent may have read it before that is known.
    Handing,
    /// The process was handed it.
    Delivered,
    /// It waits for the next thing said.
    Held,
}

/// A message that the agent has not begun to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: MessageId,
    pub(crate) text: String,
    pub(crate) place: Place,
    /// How often it was held in the present run.
    pub(crate) holds: u32,
}

/// The id under which a message travels to the process of `run`. The first time it is the
/// message's own. An agent drops a second message with an id that it knows, so one that was taken
/// back travels under another one: always the same for the same place in the log, so that a
/// restarted server delivers it once.
pub(crate) fn wire_id(message: MessageId, run: RunId, holds: u32) -> MessageId {
    if holds == 0 {
        return message;
    }
    let mut bytes = *message.as_bytes();
    for (byte, other) in bytes.iter_mut().zip(run.as_bytes()) {
        *byte ^= other;
    }
    for (byte, other) in bytes[10..].iter_mut().zip(holds.to_be_bytes()) {
        *byte = byte.wrapping_add(other);
    }
    // The version and the variant of a random UUID; some agents look.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    MessageId::from_bytes(bytes)
}

/// Something the agent waits for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pending {
    pub(crate) ask: Ask,
    /// The `gate_response` that is recorded for it.
    pub(crate) response: Option<Value>,
    /// What is recorded once the answer is delivered; known while an answer was tried.
    pub(crate) resolved: Option<EngineEvent>,
    /// An answer is on its way.
    pub(crate) answering: bool,
}

/// One agent process's conversation.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) run: RunId,
    /// Not read yet, in the order in which they were said.
    pub(crate) waiting: VecDeque<Message>,
    /// Were read in this run, as far as it is known: not to be delivered again.
    pub(crate) read: HashSet<MessageId>,
    /// Read, their turn goes on; with the ids they travelled under.
    pub(crate) reading: Vec<(Message, MessageId)>,
    pub(crate) turn: bool,
    pub(crate) asks: Vec<Pending>,
    /// Tool calls that go on.
    pub(crate) tools: BTreeSet<String>,
    pub(crate) conversation: Option<String>,
    /// Whether the agent tells what becomes of messages.
    pub(crate) tells_states: bool,
    /// The conversation that was to be resumed is not there.
    pub(crate) lost: bool,
    /// Answers to requests of ours that were heard and not looked at.
    pub(crate) replies: Vec<String>,
}

impl Talk {
    pub(crate) fn new(run: RunId) -> Self {
        Self {
            run,
            waiting: VecDeque::new(),
            read: HashSet::new(),
            reading: Vec::new(),
            turn: false,
            asks: Vec::new(),
            tools: BTreeSet::new(),
            conversation: None,
            tells_states: false,
            lost: false,
            replies: Vec::new(),
        }
    }

    /// Begins a new run: what was not read is held, the conversation may go on.
    pub(crate) fn begin(&mut self, run: RunId, conversation: Option<String>) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let read = std::mem::take(&mut self.read);
        for message in &mut waiting {
            message.place = Place::Held;
            message.holds = 1;
        }
        *self = Self { waiting, read, conversation, ..Self::new(run) };
    }

    /// Whether a turn runs or will.
    pub(crate) fn is_working(&self) -> bool {
        self.turn || self.waiting.iter().any(|message| message.place != Place::Held)
    }

    pub(crate) fn activity(&self) -> Activity {
        if !self.asks.is_empty() {
            Activity::WaitingForPerson
        } else if self.is_working() {
            Activity::Working
        } else {
            Activity::Idle
        }
    }

    pub(crate) fn queue(&self) -> Vec<Waiting> {
        let state = |place| match place {
            Place::Undelivered | Place::Handing | Place::Delivered => WaitingState::Queued,
            Place::Held => WaitingState::Held,
        };
        self.waiting
            .iter()
            .map(|m| Waiting { id: m.id, text: m.text.clone(), state: state(m.place) })
            .collect()
    }

    pub(crate) fn open_asks(&self) -> Vec<OpenAsk> {
        let open = |p: &Pending| OpenAsk { ask: p.ask.clone(), response: p.response.clone() };
        self.asks.iter().map(open).collect()
    }

    pub(crate) fn message(&mut self, id: MessageId) -> Option<&mut Message> {
        self.waiting.iter_mut().find(|message| message.id == id)
    }

    pub(crate) fn ask(&mut self, gate: &GateId) -> Option<&mut Pending> {
        self.asks.iter_mut().find(|pending| pending.ask.gate == *gate)
    }

    /// Ids of what is held.
    pub(crate) fn held(&self) -> Vec<MessageId> {
        self.waiting.iter().filter(|m| m.place == Place::Held).map(|m| m.id).collect()
    }

    /// Lets go of what is held; it stands before everything said later.
    pub(crate) fn release(&mut self) -> Vec<MessageId> {
        let ids = self.held();
        for message in &mut self.waiting {
            if message.place == Place::Held {
                message.place = Place::Undelivered;
            }
        }
        ids
    }

    /// Holds what satisfies `which`; the event that says so, if there is any.
    pub(crate) fn hold(&mut self, which: impl Fn(&Message) -> bool) -> Option<Note> {
        let mut ids = Vec::new();
        for message in &mut self.waiting {
            if message.place != Place::Held && which(message) {
                message.place = Place::Held;
                message.holds += 1;
                ids.push(message.id);
            }
        }
        (!ids.is_empty()).then(|| Note::server(states(ids, "held")))
    }

    /// What a line comes to.
    pub(crate) fn hear(&mut self, line: Vec<Heard>) -> Vec<Note> {
        let mut notes = Vec::new();
        if line.contains(&Heard::ConversationLost) {
            self.lose(&mut notes);
        }
        for heard in line {
            self.hear_one(heard, &mut notes);
        }
        notes
    }

    /// Brings the state to where it was after this line, which is recorded already. Messages and
    /// gates stand in the record itself.
    pub(crate) fn remember(&mut self, line: Vec<Heard>) {
        let waiting = std::mem::take(&mut self.waiting);
        let reading = std::mem::take(&mut self.reading);
        self.hear(line);
        self.replies.clear();
        (self.waiting, self.reading) = (waiting, reading);
    }

    fn hear_one(&mut self, heard: Heard, notes: &mut Vec<Note>) {
        match heard {
            // The turn that could not begin is not over: its message is said again.
            Heard::Event(EngineEvent::SessionEnd { .. }) if self.lost => {}
            Heard::Event(event) => {
                let ended = self.look_at(&event);
                notes.push(Note::Event(Source::Agent, event));
                if let Some(gate) = ended {
                    self.call_ended(&gate, notes);
                }
            }
            Heard::TurnStarted => {
                self.turn = true;
                notes.push(Note::Told(Told::TurnStarted));
            }
            Heard::TurnEnded { .. } if self.lost => self.turn = false,
            Heard::TurnEnded { success } => {
                self.turn = false;
                self.tools.clear();
                self.complete_silent(notes);
                notes.push(Note::Told(Told::TurnEnded { success }));
            }
            Heard::Conversation { id } => {
                if self.conversation.as_ref() != Some(&id) {
                    self.conversation = Some(id.clone());
                }
                notes.push(Note::Told(Told::Conversation { id }));
            }
            // Looked at before the line's other parts.
            Heard::ConversationLost => {}
            Heard::Asks(ask) => {
                self.asks.retain(|pending| pending.ask.gate != ask.gate);
                let pending =
                    Pending { ask: ask.clone(), response: None, resolved: None, answering: false };
                self.asks.push(pending);
                notes.push(Note::Told(Told::Asked(ask)));
            }
            Heard::Unasks { request_id } => {
                let found = self.asks.iter().position(|p| p.ask.request_id == request_id);
                if let Some(found) = found {
                    let pending = self.asks.remove(found);
                    notes.extend(closed(pending, GateClosed::Withdrawn));
                }
            }
            Heard::Replied { request_id, .. } => self.replies.push(request_id),
            Heard::Message { id, state } => self.message_told(id, state, notes),
        }
    }

    fn lose(&mut self, notes: &mut Vec<Note>) {
        if std::mem::replace(&mut self.lost, true) {
            return;
        }
        let message = "The agent's earlier conversation could not be found. It goes on without \
                       what was said before."
            .to_owned();
        notes.push(Note::server(EngineEvent::Log { level: LogLevel::System, message }));
    }

    /// Follows tool calls; the gate of a call that ended.
    fn look_at(&mut self, event: &EngineEvent) -> Option<GateId> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "only tool calls matter here")]
        match event {
            EngineEvent::PreToolUse { tool_use_id, .. } => {
                self.tools.insert(tool_use_id.clone());
                None
            }
            EngineEvent::PostToolUse { tool_use_id, .. }
            | EngineEvent::PostToolUseFailure { tool_use_id, .. } => {
                self.tools.remove(tool_use_id);
                let is_it = |p: &&Pending| p.ask.gate.as_str() == tool_use_id;
                self.asks.iter().find(is_it).map(|p| p.ask.gate.clone())
            }
            _ => None,
        }
    }

    /// The call that a person was asked about is over, so nobody waits for an answer: it was
    /// answered after all, or the agent went on without.
    fn call_ended(&mut self, gate: &GateId, notes: &mut Vec<Note>) {
        let Some(found) = self.asks.iter().position(|p| p.ask.gate == *gate) else { return };
        // The answer's own delivery is about to be told, and says more.
        if self.asks[found].answering {
            return;
        }
        let pending = self.asks.remove(found);
        match (&pending.resolved, &pending.response) {
            (Some(resolved), _) => notes.push(Note::server(resolved.clone())),
            (None, Some(_)) => notes.push(Note::server(EngineEvent::GateResolved {
                gate: kind_of(&pending.ask).to_owned(),
                summary: None,
                details: None,
                resolved_by: None,
                gate_id: Some(gate.clone()),
                tool_use_id: Some(gate.as_str().to_owned()),
            })),
            (None, None) => notes.extend(closed(pending, GateClosed::Withdrawn)),
        }
    }

    /// An agent that does not tell what becomes of messages has read them by the turn's end.
    fn complete_silent(&mut self, notes: &mut Vec<Note>) {
        if self.tells_states {
            return;
        }
        let (read, rest) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<VecDeque<_>, _>(|m| matches!(m.place, Place::Handing | Place::Delivered));
        self.waiting = rest;
        if !read.is_empty() {
            self.read.extend(read.iter().map(|message| message.id));
            let ids = read.into_iter().map(|message| message.id).collect();
            notes.push(Note::Event(Source::Agent, states(ids, "completed")));
        }
    }

    fn message_told(&mut self, wire: MessageId, state: MessageState, notes: &mut Vec<Note>) {
        self.tells_states = true;
        let run = self.run;
        let waits = self.waiting.iter().position(|m| wire_id(m.id, run, m.holds) == wire);
        let reads = self.reading.iter().position(|(_, other)| *other == wire);
        let said = |id, word| Note::Event(Source::Agent, states(vec![id], word));
        match (state, waits, reads) {
            (MessageState::Queued, Some(waits), _) => {
                let message = &mut self.waiting[waits];
                message.place = Place::Delivered;
                notes.push(said(message.id, "queued"));
            }
            (MessageState::Started, Some(waits), _) => {
                if let Some(message) = self.waiting.remove(waits) {
                    self.read.insert(message.id);
                    self.turn = true;
                    notes.push(said(message.id, "started"));
                    self.reading.push((message, wire));
                }
            }
            (MessageState::Completed, Some(waits), _) => {
                if let Some(message) = self.waiting.remove(waits) {
                    self.read.insert(message.id);
                    notes.push(said(message.id, "completed"));
                }
            }
            // Not read: it is not lost either.
            (MessageState::Cancelled, Some(waits), _) => {
                let id = self.waiting[waits].id;
                notes.extend(self.hold(|message| message.id == id));
            }
            (MessageState::Completed, None, Some(reads)) => {
                notes.push(said(self.reading.remove(reads).0.id, "completed"));
            }
            (MessageState::Cancelled, None, Some(reads)) => {
                notes.push(said(self.reading.remove(reads).0.id, "cancelled"));
            }
            // Of something the agent told itself, or told before.
            (
                MessageState::Queued
                | MessageState::Started
                | MessageState::Completed
                | MessageState::Cancelled,
                None,
                _,
            ) => {}
        }
    }

    /// The process is gone. What it read is in its conversation, unless that is lost; what it did
    /// not read is held.
    pub(crate) fn leave(&mut self, outcome: GateClosed) -> Vec<Note> {
        let mut notes = self.close_asks(outcome);
        let reading = std::mem::take(&mut self.reading);
        if self.lost {
            for (message, _) in reading.into_iter().rev() {
                self.read.remove(&message.id);
                self.waiting.push_front(Message { place: Place::Delivered, ..message });
            }
        } else if !reading.is_empty() {
            let ids = reading.into_iter().map(|(message, _)| message.id).collect();
            notes.push(Note::server(states(ids, "cancelled")));
        }
        notes.extend(self.hold(|_| true));
        self.turn = false;
        self.tools.clear();
        notes
    }

    /// Closes every open ask.
    pub(crate) fn close_asks(&mut self, outcome: GateClosed) -> Vec<Note> {
        std::mem::take(&mut self.asks).into_iter().flat_map(|p| closed(p, outcome)).collect()
    }
}

/// The event that says where messages stand.
pub(crate) fn states(message_ids: Vec<MessageId>, state: &str) -> EngineEvent {
    EngineEvent::MessageState { message_ids, state: state.to_owned() }
}

/// A gate's kind in the stream's words.
pub(crate) fn kind_of(ask: &Ask) -> &'static str {
    match ask.kind {
        AskKind::Question => "ask_user_question",
        AskKind::Permission => "permission",
    }
}

fn closed(pending: Pending, outcome: GateClosed) -> [Note; 2] {
    let gate = kind_of(&pending.ask).to_owned();
    let gate_id = pending.ask.gate;
    let event = EngineEvent::GateClosed { gate, gate_id: gate_id.clone(), outcome };
    [Note::server(event), Note::Told(Told::Unasked { gate: gate_id })]
}

#[cfg(test)]
mod tests;
