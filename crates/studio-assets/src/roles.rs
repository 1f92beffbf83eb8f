//! What an agent is in a room, and what it may use there (`D30-63`).

/// The built-in roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Builds the app.
    Coder,
    /// Reads what the coder has built.
    Reviewer,
    /// Improves the interface.
    UiDesigner,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Coder, Self::Reviewer, Self::UiDesigner];

    /// The role that people call so; capitals and blanks around it do not matter.
    pub fn called(name: &str) -> Option<Self> {
        match name.trim().to_lowercase().as_str() {
            "coder" | "developer" | "programmer" | "engineer" => Some(Self::Coder),
            "reviewer" | "code reviewer" | "pr reviewer" => Some(Self::Reviewer),
            "ui-designer" | "ui designer" | "frontend designer" => Some(Self::UiDesigner),
            _ => None,
        }
    }

    /// Its first name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coder => "coder",
            Self::Reviewer => "reviewer",
            Self::UiDesigner => "ui-designer",
        }
    }

    fn tools(self) -> &'static [&'static str] {
        match self {
            Self::Coder | Self::UiDesigner => &[
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
            ],
            Self::Reviewer => &[
                "Read",
                "Bash",
                "Glob",
                "Grep",
                "WebSearch",
                "TodoWrite",
                "AskUserQuestion",
                "Skill",
            ],
        }
    }
}

/// Tools that change nothing and reach nothing outside: all that is safe when nobody knows what
/// an agent is for.
const READING: &[&str] = &["Read", "Glob", "Grep", "TodoWrite", "AskUserQuestion", "Skill"];
/// What searches the web; not in production.
const WEB_SEARCH: &str = "WebSearch";

/// What an agent is there for, as far as its texts and tools go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty<'a> {
    /// Nothing in particular.
    General,
    /// A built-in role.
    Role(Role),
    /// What whoever called the agent has written for it.
    Described(&'a str),
    /// A role that has no text.
    Unknown,
}

impl<'a> Duty<'a> {
    /// The duty of an agent for whom a role is named, or a text written, or both. A built-in
    /// role wins over the text; blank words are none.
    pub fn of(role: Option<&str>, text: Option<&'a str>) -> Self {
        let role = role.filter(|role| !role.trim().is_empty());
        let text = text.filter(|text| !text.trim().is_empty());
        match (role.map(Role::called), text) {
            (Some(Some(role)), _) => Self::Role(role),
            (_, Some(text)) => Self::Described(text),
            (Some(None), None) => Self::Unknown,
            (None, None) => Self::General,
        }
    }
}

/// The tools that an agent may use without asking: those of `offered` that both the studio's
/// policy and the agent's duty allow. A duty never adds one; one without a text leaves those that
/// only read.
pub fn allowed_tools(offered: &[&str], production: bool, duty: Duty<'_>) -> Vec<String> {
    let by_duty = |tool: &str| match duty {
        Duty::General | Duty::Described(_) => true,
        Duty::Role(role) => role.tools().contains(&tool),
        Duty::Unknown => READING.contains(&tool),
    };
    let by_policy = |tool: &str| !(production && tool == WEB_SEARCH);
    let allowed = offered.iter().filter(|tool| by_policy(tool) && by_duty(tool));
    allowed.map(|&tool| tool.to_owned()).collect()
}
