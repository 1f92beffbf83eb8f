//! One test for each rule that a recording alone does not show, named after the reference's
//! defect (`D31-…`) where there is one.

use serde_json::{Value, json};
use studio_agent_codec::{AskKind, Claude, Heard, TOOL_RESPONSE_BYTES_MAX};
use studio_events::{EngineEvent, SessionTotals};

use crate::common::{heard, shown};

fn hear(lines: &[Value]) -> Vec<Heard> {
    hear_with(&mut Claude::new(), lines)
}

fn hear_with(claude: &mut Claude, lines: &[Value]) -> Vec<Heard> {
    heard(claude, &lines.iter().map(Value::to_string).collect::<Vec<_>>())
}

fn init(id: &str) -> Value {
    json!({"type": "system", "subtype": "init", "session_id": id})
}

fn call(id: &str, name: &str, input: Value) -> Value {
    let block = json!({"type": "tool_use", "id": id, "name": name, "input": input});
    json!({"type": "assistant", "message": {"content": [block]}})
}

fn result_of(id: &str, content: Value) -> Value {
    let block = json!({"type": "tool_result", "tool_use_id": id, "content": content});
    json!({"type": "user", "message": {"content": [block]}})
}

/// What `pick` finds among the events.
fn events<T>(heard: &[Heard], pick: impl Fn(&EngineEvent) -> Option<T>) -> Vec<T> {
    let event = |heard: &Heard| if let Heard::Event(event) = heard { pick(event) } else { None };
    heard.iter().filter_map(event).collect()
}

fn ends(heard: &[Heard]) -> Vec<(bool, SessionTotals)> {
    events(heard, |event| {
        let EngineEvent::SessionEnd { success, totals, .. } = event else { return None };
        Some((*success, *totals))
    })
}

fn costs(lines: &[Value]) -> Vec<Option<f64>> {
    ends(&hear(lines)).iter().map(|(_, totals)| totals.cost_usd).collect()
}

fn responses(heard: &[Heard]) -> Vec<String> {
    events(heard, |event| {
        let EngineEvent::PostToolUse { tool_response, .. } = event else { return None };
        Some(tool_response.clone())
    })
}

#[test]
fn d31_1_a_turns_cost_is_its_own_whatever_the_version_tells() {
    let end = |more: Value| {
        let mut line = json!({"type": "result", "subtype": "success"});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    // Since 2.1.113: a total of the whole conversation beside this turn's figures by model.
    let models = json!({"a": {"costUSD": 0.1}, "b": {"costUSD": 0.2}, "c": null});
    let own = json!({"total_cost_usd": 7.5, "model_usage_since_last_result": models});
    assert_eq!(costs(&[end(own)]), [Some(0.3)]);
    // Older: a total of the process.
    let totals = [0.25, 0.75, 0.75].map(|usd| end(json!({"total_cost_usd": usd})));
    assert_eq!(costs(&totals), [Some(0.25), Some(0.5), Some(0.0)]);
    // A total that began anew.
    let totals = [0.75, 0.25].map(|usd| end(json!({"total_cost_usd": usd})));
    assert_eq!(costs(&totals), [Some(0.75), Some(0.25)]);
    // Oldest.
    assert_eq!(costs(&[end(json!({"cost_usd": 0.5}))]), [Some(0.5)]);
    // Nothing that is money.
    let odd = [json!({}), json!({"total_cost_usd": "1"}), json!({"total_cost_usd": -1})];
    assert_eq!(costs(&odd.map(end)), [None, None, None]);
}

#[test]
fn the_time_of_the_model_is_a_turns_own_too() {
    let lines = [30, 50, 20].map(|ms| json!({"type": "result", "duration_api_ms": ms}));
    let times: Vec<_> = ends(&hear(&lines)).iter().map(|(_, t)| t.duration_api_ms).collect();
    assert_eq!(times, [Some(30), Some(20), Some(20)]);
}

#[test]
fn d31_15_a_turn_is_a_success_only_without_an_error() {
    let end = |subtype: &str, is_error: Value| json!({"type": "result", "subtype": subtype, "is_error": is_error, "result": "Please run /login"});
    let lines = [
        end("success", json!(false)),
        end("success", json!(null)),
        end("success", json!(true)),
        end("error_max_turns", json!(false)),
        json!({"type": "result"}),
    ];
    let heard = hear(&lines);
    let success: Vec<_> = ends(&heard).iter().map(|(success, _)| *success).collect();
    assert_eq!(success, [true, true, false, false, false]);
    // The reason of a failure is shown.
    assert_eq!(
        shown(&heard).matches(r#""level":"error","message":"Please run /login""#).count(),
        2
    );
}

#[test]
fn a_refusal_by_the_provider_is_in_the_log_once() {
    let text = json!([{"type": "text", "text": "API Error: 500"}]);
    let heard = hear(&[
        init("c"),
        json!({"type": "assistant", "is_api_error_message": true, "message": {"content": text}}),
        json!({"type": "result", "subtype": "success", "is_error": true, "result": "API Error: 500"}),
    ]);
    insta::assert_snapshot!(shown(&heard[3..]), @r#"
    log {"level":"error","message":"API Error: 500"}
    assistant_message {"text":"API Error: 500"}
    session_end {"reason":"success","success":false}
    = TurnEnded { success: false }
    "#);
}

#[test]
fn d31_12_lines_that_ended_the_reference_are_read() {
    let lines = ["null", "7", "\"x\"", "[]", "", "  ", "not json", "{\"type\":"];
    insta::assert_snapshot!(shown(&heard(&mut Claude::new(), &lines)), @r#"
    log {"level":"error","message":"claude: null"}
    log {"level":"error","message":"claude: 7"}
    log {"level":"error","message":"claude: \"x\""}
    log {"level":"error","message":"claude: []"}
    log {"level":"error","message":"claude: not json"}
    log {"level":"error","message":"claude: {\"type\":"}
    "#);
    let blocks = json!([null, 1, "x", {}, {"type": "tool_use", "name": "TodoWrite"}]);
    let odd = hear(&[
        json!({"type": "assistant", "message": {"content": blocks}}),
        json!({"type": "assistant", "message": {"content": null}}),
        json!({"type": "assistant"}),
        result_of("t", json!(["bare", null, 5])),
        json!({}),
    ]);
    insta::assert_snapshot!(shown(&odd), @r#"
    raw {"agent_kind":"claude","kind":"assistant/","line":{}}
    todo_write {"todos":[],"tool_use_id":""}
    raw {"agent_kind":"claude","kind":"assistant","line":{"type":"assistant"}}
    post_tool_use {"tool_response":"bare\n5","tool_use_id":"t"}
    raw {"agent_kind":"claude","kind":"?","line":{}}
    "#);
}

#[test]
fn what_is_not_json_is_shown_up_to_a_limit() {
    let heard = heard(&mut Claude::new(), &["x".repeat(1_000_000)]);
    let [Heard::Event(EngineEvent::Log { message, .. })] = &heard[..] else { panic!("{heard:?}") };
    assert!(message.len() < 600, "{message}");
    assert!(message.ends_with("[… 999500 more bytes left out by the studio]"), "{message}");
}

#[test]
fn a_kind_that_nobody_knows_is_kept_whole() {
    let heard = hear(&[json!({"type": "news", "subtype": "of", "x": {"y": [1]}})]);
    insta::assert_snapshot!(shown(&heard), @r#"raw {"agent_kind":"claude","kind":"news/of","line":{"subtype":"of","type":"news","x":{"y":[1]}}}"#);
}

#[test]
fn d31_30_a_sub_agents_doing_is_told_as_its_own() {
    let with_parent = |mut line: Value| {
        line["parent_tool_use_id"] = json!("a");
        line
    };
    let text = json!({"type": "assistant", "message": {"content": [{"type": "text", "text": "@room hi"}]}});
    let heard = hear(&[
        init("c"),
        call("a", "Task", json!({"subagent_type": "Explore"})),
        with_parent(text),
        with_parent(call("t", "TodoWrite", json!({"todos": []}))),
        with_parent(result_of("t", json!("ok"))),
        result_of("a", json!("done")),
        with_parent(call("u", "Bash", json!({}))),
    ]);
    insta::assert_snapshot!(shown(&heard[3..]), @r#"
    pre_tool_use {"tool_input":{"subagent_type":"Explore"},"tool_name":"Task","tool_use_id":"a"}
    assistant_message {"agent":"Explore","parent_tool_use_id":"a","text":"@room hi"}
    pre_tool_use {"agent":"Explore","parent_tool_use_id":"a","tool_input":{"todos":[]},"tool_name":"TodoWrite","tool_use_id":"t"}
    post_tool_use {"agent":"Explore","parent_tool_use_id":"a","tool_name":"TodoWrite","tool_response":"ok","tool_use_id":"t"}
    post_tool_use {"tool_name":"Task","tool_response":"done","tool_use_id":"a"}
    pre_tool_use {"agent":"Explore","parent_tool_use_id":"a","tool_input":{},"tool_name":"Bash","tool_use_id":"u"}
    "#);
}

#[test]
fn d31_31_results_lose_nothing_without_a_mark() {
    let image = json!({"type": "image", "source": {"media_type": "image/png", "data": "AAAA"}});
    let results = [
        json!("plain"),
        json!([{"type": "text", "text": "one"}, {"type": "text", "text": ""}, {"type": "text", "text": "two"}]),
        json!([image]),
        json!([{"type": "tool_reference", "tool_name": "TodoWrite"}]),
        json!({"a": 1}),
        json!(null),
        json!(true),
    ];
    let heard = hear(&results.map(|content| result_of("t", content)));
    insta::assert_snapshot!(responses(&heard).join("\n--\n"), @r#"
    plain
    --
    one
    two
    --
    [image image/png, 4 characters of base64]
    --
    {"tool_name":"TodoWrite","type":"tool_reference"}
    --
    {"a":1}
    --

    --
    true
    "#);
    let long = "ü".repeat(TOOL_RESPONSE_BYTES_MAX);
    let response = responses(&hear(&[result_of("t", json!(long))])).remove(0);
    let marker = format!("\n[… {TOOL_RESPONSE_BYTES_MAX} more bytes left out by the studio]");
    assert_eq!(response.strip_suffix(&marker).unwrap().len(), TOOL_RESPONSE_BYTES_MAX);
}

#[test]
fn d31_31_errors_and_denials_of_a_turn_are_told() {
    let heard = hear(&[json!({
        "type": "result", "subtype": "error_max_turns", "is_error": true,
        "errors": ["Reached maximum number of turns (1)", 5],
        "permission_denials": [{"tool_name": "Bash"}, {"tool_name": "Write"}, null],
    })]);
    insta::assert_snapshot!(shown(&heard), @r#"
    log {"level":"error","message":"Reached maximum number of turns (1)"}
    log {"level":"verbose","message":"Not permitted in this turn: Bash, Write"}
    session_end {"reason":"error_max_turns","success":false}
    = TurnEnded { success: false }
    "#);
}

#[test]
fn a_conversation_is_told_once_and_a_turn_each_time() {
    let end = json!({"type": "result", "subtype": "success"});
    let lines = [init("one"), init("one"), end.clone(), init("one"), end, init("two")];
    insta::assert_snapshot!(shown(&hear(&lines)), @r#"
    session_start {"session_id":"one"}
    = Conversation { id: "one" }
    = TurnStarted
    session_end {"reason":"success","success":true}
    = TurnEnded { success: true }
    = TurnStarted
    session_end {"reason":"success","success":true}
    = TurnEnded { success: true }
    session_start {"session_id":"two"}
    = Conversation { id: "two" }
    = TurnStarted
    "#);
    let resumed = hear_with(&mut Claude::resuming("one"), &[init("one")]);
    assert_eq!(resumed, [Heard::TurnStarted]);
}

#[test]
fn a_lost_conversation_is_no_turn_that_ended() {
    let lost = json!({
        "type": "result", "subtype": "error_during_execution", "is_error": true,
        "errors": ["No conversation found with session ID: x"],
    });
    insta::assert_snapshot!(shown(&hear(std::slice::from_ref(&lost))), @r#"
    log {"level":"error","message":"No conversation found with session ID: x"}
    = ConversationLost
    "#);
    // Later the same words are a turn's error.
    let later = hear(&[init("c"), lost]);
    assert!(!later.contains(&Heard::ConversationLost));
    assert_eq!(later.last(), Some(&Heard::TurnEnded { success: false }));
}

#[test]
fn a_question_is_asked_once_and_only_when_the_agent_waits() {
    let input =
        json!({"questions": [{"question": "Colour?", "options": ["Red", {"label": "Blue"}, 3]}]});
    let request = json!({
        "subtype": "can_use_tool", "tool_name": "AskUserQuestion", "input": input, "tool_use_id": "q",
    });
    let heard = hear(&[
        init("c"),
        call("q", "AskUserQuestion", input.clone()),
        json!({"type": "control_request", "request_id": "r", "request": request}),
        json!({"type": "control_cancel_request", "request_id": "r"}),
    ]);
    insta::assert_snapshot!(shown(&heard[3..]), @r#"
    pre_tool_use {"tool_input":{"questions":[{"options":["Red",{"label":"Blue"},3],"question":"Colour?"}]},"tool_name":"AskUserQuestion","tool_use_id":"q"}
    ask_user_question {"gate_id":"q","options":[{"label":"Red"},{"label":"Blue"}],"question":"Colour?","questions":[{"options":[{"label":"Red"},{"label":"Blue"}],"question":"Colour?"}],"tool_use_id":"q"}
    = asks Question AskUserQuestion gate q request r input {"questions":[{"options":["Red",{"label":"Blue"},3],"question":"Colour?"}]} suggestions null
    = Unasks { request_id: "r" }
    "#);
}

#[test]
fn a_request_that_names_no_call_is_a_gate_by_its_own_id() {
    let ask = |call: Value| {
        let request = json!({"subtype": "can_use_tool", "tool_name": "Bash", "tool_use_id": call});
        let heard =
            hear(&[json!({"type": "control_request", "request_id": "r", "request": request})]);
        match heard.last() {
            Some(Heard::Asks(ask)) => (ask.gate.to_string(), ask.kind),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(json!("toolu_1")), ("toolu_1".into(), AskKind::Permission));
    assert_eq!(ask(json!(null)), ("r".into(), AskKind::Permission));
    assert_eq!(ask(json!("no name")), ("r".into(), AskKind::Permission));
}

#[test]
fn what_cannot_be_answered_is_said_to_be_so() {
    let requests = [
        json!({"type": "control_request", "request_id": "r", "request": {"subtype": "elicitation"}}),
        json!({"type": "control_request", "request": {"subtype": "can_use_tool", "tool_name": "Bash"}}),
        json!({"type": "control_request"}),
        json!({"type": "control_cancel_request"}),
        json!({"type": "control_response", "response": {"subtype": "success"}}),
    ];
    for request in requests {
        let shown = shown(&hear(std::slice::from_ref(&request)));
        assert!(shown.starts_with("raw {"), "{shown}");
    }
}

#[test]
fn older_versions_acknowledge_a_message_by_its_echo() {
    let id = "00000000-0000-4000-8000-000000000001";
    let echo = json!({"type": "user", "isReplay": true, "uuid": id, "message": {"content": "hi"}});
    let end = json!({"type": "result", "subtype": "success"});
    insta::assert_snapshot!(shown(&hear(&[init("c"), echo.clone(), end.clone(), end.clone()])[3..]), @r#"
    = Message { id: MessageId(00000000-0000-4000-8000-000000000001), state: Started }
    session_end {"reason":"success","success":true}
    = Message { id: MessageId(00000000-0000-4000-8000-000000000001), state: Completed }
    = TurnEnded { success: true }
    session_end {"reason":"success","success":true}
    = TurnEnded { success: true }
    "#);
    // Where states are told the echo says nothing new.
    let state = |state| json!({"type": "command_lifecycle", "command_uuid": id, "state": state});
    let lines = [state("queued"), state("started"), init("c"), echo, end, state("completed")];
    insta::assert_snapshot!(shown(&hear(&lines)), @r#"
    = Message { id: MessageId(00000000-0000-4000-8000-000000000001), state: Queued }
    = Message { id: MessageId(00000000-0000-4000-8000-000000000001), state: Started }
    session_start {"session_id":"c"}
    = Conversation { id: "c" }
    = TurnStarted
    session_end {"reason":"success","success":true}
    = TurnEnded { success: true }
    = Message { id: MessageId(00000000-0000-4000-8000-000000000001), state: Completed }
    "#);
}

#[test]
fn a_message_that_the_conversation_has_is_not_read_again() {
    let id = "00000000-0000-4000-8000-000000000001";
    // Seen with 2.1.112 and 2.1.329 when an id is said again, also after `--resume`; the newer
    // one tells the state too.
    let echo = json!({"type": "user", "isReplay": true, "uuid": id, "message": {"content": "hi"}});
    let state = json!({"type": "command_lifecycle", "command_uuid": id, "state": "completed"});
    insta::assert_snapshot!(shown(&hear(&[echo, state])), @r"
    = Message { id: MessageId(00000000-0000-4000-8000-000000000001), state: Completed }
    = Message { id: MessageId(00000000-0000-4000-8000-000000000001), state: Completed }
    ");
}

#[test]
fn an_answer_that_the_agent_took_comes_back() {
    let response = json!({"behavior": "deny", "message": "No."});
    let echo = json!({"type": "control_response", "response": {
        "subtype": "success", "request_id": "r", "response": response,
    }});
    insta::assert_snapshot!(shown(&hear(&[echo])), @r#"= reply r {"behavior":"deny","message":"No."}"#);
}

#[test]
fn a_deleted_task_leaves_the_list() {
    let done = |id: &str, result: Value| {
        let mut line = result_of(id, json!("ok"));
        line["tool_use_result"] = result;
        line
    };
    let heard = hear(&[
        call("1", "TaskCreate", json!({"subject": "Sow"})),
        done("1", json!({"task": {"id": "7", "subject": "Sow"}})),
        call("2", "TaskUpdate", json!({"taskId": "7", "status": "deleted"})),
        done("2", json!({"success": false})),
        call("3", "TaskUpdate", json!({"taskId": "7", "status": "deleted"})),
        done("3", json!({"success": true, "taskId": "7"})),
    ]);
    let lists = events(&heard, |event| {
        let EngineEvent::TodoWrite { todos, .. } = event else { return None };
        Some(todos.len())
    });
    assert_eq!(lists, [1, 0]);
}
