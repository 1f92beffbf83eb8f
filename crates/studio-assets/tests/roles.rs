//! What agents may use: never more than both the studio and their duty allow (`D30-63`).

use proptest::{prelude::*, sample::subsequence};
use studio_assets::{Duty, Role, allowed_tools};

const OFFERED: [&str; 10] = [
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

#[test]
fn d30_63_a_role_narrows_what_the_studio_allows() {
    let all = |production, duty| allowed_tools(&OFFERED, production, duty).join(" ");
    let reviewer = Duty::Role(Role::Reviewer);
    for duty in [Duty::General, Duty::Described("x"), Duty::Role(Role::Coder)] {
        assert_eq!(all(false, duty), OFFERED.join(" "));
        assert!(!all(true, duty).contains("WebSearch"));
    }
    assert_eq!(all(false, Duty::Role(Role::UiDesigner)), OFFERED.join(" "));
    assert_eq!(
        all(false, reviewer),
        "Read Bash Glob Grep WebSearch TodoWrite AskUserQuestion Skill"
    );
    assert_eq!(all(true, reviewer), "Read Bash Glob Grep TodoWrite AskUserQuestion Skill");
    // A studio that offers less gives less, whatever the role.
    assert_eq!(allowed_tools(&["Read"], false, Duty::Role(Role::Coder)), ["Read"]);
}

#[test]
fn d30_63_a_role_without_a_text_only_reads() {
    let duty = Duty::of(Some("security reviewer"), None);
    assert_eq!(duty, Duty::Unknown);
    let tools = allowed_tools(&OFFERED, false, duty);
    assert_eq!(tools.join(" "), "Read Glob Grep TodoWrite AskUserQuestion Skill");
}

#[test]
fn roles_have_several_names() {
    for (name, role) in [
        ("coder", Role::Coder),
        (" Developer ", Role::Coder),
        ("PROGRAMMER", Role::Coder),
        ("engineer\n", Role::Coder),
        ("reviewer", Role::Reviewer),
        ("Code Reviewer", Role::Reviewer),
        ("pr reviewer", Role::Reviewer),
        ("ui-designer", Role::UiDesigner),
        ("UI Designer", Role::UiDesigner),
        ("frontend designer", Role::UiDesigner),
    ] {
        assert_eq!(Role::called(name), Some(role), "{name:?}");
        // A built-in role wins over a text.
        assert_eq!(Duty::of(Some(name), Some("x")), Duty::Role(role));
    }
    for none in ["", "coders", "code  reviewer", "-coder", "coder; rm", "../reviewer", "ｃoder"] {
        assert_eq!(Role::called(none), None, "{none:?}");
    }
    assert_eq!(Duty::of(None, None), Duty::General);
    assert_eq!(Duty::of(Some(" "), Some("\n")), Duty::General);
    assert_eq!(Duty::of(Some("gardener"), Some("Water it.")), Duty::Described("Water it."));
    assert_eq!(Duty::of(None, Some("Water it.")), Duty::Described("Water it."));
}

proptest! {
    #[test]
    fn d30_63_no_duty_adds_a_tool(
        offered in subsequence(&OFFERED[..], 0..=OFFERED.len()),
        production in any::<bool>(),
        role in proptest::option::of(prop_oneof![Just("coder".to_owned()), Just("reviewer".to_owned()), any::<String>()]),
        text in proptest::option::of(any::<String>()),
    ) {
        let tools = allowed_tools(&offered, production, Duty::of(role.as_deref(), text.as_deref()));
        prop_assert!(tools.iter().all(|tool| offered.contains(&tool.as_str())));
        prop_assert!(!production || !tools.iter().any(|tool| tool == "WebSearch"));
    }
}
