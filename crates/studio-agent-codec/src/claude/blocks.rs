use serde_json::Value;
use studio_events::{EngineEvent, LogLevel, TodoItem};

use super::calls::Call;
use super::read::{raw, raw_of};
use super::tasks::is_task_tool;
use super::{Claude, log};
use crate::Heard;
use crate::json::{LOG_BYTES_MAX, Object, clipped, heading, list, object, some_text, text};

/// Longest result of a tool call that is kept, in bytes; of a longer one the beginning. Claude
/// itself cuts the output of commands at 30,000 characters; files and web pages come longer.
pub const TOOL_RESPONSE_BYTES_MAX: usize = 256 * 1024;

/// The text with which the agent marks that a person stopped it.
const INTERRUPTED: &str = "[Request interrupted by user";

/// Who speaks: the main agent, or a sub-agent and the call that started it.
struct Speaker {
    agent: Option<String>,
    parent: Option<String>,
}

impl Claude {
    fn speaker(&self, line: &Object) -> Speaker {
        let Some(parent) = some_text(line, "parent_tool_use_id") else {
            return Speaker { agent: None, parent: None };
        };
        let agent = some_text(line, "subagent_type")
            .or_else(|| self.calls.get(&parent).and_then(|call| call.agent.clone()))
            .unwrap_or_else(|| "sub-agent".into());
        Speaker { agent: Some(agent), parent: Some(parent) }
    }

    pub(super) fn read_assistant(&mut self, line: &Object, heard: &mut Vec<Heard>) {
        let Some(message) = object(line, "message") else {
            return heard.push(raw(line));
        };
        let speaker = self.speaker(line);
        let refused = line.get("is_api_error_message").and_then(Value::as_bool) == Some(true);
        for block in blocks(message) {
            match text(&block, "type").unwrap_or_default() {
                "text" => {
                    let Some(text) = some_text(&block, "text") else { continue };
                    if refused {
                        heard.push(log(LogLevel::Error, clipped(&text, LOG_BYTES_MAX)));
                        if let Some(turn) = &mut self.turn {
                            turn.told = Some(text.clone());
                        }
                    }
                    heard.push(Heard::Event(EngineEvent::AssistantMessage {
                        text,
                        agent: speaker.agent.clone(),
                        parent_tool_use_id: speaker.parent.clone(),
                    }));
                }
                "thinking" => {
                    let Some(text) = some_text(&block, "thinking") else { continue };
                    let agent = speaker.agent.clone();
                    heard.push(Heard::Event(EngineEvent::AssistantThinking { text, agent }));
                }
                "redacted_thinking" => {}
                "tool_use" => self.read_call(&block, &speaker, heard),
                kind => heard.push(raw_of(format!("assistant/{}", heading(kind)), &block)),
            }
        }
    }

    fn read_call(&mut self, block: &Object, speaker: &Speaker, heard: &mut Vec<Heard>) {
        let id = some_text(block, "id").unwrap_or_default();
        let name = some_text(block, "name").unwrap_or_else(|| "unknown".into());
        let input = block.get("input").filter(|input| !input.is_null());
        let input = input.cloned().unwrap_or_else(|| Value::Object(Object::new()));
        let main = speaker.parent.is_none();
        self.calls.open(Call {
            id: id.clone(),
            name: name.clone(),
            agent: sub_agent(&name, &input),
            input: if is_task_tool(&name) { input.clone() } else { Value::Null },
            main,
        });
        heard.push(Heard::Event(if is_list(&name, main) {
            let todos = input.get("todos").and_then(Value::as_array).cloned().unwrap_or_default();
            let todos = todos.into_iter().map(TodoItem).collect();
            EngineEvent::TodoWrite { tool_use_id: id, todos }
        } else {
            // Also for `AskUserQuestion`: the question is shown when it is really asked.
            EngineEvent::PreToolUse {
                tool_name: name,
                tool_use_id: id,
                tool_input: input,
                agent: speaker.agent.clone(),
                parent_tool_use_id: speaker.parent.clone(),
            }
        }));
    }

    pub(super) fn read_user(&mut self, line: &Object, heard: &mut Vec<Heard>) {
        let Some(message) = object(line, "message") else {
            return heard.push(raw(line));
        };
        let replayed = line.get("isReplay").and_then(Value::as_bool) == Some(true);
        if replayed {
            self.messages.echo(line, self.turn.is_some(), heard);
        }
        let speaker = self.speaker(line);
        let blocks = blocks(message);
        let results = blocks.iter().filter(|block| text(block, "type") == Some("tool_result"));
        // The structured result belongs to the only call that the line is about.
        let structured = object(line, "tool_use_result").filter(|_| results.count() == 1);
        for block in &blocks {
            match text(block, "type").unwrap_or_default() {
                "tool_result" => self.read_result_block(block, structured, &speaker, heard),
                "text" if text(block, "text").is_some_and(|t| t.starts_with(INTERRUPTED)) => {
                    heard.push(log(LogLevel::System, "Interrupted"));
                }
                "text" | "image" if replayed || speaker.parent.is_some() => {}
                // A summary after a compaction, a note of the program: words for the model.
                "text" => {
                    let words = clipped(text(block, "text").unwrap_or_default(), LOG_BYTES_MAX);
                    heard.push(log(LogLevel::Verbose, words));
                }
                kind => heard.push(raw_of(format!("user/{}", heading(kind)), block)),
            }
        }
    }

    fn read_result_block(
        &mut self,
        block: &Object,
        structured: Option<&Object>,
        speaker: &Speaker,
        heard: &mut Vec<Heard>,
    ) {
        let id = some_text(block, "tool_use_id").unwrap_or_default();
        let failed = block.get("is_error").and_then(Value::as_bool) == Some(true);
        let call = self.calls.close(&id);
        if let Some(call) = &call
            && is_list(&call.name, call.main)
            && !failed
        {
            return;
        }
        let response = flat(block.get("content").unwrap_or(&Value::Null));
        heard.push(Heard::Event(EngineEvent::PostToolUse {
            tool_use_id: id.clone(),
            tool_name: call.as_ref().map(|call| call.name.clone()),
            error: failed.then(|| response.clone()),
            tool_response: response,
            agent: speaker.agent.clone(),
            parent_tool_use_id: speaker.parent.clone(),
        }));
        if let (Some(call), Some(structured), false) = (&call, structured, failed)
            && let Some(todos) = self.tasks.after(call, structured)
        {
            heard.push(Heard::Event(EngineEvent::TodoWrite { tool_use_id: id, todos }));
        }
    }
}

/// Whether the call replaces the list that is shown: a sub-agent keeps a list of its own.
fn is_list(name: &str, main: bool) -> bool {
    main && name == "TodoWrite"
}

/// The kind of the sub-agent that this call starts. The tool was renamed on the way.
fn sub_agent(name: &str, input: &Value) -> Option<String> {
    matches!(name, "Agent" | "Task").then(|| {
        let kind = input.get("subagent_type").and_then(Value::as_str).filter(|k| !k.is_empty());
        kind.unwrap_or("sub-agent").to_owned()
    })
}

/// A message's content as blocks: a plain string is one text; what is no object is left out.
fn blocks(message: &Object) -> Vec<Object> {
    if let Some(words) = text(message, "content") {
        let block = [("type", "text"), ("text", words)];
        return vec![block.map(|(key, value)| (key.into(), value.into())).into_iter().collect()];
    }
    list(message, "content").iter().filter_map(Value::as_object).cloned().collect()
}

/// A tool's result as text; nothing vanishes without a mark.
pub(crate) fn flat(content: &Value) -> String {
    let text = match content.as_array() {
        Some(parts) => {
            let parts = parts.iter().map(part).filter(|part| !part.is_empty());
            parts.collect::<Vec<_>>().join("\n")
        }
        None => part(content),
    };
    clipped(&text, TOOL_RESPONSE_BYTES_MAX)
}

fn part(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(block) => match (text(block, "type"), text(block, "text")) {
            (_, Some(text)) => text.to_owned(),
            (Some("image"), None) => {
                let source = object(block, "source");
                let kind = source.and_then(|source| text(source, "media_type"));
                let data = source.and_then(|source| text(source, "data")).map_or(0, str::len);
                format!("[image {}, {data} characters of base64]", kind.unwrap_or("?"))
            }
            _ => value.to_string(),
        },
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    }
}
