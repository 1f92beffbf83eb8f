//! Who may use whom: the table that `docs/architecture.md` draws.

use tidy::{assert_none, members};

/// Words and rules that nearly everybody may use.
const IDS: &str = "studio-ids";
const EVENTS: &str = "studio-events";
const API: &str = "studio-api";
const AUTH: &str = "studio-auth";
const LIMITS: &str = "studio-limits";
const CODEC: &str = "studio-agent-codec";
const ASSETS: &str = "studio-assets";
const STREAMS: &str = "studio-streams";
const SANDBOX: &str = "studio-sandbox";
const GITHUB: &str = "studio-github";
const ELECTRIC: &str = "studio-electric";

/// Who may use whom, from the bottom up. A new arrow is a design change: draw it in
/// docs/architecture.md first, and commit the line here on its own.
const MAY_USE: &[(&str, &[&str])] = &[
    // words
    (IDS, &[]),
    (EVENTS, &[IDS]),
    (API, &[IDS, EVENTS]),
    // rules: pure, not beside each other
    (AUTH, &[IDS, EVENTS, API]),
    (LIMITS, &[IDS, EVENTS, API]),
    (CODEC, &[IDS, EVENTS, API]),
    (ASSETS, &[IDS, EVENTS, API]),
    // ports
    (STREAMS, &[IDS, EVENTS, API, AUTH, CODEC, ASSETS]),
    (SANDBOX, &[IDS, EVENTS, API, AUTH, CODEC, ASSETS]),
    (GITHUB, &[IDS, EVENTS, API, AUTH, CODEC, ASSETS]),
    (ELECTRIC, &[IDS, EVENTS, API, AUTH, CODEC, ASSETS]),
    // adapters: their own port and what lies under it
    ("studio-streams-local", &[IDS, EVENTS, API, AUTH, CODEC, ASSETS, STREAMS]),
    ("studio-streams-http", &[IDS, EVENTS, API, AUTH, CODEC, ASSETS, STREAMS]),
    ("studio-sandbox-docker", &[IDS, EVENTS, API, AUTH, CODEC, ASSETS, SANDBOX]),
    ("studio-sandbox-local", &[IDS, EVENTS, API, AUTH, CODEC, ASSETS, SANDBOX]),
    // services: not each other
    ("studio-gates", &[IDS, EVENTS, API, AUTH, CODEC, ASSETS, STREAMS, SANDBOX]),
    ("studio-registry", &[IDS, EVENTS, API, AUTH, CODEC, ASSETS, STREAMS, SANDBOX]),
    ("studio-bridge", &[IDS, EVENTS, API, AUTH, CODEC, ASSETS, STREAMS, SANDBOX]),
    ("studio-tokens", &[IDS, EVENTS, API, AUTH, CODEC, ASSETS, STREAMS, SANDBOX]),
    // flows introduce services to each other
    (
        "studio-flows",
        &[
            IDS,
            EVENTS,
            API,
            AUTH,
            LIMITS,
            CODEC,
            ASSETS,
            STREAMS,
            SANDBOX,
            GITHUB,
            ELECTRIC,
            "studio-gates",
            "studio-registry",
            "studio-bridge",
            "studio-tokens",
        ],
    ),
    // http: the protocol sees the port it serves; the studio sees flows and what is under them,
    // but no service: a route asks a flow
    ("studio-streams-protocol", &[IDS, STREAMS]),
    (
        "studio-http",
        &[
            IDS,
            EVENTS,
            API,
            AUTH,
            LIMITS,
            CODEC,
            ASSETS,
            STREAMS,
            SANDBOX,
            GITHUB,
            ELECTRIC,
            "studio-flows",
            "studio-streams-protocol",
        ],
    ),
    // apps: the only ones that name adapters
    (
        "studio-server",
        &[
            IDS,
            EVENTS,
            API,
            AUTH,
            LIMITS,
            CODEC,
            ASSETS,
            STREAMS,
            SANDBOX,
            GITHUB,
            ELECTRIC,
            "studio-streams-local",
            "studio-streams-http",
            "studio-sandbox-docker",
            "studio-sandbox-local",
            "studio-flows",
            "studio-streams-protocol",
            "studio-http",
        ],
    ),
    ("studio-cli", &[IDS, EVENTS, API, "studio-server"]),
    // for tests
    ("studio-testkit", &[]),
    (
        "studio-fuzz",
        &[
            EVENTS,
            API,
            AUTH,
            CODEC,
            STREAMS,
            SANDBOX,
            "studio-streams-local",
            "studio-streams-http",
            "studio-streams-protocol",
            "studio-flows",
            "studio-http",
        ],
    ),
    ("tidy", &[]),
    ("xtask", &[]),
];

/// What a test may use beside that: the testkit, and real parts instead of fakes.
const TESTS_MAY_USE: &[&str] = &[
    "studio-testkit",
    "studio-streams-local",
    "studio-streams-http",
    "studio-streams-protocol",
    "studio-sandbox-docker",
    "studio-sandbox-local",
];

/// Crates from outside that only few may know, so that they can be replaced in one place.
const FEW_KNOW: &[(&str, &[&str])] = &[
    (
        "axum",
        &[
            "studio-http",
            "studio-streams-protocol",
            "studio-server",
            "studio-testkit",
            "studio-fuzz",
        ],
    ),
    ("bollard", &["studio-sandbox-docker"]),
    ("clap", &["studio-server", "studio-cli"]),
    ("landlock", &["studio-sandbox-local"]),
    ("redb", &["studio-streams-local"]),
    (
        "reqwest",
        &[
            "studio-cli",
            "studio-streams-http",
            "studio-github",
            "studio-electric",
            "studio-testkit",
        ],
    ),
    ("ring", &["studio-auth", "studio-sandbox-docker", "studio-github", "studio-testkit"]),
    ("rcgen", &["studio-server"]),
    ("tokio-rustls", &["studio-http", "studio-server"]),
    ("tracing-subscriber", &["studio-server", "studio-cli"]),
];

#[test]
fn every_arrow_is_drawn() {
    let mut breaches = Vec::new();
    let members = members();
    let ours: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    for member in &members {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == member.name) else {
            breaches.push(format!("{} has no line in the table of arrows", member.name));
            continue;
        };
        let of_tests = member
            .uses("dev-dependencies")
            .into_iter()
            .filter(|used| *used != member.name && !TESTS_MAY_USE.contains(used));
        for used in member.uses("dependencies").into_iter().chain(of_tests) {
            if ours.contains(&used) && !allowed.contains(&used) {
                breaches.push(format!("{} may not use {used}", member.name));
            }
        }
    }
    assert_none("arrows that nobody drew", &breaches);
}

#[test]
fn every_arrow_points_down() {
    let mut breaches = Vec::new();
    for (line, (name, allowed)) in MAY_USE.iter().enumerate() {
        for used in *allowed {
            if !MAY_USE[..line].iter().any(|(below, _)| below == used) {
                breaches.push(format!("{name} stands above nothing called {used}"));
            }
        }
    }
    assert_none("the table is not in the order of the layers", &breaches);
}

#[test]
fn every_line_of_the_table_is_a_crate() {
    let members = members();
    let stale = MAY_USE.iter().filter(|(name, _)| members.iter().all(|one| one.name != *name));
    let stale: Vec<_> = stale.map(|(name, _)| (*name).to_owned()).collect();
    assert_none("crates that are gone", &stale);
}

#[test]
fn a_tool_with_one_place_is_known_in_that_place_only() {
    let mut breaches = Vec::new();
    for member in members() {
        for (tool, may) in FEW_KNOW {
            if member.uses("dependencies").contains(tool) && !may.contains(&member.name.as_str()) {
                breaches.push(format!("{} may not know {tool}", member.name));
            }
        }
    }
    assert_none("tools out of their place", &breaches);
}

#[test]
fn dependencies_stand_in_the_two_tables_that_these_tests_read() {
    let hidden = ["build-dependencies", "target"];
    let found = members().into_iter().flat_map(|member| {
        let has = hidden.iter().filter(|table| member.manifest.contains_key(**table));
        has.map(|table| format!("{} has [{table}]", member.name)).collect::<Vec<_>>()
    });
    assert_none("tables of dependencies that no test reads", &found.collect::<Vec<_>>());
}
