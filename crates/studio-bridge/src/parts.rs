use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde_json::Value;
use studio_agent_codec::{AgentCodec, Ask, LaunchOptions};
use studio_events::{EngineEvent, InternalEvent, Timestamp};
use studio_ids::{GateId, MessageId, RunId, SessionId};
use studio_sandbox::{Sandbox, SandboxPath, Secret};
use studio_streams::SessionWriter;

/// What a bridge is made of.
pub struct Parts {
    /// Whose session it is.
    pub session: SessionId,
    /// The session's stream, taken over by this server.
    pub writer: SessionWriter,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Who is told.
    pub listener: Arc<dyn Listener>,
    /// How patient it is.
    pub settings: BridgeSettings,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("session", &self.session).finish_non_exhaustive()
    }
}

/// How patient a bridge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgeSettings {
    /// How long an interrupted turn may take to end by itself.
    pub interrupt_patience: Duration,
    /// How long a process may take to obey each of INT, TERM and KILL when it has to be stopped.
    pub signal_patience: Duration,
    /// How long an answer to what the agent asks is taken: the deadline in the events that ask.
    /// Whoever answers gates keeps it; `None` = the events have none.
    pub ask_patience: Option<Duration>,
}

impl Default for BridgeSettings {
    fn default() -> Self {
        Self {
            interrupt_patience: Duration::from_millis(1_500),
            signal_patience: Duration::from_millis(300),
            ask_patience: None,
        }
    }
}

/// Who is told what happens. Called after the batch is durable, in stream order, in the bridge's
/// own task: must not block and must not wait for the bridge.
pub trait Listener: Send + Sync {
    /// Something happened.
    fn told(&self, session: SessionId, told: &Told);
}

/// What a [`Listener`] is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// This was recorded, of the agent or of the studio.
    Event(EngineEvent),
    /// A turn began.
    TurnStarted,
    /// A turn ended; its `session_end` was told before.
    TurnEnded {
        /// Whether it ended well.
        success: bool,
    },
    /// The agent's conversation has this id, to resume it with.
    Conversation {
        /// The agent's own id.
        id: String,
    },
    /// The conversation that was to be resumed is not there. The process has ended; what was said
    /// is held: launch without `resume`, then [`crate::Bridge::say_held`].
    ConversationLost,
    /// The agent waits for a person.
    Asked(Ask),
    /// The agent does not wait any more; `gate_closed` was told before.
    Unasked {
        /// The gate that is void.
        gate: GateId,
    },
    /// The agent's process ended; `agent_exit` was told before.
    AgentExited {
        /// Its exit code; 128 + n after signal n; `None` when it is not known.
        code: Option<i32>,
    },
    /// A newer server owns the session; this bridge has ended and left the agent alone.
    Fenced,
    /// This bridge has ended because of a fault of its own; the agent was left alone.
    Failed(String),
}

/// What is needed to start an agent, or to find it again.
#[derive(Clone)]
pub struct AgentParts {
    /// Where it lives.
    pub sandbox: Arc<dyn Sandbox>,
    /// Makes its language, with nothing heard yet.
    pub codec: CodecFactory,
    /// How it is started.
    pub launch: LaunchOptions,
    /// Environment of the agent's process only.
    pub credentials: BTreeMap<String, Secret>,
    /// Environment of the agent's process, nothing secret; wins over the language's own.
    pub env: BTreeMap<String, String>,
    /// Where it works.
    pub cwd: SandboxPath,
}

/// Makes a codec that has heard nothing yet.
pub type CodecFactory = Arc<dyn Fn() -> Box<dyn AgentCodec> + Send + Sync>;

impl fmt::Debug for AgentParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentParts")
            .field("sandbox", self.sandbox.reference())
            .field("launch", &self.launch)
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

/// One entry to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// An event of the studio's own.
    Server(EngineEvent),
    /// An event that an agent told by another way than a journal (a hook).
    Agent(EngineEvent),
    /// For servers only.
    Internal(InternalEvent),
}

/// How a person's answer is written down.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerRecord {
    /// Before it is delivered: [`InternalEvent::GateResponse`].
    pub response: InternalEvent,
    /// Once it was delivered: [`EngineEvent::GateResolved`].
    pub resolved: EngineEvent,
}

/// Something that the agent waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAsk {
    /// What was asked.
    pub ask: Ask,
    /// The value of the `gate_response` that was recorded for it and not known to be delivered:
    /// answer it again with the same answer (it is recorded and delivered once).
    pub response: Option<Value>,
}

/// What [`crate::Bridge::attach`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Attached {
    /// Whether the process runs. If not, what it left is recorded and then its end.
    pub alive: bool,
    /// What it waits for.
    pub open_asks: Vec<OpenAsk>,
}

/// A message that the agent has not begun to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub id: MessageId,
    /// The words.
    pub text: String,
    /// Why it waits.
    pub state: WaitingState,
}

/// Why a message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingState {
    /// The agent reads it next.
    Queued,
    /// An interrupt or the process's end came first: it goes with the next thing said.
    Held,
}

/// What goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Nothing.
    Idle,
    /// The agent works, or was told something and will.
    Working,
    /// The agent waits for a person.
    WaitingForPerson,
}

/// How a bridge stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeState {
    /// What goes on.
    pub activity: Activity,
    /// The agent's process, if there is one.
    pub run: Option<RunId>,
    /// The agent's own id of its conversation, as far as this bridge has heard.
    pub conversation: Option<String>,
    /// Why nothing can be recorded now; the agent's output waits in its journal.
    pub degraded: Option<String>,
}
