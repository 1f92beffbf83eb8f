use serde_json::{Value, json};
use studio_ids::MessageId;

use crate::{Answer, Ask, AskKind};

/// What the agent is told when an answer does not fit its request.
const NO_PERMISSION: &str = "The person did not allow this call.";

pub(super) fn say(id: MessageId, text: &str) -> Vec<u8> {
    line(&json!({"type": "user", "message": {"role": "user", "content": text}, "uuid": id}))
}

pub(super) fn answer(ask: &Ask, answer: &Answer) -> Vec<u8> {
    let response = match (answer, ask.kind) {
        (Answer::Answers(answers), AskKind::Question) => {
            let mut input = ask.input.as_object().cloned().unwrap_or_default();
            input.insert("answers".into(), json!(answers));
            json!({"behavior": "allow", "updatedInput": input})
        }
        // Words are not a yes.
        (Answer::Answers(_), AskKind::Permission) => {
            json!({"behavior": "deny", "message": NO_PERMISSION})
        }
        (Answer::Allow { always }, _) => {
            let mut response = json!({"behavior": "allow"});
            // Sent back as it came: the call that runs is the call that was shown.
            if ask.input.is_object() {
                response["updatedInput"] = ask.input.clone();
            }
            if *always && ask.suggestions.as_array().is_some_and(|list| !list.is_empty()) {
                response["updatedPermissions"] = ask.suggestions.clone();
            }
            response
        }
        (Answer::Deny { message, interrupt }, _) => {
            let message = if message.is_empty() { NO_PERMISSION } else { message };
            json!({"behavior": "deny", "message": message, "interrupt": interrupt})
        }
    };
    line(&json!({"type": "control_response", "response": {
        "subtype": "success", "request_id": ask.request_id, "response": response,
    }}))
}

pub(super) fn request(request_id: &str, subtype: &str) -> Vec<u8> {
    line(&json!({
        "type": "control_request", "request_id": request_id, "request": {"subtype": subtype},
    }))
}

pub(super) fn take_back(request_id: &str, message: MessageId) -> Vec<u8> {
    line(&json!({"type": "control_request", "request_id": request_id, "request": {
        "subtype": "cancel_async_message", "message_uuid": message,
    }}))
}

/// One line, ended by the only line break in it.
///
/// JavaScript also breaks lines at U+2028 and U+2029, which JSON leaves as they are; a version
/// that reads lines so would see two broken ones and end at once.
fn line(value: &Value) -> Vec<u8> {
    let mut text = value.to_string();
    if text.contains(['\u{2028}', '\u{2029}']) {
        text = text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    }
    text.push('\n');
    text.into_bytes()
}
