//! How an agent's hooks reach the studio: from a sandbox through its relay, from a person's own
//! machine by a script.

use serde_json::{Value, json};

use crate::quote::shell_word;

/// How long a hook may wait for a person, in seconds: longer than any gate of the studio, so the
/// studio ends the wait and not the agent, whose own limit (60 to 600 s) would go unnoticed.
pub const HOOK_WAIT_SECS: u32 = 7 * 24 * 60 * 60;

/// Settings (`--settings`) under which an agent in a sandbox asks its questions through the
/// relay program at `relay_path`, which gets the hook's body on stdin and prints its answer.
///
/// For agents that do not ask over their stdin; passed beside the project's own settings, so
/// none are overwritten (`D31-26`) and nothing secret lies in the project (`D31-27`).
pub fn relay_hook_settings(relay_path: &str) -> Value {
    let command = shell_word(relay_path);
    let hook = json!({"type": "command", "command": command, "timeout": HOOK_WAIT_SECS});
    json!({"hooks": {"PreToolUse": [{"matcher": "AskUserQuestion", "hooks": [hook]}]}})
}

/// `.claude/hooks/forward.sh` on a person's own machine: passes each hook's body on to the studio
/// at `studio` (`http://localhost:4400`) and prints the answer if it is one for the agent.
///
/// The secret is read from `.studio/secret` beside it; `EA_PORT` and `EA_HOOK_SECRET` in the
/// environment win. Always ends with 0; what failed stands in `.studio/forward.log`.
pub fn forward_script(studio: &str) -> String {
    filled(include_str!("texts/hooks/forward.sh"), &[("STUDIO", studio)])
}

/// For `curl … | bash` inside a project: puts the forwarder, a secret of the project's own and
/// the settings of its agents there. `code` opens the route that makes the secret, once.
pub fn setup_script(studio: &str, code: &str) -> String {
    let forwarder = forward_script(studio);
    let values =
        [("STUDIO", studio), ("CODE", code), ("FORWARDER", forwarder.trim_end()), ("MERGE", MERGE)];
    filled(include_str!("texts/hooks/setup.sh"), &values)
}

/// For `curl … | bash` inside a project: takes out what [`setup_script`] put there.
pub fn remove_script(studio: &str) -> String {
    filled(include_str!("texts/hooks/remove.sh"), &[("STUDIO", studio), ("MERGE", MERGE)])
}

/// Merges settings; run by Node.
const MERGE: &str = include_str!("texts/hooks/merge.js");

/// The script with each `@NAME@` replaced by the value as one word of the shell. What stands in a
/// value is never looked at again.
fn filled(script: &str, values: &[(&str, &str)]) -> String {
    let mut pieces = script.split('@');
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    let mut after_value = false;
    for piece in pieces {
        match values.iter().find(|(name, _)| *name == piece) {
            Some((_, value)) if !after_value => {
                filled.push_str(&shell_word(value));
                after_value = true;
            }
            _ => {
                if !after_value {
                    filled.push('@');
                }
                filled.push_str(piece);
                after_value = false;
            }
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn said_by(shell: &str, script: &str) -> String {
        let output = Command::new(shell).args(["-c", script]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn what_looks_like_a_place_for_a_value_and_is_none_stays() {
        let script = "a@b printf '%s' @ONE@@TWO@ \"$@\"@";
        let values = [("ONE", "@TWO@"), ("TWO", "x")];
        assert_eq!(filled(script, &values), "a@b printf '%s' '@TWO@''x' \"$@\"@");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

        #[test]
        fn a_shell_gets_any_value_as_it_is(
            one in r#"[a-z'"`$(){};&|<>\\\n\t @\-*!#\u{80}-\u{2ff}]{0,24}"#,
            two in r"(@(ONE|TWO)@|'; rm -rf /|\.\./|\$\(id\)|\PC){0,4}",
        ) {
            let values = [("ONE", one.as_str()), ("TWO", two.as_str())];
            let script = filled("printf '<%s>' @ONE@ @TWO@", &values);
            for shell in ["sh", "bash"] {
                prop_assert_eq!(said_by(shell, &script), format!("<{one}><{two}>"));
            }
        }
    }
}
