//! No input makes the codec fail, and its state is a function of the lines it has read.

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Number, Value};
use studio_agent_codec::hook::HookBody;
use studio_agent_codec::lines::Lines;
use studio_agent_codec::{AgentCodec, Answer, Claude, Heard};

use crate::common::{heard, lines, recordings};

/// The words of the language, so that arbitrary JSON gets beyond the first lookup.
const WORDS: &[&str] = &[
    "type",
    "subtype",
    "system",
    "init",
    "assistant",
    "user",
    "result",
    "message",
    "content",
    "text",
    "thinking",
    "tool_use",
    "tool_result",
    "id",
    "name",
    "input",
    "todos",
    "TodoWrite",
    "AskUserQuestion",
    "questions",
    "question",
    "options",
    "label",
    "Task",
    "TaskCreate",
    "TaskUpdate",
    "TaskList",
    "task",
    "tasks",
    "taskId",
    "tool_use_id",
    "tool_use_result",
    "parent_tool_use_id",
    "is_error",
    "session_id",
    "success",
    "errors",
    "total_cost_usd",
    "model_usage_since_last_result",
    "costUSD",
    "duration_api_ms",
    "num_turns",
    "control_request",
    "control_response",
    "control_cancel_request",
    "request",
    "request_id",
    "response",
    "can_use_tool",
    "tool_name",
    "command_lifecycle",
    "command_uuid",
    "state",
    "queued",
    "rate_limit_event",
    "rate_limit_info",
    "status",
    "resetsAt",
    "api_retry",
    "retry_delay_ms",
    "task_started",
    "task_notification",
    "task_type",
    "isReplay",
    "uuid",
    "image",
    "source",
    "permission_denials",
    "hook_event_name",
    "PreToolUse",
    "PostToolUse",
    "Stop",
    "SessionEnd",
    "session",
    "tool_input",
    "tool_response",
    "file",
    "stdout",
    "stderr",
    "compact_metadata",
    "00000000-0000-4000-8000-000000000001",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => proptest::sample::select(WORDS).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| Number::from_f64(n).map_or(Value::Null, Value::from)),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            hash_map(word(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A line that at least looks like one: an object with a known kind.
fn likely() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![
        Just(("system", "init")),
        Just(("system", "task_started")),
        Just(("system", "api_retry")),
        Just(("assistant", "")),
        Just(("user", "")),
        Just(("result", "success")),
        Just(("control_request", "")),
        Just(("control_response", "")),
        Just(("command_lifecycle", "")),
        Just(("rate_limit_event", "")),
    ];
    (kind, json(), vec(json(), 0..4)).prop_map(|((kind, subtype), any, blocks)| {
        let mut line = any.as_object().cloned().unwrap_or_default();
        line.insert("type".into(), kind.into());
        line.insert("subtype".into(), subtype.into());
        if kind == "assistant" || kind == "user" {
            line.insert("message".into(), serde_json::json!({"content": blocks}));
        }
        Value::Object(line)
    })
}

fn read(lines: &[Vec<u8>]) -> Vec<Heard> {
    let mut claude = Claude::new();
    let heard = heard(&mut claude, lines);
    // What is asked can be answered, whatever it is.
    for heard in &heard {
        if let Heard::Asks(ask) = heard {
            for answer in [Answer::Allow { always: true }, Answer::Answers(Default::default())] {
                let line = claude.answer(ask, &answer);
                assert!(serde_json::from_slice::<Value>(&line).is_ok());
            }
        }
    }
    heard
}

proptest! {
    #[test]
    fn any_json_is_read(values in vec(prop_oneof![json(), likely()], 1..20)) {
        let lines: Vec<_> = values.iter().map(|value| value.to_string().into_bytes()).collect();
        let once = read(&lines);
        prop_assert_eq!(once, read(&lines));
    }

    #[test]
    fn any_bytes_are_read(bytes in vec(any::<u8>(), 0..2_000)) {
        let lines: Vec<_> = Lines::starting_at(0).push(&bytes).into_iter().map(|l| l.bytes).collect();
        read(&lines);
    }

    #[test]
    fn any_hook_body_is_read(body in json()) {
        let body = HookBody::from(body);
        let _event = body.event("call");
        let _fields = (body.totals(), body.is_question(), body.tool_use_id(), body.session_id());
    }

    #[test]
    fn a_recording_reads_the_same_in_any_pieces(cuts in vec(0_usize..6_000, 0..40)) {
        let path = &recordings("claude-older")[0];
        let bytes = std::fs::read(path).unwrap();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut split = Lines::starting_at(0);
        let pieces = cuts.windows(2).flat_map(|at| split.push(&bytes[at[0]..at[1]]));
        let pieces: Vec<_> = pieces.map(|line| line.bytes).collect();
        prop_assert_eq!(pieces, lines(path));
    }

    #[test]
    fn what_was_cut_off_in_a_recording_does_no_harm(seed in any::<u64>()) {
        for path in recordings("claude-older") {
            let mut lines = lines(&path);
            for (n, line) in lines.iter_mut().enumerate() {
                let at = (seed as usize).wrapping_mul(n + 7) % (line.len() + 1);
                line.truncate(at);
            }
            read(&lines);
        }
    }
}

#[test]
fn a_recording_read_again_from_the_start_is_heard_the_same() {
    for path in recordings("claude") {
        let lines = lines(&path);
        // A server that comes back in the middle reads the beginning again, silently.
        for middle in [lines.len() / 3, lines.len() / 2] {
            let whole = heard(&mut Claude::new(), &lines);
            let mut again = Claude::new();
            let before = heard(&mut again, &lines[..middle]).len();
            assert_eq!(heard(&mut again, &lines[middle..]), whole[before..], "{path:?}");
        }
    }
}
