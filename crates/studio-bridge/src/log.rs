//! The session's stream as its one writer sees it: what is to be written stands in line, is
//! written in order, and is told once it is durable.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use studio_events::{EngineEvent, JournalMark, SessionEntry, Source, Stamped, Timestamp};
use studio_ids::SessionId;
use studio_streams::{Batch, Offset, RECORD_BYTES_MAX, SessionWriter, StreamError};
use tokio::time::{Instant, sleep};

use crate::{BridgeError, Listener, Record, Told, talk::Note};

/// First and longest wait before what could not be written is tried again.
const BACK_OFF_FIRST: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// How often a command's batch is tried while the store is busy, before its caller is told.
const COMMAND_ATTEMPTS_MAX: u32 = 5;
/// How long words of the agent may wait for more of them, to be written in one append.
const JOIN_FOR: Duration = Duration::from_millis(10);
/// Where joined words are written at once, in bytes: no reader waits for a larger piece.
const JOIN_BYTES_MAX: usize = 64 * 1024;

/// Why nothing more will be written.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// Another server owns the stream.
    Fenced,
    /// The stream does not take this writer's batches: deleted, closed, out of step.
    Broken(Arc<StreamError>),
}

/// A batch that is not known to be durable.
struct Unwritten {
    batch: Batch,
    told: Vec<Told>,
    /// It lies with the writer, which does not know whether the store has it.
    in_doubt: bool,
    /// What a command wanted done once it is durable.
    then: Then,
}

/// What follows from a batch that became durable later than its caller could wait for.
#[derive(Debug)]
pub(crate) enum Then {
    Nothing,
    /// Words for the agent are recorded.
    Said {
        id: studio_ids::MessageId,
        text: String,
    },
}

pub(crate) struct Log {
    session: SessionId,
    writer: SessionWriter,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    listener: Arc<dyn Listener>,
    /// What the session's course made and must be written. Bounded: while anything stands here
    /// nothing more is read from the agent and commands that record are refused.
    unwritten: VecDeque<Unwritten>,
    trouble: Option<Arc<StreamError>>,
    retry_at: Option<Instant>,
    back_off: Duration,
    fate: Option<Fate>,
    /// Of batches that became durable late.
    late: Vec<Then>,
    /// Words of the agent that wait for more of them. In the journal they stand behind what is
    /// recorded, so a server that dies with them is followed by one that reads them again.
    joined: Option<Joined>,
    /// Words that come before this are joined with the next ones: some were written just now.
    join_until: Option<Instant>,
}

/// Words that will be one batch.
struct Joined {
    records: Vec<Bytes>,
    told: Vec<Told>,
    bytes: usize,
    due: Instant,
}

/// Entries of one batch with what is told of them.
#[derive(Default)]
pub(crate) struct Draft {
    entries: Vec<Draftling>,
    told: Vec<Told>,
}

enum Draftling {
    Engine(Source, EngineEvent),
    Internal(studio_events::InternalEvent),
}

impl Draft {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.told.is_empty()
    }

    pub(crate) fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Whether it is a piece of what the agent says or thinks and nothing else. Agents tell these
    /// token by token; everything else is told at once.
    fn is_words(&self) -> bool {
        let words = |entry: &Draftling| match entry {
            Draftling::Engine(Source::Agent, event) => matches!(
                event,
                EngineEvent::AssistantMessage { .. } | EngineEvent::AssistantThinking { .. }
            ),
            Draftling::Engine(..) | Draftling::Internal(_) => false,
        };
        self.has_entries()
            && self.entries.iter().all(words)
            && self.told.iter().all(|told| matches!(told, Told::Event(_)))
    }

    pub(crate) fn note(&mut self, note: Note) {
        match note {
            Note::Event(source, event) => {
                self.told.push(Told::Event(event.clone()));
                self.entries.push(Draftling::Engine(source, event));
            }
            Note::Told(told) => self.told.push(told),
        }
    }

    pub(crate) fn server(&mut self, event: EngineEvent) {
        self.note(Note::server(event));
    }

    pub(crate) fn internal(&mut self, event: studio_events::InternalEvent) {
        self.entries.push(Draftling::Internal(event));
    }
}

impl From<Vec<Note>> for Draft {
    fn from(notes: Vec<Note>) -> Self {
        let mut draft = Self::default();
        for note in notes {
            draft.note(note);
        }
        draft
    }
}

impl From<Vec<Record>> for Draft {
    fn from(records: Vec<Record>) -> Self {
        let mut draft = Self::default();
        for record in records {
            match record {
                Record::Server(event) => draft.note(Note::Event(Source::Server, event)),
                Record::Agent(event) => draft.note(Note::Event(Source::Agent, event)),
                Record::Internal(event) => draft.internal(event),
            }
        }
        draft
    }
}

impl Log {
    pub(crate) fn new(
        session: SessionId,
        writer: SessionWriter,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        listener: Arc<dyn Listener>,
    ) -> Self {
        Self {
            session,
            writer,
            clock,
            listener,
            unwritten: VecDeque::new(),
            trouble: None,
            retry_at: None,
            back_off: BACK_OFF_FIRST,
            fate: None,
            late: Vec::new(),
            joined: None,
            join_until: None,
        }
    }

    pub(crate) fn writer(&self) -> &SessionWriter {
        &self.writer
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(crate) fn fate(&self) -> Option<&Fate> {
        self.fate.as_ref()
    }

    /// Why something stands in line.
    pub(crate) fn trouble(&self) -> Option<&Arc<StreamError>> {
        self.trouble.as_ref()
    }

    pub(crate) fn is_stuck(&self) -> bool {
        !self.unwritten.is_empty()
    }

    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// When joined words are written at the latest ([`Log::release`]).
    pub(crate) fn release_at(&self) -> Option<Instant> {
        self.joined.as_ref().map(|joined| joined.due)
    }

    pub(crate) fn take_late(&mut self) -> Vec<Then> {
        std::mem::take(&mut self.late)
    }

    pub(crate) fn tell(&self, told: &Told) {
        self.listener.told(self.session, told);
    }

    /// Writes what a caller wants written. On [`BridgeError::InDoubt`] it stays in line, and
    /// `then` comes out of [`Log::take_late`] once it is durable.
    pub(crate) async fn write(&mut self, draft: Draft, then: Then) -> Result<Offset, BridgeError> {
        let session = self.session;
        let (records, told) = self.encode(draft, None);
        let batch =
            Batch::new(records).map_err(|source| BridgeError::BadBatch { session, source })?;
        self.queue_joined();
        self.flush().await;
        if let Some(fate) = &self.fate {
            return Err(self.refusal(fate));
        }
        if let (true, Some(trouble)) = (self.is_stuck(), &self.trouble) {
            return Err(BridgeError::NotRecorded { session, source: Arc::clone(trouble) });
        }
        let mut pause = BACK_OFF_FIRST;
        let mut attempt = 1;
        loop {
            let error = match self.writer.append(batch.clone()).await {
                Ok(appended) => {
                    told.iter().for_each(|told| self.tell(told));
                    return Ok(appended.next().clone());
                }
                Err(error) => error,
            };
            match judge(error) {
                Judged::Fate(fate) => {
                    self.fate = Some(fate.clone());
                    return Err(self.refusal(&fate));
                }
                Judged::InDoubt(source) => {
                    self.unwritten.push_back(Unwritten { batch, told, in_doubt: true, then });
                    self.stumble(Arc::clone(&source));
                    return Err(BridgeError::InDoubt { session, source });
                }
                Judged::NotNow(source) if attempt == COMMAND_ATTEMPTS_MAX => {
                    return Err(BridgeError::NotRecorded { session, source });
                }
                Judged::NotNow(_) => {}
            }
            sleep(pause).await;
            pause *= 2;
            attempt += 1;
        }
    }

    /// Writes what has happened: it stays in line until it is durable.
    ///
    /// Words of the agent that come within [`JOIN_FOR`] of the last ones wait for more, no longer
    /// than that; whatever else comes takes them along in its own batch.
    pub(crate) async fn put(&mut self, draft: Draft, mark: Option<JournalMark>) {
        if draft.is_empty() {
            return;
        }
        let now = Instant::now();
        let may_wait = draft.is_words() && !self.is_stuck();
        let (records, told) = self.encode(draft, mark);
        if may_wait {
            let due = self.join_until.filter(|until| now < *until).unwrap_or(now);
            let joined = self.joined.get_or_insert_with(|| Joined::until(due));
            joined.add(records, told);
            if now < joined.due && joined.bytes < JOIN_BYTES_MAX {
                return;
            }
            self.join_until = Some(now + JOIN_FOR);
            return self.release().await;
        }
        let (records, told) = match self.joined.take() {
            Some(mut joined) => {
                joined.add(records, told);
                (joined.records, joined.told)
            }
            None => (records, told),
        };
        self.queue(records, told);
        self.flush().await;
    }

    /// Writes joined words now.
    pub(crate) async fn release(&mut self) {
        if self.queue_joined() {
            self.flush().await;
        }
    }

    /// Puts joined words in line; whether there were any.
    fn queue_joined(&mut self) -> bool {
        let Some(joined) = self.joined.take() else { return false };
        self.join_until = Some(Instant::now() + JOIN_FOR);
        self.queue(joined.records, joined.told);
        true
    }

    fn queue(&mut self, records: Vec<Bytes>, told: Vec<Told>) {
        if records.is_empty() {
            // Nothing to write; but nobody hears anything before what stands in line.
            match self.unwritten.back_mut() {
                Some(last) => last.told.extend(told),
                None => told.iter().for_each(|told| self.tell(told)),
            }
            return;
        }
        match Batch::new(records) {
            Ok(batch) => self.unwritten.push_back(Unwritten {
                batch,
                told,
                in_doubt: false,
                then: Then::Nothing,
            }),
            // Records are cut to fit and batches are bounded, so this is a fault of this crate.
            Err(error) => tracing::error!(
                session.id = %self.session,
                error = &error as &dyn std::error::Error,
                "a batch of session {} could not be made",
                self.session
            ),
        }
    }

    /// Writes what stands in line, as far as the store takes it now.
    pub(crate) async fn flush(&mut self) {
        while self.fate.is_none() {
            let Some(first) = self.unwritten.front() else {
                (self.trouble, self.retry_at, self.back_off) = (None, None, BACK_OFF_FIRST);
                return;
            };
            let result = if first.in_doubt {
                self.writer.settle().await.map(drop)
            } else {
                self.writer.append(first.batch.clone()).await.map(drop)
            };
            match result {
                Ok(()) => {
                    if let Some(written) = self.unwritten.pop_front() {
                        written.told.iter().for_each(|told| self.tell(told));
                        self.late.push(written.then);
                    }
                }
                Err(error) => match judge(error) {
                    Judged::Fate(fate) => self.fate = Some(fate),
                    Judged::InDoubt(source) => {
                        if let Some(first) = self.unwritten.front_mut() {
                            first.in_doubt = true;
                        }
                        return self.stumble(source);
                    }
                    Judged::NotNow(source) => return self.stumble(source),
                },
            }
        }
    }

    /// Whether everything that was put is durable, and if not, why not.
    pub(crate) fn verdict(&self) -> Result<(), BridgeError> {
        match (&self.fate, &self.trouble) {
            (Some(fate), _) => Err(self.refusal(fate)),
            (None, Some(trouble)) if self.is_stuck() => {
                let (session, source) = (self.session, Arc::clone(trouble));
                Err(match self.unwritten.iter().any(|unwritten| unwritten.in_doubt) {
                    true => BridgeError::InDoubt { session, source },
                    false => BridgeError::NotRecorded { session, source },
                })
            }
            (None, _) => Ok(()),
        }
    }

    fn stumble(&mut self, source: Arc<StreamError>) {
        tracing::warn!(
            session.id = %self.session,
            error = &*source as &dyn std::error::Error,
            "the events of session {} wait for the store",
            self.session
        );
        self.trouble = Some(source);
        self.retry_at = Some(Instant::now() + self.back_off);
        self.back_off = (self.back_off * 2).min(BACK_OFF_MAX);
    }

    fn refusal(&self, fate: &Fate) -> BridgeError {
        match fate {
            Fate::Fenced => BridgeError::Fenced(self.session),
            Fate::Broken(source) => {
                BridgeError::NotRecorded { session: self.session, source: Arc::clone(source) }
            }
        }
    }

    fn encode(&self, draft: Draft, mark: Option<JournalMark>) -> (Vec<Bytes>, Vec<Told>) {
        let ts = (self.clock)();
        let last = draft.entries.len().saturating_sub(1);
        let mut records = Vec::with_capacity(draft.entries.len());
        for (at, entry) in draft.entries.into_iter().enumerate() {
            let journal = mark.filter(|_| at == last);
            records.push(match entry {
                Draftling::Engine(source, event) => encode(source, event, ts, journal),
                Draftling::Internal(event) => encode(Source::Server, event, ts, journal),
            });
        }
        (records, draft.told)
    }
}

impl Joined {
    fn until(due: Instant) -> Self {
        Self { records: Vec::new(), told: Vec::new(), bytes: 0, due }
    }

    fn add(&mut self, records: Vec<Bytes>, told: Vec<Told>) {
        self.bytes += records.iter().map(Bytes::len).sum::<usize>();
        self.records.extend(records);
        self.told.extend(told);
    }
}

enum Judged {
    Fate(Fate),
    InDoubt(Arc<StreamError>),
    NotNow(Arc<StreamError>),
}

fn judge(error: StreamError) -> Judged {
    match error {
        StreamError::Fenced { .. } => Judged::Fate(Fate::Fenced),
        StreamError::Failed { .. } => Judged::InDoubt(Arc::new(error)),
        StreamError::Busy | StreamError::ReadOnly { .. } => Judged::NotNow(Arc::new(error)),
        StreamError::NotFound { .. }
        | StreamError::Closed { .. }
        | StreamError::BadOffset { .. }
        | StreamError::Gap { .. }
        | _ => Judged::Fate(Fate::Broken(Arc::new(error))),
    }
}

fn encode<E: Serialize>(
    source: Source,
    event: E,
    ts: Timestamp,
    journal: Option<JournalMark>,
) -> Bytes {
    let entry = SessionEntry { source, stamped: Stamped { event, ts }, journal };
    let json = entry.to_json();
    if json.len() <= RECORD_BYTES_MAX {
        return json.into();
    }
    drop(json);
    let Ok(mut value) = serde_json::to_value(&entry) else { return Bytes::new() };
    let mut longest = RECORD_BYTES_MAX / 2;
    loop {
        cut(&mut value, longest);
        let json = value.to_string();
        if json.len() <= RECORD_BYTES_MAX || longest < 16 {
            return json.into();
        }
        longest /= 2;
    }
}

/// Cuts every text that is longer than `longest` bytes and marks it.
fn cut(value: &mut Value, longest: usize) {
    match value {
        Value::String(text) if longest < text.len() => {
            let keep = (0..=longest).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            let dropped = text.len() - keep;
            text.truncate(keep);
            text.push_str(&format!("[cut: {dropped} bytes more]"));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| cut(value, longest)),
        Value::Object(map) => map.values_mut().for_each(|value| cut(value, longest)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests;
