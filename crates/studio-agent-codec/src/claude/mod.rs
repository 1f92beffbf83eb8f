//! Claude Code in its both-ways stream-json mode: one process per session, one JSON object a
//! line in both directions. What the lines mean was learned from the recordings in `fixtures/`.
//!
//! Reading order: `launch` (the program), `input` (lines to the agent), `read` (which line is
//! what), then one module per kind of line: `system`, `blocks` (what the agent says and does),
//! `asks` (what it asks), `turn` (how a turn ends), and `calls` and `tasks` (what has to be
//! remembered for that).

mod asks;
mod blocks;
mod calls;
mod input;
mod launch;
mod read;
mod system;
mod tasks;
mod turn;

use studio_events::{EngineEvent, LogLevel};
use studio_ids::MessageId;

use crate::{AgentCodec, Answer, Ask, Heard, Launch, LaunchOptions};

pub use blocks::TOOL_RESPONSE_BYTES_MAX;
pub(crate) use blocks::flat;
pub use launch::DEFAULT_TOOLS;
pub use read::SILENT_KINDS;

/// What raw events call this language.
const AGENT_KIND: &str = "claude";

/// Claude Code's language and what was heard of one process.
///
/// One value per process (per journal): figures that count on within a process start at zero.
#[derive(Debug, Default)]
pub struct Claude {
    /// The conversation that was told last; a `session_start` is due when another one begins.
    conversation: Option<String>,
    /// Whether this process has begun a turn.
    began: bool,
    /// The running turn.
    turn: Option<turn::Turn>,
    /// What the process's running totals stood at when the last turn ended.
    totals: turn::Running,
    /// Tool calls whose results or sub-agents' lines may still come.
    calls: calls::Calls,
    /// The to-do list of agents that keep it by `TaskCreate` and `TaskUpdate`.
    tasks: tasks::Tasks,
    /// How messages are acknowledged.
    messages: read::Messages,
}

impl Claude {
    /// The language for a process that begins a new conversation.
    pub fn new() -> Self {
        Self::default()
    }

    /// The language for a process that goes on with the conversation `id`
    /// ([`LaunchOptions::resume`]): its `session_start` was told before and is not told again.
    pub fn resuming(id: impl Into<String>) -> Self {
        Self { conversation: Some(id.into()), ..Self::default() }
    }

    /// [`Self::resuming`] that conversation, or [`Self::new`].
    pub fn of(conversation: Option<&str>) -> Self {
        conversation.map_or_else(Self::new, Self::resuming)
    }
}

impl AgentCodec for Claude {
    fn launch(&self, options: &LaunchOptions) -> Launch {
        launch::launch(options)
    }

    fn read_line(&mut self, line: &[u8]) -> Vec<Heard> {
        self.read(line)
    }

    fn say(&self, id: MessageId, text: &str) -> Vec<u8> {
        input::say(id, text)
    }

    fn answer(&self, ask: &Ask, answer: &Answer) -> Vec<u8> {
        input::answer(ask, answer)
    }

    fn interrupt(&self, request_id: &str) -> Vec<u8> {
        input::request(request_id, "interrupt")
    }

    fn take_back(&self, request_id: &str, message: MessageId) -> Option<Vec<u8>> {
        Some(input::take_back(request_id, message))
    }

    fn end(&self, request_id: &str) -> Option<Vec<u8>> {
        Some(input::request(request_id, "end_session"))
    }
}

/// A line of the log.
fn log(level: LogLevel, message: impl Into<String>) -> Heard {
    Heard::Event(EngineEvent::Log { level, message: message.into() })
}
