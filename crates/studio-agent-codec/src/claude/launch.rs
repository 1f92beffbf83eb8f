use std::collections::BTreeMap;

use crate::{Launch, LaunchOptions, PermissionPolicy};

/// The tools of a session that names none. Source: spec 05 section 2.
pub const DEFAULT_TOOLS: [&str; 10] = [
    "Read",
    "Write",
    "Edit",
    "Bash",
    "Glob",
    "Grep",
    "WebSearch",
    "TodoWrite",
    "AskUserQuestion",
    "Skill",
];

/// Tools that change nothing and tell nobody outside anything.
const HARMLESS_TOOLS: [&str; 5] = ["Read", "Glob", "Grep", "TodoWrite", "AskUserQuestion"];

const ENVIRONMENT: [(&str, &str); 6] = [
    // Nothing but model calls leaves the sandbox, and the version stays the image's.
    ("DISABLE_AUTOUPDATER", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    // One whole to-do list (`TodoWrite`) instead of one call per item.
    ("CLAUDE_CODE_ENABLE_TASKS", "0"),
    // Otherwise the model does not see `TodoWrite` unless it searches for it.
    ("ENABLE_TOOL_SEARCH", "false"),
];

/// Both-ways mode: prompts, answers and interrupts travel over stdin, so no prompt is in `argv`.
///
/// Every value stands in one argument with its flag (`--model=…`), so none is read as a flag.
pub(super) fn launch(options: &LaunchOptions) -> Launch {
    let mut argv: Vec<String> = [
        "claude",
        "-p",
        "--input-format=stream-json",
        "--output-format=stream-json",
        "--verbose",
        // Undocumented, seen to work from 2.1.69 to 2.1.329: questions and permissions come as
        // control requests, and `AskUserQuestion` is offered at all.
        "--permission-prompt-tool=stdio",
        // How versions without message states acknowledge a message.
        "--replay-user-messages",
    ]
    .map(str::to_owned)
    .into();
    let tools = allowed(options);
    if !tools.is_empty() {
        argv.push(format!("--allowedTools={}", tools.join(",")));
    }
    for (flag, value) in [("--model", &options.model), ("--resume", &options.resume)] {
        if let Some(value) = value.as_ref().filter(|value| is_plain(value)) {
            argv.push(format!("{flag}={value}"));
        }
    }
    if let Some(budget) = options.budget_usd.filter(|usd| usd.is_finite() && 0.0 < *usd) {
        argv.push(format!("--max-budget-usd={budget}"));
    }
    let env = ENVIRONMENT.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Launch { argv, env: BTreeMap::from(env) }
}

/// What runs without asking. A text that is not one rule is left out: its tool is asked about.
fn allowed(options: &LaunchOptions) -> Vec<&str> {
    let one_rule = |tool: &&str| is_plain(tool) && !tool.contains(',') && !tool.contains(' ');
    let tools = options.tools.iter().map(String::as_str).filter(one_rule);
    match options.permissions {
        PermissionPolicy::AllowListed => tools.collect(),
        PermissionPolicy::Ask => tools.filter(|tool| HARMLESS_TOOLS.contains(tool)).collect(),
    }
}

fn is_plain(value: &str) -> bool {
    !value.is_empty() && !value.chars().any(char::is_control)
}
