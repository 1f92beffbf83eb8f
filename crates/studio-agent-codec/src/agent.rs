use std::collections::BTreeMap;

use serde_json::Value;
use studio_events::EngineEvent;
use studio_ids::{GateId, MessageId};

/// Which tool calls a person is asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PermissionPolicy {
    /// The listed tools run without asking (the sandbox is the wall); everything else is asked.
    #[default]
    AllowListed,
    /// Everything that changes something is asked.
    Ask,
}

/// How an agent is to be started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaunchOptions {
    /// The model; the agent's own default when absent.
    pub model: Option<String>,
    /// Tools to offer, and to run without asking under [`PermissionPolicy::AllowListed`].
    pub tools: Vec<String>,
    /// What a person is asked about.
    pub permissions: PermissionPolicy,
    /// The agent's own id of a conversation to go on with.
    pub resume: Option<String>,
    /// US dollars after which the agent stops by itself.
    pub budget_usd: Option<f64>,
}

/// A program with its arguments and (non-secret) environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Program and arguments. Never holds a prompt.
    pub argv: Vec<String>,
    /// Environment that the language needs.
    pub env: BTreeMap<String, String>,
}

/// What becomes of a message that was said while the agent was busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// The agent has it and will read it later.
    Queued,
    /// The agent reads it: it is part of a turn.
    Started,
    /// The turn it was part of ended.
    Completed,
    /// The agent will not read it.
    Cancelled,
}

/// What kind of question an agent waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskKind {
    /// Questions with choices; the answer is data.
    Question,
    /// Leave to call a tool; the answer is yes or no.
    Permission,
}

/// The agent waits for a person. The event that shows it comes as [`Heard::Event`] before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The agent's id of the request, to answer it with.
    pub request_id: String,
    /// The gate: the tool call's id.
    pub gate: GateId,
    /// What kind.
    pub kind: AskKind,
    /// The tool.
    pub tool_name: String,
    /// The call's exact arguments.
    pub input: Value,
    /// What the agent would take as "always allow", in its own words.
    pub suggestions: Value,
}

/// A person's answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Answers to questions: question → label or free text.
    Answers(BTreeMap<String, String>),
    /// The call may run.
    Allow {
        /// The same kind of call needs no asking from now on.
        always: bool,
    },
    /// The call may not run.
    Deny {
        /// Told to the agent.
        message: String,
        /// The turn ends too.
        interrupt: bool,
    },
}

/// What a line of an agent's output comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// Something for the log.
    Event(EngineEvent),
    /// A turn began (also one that the agent began by itself).
    TurnStarted,
    /// A turn ended; its [`EngineEvent::SessionEnd`] came before.
    TurnEnded {
        /// Whether it ended well.
        success: bool,
    },
    /// The agent's conversation has this id, to resume it with.
    Conversation {
        /// The agent's own id.
        id: String,
    },
    /// The conversation that was to be resumed is not there.
    ConversationLost,
    /// The agent waits for a person.
    Asks(Ask),
    /// The agent does not wait any more.
    Unasks {
        /// The request that is void.
        request_id: String,
    },
    /// The agent answered a request of ours; or it took our answer to an [`Ask`], and repeats it.
    Replied {
        /// Our request; or the ask's.
        request_id: String,
        /// Its answer, or why it refused.
        result: Result<Value, String>,
    },
    /// What became of a message of ours.
    Message {
        /// The message.
        id: MessageId,
        /// Where it stands.
        state: MessageState,
    },
}

/// One agent's language, and what was heard of it so far.
///
/// Total: no input makes it fail. A line that is not understood becomes a raw event or, when it
/// is not even JSON, an error line in the log.
pub trait AgentCodec: Send {
    /// The program to start. Does not change the codec.
    fn launch(&self, options: &LaunchOptions) -> Launch;

    /// What one line of output (without its line break) comes to.
    fn read_line(&mut self, line: &[u8]) -> Vec<Heard>;

    /// The input line (with its line break) that says `text` to the agent.
    ///
    /// Saying the same id again does no harm: an agent that has the message, also from an earlier
    /// process of the same conversation, tells [`MessageState::Completed`] and does nothing.
    fn say(&self, id: MessageId, text: &str) -> Vec<u8>;

    /// The input line that answers `ask`.
    fn answer(&self, ask: &Ask, answer: &Answer) -> Vec<u8>;

    /// The input line that stops the running turn.
    fn interrupt(&self, request_id: &str) -> Vec<u8>;

    /// The input line that takes a queued message back; `None` if the language cannot.
    fn take_back(&self, request_id: &str, message: MessageId) -> Option<Vec<u8>>;

    /// The input line that ends the process; `None` if the language has none.
    fn end(&self, request_id: &str) -> Option<Vec<u8>>;
}
