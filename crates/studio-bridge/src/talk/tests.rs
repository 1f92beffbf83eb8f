use serde_json::json;

use super::*;

fn id(last: u8) -> MessageId {
    let mut bytes = [0; 16];
    bytes[15] = last;
    MessageId::from_bytes(bytes)
}

fn run() -> RunId {
    RunId::from_bytes([7; 16])
}

fn ask(gate: &str) -> Ask {
    Ask {
        request_id: format!("request of {gate}"),
        gate: gate.parse().unwrap(),
        kind: AskKind::Permission,
        tool_name: "Bash".to_owned(),
        input: json!({}),
        suggestions: Value::Null,
    }
}

fn talk(messages: &[(u8, Place)]) -> Talk {
    let mut talk = Talk::new(run());
    for &(last, place) in messages {
        talk.waiting.push_back(Message { id: id(last), text: String::new(), place, holds: 0 });
    }
    talk
}

fn told(state: MessageState, wire: MessageId) -> Vec<Heard> {
    vec![Heard::Message { id: wire, state }]
}

/// What notes say, one word or two each.
fn words(notes: &[Note]) -> Vec<String> {
    notes
        .iter()
        .map(|note| match note {
            Note::Event(_, EngineEvent::MessageState { message_ids, state }) => {
                let ids: Vec<_> = message_ids.iter().map(|id| id.as_bytes()[15]).collect();
                format!("{ids:?} {state}")
            }
            Note::Event(_, event) => {
                serde_json::to_value(event).unwrap()["type"].as_str().unwrap().to_owned()
            }
            Note::Told(told) => {
                let text = format!("{told:?}");
                text.split([' ', '(']).next().unwrap_or_default().to_owned()
            }
        })
        .collect()
}

fn post(tool_use_id: &str) -> Vec<Heard> {
    vec![Heard::Event(EngineEvent::PostToolUse {
        tool_use_id: tool_use_id.to_owned(),
        tool_name: None,
        tool_response: String::new(),
        error: None,
        agent: None,
        parent_tool_use_id: None,
    })]
}

#[test]
fn a_message_goes_from_queued_to_completed() {
    let mut talk = talk(&[(1, Place::Undelivered)]);
    assert_eq!(talk.activity(), Activity::Working);
    assert_eq!(words(&talk.hear(told(MessageState::Queued, id(1)))), ["[1] queued"]);
    assert_eq!(words(&talk.hear(told(MessageState::Started, id(1)))), ["[1] started"]);
    assert!(talk.queue().is_empty() && talk.is_working());
    let end = vec![Heard::TurnEnded { success: true }];
    assert_eq!(words(&talk.hear(end)), ["TurnEnded"]);
    assert_eq!(talk.activity(), Activity::Idle);
    assert_eq!(words(&talk.hear(told(MessageState::Completed, id(1)))), ["[1] completed"]);
    assert!(talk.hear(told(MessageState::Completed, id(9))).is_empty());
}

#[test]
fn what_an_agent_took_back_is_held_and_travels_under_another_id() {
    let mut talk = talk(&[(1, Place::Delivered), (2, Place::Delivered)]);
    assert_eq!(words(&talk.hear(told(MessageState::Cancelled, id(1)))), ["[1] held"]);
    assert_eq!(talk.held(), [id(1)]);
    assert_eq!(talk.release(), [id(1)]);
    let wire = wire_id(id(1), run(), 1);
    assert_ne!(wire, id(1));
    assert_ne!(wire, wire_id(id(1), run(), 2));
    assert_ne!(wire, wire_id(id(2), run(), 1));
    assert_ne!(wire, wire_id(id(1), RunId::from_bytes([8; 16]), 1));
    assert_eq!(words(&talk.hear(told(MessageState::Started, wire))), ["[1] started"]);
}

#[test]
fn an_agent_that_tells_no_states_has_read_everything_when_its_turn_ends() {
    let mut talk = talk(&[(1, Place::Delivered), (2, Place::Handing), (3, Place::Undelivered)]);
    let notes = talk.hear(vec![Heard::TurnStarted, Heard::TurnEnded { success: false }]);
    assert_eq!(words(&notes), ["TurnStarted", "[1, 2] completed", "TurnEnded"]);
    assert_eq!(talk.queue().len(), 1);
}

#[test]
fn a_lost_conversation_keeps_what_was_said_also_what_was_begun() {
    let mut talk = talk(&[(1, Place::Delivered), (2, Place::Delivered)]);
    talk.hear(told(MessageState::Started, id(1)));
    let end = EngineEvent::SessionEnd {
        success: false,
        totals: studio_events::SessionTotals::default(),
        reason: None,
    };
    let line =
        vec![Heard::Event(end), Heard::TurnEnded { success: false }, Heard::ConversationLost];
    assert_eq!(words(&talk.hear(line)), ["log"]);
    assert_eq!(words(&talk.leave(GateClosed::Withdrawn)), ["[1, 2] held"]);
    assert_eq!(talk.queue().len(), 2);
}

#[test]
fn a_process_that_goes_leaves_nothing_open() {
    let mut talk = talk(&[(1, Place::Delivered), (2, Place::Delivered), (3, Place::Held)]);
    talk.hear(told(MessageState::Started, id(1)));
    talk.hear(vec![Heard::Asks(ask("a"))]);
    let notes = talk.leave(GateClosed::Withdrawn);
    assert_eq!(words(&notes), ["gate_closed", "Unasked", "[1] cancelled", "[2] held"]);
    assert_eq!(talk.activity(), Activity::Idle);
    assert_eq!(talk.held(), [id(2), id(3)]);
}

#[test]
fn a_question_that_the_agent_takes_back_is_withdrawn() {
    let mut talk = talk(&[]);
    talk.hear(vec![Heard::Asks(ask("a")), Heard::Asks(ask("b"))]);
    assert_eq!(talk.activity(), Activity::WaitingForPerson);
    let line = vec![Heard::Unasks { request_id: "request of a".to_owned() }];
    assert_eq!(words(&talk.hear(line)), ["gate_closed", "Unasked"]);
    assert_eq!(talk.open_asks().len(), 1);
    // The call ran after all: somebody else answered.
    assert_eq!(words(&talk.hear(post("b"))), ["post_tool_use", "gate_closed", "Unasked"]);
}

#[test]
fn a_late_delivery_of_an_answer_is_still_a_resolution() {
    let mut talk = talk(&[]);
    talk.hear(vec![Heard::Asks(ask("a"))]);
    talk.asks[0].response = Some(json!(1));
    assert_eq!(words(&talk.hear(post("a"))), ["post_tool_use", "gate_resolved"]);
    talk.hear(vec![Heard::Asks(ask("b"))]);
    talk.asks[0].answering = true;
    assert_eq!(words(&talk.hear(post("b"))), ["post_tool_use"]);
    assert_eq!(talk.open_asks().len(), 1);
}

#[test]
fn a_new_run_holds_what_was_not_read() {
    let mut talk = talk(&[(1, Place::Delivered), (2, Place::Held)]);
    talk.turn = true;
    talk.begin(RunId::from_bytes([8; 16]), Some("c".to_owned()));
    assert_eq!(talk.held(), [id(1), id(2)]);
    assert_eq!(talk.activity(), Activity::Idle);
    assert!(talk.waiting.iter().all(|message| message.holds == 1));
}
