use std::collections::VecDeque;

use serde_json::Value;

/// Most calls that are remembered at a time; the oldest is forgotten first (its result then
/// comes without the tool's name).
const CALLS_MAX: usize = 1_000;

/// A tool call whose result has not come.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    /// The sub-agent's kind, when the call starts one.
    pub(super) agent: Option<String>,
    /// The call's arguments, kept only where the result alone does not tell what was done.
    pub(super) input: Value,
    /// Whether the main agent called, not a sub-agent.
    pub(super) main: bool,
}

/// Open tool calls, oldest first.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: VecDeque<Call>,
    /// Ids of the calls that started something that goes on beside the main agent.
    apart: VecDeque<String>,
}

impl Calls {
    pub(super) fn open(&mut self, call: Call) {
        push(&mut self.open, call);
    }

    /// The newest call with this id: ids are the agent's, and nothing forces them to differ.
    pub(super) fn get(&self, id: &str) -> Option<&Call> {
        self.open.iter().rev().find(|call| call.id == id)
    }

    /// The call whose result came.
    pub(super) fn close(&mut self, id: &str) -> Option<Call> {
        let at = self.open.iter().rposition(|call| call.id == id)?;
        // A sub-agent in the background goes on after the result that says that it began.
        if self.open[at].agent.is_some() {
            Some(self.open[at].clone())
        } else {
            self.open.remove(at)
        }
    }

    /// The call started something that goes on beside the main agent.
    pub(super) fn go_apart(&mut self, id: &str) {
        push(&mut self.apart, id.to_owned());
    }

    /// What the call started is over. Whether it was beside the main agent.
    pub(super) fn end_apart(&mut self, id: &str) -> bool {
        let before = self.apart.len();
        self.apart.retain(|apart| apart != id);
        self.apart.len() < before
    }

    /// Forgets what ended with the turn; what is left goes on in the background.
    pub(super) fn end_turn(&mut self) {
        let apart = &self.apart;
        let goes_on = |call: &Call| match call.main {
            true => apart.contains(&call.id),
            false => !apart.is_empty(),
        };
        self.open.retain(goes_on);
    }
}

/// At the end; at the limit the oldest is forgotten.
fn push<T>(list: &mut VecDeque<T>, value: T) {
    if list.len() == CALLS_MAX {
        list.pop_front();
    }
    list.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: String, main: bool, agent: Option<&str>) -> Call {
        let (name, agent) = ("Bash".into(), agent.map(str::to_owned));
        Call { id, name, agent, input: Value::Null, main }
    }

    #[test]
    fn calls_without_results_do_not_pile_up() {
        let mut calls = Calls::default();
        for n in 0..3 * CALLS_MAX {
            calls.open(call(n.to_string(), true, None));
            calls.go_apart(&format!("other {n}"));
        }
        assert_eq!((calls.open.len(), calls.apart.len()), (CALLS_MAX, CALLS_MAX));
        assert!(calls.get("0").is_none());
    }

    #[test]
    fn only_what_goes_on_in_the_background_outlives_a_turn() {
        let mut calls = Calls::default();
        calls.open(call("command".into(), true, None));
        calls.open(call("agent".into(), true, Some("Explore")));
        calls.open(call("its command".into(), false, None));
        calls.go_apart("agent");
        calls.end_turn();
        let left: Vec<_> = calls.open.iter().map(|call| call.id.as_str()).collect();
        assert_eq!(left, ["agent", "its command"]);
        assert!(calls.end_apart("agent"));
        calls.end_turn();
        assert!(calls.open.is_empty());
    }
}
