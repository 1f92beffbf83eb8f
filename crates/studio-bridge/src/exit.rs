//! How the end of an agent's process is explained to people.

/// Most characters of stderr in the log line.
const STDERR_CHARS_MAX: usize = 2_000;

/// Words in an agent's stderr and what a person can do about them.
const KNOWN: &[(&[&str], &str)] = &[
    (
        &["not logged in", "please run /login", "invalid api key", "authentication_error"],
        "it has no valid login: set the model provider's key or login for this session",
    ),
    (
        &["unknown option", "unrecognized option", "unexpected argument"],
        "it does not know an option it was started with: its version may not fit this studio",
    ),
    (
        &["cannot be used with root", "cannot be used with root/sudo"],
        "it refuses to run as root with these permissions",
    ),
    (&["rate limit", "rate_limit"], "the model provider's rate limit was reached"),
    (&["no space left on device", "enospc"], "its sandbox has no space left"),
    (
        &["out of memory", "heap limit", "cannot allocate memory"],
        "its sandbox has too little memory",
    ),
];

/// A line for the person who watches.
pub(crate) fn explain(code: Option<i32>, stderr: &str) -> String {
    let how = match code {
        Some(code) if 128 < code && code < 160 => format!("by signal {}", code - 128),
        Some(code) => format!("with exit code {code}"),
        None => "and did not say how".to_owned(),
    };
    let lower = stderr.to_lowercase();
    let known = KNOWN.iter().find(|(words, _)| words.iter().any(|word| lower.contains(word)));
    let why = match (known, code) {
        (Some((_, why)), _) => format!(": {why}"),
        (None, Some(137)) => ": it was killed, perhaps because it used too much memory".to_owned(),
        (None, Some(127)) => ": the program was not found".to_owned(),
        (None, _) => String::new(),
    };
    let stderr = stderr.trim();
    let skip = stderr.chars().count().saturating_sub(STDERR_CHARS_MAX);
    let tail: String = stderr.chars().skip(skip).collect();
    let tail = if tail.is_empty() { tail } else { format!("\n{tail}") };
    format!("The agent's process ended {how}{why}.{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_explained() {
        assert_eq!(
            explain(Some(1), "error: unknown option '--foo'\n"),
            "The agent's process ended with exit code 1: it does not know an option it was \
             started with: its version may not fit this studio.\nerror: unknown option '--foo'"
        );
        assert_eq!(
            explain(Some(137), ""),
            "The agent's process ended by signal 9: it was killed, perhaps because it used too \
             much memory."
        );
        assert_eq!(explain(None, ""), "The agent's process ended and did not say how.");
        assert!(explain(Some(1), &"ü".repeat(10_000)).chars().count() < 2_100);
    }
}
