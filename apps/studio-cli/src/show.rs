use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

/// Longest piece of a tool's arguments or result on one line, in characters.
const PIECE_CHARS_MAX: usize = 160;

/// How events become lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Show {
    colours: bool,
}

#[derive(Clone, Copy)]
enum Colour {
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
    Bold,
}

impl Show {
    /// With colours when a person looks and did not forbid them.
    pub(crate) fn for_stdout() -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: std::io::stdout().is_terminal() && !forbidden }
    }

    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { colours: false }
    }

    /// The event's lines; `None` = nothing for people.
    pub(crate) fn event(self, event: &Value) -> Option<String> {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        let kind = text("type");
        let (colour, label, words) = match kind {
            "log" => {
                let colour = if text("level") == "error" { Colour::Red } else { Colour::Dim };
                (colour, text("level").to_owned(), text("message").to_owned())
            }
            "user_prompt" => (Colour::Bold, "you".to_owned(), text("message").to_owned()),
            "assistant_message" => {
                (Colour::Green, named("agent", text("agent")), text("text").to_owned())
            }
            "assistant_thinking" => (Colour::Dim, "thinks".to_owned(), text("text").to_owned()),
            "session_start" => (Colour::Dim, "starts".to_owned(), text("model").to_owned()),
            "pre_tool_use" => {
                let input = piece(&compact(&event["tool_input"]));
                (Colour::Cyan, text("tool_name").to_owned(), input)
            }
            "post_tool_use" if text("error").is_empty() => {
                (Colour::Dim, "result".to_owned(), piece(text("tool_response")))
            }
            "post_tool_use" | "post_tool_use_failure" => {
                (Colour::Red, "failed".to_owned(), piece(text("error")))
            }
            "todo_write" => (Colour::Cyan, "plan".to_owned(), todos(&event["todos"])),
            "ask_user_question" => (Colour::Yellow, "asks".to_owned(), questions(event)),
            "permission_request" => {
                let input = piece(&compact(&event["tool_input"]));
                (Colour::Yellow, "may I".to_owned(), format!("{} {input}", text("tool_name")))
            }
            "infra_config_prompt" => {
                let words = "where shall the data live? (answer: local)".to_owned();
                (Colour::Yellow, "asks".to_owned(), words)
            }
            "gate_resolved" => (
                Colour::Dim,
                "answered".to_owned(),
                format!("{} {}", text("gate"), text("summary")),
            ),
            "gate_closed" => {
                (Colour::Dim, "closed".to_owned(), format!("{} {}", text("gate"), text("outcome")))
            }
            "session_end" => return Some(self.line(end_colour(event), "end", &end(event))),
            "budget_exceeded" => {
                let words = format!("{} of {} USD", event["spent_usd"], event["budget_usd"]);
                (Colour::Red, "budget".to_owned(), words)
            }
            "app_status" => {
                let words = format!("{} {}", text("status"), text("previewUrl"));
                (Colour::Cyan, "app".to_owned(), words)
            }
            "message_state" | "raw" | "agent_exit" | "git_checkpoint" => return None,
            other => (Colour::Dim, other.to_owned(), String::new()),
        };
        Some(self.line(colour, &label, &words))
    }

    fn line(self, colour: Colour, label: &str, words: &str) -> String {
        let label = harmless(label);
        let words = harmless(words.trim_end()).replace('\n', "\n           ");
        let label = format!("{label:>10}");
        if !self.colours {
            return format!("{label} {words}").trim_end().to_owned();
        }
        let code = match colour {
            Colour::Dim => 2,
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Cyan => 36,
            Colour::Bold => 1,
        };
        format!("\u{1b}[{code}m{label}\u{1b}[0m {words}")
    }
}

/// Prints a line. Who reads it may stop reading (`studio tail … | head`): then there is nothing
/// left to do.
pub(crate) fn out(line: &str) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// What an agent writes must not drive the terminal: control characters become visible.
pub(crate) fn harmless(text: &str) -> String {
    let safe = |c: char| c == '\n' || c == '\t' || !c.is_control();
    text.chars().filter(|&c| c != '\r').map(|c| if safe(c) { c } else { '\u{fffd}' }).collect()
}

fn named(fallback: &str, name: &str) -> String {
    if name.is_empty() { fallback.to_owned() } else { name.to_owned() }
}

fn compact(value: &Value) -> String {
    // One argument needs no name.
    match value.as_object().map(|object| object.values().collect::<Vec<_>>()).as_deref() {
        Some([Value::String(only)]) => only.clone(),
        _ => value.to_string(),
    }
}

fn piece(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(PIECE_CHARS_MAX) {
        Some((end, _)) => format!("{}\u{2026}", &line[..end]),
        None => line,
    }
}

fn todos(todos: &Value) -> String {
    let mark = |todo: &Value| match todo["status"].as_str() {
        Some("completed") => "[x]",
        Some("in_progress") => "[>]",
        _ => "[ ]",
    };
    let line =
        |todo: &Value| format!("{} {}", mark(todo), todo["content"].as_str().unwrap_or_default());
    todos.as_array().into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

fn questions(event: &Value) -> String {
    let all = event["questions"].as_array().cloned().unwrap_or_else(|| vec![event.clone()]);
    let question = |asked: &Value| {
        let options: Vec<&str> = asked["options"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|option| option["label"].as_str())
            .collect();
        let choices =
            if options.is_empty() { String::new() } else { format!(" ({})", options.join(" | ")) };
        format!("{}{choices}", asked["question"].as_str().unwrap_or_default())
    };
    all.iter().map(question).collect::<Vec<_>>().join("\n")
}

fn end_colour(event: &Value) -> Colour {
    if event["success"] == true { Colour::Green } else { Colour::Red }
}

fn end(event: &Value) -> String {
    let mut words = if event["success"] == true { "done" } else { "not done" }.to_owned();
    if let Some(reason) = event["reason"].as_str() {
        words.push_str(&format!(" ({reason})"));
    }
    if let Some(cost) = event["cost_usd"].as_f64() {
        words.push_str(&format!(", {cost:.4} USD"));
    }
    if let Some(ms) = event["duration_ms"].as_u64() {
        words.push_str(&format!(", {}.{} s", ms / 1_000, ms % 1_000 / 100));
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(events: &[Value]) -> String {
        let show = Show::plain();
        events.iter().filter_map(|event| show.event(event)).map(|line| line + "\n").collect()
    }

    #[test]
    fn events_read_well() {
        insta::assert_snapshot!(lines(&[
            json!({"type": "log", "level": "build", "message": "making a sandbox"}),
            json!({"type": "user_prompt", "message": "build it"}),
            json!({"type": "pre_tool_use", "tool_name": "Bash", "tool_input": {"command": "ls  -l\n"}}),
            json!({"type": "post_tool_use", "tool_response": "a\nb"}),
            json!({"type": "post_tool_use", "tool_response": "no", "error": "no"}),
            json!({"type": "assistant_message", "text": "two\nlines"}),
            json!({"type": "todo_write", "todos": [{"content": "one", "status": "completed"}, {"content": "two"}]}),
            json!({"type": "ask_user_question", "question": "Colour?", "options": [{"label": "red"}, {"label": "blue"}]}),
            json!({"type": "permission_request", "tool_name": "Write", "tool_input": {"path": "a", "n": 1}}),
            json!({"type": "message_state"}),
            json!({"type": "from_the_future"}),
            json!({"type": "session_end", "success": true, "cost_usd": 0.12345, "duration_ms": 1234}),
            json!({"type": "session_end", "success": false, "reason": "interrupted"}),
        ]), @r#"
             build making a sandbox
               you build it
              Bash ls -l
            result a b
            failed no
             agent two
                   lines
              plan [x] one
                   [ ] two
              asks Colour? (red | blue)
             may I Write {"n":1,"path":"a"}
        from_the_future
               end done, 0.1235 USD, 1.2 s
               end not done (interrupted)
        "#);
    }

    #[test]
    fn what_an_agent_writes_does_not_drive_the_terminal() {
        let line = lines(&[
            json!({"type": "assistant_message", "text": "\u{1b}]52;c;aGk=\u{7}\u{9b}2J\r\u{8}x"}),
        ]);
        assert!(!line.contains(['\u{1b}', '\u{7}', '\u{8}', '\u{9b}', '\r']), "{line:?}");
    }
}
