//! A small agent in shell and its language, quick enough to be crashed beside a hundred times.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "for tests, each of which uses its part"
)]

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use studio_agent_codec::{
    AgentCodec, Answer, Ask, AskKind, Heard, Launch, LaunchOptions, MessageState,
};
use studio_bridge::AgentParts;
use studio_events::{EngineEvent, SessionTotals};
use studio_ids::MessageId;
use studio_sandbox::Sandbox;

/// Reads `say ID WORDS`; does what the words say, and tells it as it goes.
const PROGRAM: &str = r#"
trap 'exit 0' TERM
turn=0
while read -r verb id words; do
    if [ "$verb" = stop ]; then echo "replied $id"; continue; fi
    if [ "$verb" != say ]; then echo "noise $verb $id"; continue; fi
    turn=$((turn + 1))
    echo "queued $id"
    echo "started $id"
    echo "turn"
    echo "text $words begins"
    case $words in
    ask*)
        echo "ask gate-$turn request-$turn"
        while read -r verb other answer; do
            [ "$verb" = answer ] && break
        done
        echo "text answered $other $answer"
        ;;
    stubborn*)
        trap '' INT TERM
        while :; do sleep 1; done
        ;;
    die*) echo "last words" >&2; exit 3 ;;
    count*)
        i=0
        while [ $i -lt 40 ]; do
            i=$((i + 1))
            echo "text $words $i"
            echo "silent $i"
            [ $((i % 10)) = 0 ] && sleep 0.01
        done
        ;;
    esac
    echo "text $words ends"
    echo "end"
    echo "completed $id"
done
"#;

/// The language of that program.
#[derive(Debug, Default)]
pub struct Plain;

impl AgentCodec for Plain {
    fn launch(&self, _options: &LaunchOptions) -> Launch {
        let argv = ["sh", "-c", PROGRAM, "plain-agent"].map(str::to_owned).into();
        Launch { argv, env: BTreeMap::new() }
    }

    fn read_line(&mut self, line: &[u8]) -> Vec<Heard> {
        let line = String::from_utf8_lossy(line).into_owned();
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let state = |state| match rest.parse() {
            Ok(id) => vec![Heard::Message { id, state }],
            Err(_) => panic!("not an id: {rest}"),
        };
        match verb {
            "queued" => state(MessageState::Queued),
            "started" => state(MessageState::Started),
            "completed" => state(MessageState::Completed),
            "turn" => vec![Heard::TurnStarted],
            "text" => vec![Heard::Event(EngineEvent::AssistantMessage {
                text: rest.to_owned(),
                agent: None,
                parent_tool_use_id: None,
            })],
            "ask" => {
                let (gate, request) = rest.split_once(' ').unwrap();
                let event = EngineEvent::AskUserQuestion {
                    tool_use_id: gate.to_owned(),
                    question: "?".to_owned(),
                    options: None,
                    questions: None,
                    gate_id: Some(gate.parse().unwrap()),
                    deadline: None,
                };
                let ask = Ask {
                    request_id: request.to_owned(),
                    gate: gate.parse().unwrap(),
                    kind: AskKind::Question,
                    tool_name: "Ask".to_owned(),
                    input: json!({}),
                    suggestions: Value::Null,
                };
                vec![Heard::Event(event), Heard::Asks(ask)]
            }
            "end" => {
                let totals = SessionTotals::default();
                let end = EngineEvent::SessionEnd { success: true, totals, reason: None };
                vec![Heard::Event(end), Heard::TurnEnded { success: true }]
            }
            "replied" => {
                vec![Heard::Replied { request_id: rest.to_owned(), result: Ok(Value::Null) }]
            }
            _ => Vec::new(),
        }
    }

    fn say(&self, id: MessageId, text: &str) -> Vec<u8> {
        format!("say {id} {text}\n").into_bytes()
    }

    fn answer(&self, ask: &Ask, answer: &Answer) -> Vec<u8> {
        let word = if matches!(answer, Answer::Allow { .. }) { "yes" } else { "no" };
        format!("answer {} {word}\n", ask.request_id).into_bytes()
    }

    fn interrupt(&self, request_id: &str) -> Vec<u8> {
        format!("stop {request_id}\n").into_bytes()
    }

    fn take_back(&self, _request_id: &str, _message: MessageId) -> Option<Vec<u8>> {
        None
    }

    fn end(&self, _request_id: &str) -> Option<Vec<u8>> {
        None
    }
}

pub fn plain(sandbox: &Arc<dyn Sandbox>) -> AgentParts {
    AgentParts {
        sandbox: Arc::clone(sandbox),
        codec: Arc::new(|| Box::new(Plain)),
        launch: LaunchOptions::default(),
        credentials: BTreeMap::new(),
        env: BTreeMap::new(),
        cwd: sandbox.project_dir(),
    }
}
