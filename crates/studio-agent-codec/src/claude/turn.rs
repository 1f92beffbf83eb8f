use studio_events::{EngineEvent, LogLevel, SessionTotals};

use super::{Claude, log};
use crate::Heard;
use crate::json::{LOG_BYTES_MAX, Object, clipped, list, object, some_text, text, whole};

/// What an unknown `--resume` id is answered with.
const UNKNOWN_CONVERSATION: &str = "No conversation found with session ID";
/// The agent's notes about itself among its errors, for its makers.
const DIAGNOSTIC: &str = "[ede_diagnostic]";

/// The running turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The provider's refusal that is already in the log.
    pub(super) told: Option<String>,
}

/// The process's running totals when its last turn ended.
#[derive(Debug, Default)]
pub(super) struct Running {
    cost_usd: f64,
    api_ms: u64,
}

impl Claude {
    /// A turn begins (unless the line only repeats that it runs).
    pub(super) fn begin_turn(&mut self, heard: &mut Vec<Heard>) {
        self.began = true;
        if self.turn.is_none() {
            self.turn = Some(Turn::default());
            heard.push(Heard::TurnStarted);
        }
    }

    pub(super) fn read_result(&mut self, line: &Object, heard: &mut Vec<Heard>) {
        let errors = list(line, "errors").iter().filter_map(|error| error.as_str());
        if !self.began && errors.clone().any(|error| error.starts_with(UNKNOWN_CONVERSATION)) {
            // No turn began, so none ends.
            for error in errors {
                heard.push(log(LogLevel::Error, clipped(error, LOG_BYTES_MAX)));
            }
            heard.push(Heard::ConversationLost);
            return;
        }
        let subtype = text(line, "subtype").unwrap_or_default();
        // A refused login comes as `subtype: "success"` with `is_error: true`.
        let failed = line.get("is_error").and_then(|is| is.as_bool()).unwrap_or(false);
        let success = subtype == "success" && !failed;
        let turn = self.turn.take().unwrap_or_default();
        for error in errors {
            let level =
                if error.starts_with(DIAGNOSTIC) { LogLevel::Verbose } else { LogLevel::Error };
            heard.push(log(level, clipped(error, LOG_BYTES_MAX)));
        }
        let result = some_text(line, "result").filter(|_| !success);
        if let Some(result) = result.filter(|result| turn.told.as_ref() != Some(result)) {
            heard.push(log(LogLevel::Error, clipped(&result, LOG_BYTES_MAX)));
        }
        if let Some(denied) = denials(line) {
            heard.push(log(LogLevel::Verbose, denied));
        }
        let reason = some_text(line, "terminal_reason").or_else(|| some_text(line, "subtype"));
        let totals = self.totals.of_turn(line);
        heard.push(Heard::Event(EngineEvent::SessionEnd { success, totals, reason }));
        self.messages.end_turn(heard);
        heard.push(Heard::TurnEnded { success });
        self.calls.end_turn();
    }
}

impl Running {
    /// What this turn alone took.
    fn of_turn(&mut self, line: &Object) -> SessionTotals {
        let api_ms = whole(line, "duration_api_ms");
        // Counts on within the process; smaller than before means that it began anew.
        let duration_api_ms = api_ms.map(|ms| ms.checked_sub(self.api_ms).unwrap_or(ms));
        self.api_ms = api_ms.unwrap_or(self.api_ms);
        SessionTotals {
            cost_usd: self.cost_of_turn(line),
            num_turns: whole(line, "num_turns"),
            duration_ms: whole(line, "duration_ms"),
            duration_api_ms,
        }
    }

    fn cost_of_turn(&mut self, line: &Object) -> Option<f64> {
        let money = |object: &Object, key| {
            object.get(key).and_then(|usd| usd.as_f64()).filter(|usd| 0.0 <= *usd)
        };
        let total = money(line, "total_cost_usd");
        let difference =
            total.map(|total| if total < self.cost_usd { total } else { total - self.cost_usd });
        self.cost_usd = total.unwrap_or(self.cost_usd);
        // The running total counts on over `--resume`, so its difference is wrong in the first
        // turn of a resumed process; versions that count so also tell the turn's own figures.
        let own = object(line, "model_usage_since_last_result").map(|models| {
            let models = models.values().filter_map(|model| model.as_object());
            // Not `sum`: to it nothing adds up to -0.0.
            models.filter_map(|model| money(model, "costUSD")).fold(0.0, |sum, usd| sum + usd)
        });
        own.or(difference).or_else(|| money(line, "cost_usd")).map(without_noise)
    }
}

/// Sums of decimal fractions without the digits that only the binary form has.
fn without_noise(usd: f64) -> f64 {
    const DIGITS: f64 = 1e9;
    let rounded = (usd * DIGITS).round() / DIGITS;
    if rounded.is_finite() { rounded } else { usd }
}

fn denials(line: &Object) -> Option<String> {
    let denied = list(line, "permission_denials").iter().filter_map(|denial| denial.as_object());
    let tools: Vec<_> = denied.filter_map(|denial| text(denial, "tool_name")).collect();
    let told =
        || clipped(&format!("Not permitted in this turn: {}", tools.join(", ")), LOG_BYTES_MAX);
    (!tools.is_empty()).then(told)
}
