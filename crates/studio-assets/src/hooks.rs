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
/// at `http://localhost:<port>` and prints the answer if it is one for the agent.
///
/// `EA_PORT` and `EA_HOOK_SECRET` in the environment win. `secret` is letters, digits and
/// punctuation without `"` and `\`. The file holds it: keep the file out of repositories, mode 0700.
pub fn forward_script(port: u16, secret: &str) -> String {
    include_str!("texts/forward.sh")
        .replace("@PORT@", &port.to_string())
        .replace("@SECRET@", &shell_word(secret))
}
