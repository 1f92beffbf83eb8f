use studio_events::{EngineEvent, LogLevel, Timestamp};

use super::read::raw;
use super::{Claude, log};
use crate::Heard;
use crate::json::{LOG_BYTES_MAX, Object, clipped, heading, object, some_text, text, whole};

impl Claude {
    pub(super) fn read_system(&mut self, line: &Object, heard: &mut Vec<Heard>) {
        match text(line, "subtype").unwrap_or_default() {
            "init" => self.read_init(line, heard),
            "api_retry" => heard.push(log(LogLevel::System, retry(line))),
            "status" => heard.extend(status(line)),
            "compact_boundary" => heard.push(log(LogLevel::System, compacted(line))),
            "permission_denied" => {
                let tool = text(line, "tool_name").unwrap_or("A tool");
                let why = text(line, "message").map(heading).unwrap_or_default();
                heard.push(log(LogLevel::System, format!("{tool} was not permitted: {why}")));
            }
            "informational" => {
                let content = text(line, "content").unwrap_or_default();
                heard.push(log(LogLevel::System, clipped(content, LOG_BYTES_MAX)));
            }
            "hook_response" => heard.extend(hook_failure(line)),
            "task_started" => {
                // Of a command in the foreground its call and its result tell.
                if is_apart(line) {
                    self.calls.go_apart(text(line, "tool_use_id").unwrap_or_default());
                    let what = text(line, "description").map(heading).unwrap_or_default();
                    heard.push(log(LogLevel::Task, format!("Started: {what}")));
                }
            }
            "task_notification" => {
                if self.calls.end_apart(text(line, "tool_use_id").unwrap_or_default()) {
                    let summary = text(line, "summary").map(heading).unwrap_or_default();
                    let status = text(line, "status").unwrap_or("ended");
                    heard.push(log(LogLevel::Task, format!("Ended ({status}): {summary}")));
                }
            }
            "task_progress"
            | "task_updated"
            | "background_tasks_changed"
            | "thinking_tokens"
            | "session_state_changed"
            | "hook_started" => {}
            _ => heard.push(raw(line)),
        }
    }

    /// Comes before every turn, also before one that the agent begins by itself.
    fn read_init(&mut self, line: &Object, heard: &mut Vec<Heard>) {
        let id = some_text(line, "session_id");
        if let Some(id) = id.clone().filter(|_| id != self.conversation) {
            self.conversation = Some(id.clone());
            heard.push(Heard::Event(EngineEvent::SessionStart {
                session_id: id.clone(),
                cwd: some_text(line, "cwd"),
                agent: None,
                agent_version: some_text(line, "claude_code_version"),
                model: some_text(line, "model"),
            }));
            heard.push(Heard::Conversation { id });
        }
        self.begin_turn(heard);
    }

    pub(super) fn read_rate_limit(&self, line: &Object, heard: &mut Vec<Heard>) {
        let Some(info) = object(line, "rate_limit_info") else {
            return heard.push(raw(line));
        };
        if text(info, "status") != Some("allowed") {
            heard.push(log(LogLevel::System, rate_limit(info)));
        }
    }
}

/// Whether a task goes on beside the main agent: a sub-agent or something in the background.
fn is_apart(line: &Object) -> bool {
    text(line, "task_type").is_some_and(|kind| kind != "local_bash")
        || line.get("is_backgrounded").and_then(|is| is.as_bool()) == Some(true)
}

fn retry(line: &Object) -> String {
    let error = text(line, "error").unwrap_or("an error");
    let status = whole(line, "error_status").map(|status| format!(" ({status})"));
    let mut message = format!("The model's provider failed: {error}{}", status.unwrap_or_default());
    if let (Some(attempt), Some(max)) = (whole(line, "attempt"), whole(line, "max_retries")) {
        message.push_str(&format!("; retry {attempt} of {max}"));
    }
    if let Some(ms) = whole(line, "retry_delay_ms") {
        message.push_str(&format!(" in {}.{} s", ms / 1_000, ms % 1_000 / 100));
    }
    message
}

fn status(line: &Object) -> Option<Heard> {
    if text(line, "status") == Some("compacting") {
        return Some(log(LogLevel::System, "The conversation is being compacted"));
    }
    let result = text(line, "compact_result").filter(|result| *result != "success")?;
    Some(log(LogLevel::Error, format!("The conversation was not compacted: {}", heading(result))))
}

fn compacted(line: &Object) -> String {
    let sizes = object(line, "compact_metadata")
        .and_then(|meta| Some((whole(meta, "pre_tokens")?, whole(meta, "post_tokens")?)));
    match sizes {
        Some((before, after)) => {
            format!("The conversation was compacted from {before} to {after} tokens")
        }
        None => "The conversation was compacted".into(),
    }
}

fn hook_failure(line: &Object) -> Option<Heard> {
    let outcome = text(line, "outcome").filter(|outcome| *outcome != "success")?;
    let name = text(line, "hook_name").unwrap_or("?");
    let stderr = text(line, "stderr").map(heading).unwrap_or_default();
    Some(log(LogLevel::System, format!("Hook {name}: {outcome} {stderr}").trim_end()))
}

fn rate_limit(info: &Object) -> String {
    let kind = text(info, "rateLimitType").unwrap_or("a limit");
    let status = text(info, "status").unwrap_or("unknown");
    let mut message = format!("Rate limit {kind}: {status}");
    if let Some(used) = info.get("utilization").and_then(|used| used.as_f64()) {
        message.push_str(&format!(", {:.0} % used", used * 100.0));
    }
    let resets = info.get("resetsAt").and_then(|at| at.as_i64());
    if let Some(millis) = resets.and_then(|at| at.checked_mul(1_000)) {
        message.push_str(&format!(", resets at {}", Timestamp::from_unix_millis(millis)));
    }
    message
}
