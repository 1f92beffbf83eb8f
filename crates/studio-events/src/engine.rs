use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use studio_ids::{GateId, MessageId};

use crate::Timestamp;

/// How a log line is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the wire's own words")]
pub enum LogLevel {
    Plan,
    Approve,
    Task,
    Build,
    Fix,
    Done,
    System,
    Error,
    Verbose,
}

/// Whether the app in the sandbox serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the wire's own words")]
pub enum AppState {
    Running,
    Stopped,
}

/// One line of an agent's to-do list; agents differ in the fields, so all are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TodoItem(pub Value);

/// One choice of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedOption {
    /// What is chosen and sent back.
    pub label: String,
    /// What it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// One question of a question gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedQuestion {
    /// The question's text; the key of its answer.
    pub question: String,
    /// A word or two for a heading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The choices; free text is always allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<AskedOption>>,
    /// Whether several choices may be taken (their labels are joined with `", "`).
    #[serde(default, rename = "multiSelect", skip_serializing_if = "Option::is_none")]
    pub multi_select: Option<bool>,
}

/// An account that can own a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GhAccount {
    /// The account's name.
    pub login: String,
    /// `user` or `org`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Who answered a gate, as they called themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResolvedBy {
    /// The participant's id.
    pub id: String,
    /// The participant's name.
    #[serde(rename = "displayName")]
    pub display_name: String,
}

/// Why a gate closed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateClosed {
    /// Its deadline passed.
    Expired,
    /// The session was interrupted, cancelled or deleted.
    Rejected,
    /// The agent took the question back, or its process ended.
    Withdrawn,
}

/// What a turn cost; each figure absent when the agent did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionTotals {
    /// US dollars, of this turn alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Requests to the model in this turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_turns: Option<u64>,
    /// Wall time of this turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Time spent waiting for the model, as the agent counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_api_ms: Option<u64>,
}

/// What happens in a session, as its stream keeps it and browsers see it.
///
/// Wire shape: one JSON object, `type` in snake case beside the variant's fields (and `ts`, see
/// [`crate::Stamped`]). Source: spec 03 section 3; fields marked "added" are this project's own
/// and optional, so that a client of the reference system reads every event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EngineEvent {
    /// A line for the person who watches.
    Log {
        /// How to read it.
        level: LogLevel,
        /// The line.
        message: String,
    },
    /// Something was said to the agent.
    UserPrompt {
        /// The words.
        message: String,
        /// Who said it, in a room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sender: Option<String>,
        /// Added: the id under which the message travels to the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message_id: Option<MessageId>,
    },
    /// Added: what became of messages said while the agent was busy.
    MessageState {
        /// The messages.
        message_ids: Vec<MessageId>,
        /// `queued`, `started`, `completed`, `held` (waits for the next iterate) or `cancelled`.
        state: String,
    },
    /// The agent's conversation began (once per conversation id, not once per turn).
    SessionStart {
        /// The agent's own id of the conversation, for resuming.
        session_id: String,
        /// Where it works.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cwd: Option<String>,
        /// The agent's name in a room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
        /// Added: the agent program's version, as it told it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_version: Option<String>,
        /// Added: the model, as the agent told it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// The agent calls a tool.
    PreToolUse {
        /// The tool's name in the agent's words.
        tool_name: String,
        /// The call's id.
        tool_use_id: String,
        /// The call's arguments.
        tool_input: Value,
        /// The sub-agent (or room agent) that calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
        /// Added: the tool call that started the sub-agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent_tool_use_id: Option<String>,
    },
    /// A tool call ended.
    PostToolUse {
        /// The call's id.
        tool_use_id: String,
        /// The tool's name, when the call was seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool_name: Option<String>,
        /// The result as text.
        tool_response: String,
        /// The same text, when the call failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// The sub-agent (or room agent) that called.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
        /// Added: the tool call that started the sub-agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent_tool_use_id: Option<String>,
    },
    /// A tool call failed (from hooks only).
    PostToolUseFailure {
        /// The call's id.
        tool_use_id: String,
        /// The tool's name.
        tool_name: String,
        /// What went wrong.
        error: String,
        /// The sub-agent (or room agent) that called.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
    },
    /// The agent says something.
    AssistantMessage {
        /// Its words, Markdown.
        text: String,
        /// The sub-agent (or room agent) that speaks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
        /// Added: the tool call that started the sub-agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent_tool_use_id: Option<String>,
    },
    /// The agent thinks aloud.
    AssistantThinking {
        /// Its thoughts.
        text: String,
        /// The sub-agent (or room agent) that thinks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
    },
    /// The agent's to-do list, whole.
    TodoWrite {
        /// The call's id.
        tool_use_id: String,
        /// The list.
        todos: Vec<TodoItem>,
    },
    /// A question gate opened: the agent waits for a person.
    AskUserQuestion {
        /// The call's id; the gate's id too.
        tool_use_id: String,
        /// The first question.
        question: String,
        /// The first question's choices.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        options: Option<Vec<AskedOption>>,
        /// All questions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        questions: Option<Vec<AskedQuestion>>,
        /// Added: the gate's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gate_id: Option<GateId>,
        /// Added: until when an answer is taken; absent = as long as the agent waits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<Timestamp>,
    },
    /// Added: a permission gate opened: the agent may not call this tool unless a person agrees.
    PermissionRequest {
        /// The gate's id (the call's id).
        gate_id: GateId,
        /// The call's id.
        tool_use_id: String,
        /// The tool's name.
        tool_name: String,
        /// The exact arguments that are asked for.
        tool_input: Value,
        /// The agent's words about the call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Why it is asked, in the agent's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Until when an answer is taken; absent = as long as the agent waits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<Timestamp>,
    },
    /// A turn ended. (The reference's name; the session goes on with the next prompt.)
    SessionEnd {
        /// False for a crash, a stop and a failed turn alike.
        success: bool,
        /// What the turn cost.
        #[serde(flatten)]
        totals: SessionTotals,
        /// Added: why, in the agent's or the studio's words: `completed`, `aborted_tools`,
        /// `max_turns`, `api_error`, `interrupted`, `cancelled`, `exit`, …
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The app in the sandbox started or stopped.
    AppStatus {
        /// Whether it serves.
        status: AppState,
        /// The port on the studio's machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// Where a browser finds it.
        #[serde(default, rename = "previewUrl", skip_serializing_if = "Option::is_none")]
        preview_url: Option<String>,
    },
    /// The session spent more than it may.
    BudgetExceeded {
        /// The limit, in US dollars.
        budget_usd: f64,
        /// What was spent, in US dollars.
        spent_usd: f64,
    },
    /// A commit was made.
    GitCheckpoint {
        /// The commit.
        #[serde(rename = "commitHash")]
        commit_hash: String,
        /// Its subject.
        message: String,
    },
    /// The infrastructure gate opened: the flow waits for a person's choice.
    InfraConfigPrompt {
        /// The project's name.
        #[serde(rename = "projectName")]
        project_name: String,
        /// Accounts that could own a repository.
        #[serde(rename = "ghAccounts")]
        gh_accounts: Vec<GhAccount>,
        /// Where the sandbox will run.
        runtime: String,
        /// Added: the gate's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gate_id: Option<GateId>,
        /// Added: until when an answer is taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<Timestamp>,
    },
    /// A gate was answered.
    GateResolved {
        /// Its kind: `infra_config`, `ask_user_question`, `permission`, …
        gate: String,
        /// The answer in a line, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<String>,
        /// What was chosen, label → text, secrets left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        details: Option<BTreeMap<String, String>>,
        /// Who answered.
        #[serde(default, rename = "resolvedBy", skip_serializing_if = "Option::is_none")]
        resolved_by: Option<ResolvedBy>,
        /// Added: which gate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gate_id: Option<GateId>,
        /// Added: which tool call, when the gate was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool_use_id: Option<String>,
    },
    /// Added: a gate closed without an answer.
    GateClosed {
        /// Its kind.
        gate: String,
        /// Which gate.
        gate_id: GateId,
        /// Why.
        outcome: GateClosed,
    },
    /// An outbound gate opened: an agent asks whether its message may go to its room.
    OutboundMessageGate {
        /// The gate's id.
        #[serde(rename = "gateId")]
        gate_id: GateId,
        /// The room.
        #[serde(rename = "roomId")]
        room_id: String,
        /// Whom in the room it is for; everybody when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// The words.
        body: String,
        /// Added: until when an answer is taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<Timestamp>,
    },
    /// An outbound gate was answered.
    OutboundMessageGateResolved {
        /// Which gate.
        #[serde(rename = "gateId")]
        gate_id: GateId,
        /// `approve`, `edit` or `drop`.
        action: String,
        /// The words that go instead.
        #[serde(default, rename = "editedBody", skip_serializing_if = "Option::is_none")]
        edited_body: Option<String>,
        /// Who answered.
        #[serde(default, rename = "resolvedBy", skip_serializing_if = "Option::is_none")]
        resolved_by: Option<ResolvedBy>,
    },
    /// Added: the agent's process ended.
    AgentExit {
        /// Its exit code; 128 + n after signal n; absent when it is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
    },
    /// Added: something an agent told that this studio has no word for, kept whole.
    Raw {
        /// The agent's language: `claude`.
        agent_kind: String,
        /// The line's kind in the agent's words, `system/api_retry`.
        kind: String,
        /// The line.
        line: Map<String, Value>,
    },
}
