use std::collections::BTreeMap;

use serde_json::{Map, Value};
use studio_ids::GateId;

use crate::{
    Body, BodyError, InfraConfig,
    body::decode_with,
    decode::{Fields, Units},
    limits::{ANSWERS_MAX, SHORT_UNITS_MAX, TEXT_UNITS_MAX},
};

const TEXT: Units = Units::up_to(TEXT_UNITS_MAX);
const QUESTION: &str = "ask_user_question";
/// The older spelling, which carries the tool call's id in the gate's name.
const QUESTION_WITH_ID: &str = "ask_user_question:";

/// Gates of the older protocol. An answer to a kind that nobody knows could reach nobody.
const LEGACY: [&str; 4] = ["approval", "clarification", "continue", "revision"];

/// What shall become of an agent's outbound message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the wire's own words")]
pub enum OutboundAction {
    Approve,
    Edit,
    Drop,
}

/// A person's answer; each kind of gate has its own, so none can be answered in another's shape
/// (`D30-46`).
#[derive(Clone, Debug, PartialEq)]
pub enum RespondAnswer {
    /// `gate: "infra_config"`.
    Infra(InfraConfig),
    /// `gate: "ask_user_question"`, `toolUseId`, and `answers` or the older `answer`.
    Question {
        /// The tool call that asked.
        gate: GateId,
        /// Question → answer.
        answers: BTreeMap<String, String>,
    },
    /// Added, `gate: "permission"`, `toolUseId` (or `gateId`), `decision: "allow" | "deny"`,
    /// `always?`, `message?`.
    Permission {
        /// The tool call that asked.
        gate: GateId,
        /// Whether it may run.
        allow: bool,
        /// The same kind of call needs no asking from now on.
        always: bool,
        /// Told to the agent on a refusal.
        message: Option<String>,
    },
    /// `gate: "outbound_message_gate"`, `gateId`, `action`, `editedBody?`.
    Outbound {
        /// Which message.
        gate: GateId,
        /// What becomes of it.
        action: OutboundAction,
        /// The words to send instead.
        edited_body: Option<String>,
    },
    /// A gate of the older protocol: `approval`, `clarification`, `continue`, `revision`.
    Legacy {
        /// Its name.
        gate: String,
        /// The answer as the text that the agent gets.
        text: String,
    },
}

/// `POST /api/sessions/{id}/respond`. Source: spec 02 section 6.
#[derive(Clone, Debug, PartialEq)]
pub struct Respond {
    /// The answer.
    pub answer: RespondAnswer,
    /// `_summary`: the answer in a line, for the log.
    pub summary: Option<String>,
}

impl Body for Respond {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        let gate = gate_name(value)?;
        if let Some(rule) = missing(&gate, value) {
            return Err(BodyError::Rule(rule));
        }
        let body = decode_with(value, |fields| {
            let summary = fields.text_if_given("_summary", TEXT);
            let answer = match gate.as_str() {
                "infra_config" => InfraConfig::read(fields).map(RespondAnswer::Infra),
                QUESTION => question(fields),
                named if named.starts_with(QUESTION_WITH_ID) => question_named(fields, named),
                "permission" => permission(fields),
                "outbound_message_gate" => outbound(fields),
                known if LEGACY.contains(&known) => legacy(fields, &gate),
                _ => {
                    fields.fail("gate", "Unknown gate");
                    None
                }
            };
            Some(Self { answer: answer?, summary: summary.filter(|text| !text.is_empty()) })
        })?;
        match &body.answer {
            // Nothing to say is nothing to deliver.
            RespondAnswer::Legacy { text, .. } if text.is_empty() => {
                Err(BodyError::Rule(format!("Cannot format response for gate: {gate}")))
            }
            RespondAnswer::Legacy { .. }
            | RespondAnswer::Infra(_)
            | RespondAnswer::Question { .. }
            | RespondAnswer::Permission { .. }
            | RespondAnswer::Outbound { .. } => Ok(body),
        }
    }
}

fn gate_name(value: &Value) -> Result<String, BodyError> {
    match value.get("gate") {
        None | Some(Value::Null) if value.is_object() => {
            Err(BodyError::Rule("gate is required".to_owned()))
        }
        Some(Value::String(name)) if name.is_empty() => {
            Err(BodyError::Rule("gate is required".to_owned()))
        }
        _ => decode_with(value, |fields| fields.plain("gate", Units::some_up_to(SHORT_UNITS_MAX))),
    }
}

/// The reference's own sentences for fields without which a gate cannot be named.
fn missing(gate: &str, value: &Value) -> Option<String> {
    let lacks = |name: &str| match value.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    match gate {
        QUESTION if lacks("toolUseId") => {
            Some("toolUseId is required for ask_user_question".to_owned())
        }
        "permission" if lacks("toolUseId") && lacks("gateId") => {
            Some("toolUseId is required for permission".to_owned())
        }
        "outbound_message_gate" if lacks("gateId") || lacks("action") => {
            Some("gateId and action are required for outbound_message_gate".to_owned())
        }
        _ => None,
    }
}

fn gate_id(fields: &mut Fields<'_>, name: &str) -> Option<GateId> {
    let text = fields.text(name, Units::some_up_to(SHORT_UNITS_MAX))?;
    let id = text.parse().ok();
    if id.is_none() {
        fields.fail(name, "Invalid");
    }
    id
}

fn question(fields: &mut Fields<'_>) -> Option<RespondAnswer> {
    let id = gate_id(fields, "toolUseId");
    let answers = answers(fields);
    Some(RespondAnswer::Question { gate: id?, answers: answers? })
}

fn question_named(fields: &mut Fields<'_>, gate: &str) -> Option<RespondAnswer> {
    let id = gate.strip_prefix(QUESTION_WITH_ID).and_then(|id| id.parse().ok());
    if id.is_none() {
        fields.fail("gate", "Invalid");
    }
    let answers = answers(fields);
    Some(RespondAnswer::Question { gate: id?, answers: answers? })
}

fn answers(fields: &mut Fields<'_>) -> Option<BTreeMap<String, String>> {
    match fields.get("answers") {
        None | Some(Value::Null) => older_answer(fields),
        Some(Value::Object(answers)) => all_answers(fields, answers),
        Some(other) => {
            fields.expected("answers", "object", other);
            None
        }
    }
}

fn all_answers(
    fields: &mut Fields<'_>,
    answers: &Map<String, Value>,
) -> Option<BTreeMap<String, String>> {
    if ANSWERS_MAX < answers.len() {
        fields.fail("answers", format!("Object must contain at most {ANSWERS_MAX} answer(s)"));
        return None;
    }
    let mut checked = BTreeMap::new();
    for (question, answer) in answers {
        if let Some(text) = fields.checked_text(&format!("answers.{question}"), answer, TEXT) {
            checked.insert(question.clone(), text);
        }
    }
    Some(checked)
}

fn older_answer(fields: &mut Fields<'_>) -> Option<BTreeMap<String, String>> {
    let question = fields.text_if_given("question", TEXT).unwrap_or_else(|| "answer".to_owned());
    let answer = fields.text_if_given("answer", TEXT);
    Some(answer.map(|answer| (question, answer)).into_iter().collect())
}

fn permission(fields: &mut Fields<'_>) -> Option<RespondAnswer> {
    let name = if fields.get("toolUseId").is_some() { "toolUseId" } else { "gateId" };
    let gate = gate_id(fields, name);
    if fields.get("decision").is_none() {
        fields.fail("decision", "Required");
    }
    let allow = fields.word_if_given("decision", &[("allow", true), ("deny", false)]);
    let always = fields.bool_if_given("always").unwrap_or(false);
    let message = fields.text_if_given("message", TEXT);
    Some(RespondAnswer::Permission { gate: gate?, allow: allow?, always, message })
}

fn outbound(fields: &mut Fields<'_>) -> Option<RespondAnswer> {
    let gate = gate_id(fields, "gateId");
    let words = [
        ("approve", OutboundAction::Approve),
        ("edit", OutboundAction::Edit),
        ("drop", OutboundAction::Drop),
    ];
    let action = fields.word_if_given("action", &words);
    let edited_body = fields.text_if_given("editedBody", TEXT);
    Some(RespondAnswer::Outbound { gate: gate?, action: action?, edited_body })
}

/// Spec 02 section 5, "Formatting for an agent without a blocking gate".
fn legacy(fields: &mut Fields<'_>, gate: &str) -> Option<RespondAnswer> {
    let text = match gate {
        "approval" => {
            let decision = fields.text_if_given("decision", TEXT);
            decision.unwrap_or_else(|| "approve".to_owned())
        }
        "continue" => {
            let proceed = fields.bool_if_given("proceed").unwrap_or(false);
            if proceed { "continue" } else { "stop" }.to_owned()
        }
        "clarification" => clarification(fields)?,
        _ => revision(fields)?,
    };
    Some(RespondAnswer::Legacy { gate: gate.to_owned(), text })
}

fn clarification(fields: &mut Fields<'_>) -> Option<String> {
    let answers = match fields.get("answers") {
        None | Some(Value::Null) => return Some(String::new()),
        Some(Value::Array(answers)) => answers,
        Some(other) => {
            fields.expected("answers", "array", other);
            return None;
        }
    };
    let mut lines = Vec::new();
    for (at, answer) in answers.iter().enumerate().take(ANSWERS_MAX) {
        lines.extend(fields.checked_text(&format!("answers.{at}"), answer, TEXT));
    }
    if ANSWERS_MAX < answers.len() {
        fields.fail("answers", format!("Array must contain at most {ANSWERS_MAX} element(s)"));
    }
    Some(lines.join("\n"))
}

/// Its answer goes to the agent as it is.
fn revision(fields: &mut Fields<'_>) -> Option<String> {
    let mut rest = fields.all()?.clone();
    rest.remove("gate");
    rest.remove("_summary");
    let text = Value::Object(rest).to_string();
    fields.checked_text("", &Value::String(text), TEXT)
}
