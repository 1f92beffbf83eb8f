use std::{collections::BTreeMap, time::Duration};

use studio_agent_codec::PermissionPolicy;
use studio_limits::Caps;
use studio_sandbox::{Limits, Secret};

/// Who the studio is for. Source: spec 05 section 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One person's machine: everything is allowed, nothing is limited.
    Dev,
    /// For others too: limits and budgets hold.
    Production,
}

/// How agents are run.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// The model, when a session names none; the agent's own default when absent.
    pub model: Option<String>,
    /// What a person is asked about, when a session does not say.
    pub permissions: PermissionPolicy,
    /// The server's own credential, as environment: `ANTHROPIC_API_KEY` or
    /// `CLAUDE_CODE_OAUTH_TOKEN`. Goes to the agent's process only.
    pub credentials: BTreeMap<String, Secret>,
    /// Environment of every agent, nothing secret: `ANTHROPIC_BASE_URL`, proxies, …
    pub env: BTreeMap<String, String>,
    /// How long an interrupted turn may take to end before signals are sent.
    pub interrupt_patience: Duration,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            model: None,
            permissions: PermissionPolicy::default(),
            credentials: BTreeMap::new(),
            env: BTreeMap::new(),
            interrupt_patience: Duration::from_millis(1_500),
        }
    }
}

/// How long gates wait for a person.
#[derive(Clone, Copy, Debug)]
pub struct GateSettings {
    /// Infrastructure choice.
    pub infra: Duration,
    /// Questions and permissions of an agent in a sandbox.
    pub agent: Duration,
    /// A question that a hook holds open.
    pub hook: Duration,
    /// An agent's message to its room.
    pub outbound: Duration,
}

impl Default for GateSettings {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self { infra: day, agent: day, hook: Duration::from_secs(5 * 60), outbound: day }
    }
}

/// Everything that can be set about a studio.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who it is for.
    pub mode: Mode,
    /// US dollars that a session may spend; enforced in production.
    pub max_session_cost_usd: Option<f64>,
    /// Session creations per address and hour in production; `None` = no limit.
    pub max_sessions_per_ip_per_hour: Option<u32>,
    /// How much may go on at once in production.
    pub caps: Caps,
    /// How agents are run.
    pub agent: AgentSettings,
    /// What a sandbox may use.
    pub limits: Limits,
    /// How long gates wait.
    pub gates: GateSettings,
    /// How long a session may be quiet before its agent's process is ended; the next message
    /// resumes the conversation.
    pub idle_after: Duration,
    /// How long nothing may be heard of a session that hooks feed until it counts as over.
    pub local_idle_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Production,
            max_session_cost_usd: Some(5.0),
            max_sessions_per_ip_per_hour: Some(5),
            caps: Caps { sandboxes: Some(50), running_per_subject: Some(10) },
            agent: AgentSettings::default(),
            limits: Limits::default(),
            gates: GateSettings::default(),
            idle_after: Duration::from_secs(15 * 60),
            local_idle_after: Duration::from_secs(6 * 60 * 60),
        }
    }
}
