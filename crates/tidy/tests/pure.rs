//! What stays out of the words and rules, the crates below the ports: they are handed the time,
//! the files and the settings, so that they can be tested and reused without any of these.

use tidy::{assert_none, members, read};

/// The crates below the ports.
const PURE: &[&str] = &[
    "studio-ids",
    "studio-events",
    "studio-api",
    "studio-auth",
    "studio-limits",
    "studio-agent-codec",
    "studio-assets",
];

/// What they must not mention.
const OUTSIDE: &[&str] = &[
    "std::env::",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "tokio",
];

#[test]
fn words_and_rules_touch_nothing_outside_themselves() {
    let mut breaches = Vec::new();
    for member in members().into_iter().filter(|member| PURE.contains(&member.name.as_str())) {
        for file in member.rust_files("src") {
            let text = read(&file);
            // Tests stand at the end of a file and may read recordings.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in code.lines().enumerate() {
                let is_comment = line.trim_start().starts_with("//");
                for name in OUTSIDE.iter().filter(|name| !is_comment && line.contains(**name)) {
                    breaches.push(format!("{}:{}: {name}", file.display(), number + 1));
                }
            }
        }
        for name in ["tokio", "async-trait", "tracing"] {
            if member.uses("dependencies").contains(&name) {
                breaches.push(format!("{} depends on {name}", member.name));
            }
        }
    }
    assert_none("pure crates that are not", &breaches);
}

#[test]
fn every_crate_called_pure_exists() {
    let members = members();
    let gone = PURE.iter().filter(|name| members.iter().all(|member| member.name != **name));
    assert_none("crates that are gone", &gone.map(|name| (*name).to_owned()).collect::<Vec<_>>());
}
